"""Exact overlap of two texts: Jaccard and containment of their shingle sets, and the passages they share.

Both are computed from code points. Compiled code does so without building the sets.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.similarity import jit
from dedup.similarity.overlap.model import NO_PASSAGES, RUN_CHARACTERS, PreparedText, SharedPassages, ShingleOverlap
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "NO_PASSAGES",
    "RUN_CHARACTERS",
    "PassageSet",
    "PreparedText",
    "SharedPassages",
    "ShingleOverlap",
    "body_similarity",
    "find_quotations",
    "mark_passages",
    "measure_overlap",
    "measure_passages",
    "normalised_points",
    "prepare_passages",
    "prepare_text",
]  # fmt: skip

MAX_QUOTATION_CHARACTERS = 1000
"""Characters from an opening quotation mark to its closing one at most; beyond, the opening mark is ignored as a stray one."""
_CLOSING_MARKS = {"“": "”", "‘": "’", "「": "」", "『": "』", "«": "»", '"': '"', "\uff02": "\uff02"}
_OPENING_MARK = re.compile(f"[{''.join(_CLOSING_MARKS)}]")
_FIRST_CASELESS = 0x20000
"""No code point from here on has a case."""
_HASH_BASE = secrets.randbits(63) | 1
"""Base of the rolling hash for looking up runs, random for each process. Runs are compared character by character, so results do not
depend on it. A text cannot be crafted whose runs all collide."""


def normalised_points(body: str) -> NDArray[np.uint32]:
    """Return the normalised code points of a body."""
    folded = normalise.to_points(normalise.fold(body))
    return folded[normalise.alphanumeric_mask()[folded]]


def prepare_text(body: str) -> PreparedText:
    """Return a body in the form that `measure_passages` takes."""
    import numpy as np

    composed = normalise.to_nfc(body)
    if jit.is_enabled():
        from dedup.similarity.overlap.passage_kernel import fill_prepared

        codes = normalise.to_points(composed)
        points, quoted = np.empty(len(codes), np.uint32), np.empty(len(codes), np.bool_)
        count = fill_prepared(codes, *_fold_table(), MAX_QUOTATION_CHARACTERS, points, quoted)
        if count >= 0:
            return PreparedText(points[:count].copy(), quoted[:count].copy())
    folded = composed.casefold()
    codes = normalise.to_points(folded)
    quoted = np.zeros(len(codes), np.bool_)
    for begin, end in find_quotations(folded):
        quoted[begin:end] = True
    alphanumeric = normalise.alphanumeric_mask()[codes]
    return PreparedText(codes[alphanumeric], quoted[alphanumeric])


@lru_cache(maxsize=1)
def _fold_table() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """(for every code point its folded code point and role, see `passage_kernel.fill_prepared`; the closing marks)."""
    import numpy as np

    codes = np.arange(0x110000, dtype=np.uint32)
    table = codes | (normalise.alphanumeric_mask().astype(np.uint32) << np.uint32(24))
    for code in range(_FIRST_CASELESS):
        folded = chr(code).casefold()
        if len(folded) > 1:
            table[code] = 2 << 24
        elif folded != chr(code):
            table[code] = table[ord(folded)]
    for index, mark in enumerate(_CLOSING_MARKS):
        table[ord(mark)] = (3 + index) << 24
    return table, normalise.to_points("".join(_CLOSING_MARKS.values()))


def find_quotations(folded: str) -> list[tuple[int, int]]:
    """Return (begin, end) of the text inside each pair of quotation marks, from left to right.

    Marks inside a quotation are ignored. A mark opens no quotation if its next closing mark is missing or more than
    `MAX_QUOTATION_CHARACTERS` away (an inch sign, a slip).
    """
    spans: list[tuple[int, int]] = []
    next_closing: dict[str, int] = {}
    previous_end = 0
    for mark in _OPENING_MARK.finditer(folded):
        start, closer = mark.start(), _CLOSING_MARKS[mark[0]]
        if start < previous_end:
            continue
        if next_closing.get(closer, 0) <= start:
            next_ = folded.find(closer, start + 1)
            next_closing[closer] = len(folded) + MAX_QUOTATION_CHARACTERS if next_ < 0 else next_
        end = next_closing[closer]
        if end - start <= MAX_QUOTATION_CHARACTERS and end < len(folded):
            spans.append((start + 1, end))
            previous_end = end + 1
    return spans


def measure_overlap(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> ShingleOverlap:
    """Return the shingle overlap of two normalised texts."""
    if jit.count_work(1 + (len(a) + len(b)) // 600):
        from dedup.similarity.overlap.jaccard_kernel import overlap

        return ShingleOverlap(*overlap(a, b, _HASH_BASE))
    x, y = (normalise.shingles(normalise.from_points(p)) for p in (a, b))
    return ShingleOverlap(len(x), len(y), len(x & y))


def measure_passages(
    a: PreparedText, b: PreparedText, masked_a: NDArray[np.bool_] | None = None, masked_b: NDArray[np.bool_] | None = None
) -> SharedPassages:
    """Return what two texts share. Masked characters (boilerplate) count neither as shared nor as length.

    In highly repetitive texts, `longest_passage` may be less than the longest passage: the search ends after 64 steps a character;
    in texts of more than 333,000 characters, after 20 million steps and 4 a character.
    """
    import numpy as np

    hidden_a, hidden_b = (np.zeros(len(p.points), np.bool_) if m is None else m for p, m in ((a, masked_a), (b, masked_b)))
    if jit.count_work(1 + (len(a.points) + len(b.points)) // 600):  # in Python this takes as long as signing that many texts
        from dedup.similarity.overlap.passage_kernel import measure_passages

        return SharedPassages(*measure_passages(a.points, b.points, a.is_quoted, b.is_quoted, hidden_a, hidden_b, _HASH_BASE))
    from dedup.similarity.overlap.passage_python import measure_passages as measure_in_python

    return measure_in_python(a, b, hidden_a, hidden_b)


@dataclass(frozen=True, slots=True)
class PassageSet:
    """Passages prepared for a search in many texts, see `prepare_passages`."""

    points: NDArray[np.uint32]
    blocks: tuple[NDArray[np.int32], NDArray[np.int32]] | None
    runs: frozenset[str]


def prepare_passages(passages: NDArray[np.uint32]) -> PassageSet:
    """Prepare normalised passages, concatenated with a 0 between them, for `mark_passages`."""
    if jit.count_work(0):
        from dedup.similarity.overlap.passage_kernel import prepare_blocks

        return PassageSet(passages, prepare_blocks(passages, _HASH_BASE), frozenset())
    from dedup.similarity.overlap.passage_python import list_runs

    return PassageSet(passages, None, list_runs(passages))


def mark_passages(text: NDArray[np.uint32], passages: PassageSet) -> NDArray[np.bool_]:
    """Return a mask of the characters of a normalised text that lie in a run of `RUN_CHARACTERS` which occurs in the passages."""
    if passages.blocks is not None:
        from dedup.similarity.overlap.passage_kernel import mark_passages

        mask: NDArray[np.bool_] = mark_passages(text, passages.points, *passages.blocks, _HASH_BASE)
        return mask
    from dedup.similarity.overlap.passage_python import mark_passages as mark_in_python

    return mark_in_python(text, passages.runs)


def body_similarity(a: str, b: str) -> float:
    """Return the Jaccard similarity of the shingles of two bodies; 1 for two bodies without any letter or digit."""
    measured = measure_overlap(normalised_points(a), normalised_points(b))
    return 1.0 if not measured.size_a and not measured.size_b else measured.jaccard
