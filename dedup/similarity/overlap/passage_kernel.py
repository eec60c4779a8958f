"""Shared passages in machine code. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64
from numba.extending import register_jitable

from dedup.heartbeat import beat
from dedup.similarity.jit import machine_code
from dedup.similarity.overlap.model import RUN, STEPS, STEPS_BEYOND, STEPS_LONG
from dedup.similarity.overlap.pieces import in_pieces

BLOCK = RUN // 2
VISITS = 4
"""Blocks met per character of both texts; texts that repeat themselves meet more."""
EARLY = 0.1
"""Share of the work allowed that may be spent before it is compared with how far the text has been read."""
_MIX = np.uint64(0xFF51AFD7ED558CCD)


@njit(inline="always")
def _home(rolled: Any, mask: Any) -> Any:
    h = uint64((rolled ^ uint64(rolled >> uint64(31))) * _MIX)
    return np.int64(uint64(h ^ uint64(h >> uint64(32))) & mask)


@njit(inline="always")
def _alike(a: Any, i: Any, b: Any, j: Any) -> Any:
    k = 0
    while k < RUN and a[i + k] == b[j + k]:
        k += 1
    return k == RUN


@njit(inline="always")
def _steps(characters: Any) -> Any:
    return min(STEPS * characters, STEPS_LONG + STEPS_BEYOND * characters)


@machine_code
def _roll(points: Any, base: Any) -> Any:
    """The rolling hash of every run, mod 2^64."""
    number = len(points) - RUN + 1
    rolled = np.empty(max(number, 0), np.uint64)
    if number <= 0:
        return rolled
    factor = uint64(base)
    top = uint64(1)
    h = uint64(0)
    for k in range(RUN):
        h = uint64(uint64(h * factor) + uint64(points[k]))
        if k:
            top = uint64(top * factor)
    rolled[0] = h
    for i in range(1, number):
        h = uint64(uint64(uint64(h - uint64(uint64(points[i - 1]) * top)) * factor) + uint64(points[i + RUN - 1]))
        rolled[i] = h
    return rolled


@machine_code
def _enter(points: Any, rolled: Any, table: Any, first: Any, next_: Any, last: Any, begin: Any, end: Any) -> None:
    """Enter the runs from `begin` to `end`. `table`: an open-addressing table of 1 + the first place of each distinct run; `first`: the
    first place of every run; `next_`: its next place, -1 at the end; `last`: for the first of equal runs, the last place so far."""
    mask = np.uint64(len(table) - 1)
    for i in range(begin, end):
        slot = _home(rolled[i], mask)
        while True:
            there = table[slot] - 1
            if there < 0:
                table[slot] = i + 1
                first[i] = i
                last[i] = i
                break
            if rolled[there] == rolled[i] and _alike(points, there, points, i):
                first[i] = there
                next_[last[there]] = i
                last[there] = i
                break
            slot = np.int64(uint64(slot + 1) & mask)


@machine_code
def _find(table: Any, a: Any, rolled_a: Any, b: Any, j: Any, h: Any) -> Any:
    """Where run j of b, whose hash is h, first stands in a; -1 if it does not."""
    mask = np.uint64(len(table) - 1)
    slot = _home(h, mask)
    while True:
        there = table[slot] - 1
        if there < 0 or (rolled_a[there] == h and _alike(a, there, b, j)):
            return there
        slot = np.int64(uint64(slot + 1) & mask)


@machine_code
def _cover(starts: Any, covered: Any) -> None:
    """Mark the characters of a text that lie in one of the runs that `starts` marks."""
    until = 0
    for i in range(len(covered)):
        if i < len(starts) and starts[i]:
            until = i + RUN
        covered[i] |= i < until


@machine_code
def _count(covered: Any, quoted: Any, masked: Any) -> tuple[int, int, int]:
    """Without masked ones: (covered characters, those of them that are not quoted, characters)."""
    characters = outside = length = 0
    for i in range(len(covered)):
        if not masked[i]:
            length += 1
            if covered[i]:
                characters += 1
                outside += not quoted[i]
    return characters, outside, length


@machine_code
def _blocks(points: Any, base: Any) -> Any:
    """(table, next): the blocks of `BLOCK` characters that a text is cut into, chained by their hashes; the table holds 1 + a
    block's number. Any run of `RUN` characters holds a whole block."""
    number = len(points) // BLOCK
    bits = 6
    while (1 << bits) < 8 * number:
        bits += 1
    table = np.zeros(1 << bits, np.int32)
    next_ = np.empty(number, np.int32)
    for n in range(number - 1, -1, -1):
        h = uint64(0)
        for k in range(n * BLOCK, (n + 1) * BLOCK):
            h = uint64(uint64(h * uint64(base)) + uint64(points[k]))
        slot = np.int64(uint64(h * _MIX) >> uint64(64 - bits))
        next_[n] = table[slot]
        table[slot] = n + 1
    return table, next_


@machine_code
def _extend_some(
    a: Any, table: Any, next_: Any, b: Any, masked_a: Any, masked_b: Any, covered_a: Any, covered_b: Any, base: Any, at: Any, piece: Any
) -> Any:
    """Go on with `_extend` for about `piece` units of work. at: the place in b to begin with, visits and steps that are left, the
    longest stretch so far; it is updated. Gives whether there is more to do."""
    visits, steps, longest = at[1], at[2], at[3]
    least = visits + steps - piece
    bits = 0
    while (1 << bits) < len(table):
        bits += 1
    factor, top = uint64(base), uint64(1)
    h = uint64(0)
    begin: Any = np.int64(np.uint32(at[0]))  # never negative, so that no index is from the end: quicker
    for k in range(min(BLOCK, len(b) - begin) - 1):
        h = uint64(uint64(h * factor) + uint64(b[begin + k]))
        top = uint64(top * factor)
    until: Any = np.int64(np.uint32(max(min(len(b) - BLOCK + 1, begin + piece), 0)))
    for j in range(begin, until):
        h = uint64(uint64(h * factor) + uint64(b[j + BLOCK - 1]))
        n = table[np.int64(uint64(h * _MIX) >> uint64(64 - bits))] - 1
        h = uint64(h - uint64(uint64(b[j]) * top))
        while n >= 0:
            visits -= 1
            i = n * BLOCK
            n = next_[n] - 1
            length = 0
            while length < BLOCK and a[i + length] == b[j + length]:
                length += 1
            if length < BLOCK:
                continue
            before = 0
            while before < BLOCK and before < i and before < j and a[i - before - 1] == b[j - before - 1]:
                before += 1
            if before == BLOCK:  # met by the block before
                continue
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                length += 1
            length += before
            if length < RUN:
                continue
            steps -= 2 * length - RUN + 1
            if steps < 0:
                at[2] = steps
                return False
            stretch = 0
            for k in range(length):
                covered_a[i - before + k] = True
                covered_b[j - before + k] = True
                stretch = 0 if masked_a[i - before + k] or masked_b[j - before + k] else stretch + 1
                longest = max(longest, stretch)
        if visits < 0 or visits + steps < least:
            until = j + 1
            break
    at[0], at[1], at[2], at[3] = until, visits, steps, longest
    return visits >= 0 and until < len(b) - BLOCK + 1


@register_jitable
def _extend(
    a: Any, table: Any, next_: Any, b: Any, masked_a: Any, masked_b: Any, covered_a: Any, covered_b: Any, base: Any, piece: Any
) -> Any:
    """Mark what the shared passages of two texts cover: each block of a text that occurs in the other is extended both ways. Returns
    the length of the longest passage without a mask; -1 where the texts repeat themselves so much that it takes too long."""
    characters = len(a) + len(b)
    at = np.array([0, VISITS * characters, _steps(characters), 0], np.int64)
    visits, steps = at[1], at[2]
    while _extend_some(a, table, next_, b, masked_a, masked_b, covered_a, covered_b, base, at, piece):
        beat()
        if 1 - min(at[1] / visits, at[2] / steps) > EARLY + 2 * at[0] / len(b):  # at this rate it takes too long
            return -1
    beat()
    return -1 if at[1] < 0 or at[2] < 0 else int(at[3])


@machine_code
def _find_some(
    table: Any, first: Any, a: Any, rolled_a: Any, b: Any, rolled_b: Any, found: Any, met: Any, here: Any, begin: Any, end: Any
) -> Any:
    """Fill `found` from `begin` to `end` with the first place in a of each run of b, or -1, and mark those places in `met`. `here` is the
    place of the run before `begin`. Returns the last place found."""
    for j in range(begin, end):
        if 0 <= here < len(rolled_a) - 1 and a[here + RUN] == b[j + RUN - 1]:  # the run before went on
            here = first[here + 1]
        else:
            here = _find(table, a, rolled_a, b, j, rolled_b[j])
        found[j] = here
        if here >= 0:
            met[here] = True
    return here


@machine_code
def _stretch_some(a: Any, b: Any, masked_a: Any, masked_b: Any, found: Any, next_: Any, at: Any, piece: Any) -> Any:
    """Go on with looking for the longest stretch without a mask for about `piece` units of work. at: the run of b, its place in a
    (-1: no more places), steps that are left, the longest stretch so far; it is updated. Gives whether there is more to do."""
    j, i, steps, longest = at[0], at[1], at[2], at[3]
    done = 0
    while j < len(found) and steps >= 0 and done < piece:
        done += 1
        if i < 0:
            j += 1
            i = np.int64(found[j]) if j < len(found) else np.int64(-1)
            continue
        steps -= 1
        if not (i and j and a[i - 1] == b[j - 1]):
            stretch = length = 0
            while i + length < len(a) and j + length < len(b) and a[i + length] == b[j + length]:
                stretch = 0 if masked_a[i + length] or masked_b[j + length] else stretch + 1
                longest = max(longest, stretch)
                length += 1
            steps -= length
            done += length
        i = np.int64(next_[i])
    at[0], at[1], at[2], at[3] = j, i, steps, longest
    return j < len(found) and steps >= 0


@register_jitable
def _repeating(a: Any, b: Any, masked_a: Any, masked_b: Any, covered_a: Any, covered_b: Any, base: Any, piece: Any) -> Any:
    """The same for texts that repeat themselves: from a table of all runs. What they cover is exact; the search for the longest
    stretch ends after `STEPS` a character."""
    rolled_a, rolled_b = _roll(a, base), _roll(b, base)
    beat()
    number = len(rolled_a)
    size = 16
    while size < 2 * number:
        size *= 2
    table, first = np.zeros(size, np.int32), np.empty(number, np.int32)
    next_, last = np.full(number, -1, np.int32), np.empty(number, np.int32)
    for begin in range(0, number, piece):
        _enter(a, rolled_a, table, first, next_, last, begin, min(begin + piece, number))
        beat()
    met, found = np.zeros(number, np.bool_), np.empty(len(rolled_b), np.int32)
    here: Any = -1
    for begin in range(0, len(rolled_b), piece):
        here = _find_some(table, first, a, rolled_a, b, rolled_b, found, met, here, begin, min(begin + piece, len(rolled_b)))
        beat()
    _cover(met[first], covered_a)
    _cover(found >= 0, covered_b)
    beat()
    at = np.array([-1, -1, _steps(len(a) + len(b)), 0], np.int64)
    while _stretch_some(a, b, masked_a, masked_b, found, next_, at, piece):
        beat()
    beat()
    return int(at[3])


def _shared(a: Any, b: Any, quoted_a: Any, quoted_b: Any, masked_a: Any, masked_b: Any, base: int, piece: int) -> tuple[int, int, int, int]:
    """(characters, outside, shorter, longest) of `dedup.similarity.overlap.Shared`."""
    covered_a, covered_b = np.zeros(len(a), np.bool_), np.zeros(len(b), np.bool_)
    table, next_ = _blocks(a, base)
    beat()
    longest = _extend(a, table, next_, b, masked_a, masked_b, covered_a, covered_b, base, piece)
    if longest < 0:
        longest = _repeating(a, b, masked_a, masked_b, covered_a, covered_b, base, piece)
    characters_a, outside_a, length_a = _count(covered_a, quoted_a, masked_a)
    characters_b, outside_b, length_b = _count(covered_b, quoted_b, masked_b)
    shorter = min(length_a, length_b)
    return min(characters_a, characters_b), min(outside_a, outside_b), shorter, longest if longest >= RUN else 0


shared = in_pieces(_shared)


@machine_code
def prepared(codes: Any, folds: Any, closing: Any, furthest: int, points: Any, quoted: Any) -> int:
    """Fills `points` and `quoted` of `dedup.similarity.overlap.Prepared` from the code points of a body in NFC; gives their number, or -1
    for a body with a character that is folded into several.

    folds[c] is what c is folded into, and beside it in the highest byte 0: it is left out, 1: it is kept, 2: it becomes
    several, 3 + n: it opens a quotation that closing[n] ends; see `dedup.similarity.overlap.quotations`."""
    nearest = np.zeros(len(closing), np.int64)
    begin = end = over = number = 0
    for i in range(len(codes)):
        fold = folds[codes[i]]
        role = fold >> 24
        if role == 1:
            points[number] = fold & 0xFFFFFF
            quoted[number] = begin <= i < end
            number += 1
        elif role == 2:
            return -1
        elif role > 2 and i >= over:
            kind = role - 3
            if nearest[kind] <= i:
                at = i + 1
                while at < len(codes) and codes[at] != closing[kind]:
                    at += 1
                nearest[kind] = at
            if nearest[kind] < len(codes) and nearest[kind] - i <= furthest:
                begin, end = i + 1, nearest[kind]
                over = end + 1
    return number


def prepare(passages: Any, base: int) -> tuple[Any, Any]:
    """The blocks of passages, for `runs_in`."""
    blocks: tuple[Any, Any] = _blocks(passages, base)
    return blocks


def _runs_in(own: Any, others: Any, table: Any, next_: Any, base: int, piece: int) -> Any:
    """See `dedup.similarity.overlap.runs_in`."""
    masked, covered = np.zeros(len(others), np.bool_), np.zeros(len(others), np.bool_)
    hidden, found = np.zeros(len(own), np.bool_), np.zeros(len(own), np.bool_)
    if _extend(others, table, next_, own, masked, hidden, covered, found, base, piece) < 0:
        _repeating(others, own, masked, hidden, covered, found, base, piece)
    return found


runs_in = in_pieces(_runs_in)
