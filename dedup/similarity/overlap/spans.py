"""Positions of shared passages in the original bodies: for display, not for measuring."""

from __future__ import annotations

import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, overload

from dedup.similarity.overlap.model import MAX_STEPS_PER_CHARACTER, RUN_CHARACTERS
from dedup.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK_CHARACTERS = RUN_CHARACTERS // 2
_MAX_STEPS = 10_000_000
"""Steps for passages that occur at several positions, whatever the length of the texts: some seconds."""


@dataclass(frozen=True, slots=True)
class PassageSpans:
    """A passage that two bodies share: code points [a_begin, a_end) of one and [b_begin, b_end) of the other. `characters` is its
    normalised length."""

    a_begin: int
    a_end: int
    b_begin: int
    b_end: int
    characters: int


def find_passages(a: str, b: str) -> list[PassageSpans]:
    """Return the passages of at least `RUN_CHARACTERS` normalised characters that two bodies share, in the order of the first body.

    Each passage is as long as possible. One that lies within others on both sides is left out. In highly repetitive texts some are
    missing.
    """
    text_a, text_b = normalise.normalise(a), normalise.normalise(b)
    spans: list[tuple[int, int, int]] = []
    covered_a, covered_b = bytearray(len(text_a)), bytearray(len(text_b))
    for length, i, j in sorted(_find_common_runs(text_a, text_b), key=lambda m: (-m[0], m[1], m[2])):
        if 0 in covered_a[i : i + length] or 0 in covered_b[j : j + length]:
            spans.append((i, j, length))
            covered_a[i : i + length] = covered_b[j : j + length] = b"\1" * length
    if not spans:
        return []
    origins_a, origins_b = origins(a), origins(b)
    return [
        PassageSpans(origins_a[i][0], origins_a[i + n - 1][1], origins_b[j][0], origins_b[j + n - 1][1], n) for i, j, n in sorted(spans)
    ]  # fmt: skip


def _find_common_runs(a: str, b: str) -> list[tuple[int, int, int]]:
    """(length, position in a, position in b) of every passage that cannot be extended.

    `a` is cut into blocks of half of `RUN_CHARACTERS`; any run contains a whole block. Blocks that occur in `b` are extended in
    both directions. The search takes linear time and at most `_MAX_STEPS` steps beyond.
    """
    first, next_ = _index_blocks(a)
    runs: list[tuple[int, int, int]] = []
    characters = len(a) + len(b)
    steps = 2 * characters + min((MAX_STEPS_PER_CHARACTER - 2) * characters, _MAX_STEPS)
    for j in range(len(b) - _BLOCK_CHARACTERS + 1):
        n = first.get(b[j : j + _BLOCK_CHARACTERS], -1)
        while n >= 0:
            i = n * _BLOCK_CHARACTERS
            n = next_[n]
            steps -= 1
            if steps < 0:
                return runs
            length_before = 0
            while (
                length_before < _BLOCK_CHARACTERS
                and length_before < i
                and length_before < j
                and a[i - length_before - 1] == b[j - length_before - 1]
            ):
                length_before += 1
            if length_before == _BLOCK_CHARACTERS:  # already found from the previous block
                continue
            min_length = RUN_CHARACTERS - length_before  # what is missing to a run; most candidates share only the block
            if a[i + _BLOCK_CHARACTERS : i + min_length] != b[j + _BLOCK_CHARACTERS : j + min_length]:
                continue
            length = _common_length(a, i, b, j) + length_before
            if length >= RUN_CHARACTERS:
                runs.append((length, i - length_before, j - length_before))
                steps -= length
    return runs


def _index_blocks(text: str) -> tuple[dict[str, int], array[int]]:
    """(block → the number of its first occurrence, number of an occurrence → number of the next; -1 at the end)."""
    first: dict[str, int] = {}
    next_ = array("i", bytes(4 * (len(text) // _BLOCK_CHARACTERS)))
    for n in range(len(text) // _BLOCK_CHARACTERS - 1, -1, -1):
        block = text[n * _BLOCK_CHARACTERS : (n + 1) * _BLOCK_CHARACTERS]
        next_[n] = first.get(block, -1)
        first[block] = n
    return first, next_


def _common_length(a: str, i: int, b: str, j: int) -> int:
    """Number of equal characters from two positions on, found with steps that double, then halve."""
    max_length, length, leap = min(len(a) - i, len(b) - j), 0, 16
    while length + leap <= max_length and a[i + length : i + length + leap] == b[j + length : j + length + leap]:
        length += leap
        leap *= 2
    while leap:
        if length + leap <= max_length and a[i + length : i + length + leap] == b[j + length : j + length + leap]:
            length += leap
        leap //= 2
    return length


class Origins(Sequence[tuple[int, int]]):
    """For each character of a normalised body, the code points [begin, end) of the body from which it comes."""

    def __init__(self, begins: NDArray[np.int32], ends: NDArray[np.int32], parts: NDArray[np.int32]) -> None:
        """Character i comes from part parts[i] of the body, which is [begins, ends)."""
        self._begins, self._ends, self._parts = begins, ends, parts

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> tuple[int, int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[int, int]]: ...
    def __getitem__(self, index: int | slice) -> tuple[int, int] | list[tuple[int, int]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        part = self._parts[index]
        return int(self._begins[part]), int(self._ends[part])


def origins(body: str) -> Origins:
    """Return the origins of the characters of the normalised body."""
    import numpy as np

    begins, ends = _nfc_parts(body)
    if len(begins) == len(body):
        counts = _alphanumeric_counts()[normalise.to_points(body)]
    else:
        alphanumeric = normalise.alphanumeric_flags()
        counts = np.zeros(len(begins), np.int64)
        is_single = ends - begins == 1
        points = normalise.to_points(body)
        counts[is_single] = _alphanumeric_counts()[points[begins[is_single]]]
        for part in np.flatnonzero(~is_single).tolist():
            counts[part] = sum(alphanumeric[ord(c)] for c in normalise.fold(body[begins[part] : ends[part]]))
    return Origins(begins, ends, np.repeat(np.arange(len(begins), dtype=np.int32), counts))


def _nfc_parts(body: str) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(begins, ends) of parts of the body that can be composed (NFC) one by one; together they are the body in NFC."""
    import numpy as np

    if normalise.to_nfc(body) == body:
        begins = np.arange(len(body), dtype=np.int32)
        return begins, begins + np.int32(1)
    is_boundary = ~_joining_mask()[normalise.to_points(body)]
    is_boundary[:1] = True
    begins = np.flatnonzero(is_boundary).astype(np.int32)
    return begins, np.append(begins[1:], np.int32(len(body)))


@lru_cache(maxsize=1)
def _alphanumeric_counts() -> NDArray[np.uint8]:
    """For every code point the number of alphanumeric characters in its folded form."""
    import numpy as np

    alphanumeric = normalise.alphanumeric_flags()
    counts = np.frombuffer(alphanumeric, np.uint8).copy()
    for code in range(0x30000):
        folded = normalise.fold(chr(code))
        if folded != chr(code):
            counts[code] = sum(alphanumeric[ord(c)] for c in folded)
    return counts


@lru_cache(maxsize=1)
def _joining_mask() -> NDArray[np.bool_]:
    """For every code point whether it may join the character before it."""
    import numpy as np

    mask = np.zeros(0x110000, np.bool_)
    mask[[ord(c) for c in _joining_characters()]] = True
    mask[[code for code in range(0x30000) if unicodedata.combining(chr(code))]] = True
    return mask


@lru_cache(maxsize=1)
def _joining_characters() -> frozenset[str]:
    """Characters that join the one before them without being combining marks: vowels and finals of Hangul, the second characters of
    canonical compositions (Unicode Standard Annex 15, NFC_Quick_Check=Maybe), and characters that decompose into marks."""
    characters = {chr(c) for c in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for code in range(0x30000):
        parts = unicodedata.decomposition(chr(code)).split()
        if not parts or parts[0].startswith("<"):
            continue
        if len(parts) == 2:
            characters.add(chr(int(parts[1], 16)))
        if unicodedata.combining(chr(int(parts[0], 16))):
            characters.add(chr(code))
    return frozenset(characters)
