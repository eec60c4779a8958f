"""What a change rests on: the numbers, quotations, names, negations and sentences that came, went or became others."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Literal, Self

import regex

from dedup.changes.diff import Operation, tokenise
from dedup.changes.lexicon import (
    CREDIT_LINE,
    LINK_TARGET,
    LINK_WITHOUT_TARGET,
    NAMES,
    NEGATIONS,
    NUMBER_WORDS,
    RELATIVE_TIME_LINE,
    TIME_STAMP_LINE,
    contains_korean_name,
    find_quotations,
    number_kind,
)
from dedup.heartbeat import beat
from dedup.text.normalise import keep_alphanumeric, to_unicode_form

EvidenceKind = Literal[
    "number", "amount", "date", "percentage", "quotation", "name", "negation", "sentence", "moved", "words", "address",
    "form", "credit", "time_stamp", "placeholder", "stub", "state_durations",
]  # fmt: skip
"""`form` is blanks, punctuation, Unicode form or letter case alone; `states` how long each stood of those that a page goes between."""

MIN_SENTENCE_WEIGHT, MIN_LABEL_WEIGHT = 10, 20
"""Letters and digits from which a sentence's coming or going counts by itself: one that ends as such, and one that does not (a
heading, a button). A syllable of Hangul or a Chinese character is as good as two."""
_SENTENCE_END = regex.compile(r"[.!?…。！？][”’」』》〉)\]\"']{0,3}$")
_LIST_ENTRY = regex.compile(r"[^\w#]{0,10}\p{Lu}\p{Ll}{3,}\W{0,5}")
MIN_CLAUSE_WEIGHT = 30
"""The same of words that came into a sentence, or went from it: so many say as much as a sentence."""
MAX_EVIDENCE_CHARACTERS = 200
"""Characters that are kept of either side of a piece of evidence."""
MAX_EVIDENCE = 40
"""Pieces of evidence that are kept."""
MAX_SENTENCE_CHARACTERS = 40_000
"""Characters of a sentence, before and after, that is looked at word by word; what is longer is none."""
MAX_ROWS = 2_000
"""Sentences that differ and are looked at one by one; what differs beyond them is told as one."""
MAX_COMPARED_CHARACTERS = 500_000
"""Characters of them, of both sides together, after which the same holds."""
MAX_NAMES = 100
"""Names in a sentence that are looked for in the other one."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that differs; empty where there was nothing, or is nothing."""

    kind: EvidenceKind
    before: str
    after: str


def normalise_letters(text: str) -> str:
    """Letters and digits alone, in compatibility form and folded: what is left where form counts for nothing."""
    letters = keep_alphanumeric(to_unicode_form("NFKC", text).casefold())
    beat()
    return letters


def has_letters(text: str) -> bool:
    """Whether anything is left of it after `normalise_letters`."""
    return bool(normalise_letters(text[:_PROBE_CHARACTERS])) or (len(text) > _PROBE_CHARACTERS and bool(normalise_letters(text)))


_PROBE_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class NonContentLines:
    """Those sentences that are nothing but credits, time stamps, or links (to other pages, in a menu)."""

    credits: tuple[str, ...]
    stamps: tuple[str, ...]
    links: tuple[str, ...]

    @classmethod
    def find_in(cls, sentences: Iterable[str]) -> Self:
        """Find them."""
        lines_by_kind: dict[str, list[str]] = {"credits": [], "stamps": [], "links": []}
        for line in map(str.strip, sentences):
            if len(line) <= 160 and (TIME_STAMP_LINE.fullmatch(line) or RELATIVE_TIME_LINE.fullmatch(line)):
                lines_by_kind["stamps"].append(line)
            elif len(line) <= 160 and CREDIT_LINE.fullmatch(line):
                lines_by_kind["credits"].append(line)
            elif "]()" in line and not normalise_letters(LINK_WITHOUT_TARGET.sub("", LINK_WITHOUT_TARGET.sub("", line))):
                lines_by_kind["links"].append(line)
        return cls(*map(tuple, lines_by_kind.values()))

    @property
    def all_lines(self) -> set[str]:
        return {*self.credits, *self.stamps, *self.links}

    def differences(self, other: Self) -> Iterator[Evidence]:
        """What is told of them."""
        for kind, was, now in (
            ("credit", self.credits, other.credits), ("time_stamp", self.stamps, other.stamps), ("address", self.links, other.links)
        ):  # fmt: skip
            if normalise_letters(" ".join(was)) != normalise_letters(" ".join(now)):
                yield Evidence(kind, truncate(" / ".join(was)), truncate(" / ".join(now)))  # type: ignore[arg-type]  # one of these three


def remove_link_targets(text: str) -> str:
    """A text without what nobody reads of it: where its links lead."""
    return LINK_TARGET.sub("", text) if "](" in text else text


def collect_evidence(groups: Iterable[Sequence[Operation]]) -> list[Evidence]:
    """What differs between two texts, as `diff.align_sentences` tells it, the gravest first; without what is a matter of form alone."""
    items: list[Evidence] = []
    quoted_texts: tuple[list[str], list[str]] = [], []
    rows = _pair_rows(groups)
    characters_read = 0
    for left, right in islice(rows, MAX_ROWS):
        items += _row_evidence(left, right)
        for side, marks in zip((left, right), quoted_texts, strict=True):
            text = _join_text(side)
            characters_read += len(text)
            if len(text) <= MAX_SENTENCE_CHARACTERS:
                marks.extend(find_quotations(text))
        beat()
        if characters_read > MAX_COMPARED_CHARACTERS:
            break
    rest = [[_join_text(side) for side in row] for row in rows]
    removed_text, added_text = ("\n".join(row[n] for row in rest) for n in (0, 1))
    if normalise_letters(removed_text) != normalise_letters(added_text):
        items.append(Evidence("sentence", truncate(removed_text), truncate(added_text)))
    items += _paired_evidence("quotation", *quoted_texts)
    order = {what: n for n, what in enumerate(("negation", "amount", "percentage", "number", "date", "quotation", "name", "sentence"))}
    return sorted(dict.fromkeys(items), key=lambda e: order.get(e.kind, len(order)))


_Side = Sequence[Operation]


def _join_text(side: _Side) -> str:
    return "".join(o.text for o in side)


def _pair_rows(groups: Iterable[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """Of every sentence that differs the two sides; one that went and one that came in its place are a row."""
    pending_removal: _Side = ()
    for group in groups:
        left = [o for o in group if o.kind in ("same", "removed", "moved_from")]
        right = [o for o in group if o.kind in ("same", "added", "moved_to")]
        if pending_removal:
            if right and not left and right[0].kind == "added":
                yield pending_removal, right
                pending_removal = ()
                continue
            yield pending_removal, ()
            pending_removal = ()
        if left and not right and left[0].kind == "removed":
            pending_removal = left
        elif any(o.kind != "same" for o in group):
            yield left, right
    if pending_removal:
        yield pending_removal, ()


def _row_evidence(before: _Side, after: _Side) -> Iterator[Evidence]:
    left, right = _join_text(before), _join_text(after)
    if len(left) + len(right) > MAX_COMPARED_CHARACTERS and all(o.kind in ("removed", "added") for o in (*before, *after)):
        yield Evidence("sentence", truncate(left), truncate(right))
        return
    letters = normalise_letters(left), normalise_letters(right)
    if letters[0] == letters[1]:
        return
    if any(o.move is not None for o in (*before, *after)):
        if before:
            yield Evidence("moved", truncate(left), truncate(left))
        return
    if all(o.kind != "same" for o in (*before, *after)) and (
        len(left + right) > MAX_SENTENCE_CHARACTERS or _is_statement(_without_addresses(left + right))
    ):
        yield Evidence("sentence", truncate(left), truncate(right))
        return
    yield from _edit_evidence(before, after, letters)
    left, right = _without_addresses(left), _without_addresses(right)
    yield from _paired_evidence("name", _find_missing_names(_find_names(left), right), _find_missing_names(_find_names(right), left))
    yield from _paired_evidence("negation", _find_negations(left), _find_negations(right))


def _is_statement(text: str) -> bool:
    """Whether it says something by itself: so many letters, or a name in a list."""
    stripped, letters = text.strip(), normalise_letters(text)
    minimum = MIN_SENTENCE_WEIGHT if has_sentence_end(stripped) else MIN_LABEL_WEIGHT
    return _weight(letters) >= minimum or _LIST_ENTRY.fullmatch(stripped) is not None


def _weight(letters: str) -> int:
    return len(letters) + sum("⺀" <= c <= "힣" for c in letters)


def has_sentence_end(text: str) -> bool:
    """Whether it ends as a sentence does."""
    return _SENTENCE_END.search(text.rstrip()) is not None


def _without_addresses(text: str) -> str:
    if "//" not in text and "@" not in text:
        return text
    return "".join(t.text for t in tokenise(text) if t.kind != "address")


def _edit_evidence(before: _Side, after: _Side, letters: tuple[str, str]) -> Iterator[Evidence]:
    """Numbers that became others, and the other words that did, edit by edit; `letters` are those of the two sides."""
    for was, now in _edit_pairs(before, after):
        if _is_clause(normalise_letters(_without_addresses(was)), normalise_letters(_without_addresses(now)), *letters):
            yield Evidence("sentence", truncate(was), truncate(now))
        parts = [tokenise(side) for side in (was, now)]
        yield from _number_evidence(*([t.text for t in side if t.kind == "number"] for side in parts))
        yield from _paired_evidence("number", *([m[0] for m in NUMBER_WORDS.finditer(side)] for side in (was, now)))
        for kind, kinds in (("words", ("word", "ideograph")), ("address", ("address",))):
            texts = ["".join(t.text for t in side if t.kind in kinds) for side in parts]
            if normalise_letters(texts[0]) != normalise_letters(texts[1]):
                yield Evidence(kind, truncate(was), truncate(now))  # type: ignore[arg-type]  # one of the two above


def _is_clause(was: str, now: str, before: str, after: str) -> bool:
    """Whether so much came, or went, and in no other place of the sentence."""
    return max(_weight(was), _weight(now)) >= MIN_CLAUSE_WEIGHT and ((not was and now not in before) or (not now and was not in after))


def _edit_pairs(one: _Side, other: _Side) -> Iterator[tuple[str, str]]:
    """(what went, what came in its place): both sides have the same unchanged stretches in the same order."""
    sides = []
    for side in (one, other):
        edits, edit = [], ""
        for o in side:
            if o.kind == "same":
                edits.append(edit)
                edit = ""
            else:
                edit += o.text
        sides.append([*edits, edit])
    yield from ((a, b) for a, b in zip(*sides, strict=True) if a or b)


def _number_evidence(before: list[str], after: list[str]) -> Iterator[Evidence]:
    left, right = _remove_common(before, after, _normalise_number)
    for was, now in zip_longest(left, right, fillvalue=""):
        kind = number_kind(now or was)
        yield Evidence(kind if kind != "number" else number_kind(was or now), was, now)


def _normalise_number(number: str) -> str:
    """`1,000` and `1000` are one number, `-3` and `\u22123` too."""
    return unicodedata.normalize("NFKC", number).replace(",", "").replace("\u2212", "-").replace(" ", "").casefold()


def _find_names(text: str) -> list[str]:
    return [m["name"] or m["latin"] or m["acronym"] for m in NAMES.finditer(text)]


def _find_missing_names(names: Iterable[str], other_text: str) -> list[str]:
    """Those that the other side does not have in any spelling."""
    other_letters = normalise_letters(other_text)
    candidates = islice(dict.fromkeys(names), MAX_NAMES)
    return [
        name
        for name in candidates
        if not (contains_korean_name(name, other_text) if name[0] >= "가" else normalise_letters(name) in other_letters)
    ]


def _find_negations(text: str) -> list[str]:
    return [m[0] for m in NEGATIONS.finditer(text)]


def _paired_evidence(kind: EvidenceKind, before: Sequence[str], after: Sequence[str]) -> Iterator[Evidence]:
    """What only one side has, in order, beside what only the other has."""
    left, right = _remove_common(before, after, normalise_letters)
    if kind == "negation" and len(left) == len(right):
        return  # otherwise put, and as negative as before
    for was, now in zip_longest(left, right, fillvalue=""):
        yield Evidence(kind, truncate(was), truncate(now))


def _remove_common(before: Sequence[str], after: Sequence[str], key: Callable[[str], str]) -> tuple[list[str], list[str]]:
    counts_before, counts_after = Counter(map(key, before)), Counter(map(key, after))
    return _subtract(before, counts_after, key), _subtract(after, counts_before, key)


def _subtract(texts: Sequence[str], others: Counter[str], key: Callable[[str], str]) -> list[str]:
    remaining_counts, result = Counter(others), []
    for text in texts:
        k = key(text)
        if remaining_counts[k] > 0:
            remaining_counts[k] -= 1
        else:
            result.append(text)
    return result


def truncate(text: str) -> str:
    """What is kept of one side of a piece of evidence."""
    text = text.strip()
    return text if len(text) <= MAX_EVIDENCE_CHARACTERS else text[: MAX_EVIDENCE_CHARACTERS - 1] + "…"
