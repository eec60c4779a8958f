"""The relations of two articles by their definitions, in plain Python: an oracle, slow and easy to check.

It shares only `normalise` and `fold` with the program, and works with sets of strings and positions, without arrays or hashes. It is
practical for texts of a few thousand characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Literal

from dedup.text.normalise import fold, normalise

Relation = Literal["exact", "near", "copy", "excerpt", "quote"]
Positions = frozenset[int] | set[int]

NONE: frozenset[int] = frozenset()
LEAST = 80
"""A shorter text can only be `exact`."""
RUN = 20
SHINGLE = 5
LONGEST_QUOTATION = 1000
MARKS = {"“": "”", "‘": "’", "「": "」", "『": "』", "«": "»", '"': '"', "＂": "＂"}
"""Opening marks of a quotation and what closes them."""


@dataclass(frozen=True)
class Numbers:
    """Measures of two texts. Positions and lengths refer to normalised texts."""

    similarity: float  # Jaccard of the sets of shingles
    containment: float  # share of the smaller set of shingles that is in the larger one
    shared: int  # characters in common runs of 20, on the side that has fewer
    coverage: float  # shared / length of the shorter text without masked characters
    passage: int  # length of the longest common passage without masked characters; 0 if under 20
    quoted: float  # share of the shared characters that is in quotation marks
    outside_share: float  # shared characters outside of quotation marks / length of the shorter text without masked characters


def numbers(a: str, b: str, masked_a: Positions = NONE, masked_b: Positions = NONE) -> Numbers:
    """Measure two bodies. `masked_a` and `masked_b` are positions of the normalised bodies that do not count."""
    na, nb = normalise(a), normalise(b)
    sa, sb = shingles(na), shingles(nb)
    common = len(sa & sb)
    covered_a, covered_b = covered(na, nb) - masked_a, covered(nb, na) - masked_b
    shared = min(len(covered_a), len(covered_b))
    outside = min(len(covered_a - quoted_positions(a)), len(covered_b - quoted_positions(b)))
    shorter = min(len(na) - len(masked_a), len(nb) - len(masked_b))
    return Numbers(
        similarity=share(common, len(sa | sb)),
        containment=share(common, min(len(sa), len(sb))),
        shared=shared,
        coverage=share(shared, shorter),
        passage=longest_passage(na, nb, masked_a, masked_b),
        quoted=1 - outside / shared if shared else 0.0,
        outside_share=share(outside, shorter),
    )


def relation(a: str, b: str, masked_a: Positions = NONE, masked_b: Positions = NONE) -> Relation | None:
    """Return the relation of two bodies. A third body can turn a copy into an excerpt: see `bundled`."""
    na, nb = normalise(a), normalise(b)
    if na == nb:
        return "exact" if na else None
    if min(len(na), len(nb)) < LEAST:
        return None
    n = numbers(a, b, masked_a, masked_b)
    if n.similarity >= 0.7:
        return "near"
    much = n.coverage >= 0.5 and n.shared >= 100
    some = (n.coverage >= 0.25 and n.passage >= 50 and n.shared >= 80) or (n.shared >= 150 and n.passage >= 80)
    if much and n.outside_share >= 0.10:
        return "copy"
    if some and n.quoted < 0.9:
        return "excerpt"
    if (some or much) and n.quoted >= 0.9:
        return "quote"
    return None


def bundled(
    texts: Mapping[str, str], pages: Mapping[str, str] | None = None, masks: Mapping[str, Positions] | None = None
) -> dict[tuple[str, str], Relation]:
    """Return the relations of all pairs of bodies, with the rule of bundles applied. Pairs of keys are in the order of `texts`.

    `pages`: the page of each key; bodies of one page have no relation. None: every body has its own page.
    `masks`: masked positions of each normalised body.
    """
    masked = {key: (masks or {}).get(key, NONE) for key in texts}
    relations: dict[tuple[str, str], Relation] = {}
    for a, b in combinations(texts, 2):
        if pages is None or pages[a] != pages[b]:
            related = relation(texts[a], texts[b], masked[a], masked[b])
            if related is not None:
                relations[a, b] = related
    copies = [pair for pair, related in relations.items() if related == "copy"]
    excerpts: set[frozenset[str]] = set()
    for whole in texts:
        parts = {key for pair in copies if whole in pair for key in pair if key != whole}
        places = {part: covered(normalise(texts[whole]), normalise(texts[part])) - masked[whole] for part in parts}
        for one, other in combinations(sorted(parts), 2):
            both = len(places[one] & places[other])
            if both <= 0.10 * min(len(places[one]), len(places[other])):
                excerpts |= {frozenset((whole, one)), frozenset((whole, other))}
    return {pair: "excerpt" if frozenset(pair) in excerpts else related for pair, related in relations.items()}


def masked_by(body: str, passages: Iterable[str]) -> set[int]:
    """Return the positions of the normalised body in runs of 20 characters that occur in one of the passages.

    Passages are normalised here. Returns no position if more than half of the text would be masked.
    """
    text = normalise(body)
    masked = {position for passage in passages for position in covered(text, normalise(passage))}
    return masked if len(masked) <= len(text) / 2 else set()


@lru_cache(maxsize=1000)
def quoted_positions(body: str) -> frozenset[int]:
    """Return the positions of the normalised body that are between quotation marks."""
    folded = fold(body)
    inside: set[int] = set()
    at = 0
    while at < len(folded):
        closing = folded.find(MARKS[folded[at]], at + 1) if folded[at] in MARKS else -1
        if closing >= 0 and closing - at <= LONGEST_QUOTATION:
            inside.update(range(at + 1, closing))
            at = closing
        at += 1
    letters = [i for i, character in enumerate(folded) if unicodedata.category(character)[0] in "LMN"]
    assert "".join(folded[i] for i in letters) == normalise(body)
    return frozenset(position for position, i in enumerate(letters) if i in inside)


@lru_cache(maxsize=1000)
def shingles(text: str) -> frozenset[str]:
    """Return the runs of 5 characters of a normalised text. A shorter text is its own shingle."""
    return frozenset(run for _, run in runs(text, SHINGLE)) or frozenset({text} - {""})


def covered(text: str, other: str) -> set[int]:
    """Return the positions of `text` in runs of 20 characters that occur in `other`."""
    theirs = all_runs(other)
    if theirs.isdisjoint(all_runs(text)):
        return set()
    return {position for start, run in runs(text, RUN) if run in theirs for position in range(start, start + RUN)}


def longest_passage(a: str, b: str, masked_a: Positions = NONE, masked_b: Positions = NONE) -> int:
    """Return the length of the longest common passage without masked characters; 0 if under 20."""
    if all_runs(a).isdisjoint(all_runs(b)):
        return 0
    # The parts of a common passage are common passages, so a binary search finds the length.
    least, most = 0, min(len(a), len(b))
    while least < most:
        middle = (least + most + 1) // 2
        if clear_runs(a, masked_a, middle) & clear_runs(b, masked_b, middle):
            least = middle
        else:
            most = middle - 1
    return least if least >= RUN else 0


def clear_runs(text: str, masked: Positions, length: int) -> set[str]:
    """Return the runs of `length` characters without masked ones."""
    clear = "".join(" " if position in masked else character for position, character in enumerate(text)).split() if masked else [text]
    return {run for passage in clear for _, run in runs(passage, length)}


def runs(text: str, length: int) -> Iterator[tuple[int, str]]:
    """Yield (start, run) for every run of `length` characters."""
    return ((start, text[start : start + length]) for start in range(len(text) - length + 1))


@lru_cache(maxsize=1000)
def all_runs(text: str) -> frozenset[str]:
    """Return the runs of 20 characters of a text."""
    return frozenset(run for _, run in runs(text, RUN))


def share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def returning(bodies: Collection[str], articles: int = 5) -> set[str]:
    """Return the normalised runs of 20 characters that occur in at least `articles` bodies: boilerplate."""
    counts: dict[str, int] = {}
    for body in bodies:
        for run in all_runs(normalise(body)):
            counts[run] = counts.get(run, 0) + 1
    return {run for run, count in counts.items() if count >= articles}
