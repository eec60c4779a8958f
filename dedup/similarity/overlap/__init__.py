"""How much of one text stands in another: exact Jaccard and containment of their shingle sets, and the passages they share.

From code points, and where there is compiled code without making the sets.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.similarity import jit
from dedup.similarity.overlap.model import NOTHING, RUN, Overlap, Prepared, Shared
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NOTHING", "RUN", "Overlap", "Prepared", "Shared", "Sought", "body_similarity", "overlap", "points", "prepare", "quotations",
           "runs_in", "shared", "sought"]  # fmt: skip

LONGEST_QUOTATION = 1000
"""Characters from an opening quotation mark to its closing one, at most: beyond, the mark is taken for a stray one."""
_CLOSING = {"“": "”", "‘": "’", "「": "」", "『": "』", "«": "»", '"': '"', "\uff02": "\uff02"}
_OPENING = re.compile(f"[{''.join(_CLOSING)}]")
_BEYOND_CASE = 0x20000
"""No code point from here on has a case."""
_BASE = secrets.randbits(63) | 1
"""Of the rolling hash that runs are looked up by. They are compared character by character: results do not depend on it, and
nobody can prepare a text whose runs all meet in one place."""


def points(body: str) -> NDArray[np.uint32]:
    """The code points of a body, normalised."""
    folded = normalise.to_points(normalise.fold(body))
    return folded[normalise.kept_array()[folded]]


def prepare(body: str) -> Prepared:
    """A body as `shared` wants it."""
    import numpy as np

    composed = normalise.nfc(body)
    if jit.engaged():
        from dedup.similarity.overlap.passage_kernel import prepared

        codes = normalise.to_points(composed)
        points, quoted = np.empty(len(codes), np.uint32), np.empty(len(codes), np.bool_)
        number = prepared(codes, *_folds(), LONGEST_QUOTATION, points, quoted)
        if number >= 0:
            return Prepared(points[:number].copy(), quoted[:number].copy())
    folded = composed.casefold()
    codes = normalise.to_points(folded)
    quoted = np.zeros(len(codes), np.bool_)
    for begin, end in quotations(folded):
        quoted[begin:end] = True
    kept = normalise.kept_array()[codes]
    return Prepared(codes[kept], quoted[kept])


@lru_cache(maxsize=1)
def _folds() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """For every code point what it is to `prepared`, and the closing marks."""
    import numpy as np

    codes = np.arange(0x110000, dtype=np.uint32)
    folds = codes | (normalise.kept_array().astype(np.uint32) << np.uint32(24))
    for code in range(_BEYOND_CASE):
        folded = chr(code).casefold()
        if len(folded) > 1:
            folds[code] = 2 << 24
        elif folded != chr(code):
            folds[code] = folds[ord(folded)]
    for number, mark in enumerate(_CLOSING):
        folds[ord(mark)] = (3 + number) << 24
    return folds, normalise.to_points("".join(_CLOSING.values()))


def quotations(folded: str) -> list[tuple[int, int]]:
    """(begin, end) of what stands between quotation marks, from left to right; marks inside a quotation mean nothing. A mark
    whose nearest closing one is missing or further off than `LONGEST_QUOTATION` opens none (it is an inch, or a slip)."""
    found: list[tuple[int, int]] = []
    closing: dict[str, int] = {}
    over = 0
    for mark in _OPENING.finditer(folded):
        at, closer = mark.start(), _CLOSING[mark[0]]
        if at < over:
            continue
        if closing.get(closer, 0) <= at:
            next_ = folded.find(closer, at + 1)
            closing[closer] = len(folded) + LONGEST_QUOTATION if next_ < 0 else next_
        end = closing[closer]
        if end - at <= LONGEST_QUOTATION and end < len(folded):
            found.append((at + 1, end))
            over = end + 1
    return found


def overlap(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> Overlap:
    """The overlap of two normalised texts."""
    if jit.worth(1 + (len(a) + len(b)) // 600):
        from dedup.similarity.overlap.jaccard_kernel import overlap

        return Overlap(*overlap(a, b, _BASE))
    x, y = (normalise.shingles(normalise.from_points(p)) for p in (a, b))
    return Overlap(len(x), len(y), len(x & y))


def shared(a: Prepared, b: Prepared, masked_a: NDArray[np.bool_] | None = None, masked_b: NDArray[np.bool_] | None = None) -> Shared:
    """What two texts share; characters that are masked (boilerplate) count neither as shared nor as length.

    In texts that repeat themselves endlessly `longest` may be less than the longest passage: the search ends after
    64 steps a character, in texts of more than 333,000 characters after 20 million and 4 a character.
    """
    import numpy as np

    hidden_a, hidden_b = (np.zeros(len(p.points), np.bool_) if m is None else m for p, m in ((a, masked_a), (b, masked_b)))
    if jit.worth(1 + (len(a.points) + len(b.points)) // 600):  # the plain form takes as long as signing so many texts
        from dedup.similarity.overlap.passage_kernel import shared

        return Shared(*shared(a.points, b.points, a.quoted, b.quoted, hidden_a, hidden_b, _BASE))
    from dedup.similarity.overlap.passage_python import shared as plain

    return plain(a, b, hidden_a, hidden_b)


@dataclass(frozen=True, slots=True)
class Sought:
    """Passages prepared for being looked for in many texts."""

    points: NDArray[np.uint32]
    blocks: tuple[NDArray[np.int32], NDArray[np.int32]] | None
    runs: frozenset[str]


def sought(passages: NDArray[np.uint32]) -> Sought:
    """Normalised passages, one after the other with a 0 between them, as `runs_in` looks for them."""
    if jit.worth(0):
        from dedup.similarity.overlap.passage_kernel import prepare

        return Sought(passages, prepare(passages, _BASE), frozenset())
    from dedup.similarity.overlap.passage_python import runs

    return Sought(passages, None, runs(passages))


def runs_in(own: NDArray[np.uint32], those: Sought) -> NDArray[np.bool_]:
    """Which characters of a normalised text lie in a run of `RUN` that is found in the passages too."""
    if those.blocks is not None:
        from dedup.similarity.overlap.passage_kernel import runs_in

        found: NDArray[np.bool_] = runs_in(own, those.points, *those.blocks, _BASE)
        return found
    from dedup.similarity.overlap.passage_python import runs_in as plain

    return plain(own, those.runs)


def body_similarity(a: str, b: str) -> float:
    """Jaccard of the shingles of two bodies; two bodies without any letter or number are alike."""
    found = overlap(points(a), points(b))
    return 1.0 if not found.a and not found.b else found.jaccard
