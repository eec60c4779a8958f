"""Shared passages in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64
from numba.extending import register_jitable

from dedup.runtime.heartbeat import beat
from dedup.similarity.jit import jit_compile
from dedup.similarity.overlap.model import LONG_TEXT_STEPS, LONG_TEXT_STEPS_PER_CHARACTER, MAX_STEPS_PER_CHARACTER, RUN_CHARACTERS
from dedup.similarity.overlap.pieces import run_piecewise

BLOCK_CHARACTERS = RUN_CHARACTERS // 2
MAX_VISITS_PER_CHARACTER = 4
"""Blocks visited per character of both texts at most; more are visited only in repetitive texts."""
EARLY = 0.1
"""Share of the allowed work that may be spent before the progress through the text is compared with it."""
_MIX = np.uint64(0xFF51AFD7ED558CCD)


@njit(inline="always")
def _home_slot(rolled: Any, mask: Any) -> Any:
    h = uint64((rolled ^ uint64(rolled >> uint64(31))) * _MIX)
    return np.int64(uint64(h ^ uint64(h >> uint64(32))) & mask)


@njit(inline="always")
def _is_same_run(a: Any, i: Any, b: Any, j: Any) -> Any:
    k = 0
    while k < RUN_CHARACTERS and a[i + k] == b[j + k]:
        k += 1
    return k == RUN_CHARACTERS


@njit(inline="always")
def _step_limit(characters: Any) -> Any:
    return min(MAX_STEPS_PER_CHARACTER * characters, LONG_TEXT_STEPS + LONG_TEXT_STEPS_PER_CHARACTER * characters)


@jit_compile
def _rolling_hashes(points: Any, base: Any) -> Any:
    """The rolling hash of every run, mod 2^64."""
    count = len(points) - RUN_CHARACTERS + 1
    rolled = np.empty(max(count, 0), np.uint64)
    if count <= 0:
        return rolled
    factor = uint64(base)
    top = uint64(1)
    h = uint64(0)
    for k in range(RUN_CHARACTERS):
        h = uint64(uint64(h * factor) + uint64(points[k]))
        if k:
            top = uint64(top * factor)
    rolled[0] = h
    for i in range(1, count):
        h = uint64(uint64(uint64(h - uint64(uint64(points[i - 1]) * top)) * factor) + uint64(points[i + RUN_CHARACTERS - 1]))
        rolled[i] = h
    return rolled


@jit_compile
def _insert_runs(points: Any, rolled: Any, table: Any, first: Any, next_: Any, last: Any, begin: Any, end: Any) -> None:
    """Enter the runs from `begin` to `end`.

    table: open-addressing table of 1 + the first position of each distinct run. first: the first position of every run. next_: the
    next position of a run, -1 at the end. last: for the first of equal runs, the last position so far.
    """
    mask = np.uint64(len(table) - 1)
    for i in range(begin, end):
        slot = _home_slot(rolled[i], mask)
        while True:
            entry = table[slot] - 1
            if entry < 0:
                table[slot] = i + 1
                first[i] = i
                last[i] = i
                break
            if rolled[entry] == rolled[i] and _is_same_run(points, entry, points, i):
                first[i] = entry
                next_[last[entry]] = i
                last[entry] = i
                break
            slot = np.int64(uint64(slot + 1) & mask)


@jit_compile
def _find_run(table: Any, a: Any, rolled_a: Any, b: Any, j: Any, h: Any) -> Any:
    """First position in a of run j of b, whose hash is h; -1 if it does not occur there."""
    mask = np.uint64(len(table) - 1)
    slot = _home_slot(h, mask)
    while True:
        entry = table[slot] - 1
        if entry < 0 or (rolled_a[entry] == h and _is_same_run(a, entry, b, j)):
            return entry
        slot = np.int64(uint64(slot + 1) & mask)


@jit_compile
def _mark_covered(is_start: Any, covered: Any) -> None:
    """Mark the characters that lie in a run whose start is marked in `is_start`."""
    end = 0
    for i in range(len(covered)):
        if i < len(is_start) and is_start[i]:
            end = i + RUN_CHARACTERS
        covered[i] |= i < end


@jit_compile
def _count_covered(covered: Any, quoted: Any, masked: Any) -> tuple[int, int, int]:
    """(covered characters, unquoted covered characters, all characters), without masked ones."""
    covered_count = unquoted_count = length = 0
    for i in range(len(covered)):
        if not masked[i]:
            length += 1
            if covered[i]:
                covered_count += 1
                unquoted_count += not quoted[i]
    return covered_count, unquoted_count, length


@jit_compile
def _build_blocks(points: Any, base: Any) -> Any:
    """(table, next): the blocks of `BLOCK_CHARACTERS` characters into which a text is cut, chained by hash. The table holds 1 + the
    number of a block. Any run of `RUN_CHARACTERS` characters contains a whole block."""
    count = len(points) // BLOCK_CHARACTERS
    bits = 6
    while (1 << bits) < 8 * count:
        bits += 1
    table = np.zeros(1 << bits, np.int32)
    next_ = np.empty(count, np.int32)
    for n in range(count - 1, -1, -1):
        h = uint64(0)
        for k in range(n * BLOCK_CHARACTERS, (n + 1) * BLOCK_CHARACTERS):
            h = uint64(uint64(h * uint64(base)) + uint64(points[k]))
        slot = np.int64(uint64(h * _MIX) >> uint64(64 - bits))
        next_[n] = table[slot]
        table[slot] = n + 1
    return table, next_


@jit_compile
def _extend_piece(
    a: Any,
    table: Any,
    next_: Any,
    b: Any,
    masked_a: Any,
    masked_b: Any,
    covered_a: Any,
    covered_b: Any,
    base: Any,
    progress: Any,
    piece: Any,
) -> Any:
    """Continue `_extend_blocks` for about `piece` units of work and return whether there is more to do.

    progress, which is updated: the position in b to begin at, visits left, steps left, the longest stretch so far.
    """
    visits, steps, longest = progress[1], progress[2], progress[3]
    stop_at = visits + steps - piece
    bits = 0
    while (1 << bits) < len(table):
        bits += 1
    factor, top = uint64(base), uint64(1)
    h = uint64(0)
    begin: Any = np.int64(np.uint32(progress[0]))  # never negative: without wraparound, indexing is faster
    for k in range(min(BLOCK_CHARACTERS, len(b) - begin) - 1):
        h = uint64(uint64(h * factor) + uint64(b[begin + k]))
        top = uint64(top * factor)
    end: Any = np.int64(np.uint32(max(min(len(b) - BLOCK_CHARACTERS + 1, begin + piece), 0)))
    for j in range(begin, end):
        h = uint64(uint64(h * factor) + uint64(b[j + BLOCK_CHARACTERS - 1]))
        n = table[np.int64(uint64(h * _MIX) >> uint64(64 - bits))] - 1
        h = uint64(h - uint64(uint64(b[j]) * top))
        while n >= 0:
            visits -= 1
            i = n * BLOCK_CHARACTERS
            n = next_[n] - 1
            length = 0
            while length < BLOCK_CHARACTERS and a[i + length] == b[j + length]:
                length += 1
            if length < BLOCK_CHARACTERS:
                continue
            length_before = 0
            while (
                length_before < BLOCK_CHARACTERS
                and length_before < i
                and length_before < j
                and a[i - length_before - 1] == b[j - length_before - 1]
            ):
                length_before += 1
            if length_before == BLOCK_CHARACTERS:  # already found from the previous block
                continue
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                length += 1
            length += length_before
            if length < RUN_CHARACTERS:
                continue
            steps -= 2 * length - RUN_CHARACTERS + 1
            if steps < 0:
                progress[2] = steps
                return False
            stretch = 0
            for k in range(length):
                covered_a[i - length_before + k] = True
                covered_b[j - length_before + k] = True
                stretch = 0 if masked_a[i - length_before + k] or masked_b[j - length_before + k] else stretch + 1
                longest = max(longest, stretch)
        if visits < 0 or visits + steps < stop_at:
            end = j + 1
            break
    progress[0], progress[1], progress[2], progress[3] = end, visits, steps, longest
    return visits >= 0 and end < len(b) - BLOCK_CHARACTERS + 1


@register_jitable
def _extend_blocks(
    a: Any, table: Any, next_: Any, b: Any, masked_a: Any, masked_b: Any, covered_a: Any, covered_b: Any, base: Any, piece: Any
) -> Any:
    """Mark the characters in common passages: each block of `a` that occurs in `b` is extended in both directions.

    Return the length of the longest passage without masked characters; -1 if the texts are so repetitive that it takes too long.
    """
    characters = len(a) + len(b)
    progress = np.array([0, MAX_VISITS_PER_CHARACTER * characters, _step_limit(characters), 0], np.int64)
    visits, steps = progress[1], progress[2]
    while _extend_piece(a, table, next_, b, masked_a, masked_b, covered_a, covered_b, base, progress, piece):
        beat()
        if 1 - min(progress[1] / visits, progress[2] / steps) > EARLY + 2 * progress[0] / len(b):  # too slow at this rate
            return -1
    beat()
    return -1 if progress[1] < 0 or progress[2] < 0 else int(progress[3])


@jit_compile
def _find_piece(
    table: Any,
    first: Any,
    a: Any,
    rolled_a: Any,
    b: Any,
    rolled_b: Any,
    positions: Any,
    is_shared: Any,
    position: Any,
    begin: Any,
    end: Any,
) -> Any:
    """Fill `positions` from `begin` to `end` with the first position in a of each run of b, or -1, and mark those positions in
    `is_shared`.

    `position` is the one of the run before `begin`. Return the last one.
    """
    for j in range(begin, end):
        if 0 <= position < len(rolled_a) - 1 and a[position + RUN_CHARACTERS] == b[j + RUN_CHARACTERS - 1]:  # the previous run continues
            position = first[position + 1]
        else:
            position = _find_run(table, a, rolled_a, b, j, rolled_b[j])
        positions[j] = position
        if position >= 0:
            is_shared[position] = True
    return position


@jit_compile
def _stretch_piece(a: Any, b: Any, masked_a: Any, masked_b: Any, positions: Any, next_: Any, progress: Any, piece: Any) -> Any:
    """Continue the search for the longest stretch without masked characters for about `piece` units of work. Return whether there is
    more to do.

    progress, which is updated: the run of b, its position in a (-1: no more positions), steps left, the longest stretch so far.
    """
    j, i, steps, longest = progress[0], progress[1], progress[2], progress[3]
    work_done = 0
    while j < len(positions) and steps >= 0 and work_done < piece:
        work_done += 1
        if i < 0:
            j += 1
            i = np.int64(positions[j]) if j < len(positions) else np.int64(-1)
            continue
        steps -= 1
        if not (i and j and a[i - 1] == b[j - 1]):
            stretch = length = 0
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                stretch = 0 if masked_a[i + length] or masked_b[j + length] else stretch + 1
                longest = max(longest, stretch)
                length += 1
            steps -= length
            work_done += length
        i = np.int64(next_[i])
    progress[0], progress[1], progress[2], progress[3] = j, i, steps, longest
    return j < len(positions) and steps >= 0


@register_jitable
def _measure_repetitive(a: Any, b: Any, masked_a: Any, masked_b: Any, covered_a: Any, covered_b: Any, base: Any, piece: Any) -> Any:
    """Measure repetitive texts with a table of all runs. The covered characters are exact; the search for the longest stretch ends
    after `_step_limit`."""
    rolled_a, rolled_b = _rolling_hashes(a, base), _rolling_hashes(b, base)
    beat()
    count = len(rolled_a)
    size = 16
    while size < 2 * count:
        size *= 2
    table, first = np.zeros(size, np.int32), np.empty(count, np.int32)
    next_, last = np.full(count, -1, np.int32), np.empty(count, np.int32)
    for begin in range(0, count, piece):
        _insert_runs(a, rolled_a, table, first, next_, last, begin, min(begin + piece, count))
        beat()
    is_shared, positions = np.zeros(count, np.bool_), np.empty(len(rolled_b), np.int32)
    position: Any = -1
    for begin in range(0, len(rolled_b), piece):
        position = _find_piece(
            table, first, a, rolled_a, b, rolled_b, positions, is_shared, position, begin, min(begin + piece, len(rolled_b))
        )
        beat()
    _mark_covered(is_shared[first], covered_a)
    _mark_covered(positions >= 0, covered_b)
    beat()
    progress = np.array([-1, -1, _step_limit(len(a) + len(b)), 0], np.int64)
    while _stretch_piece(a, b, masked_a, masked_b, positions, next_, progress, piece):
        beat()
    beat()
    return int(progress[3])


def _measure_passages(
    a: Any, b: Any, quoted_a: Any, quoted_b: Any, masked_a: Any, masked_b: Any, base: int, piece: int
) -> tuple[int, int, int, int]:
    """Return (characters, unquoted_characters, shorter_length, longest_passage) of `dedup.similarity.overlap.SharedPassages`."""
    covered_a, covered_b = np.zeros(len(a), np.bool_), np.zeros(len(b), np.bool_)
    table, next_ = _build_blocks(a, base)
    beat()
    longest = _extend_blocks(a, table, next_, b, masked_a, masked_b, covered_a, covered_b, base, piece)
    if longest < 0:
        longest = _measure_repetitive(a, b, masked_a, masked_b, covered_a, covered_b, base, piece)
    characters_a, unquoted_a, length_a = _count_covered(covered_a, quoted_a, masked_a)
    characters_b, unquoted_b, length_b = _count_covered(covered_b, quoted_b, masked_b)
    shorter = min(length_a, length_b)
    return min(characters_a, characters_b), min(unquoted_a, unquoted_b), shorter, longest if longest >= RUN_CHARACTERS else 0


measure_passages = run_piecewise(_measure_passages)


@jit_compile
def fill_prepared(codes: Any, folds: Any, closing: Any, max_distance: int, points: Any, quoted: Any) -> int:
    """Fill `points` and `quoted` of `dedup.similarity.overlap.PreparedText` from the code points of a body in NFC.

    Return their number; -1 for a body with a character that folds into several. folds[c] is the folded form of c. Its highest byte
    is the role of c. 0: left out. 1: kept. 2: folds into several. 3 + n: opens a quotation that closing[n] ends; see
    `dedup.similarity.overlap.find_quotations`.
    """
    nearest = np.zeros(len(closing), np.int64)
    begin = end = previous_end = count = 0
    for i in range(len(codes)):
        fold = folds[codes[i]]
        role = fold >> 24
        if role == 1:
            points[count] = fold & 0xFFFFFF
            quoted[count] = begin <= i < end
            count += 1
        elif role == 2:
            return -1
        elif role > 2 and i >= previous_end:
            kind = role - 3
            if nearest[kind] <= i:
                closing_at = i + 1
                while closing_at < len(codes) and codes[closing_at] != closing[kind]:
                    closing_at += 1
                nearest[kind] = closing_at
            if nearest[kind] < len(codes) and nearest[kind] - i <= max_distance:
                begin, end = i + 1, nearest[kind]
                previous_end = end + 1
    return count


def prepare_blocks(passages: Any, base: int) -> tuple[Any, Any]:
    """Return the blocks of passages for `mark_passages`."""
    blocks: tuple[Any, Any] = _build_blocks(passages, base)
    return blocks


def _mark_passages(text: Any, passages: Any, table: Any, next_: Any, base: int, piece: int) -> Any:
    """Mark the characters of a text in runs that the passages contain. See `dedup.similarity.overlap.mark_passages`."""
    no_mask, covered = np.zeros(len(passages), np.bool_), np.zeros(len(passages), np.bool_)
    no_text_mask, text_covered = np.zeros(len(text), np.bool_), np.zeros(len(text), np.bool_)
    if _extend_blocks(passages, table, next_, text, no_mask, no_text_mask, covered, text_covered, base, piece) < 0:
        _measure_repetitive(passages, text, no_mask, no_text_mask, covered, text_covered, base, piece)
    return text_covered


mark_passages = run_piecewise(_mark_passages)
