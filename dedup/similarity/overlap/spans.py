"""Where in the bodies themselves the shared passages stand: for showing them, not for finding them."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, overload

from dedup.similarity.overlap.model import RUN, STEPS
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = RUN // 2
_MOST_STEPS = 10_000_000
"""Comparisons for passages that stand in several places, however long the texts: some seconds."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that runs alike through two bodies: code points [a_begin, a_end) of the one and [b_begin, b_end) of the other;
    `characters` normalised ones."""

    a_begin: int
    a_end: int
    b_begin: int
    b_end: int
    characters: int


def passages(a: str, b: str) -> list[Passage]:
    """The passages of at least `RUN` normalised characters that two bodies share, each as long as it runs, in the order of the
    first body; one that lies within others on both sides is left out, and in texts that repeat themselves endlessly some are."""
    one, other = normalise.normalise(a), normalise.normalise(b)
    kept: list[tuple[int, int, int]] = []
    seen_a, seen_b = bytearray(len(one)), bytearray(len(other))
    for length, i, j in sorted(_alike(one, other), key=lambda m: (-m[0], m[1], m[2])):
        if 0 in seen_a[i : i + length] or 0 in seen_b[j : j + length]:
            kept.append((i, j, length))
            seen_a[i : i + length] = seen_b[j : j + length] = b"\1" * length
    if not kept:
        return []
    origin_a, origin_b = origins(a), origins(b)
    return [
        Passage(origin_a[i][0], origin_a[i + n - 1][1], origin_b[j][0], origin_b[j + n - 1][1], n) for i, j, n in sorted(kept)
    ]  # fmt: skip


def _alike(a: str, b: str) -> list[tuple[int, int, int]]:
    """(length, place in a, place in b) of every passage that cannot be made longer: from the blocks of half a `RUN` that `a` is cut
    into, one of which lies whole in any run, extended both ways. The search takes linear time, and `_MOST_STEPS` beyond."""
    first: dict[str, int] = {}
    next_ = array("i", bytes(4 * (len(a) // _BLOCK)))
    for n in range(len(a) // _BLOCK - 1, -1, -1):
        block = a[n * _BLOCK : (n + 1) * _BLOCK]
        next_[n] = first.get(block, -1)
        first[block] = n
    found: list[tuple[int, int, int]] = []
    characters = len(a) + len(b)
    steps = 2 * characters + min((STEPS - 2) * characters, _MOST_STEPS)
    for j in range(len(b) - _BLOCK + 1):
        n = first.get(b[j : j + _BLOCK], -1)
        while n >= 0:
            i = n * _BLOCK
            n = next_[n]
            steps -= 1
            if steps < 0:
                return found
            before = 0
            while before < _BLOCK and before < i and before < j and a[i - before - 1] == b[j - before - 1]:
                before += 1
            if before == _BLOCK:  # met by the block before
                continue
            least = RUN - before  # to make a run with what is before; most have nothing in common but the block
            if a[i + _BLOCK : i + least] != b[j + _BLOCK : j + least]:
                continue
            length = _alike_from(a, i, b, j) + before
            if length >= RUN:
                found.append((length, i - before, j - before))
                steps -= length
    return found


def _alike_from(a: str, i: int, b: str, j: int) -> int:
    """How many characters run alike from two places on: in leaps that double, then in ones that halve."""
    rest, n, leap = min(len(a) - i, len(b) - j), 0, 16
    while n + leap <= rest and a[i + n : i + n + leap] == b[j + n : j + n + leap]:
        n += leap
        leap *= 2
    while leap:
        if n + leap <= rest and a[i + n : i + n + leap] == b[j + n : j + n + leap]:
            n += leap
        leap //= 2
    return n


class Origins(Sequence[tuple[int, int]]):
    """For each character of a normalised body, the code points [begin, end) of the body that it comes from."""

    def __init__(self, begins: NDArray[np.int32], ends: NDArray[np.int32], parts: NDArray[np.int32]) -> None:
        """Character i comes from part parts[i] of the body."""
        self._begins, self._ends, self._parts = begins, ends, parts

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, at: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, at: slice) -> list[tuple[int, int]]: ...
    def __getitem__(self, at: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        part = self._parts[at]
        return int(self._begins[part]), int(self._ends[part])


def origins(body: str) -> Origins:
    """Where the characters of the normalised body come from."""
    import numpy as np

    begins, ends = _parts(body)
    if len(begins) == len(body):
        numbers = _kept_of()[normalise.to_points(body)]
    else:
        kept = normalise.kept_codes()
        numbers = np.zeros(len(begins), np.int64)
        single = ends - begins == 1
        points = normalise.to_points(body)
        numbers[single] = _kept_of()[points[begins[single]]]
        for part in np.flatnonzero(~single).tolist():
            numbers[part] = sum(kept[ord(c)] for c in normalise.fold(body[begins[part] : ends[part]]))
    return Origins(begins, ends, np.repeat(np.arange(len(begins), dtype=np.int32), numbers))


def _parts(body: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(begins, ends) of the parts that the body may be cut into which, brought to NFC one by one, make up the whole in NFC."""
    import numpy as np

    if normalise.nfc(body) == body:
        begins = np.arange(len(body), dtype=np.int32)
        return begins, begins + np.int32(1)
    cut = ~_joining_array()[normalise.to_points(body)]
    cut[:1] = True
    begins = np.flatnonzero(cut).astype(np.int32)
    return begins, np.append(begins[1:], np.int32(len(body)))


@lru_cache(maxsize=1)
def _kept_of() -> NDArray[np.uint8]:
    """For every code point how many characters of what it is folded into are kept."""
    import numpy as np

    kept = normalise.kept_codes()
    numbers = np.frombuffer(kept, np.uint8).copy()
    for code in range(0x30000):
        folded = normalise.fold(chr(code))
        if folded != chr(code):
            numbers[code] = sum(kept[ord(c)] for c in folded)
    return numbers


@lru_cache(maxsize=1)
def _joining_array() -> NDArray[np.bool_]:
    """For every code point whether it belongs to what is before it."""
    import numpy as np

    joining = np.zeros(0x110000, np.bool_)
    joining[[ord(c) for c in _joining()]] = True
    joining[[code for code in range(0x30000) if unicodedata.combining(chr(code))]] = True
    return joining


@lru_cache(maxsize=1)
def _joining() -> frozenset[str]:
    """Characters that join what is before them though they are no combining marks: vowels and finals of Hangul, the second
    halves of canonical compositions (Unicode Standard Annex 15, NFC_Quick_Check=Maybe), and what decomposes into marks."""
    halves = {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for code in range(0x30000):
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts or parts[0].startswith("<"):
            continue
        if len(parts) == 2:
            halves.add(chr(int(parts[1], 16)))
        if unicodedata.combining(chr(int(parts[0], 16))):
            halves.add(chr(code))
    return frozenset(halves)
