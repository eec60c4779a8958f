"""Two texts cut for comparing: usual ones into sentences, long ones first where both are the same.

Splitting and aligning sentences takes microseconds for each of them, and 10 MB can hold five million. Of texts with more than
`MOST_SENTENCED` characters the stretches that both have are found first, by pieces of about a thousand characters. Each stretch is taken
as one sentence; only what lies between two of them is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MOST_LINES, MOST_SENTENCED, sentences
from dedup.changes.diff.tokens import is_joining
from dedup.heartbeat import beat
from dedup.text.normalise import to_points

_RARITY = 1024
"""Of so many windows of characters one ends a piece."""
_LEAST, _MOST = 512, 8192
"""Characters of a piece."""
_WINDOW = 8
"""Characters that decide whether a piece ends behind them, so that an edit moves the cuts around it alone."""
_BLOCK = 1 << 20
"""Characters that are looked at at once."""
_ENDS = frozenset(".!?…。！？”’\"'")
_NEAR = 1000
"""Characters within which a stretch is trimmed to the edge of a word."""

Stretch = tuple[str, str, str]
"""(what only the one side has, what only the other has, what both have after that)."""


def split(one: str, other: str) -> tuple[list[str], list[str]]:
    """Two cleaned texts as they are compared; joined, the parts of each side are that side. They are sentences, or, of texts that are
    too long for that, stretches as well that both sides have."""
    if max(len(one), len(other)) <= MOST_SENTENCED:
        return sentences(one), sentences(other)
    found = list(stretches(one, other))
    fits = [sum(len(stretch[side]) for stretch in found) <= MOST_SENTENCED for side in (0, 1)]
    sides = tuple(_parts(found, side, closely=all(fits)) for side in (0, 1))
    if max(map(len, sides)) > MOST_LINES:
        sides = tuple(_parts(found, side, closely=False) for side in (0, 1))
    return sides[0], sides[1]


def _parts(found: list[Stretch], side: int, *, closely: bool) -> list[str]:
    parts: list[str] = []
    for stretch in found:
        between, same = stretch[side], stretch[2]
        parts += (sentences(between) if closely else [between]) if between else []
        parts += [same] if same else []
    return parts


def stretches(one: str, other: str) -> Iterator[Stretch]:
    """What two texts have in common, in order, and what lies between, in linear time. What both have is as long as it can be, but for
    its ends, which are at a blank or between two letters."""
    at = [0, 0]
    for begins, length in _trimmed(one, other):
        yield one[at[0] : begins[0]], other[at[1] : begins[1]], one[begins[0] : begins[0] + length]
        at = [begin + length for begin in begins]
    if at[0] < len(one) or at[1] < len(other):
        yield one[at[0] :], other[at[1] :], ""


_Run = tuple[tuple[int, int], int]
"""((where it begins in the one text, where in the other), characters)."""


def _trimmed(one: str, other: str) -> Iterator[_Run]:
    """The extended runs, cut back to where both texts can be cut."""
    for (begin, place), length in _extended(one, other):
        end = begin + length
        first: int | None = 0
        last: int | None = end
        if begin or place:
            first = _edge(one, range(begin + 1, min(begin + _NEAR, end)))
        if end < len(one) or place + length < len(other):
            last = _edge(one, range(end - 1, max(end - _NEAR, begin), -1))
        if first is not None and last is not None and first < last:
            yield (first, place + first - begin), last - first


def _edge(text: str, places: range) -> int | None:
    """The first of these places behind the end of a sentence; where there is none the first behind a blank; else the first between two
    letters. None where there is no such place: then a number or a grapheme may go on anywhere."""
    found: list[int | None] = [None, None]
    for p in places:
        before, behind = text[p - 1], text[p]
        if is_joining(behind):
            continue
        if before == "\n" or (before == " " and text[p - 2] in _ENDS):
            return p
        for n, fits in enumerate((before.isspace(), before.isalpha() and behind.isalpha() and not is_joining(before))):
            if fits and found[n] is None:
                found[n] = p
    return found[0] if found[0] is not None else found[1]


def _extended(one: str, other: str) -> Iterator[_Run]:
    """The runs of pieces that both texts have, each as far as it goes on beyond its pieces."""
    head = _same(one, other)
    tail = _same_end(one[head:], other[head:])
    ends = len(one) - tail, len(other) - tail
    runs: list[_Run] = [((0, 0), head)]
    runs += [((i + head, j + head), n) for (i, j), n in _pieces_alike(one[head : ends[0]], other[head : ends[1]])]
    runs.append((ends, tail))
    begin, length = runs[0]
    for (i, j), n in runs[1:]:
        length += _same(one[begin[0] + length : i], other[begin[1] + length : j])
        before = _same_end(one[begin[0] + length : i], other[begin[1] + length : j])
        if (begin[0] + length, begin[1] + length) == (i - before, j - before):
            length += before + n
            continue
        if length:
            yield begin, length
        begin, length = (i - before, j - before), before + n
    if length:
        yield begin, length


def _pieces_alike(one: str, other: str) -> list[_Run]:
    """Runs of pieces that both texts have, in the order of both."""
    number: dict[str, int] = {}
    cuts = [_cuts(text) for text in (one, other)]
    keys = [
        [number.setdefault(text[begin:end], len(number)) for begin, end in pairwise(of_text)]
        for text, of_text in zip((one, other), cuts, strict=True)
    ]
    beat()
    return [
        ((cuts[0][o.src_start], cuts[1][o.dest_start]), cuts[0][o.src_end] - cuts[0][o.src_start])
        for o in Indel.opcodes(*keys)
        if o.tag == "equal"
    ]


def _cuts(text: str) -> list[int]:
    """Where the pieces of a text begin and end: behind some windows of characters, whatever comes before those; every `_MOST` characters
    where there is no such window."""
    import numpy as np

    cuts = [0]
    for start in range(0, len(text), _BLOCK):
        points = to_points(text[start : start + _BLOCK + _WINDOW - 1])
        hashes = np.zeros(max(0, len(points) - _WINDOW + 1), np.uint32)
        for k in range(_WINDOW):
            hashes = hashes * np.uint32(0x9E3779B1) + points[k : k + len(hashes)]
        mixed = (hashes ^ hashes >> np.uint32(15)) * np.uint32(0x85EBCA6B)
        places = np.flatnonzero(mixed < np.uint32((1 << 32) // _RARITY)) + (start + _WINDOW)
        until = min(start + _BLOCK + _WINDOW - 1, len(text))
        while True:
            at = int(np.searchsorted(places, cuts[-1] + _LEAST))
            cut = int(places[at]) if at < len(places) else until + 1
            cut = min(cut, cuts[-1] + _MOST)
            if cut > until:
                break
            cuts.append(cut)
        beat()
    return [*cuts, len(text)] if cuts[-1] < len(text) else cuts


def _same(one: str, other: str) -> int:
    """How many characters both begin with: in leaps that double, then in ones that halve."""
    return _leaps(min(len(one), len(other)), lambda n, m: one[n:m] == other[n:m])


def _same_end(one: str, other: str) -> int:
    """How many characters both end with."""
    a, b = len(one), len(other)
    return _leaps(min(a, b), lambda n, m: one[a - m : a - n] == other[b - m : b - n])


def _leaps(most: int, same: Callable[[int, int], bool]) -> int:
    n, leap = 0, 64
    while n + leap <= most and same(n, n + leap):
        n += leap
        leap *= 2
    while leap > 1:
        leap //= 2
        if n + leap <= most and same(n, n + leap):
            n += leap
    return n
