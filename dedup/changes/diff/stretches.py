"""Two texts cut for comparing: usual ones into sentences, long ones first where both are the same.

Splitting and aligning sentences takes microseconds for each of them, and 10 MB can hold five million. Of texts with more than
`MAX_SPLIT_CHARACTERS` characters the stretches that both have are found first, by pieces of about a thousand characters. Each stretch is
taken as one sentence; only what lies between two of them is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MAX_SENTENCES, MAX_SPLIT_CHARACTERS, split_sentences
from dedup.changes.diff.tokens import is_joining
from dedup.heartbeat import beat
from dedup.text.normalise import to_points

_CUT_RARITY = 1024
"""Of so many windows of characters one ends a piece."""
_MIN_PIECE_CHARACTERS, _MAX_PIECE_CHARACTERS = 512, 8192
"""Characters of a piece."""
_WINDOW_CHARACTERS = 8
"""Characters that decide whether a piece ends behind them, so that an edit moves the cuts around it alone."""
_BLOCK_CHARACTERS = 1 << 20
"""Characters that are looked at at once."""
_SENTENCE_ENDINGS = frozenset(".!?…。！？”’\"'")
_MAX_TRIM_CHARACTERS = 1000
"""Characters within which a stretch is trimmed to the edge of a word."""

Stretch = tuple[str, str, str]
"""(what only the one side has, what only the other has, what both have after that)."""


def split_pair(one: str, other: str) -> tuple[list[str], list[str]]:
    """Two cleaned texts as they are compared; joined, the parts of each side are that side. They are sentences, or, of texts that are
    too long for that, stretches as well that both sides have."""
    if max(len(one), len(other)) <= MAX_SPLIT_CHARACTERS:
        return split_sentences(one), split_sentences(other)
    common_stretches = list(find_stretches(one, other))
    fits = [sum(len(stretch[side]) for stretch in common_stretches) <= MAX_SPLIT_CHARACTERS for side in (0, 1)]
    sides = tuple(_side_parts(common_stretches, side, split_between=all(fits)) for side in (0, 1))
    if max(map(len, sides)) > MAX_SENTENCES:
        sides = tuple(_side_parts(common_stretches, side, split_between=False) for side in (0, 1))
    return sides[0], sides[1]


def _side_parts(common_stretches: list[Stretch], side: int, *, split_between: bool) -> list[str]:
    parts: list[str] = []
    for stretch in common_stretches:
        between, same = stretch[side], stretch[2]
        parts += (split_sentences(between) if split_between else [between]) if between else []
        parts += [same] if same else []
    return parts


def find_stretches(one: str, other: str) -> Iterator[Stretch]:
    """What two texts have in common, in order, and what lies between, in linear time. What both have is as long as it can be, but for
    its ends, which are at a blank or between two letters."""
    at = [0, 0]
    for begins, length in _trim_runs(one, other):
        yield one[at[0] : begins[0]], other[at[1] : begins[1]], one[begins[0] : begins[0] + length]
        at = [begin + length for begin in begins]
    if at[0] < len(one) or at[1] < len(other):
        yield one[at[0] :], other[at[1] :], ""


_Run = tuple[tuple[int, int], int]
"""((where it begins in the one text, where in the other), characters)."""


def _trim_runs(one: str, other: str) -> Iterator[_Run]:
    """The extended runs, cut back to where both texts can be cut."""
    for (begin, other_begin), length in _extend_runs(one, other):
        end = begin + length
        first: int | None = 0
        last: int | None = end
        if begin or other_begin:
            first = _find_edge(one, range(begin + 1, min(begin + _MAX_TRIM_CHARACTERS, end)))
        if end < len(one) or other_begin + length < len(other):
            last = _find_edge(one, range(end - 1, max(end - _MAX_TRIM_CHARACTERS, begin), -1))
        if first is not None and last is not None and first < last:
            yield (first, other_begin + first - begin), last - first


def _find_edge(text: str, places: range) -> int | None:
    """The first of these places behind the end of a sentence; where there is none the first behind a blank; else the first between two
    letters. None where there is no such place: then a number or a grapheme may go on anywhere."""
    fallbacks: list[int | None] = [None, None]
    for p in places:
        before, following = text[p - 1], text[p]
        if is_joining(following):
            continue
        if before == "\n" or (before == " " and text[p - 2] in _SENTENCE_ENDINGS):
            return p
        for n, fits in enumerate((before.isspace(), before.isalpha() and following.isalpha() and not is_joining(before))):
            if fits and fallbacks[n] is None:
                fallbacks[n] = p
    return fallbacks[0] if fallbacks[0] is not None else fallbacks[1]


def _extend_runs(one: str, other: str) -> Iterator[_Run]:
    """The runs of pieces that both texts have, each as far as it goes on beyond its pieces."""
    head = _common_prefix_length(one, other)
    tail = _common_suffix_length(one[head:], other[head:])
    ends = len(one) - tail, len(other) - tail
    runs: list[_Run] = [((0, 0), head)]
    runs += [((i + head, j + head), n) for (i, j), n in _find_common_pieces(one[head : ends[0]], other[head : ends[1]])]
    runs.append((ends, tail))
    begin, length = runs[0]
    for (i, j), n in runs[1:]:
        length += _common_prefix_length(one[begin[0] + length : i], other[begin[1] + length : j])
        before = _common_suffix_length(one[begin[0] + length : i], other[begin[1] + length : j])
        if (begin[0] + length, begin[1] + length) == (i - before, j - before):
            length += before + n
            continue
        if length:
            yield begin, length
        begin, length = (i - before, j - before), before + n
    if length:
        yield begin, length


def _find_common_pieces(one: str, other: str) -> list[_Run]:
    """Runs of pieces that both texts have, in the order of both."""
    piece_ids: dict[str, int] = {}
    cuts = [_find_cuts(text) for text in (one, other)]
    keys = [
        [piece_ids.setdefault(text[begin:end], len(piece_ids)) for begin, end in pairwise(of_text)]
        for text, of_text in zip((one, other), cuts, strict=True)
    ]
    beat()
    return [
        ((cuts[0][o.src_start], cuts[1][o.dest_start]), cuts[0][o.src_end] - cuts[0][o.src_start])
        for o in Indel.opcodes(*keys)
        if o.tag == "equal"
    ]


def _find_cuts(text: str) -> list[int]:
    """Where the pieces of a text begin and end: behind some windows of characters, whatever comes before those; every
    `_MAX_PIECE_CHARACTERS` characters where there is no such window."""
    import numpy as np

    cuts = [0]
    for start in range(0, len(text), _BLOCK_CHARACTERS):
        points = to_points(text[start : start + _BLOCK_CHARACTERS + _WINDOW_CHARACTERS - 1])
        hashes = np.zeros(max(0, len(points) - _WINDOW_CHARACTERS + 1), np.uint32)
        for k in range(_WINDOW_CHARACTERS):
            hashes = hashes * np.uint32(0x9E3779B1) + points[k : k + len(hashes)]
        mixed = (hashes ^ hashes >> np.uint32(15)) * np.uint32(0x85EBCA6B)
        places = np.flatnonzero(mixed < np.uint32((1 << 32) // _CUT_RARITY)) + (start + _WINDOW_CHARACTERS)
        until = min(start + _BLOCK_CHARACTERS + _WINDOW_CHARACTERS - 1, len(text))
        while True:
            at = int(np.searchsorted(places, cuts[-1] + _MIN_PIECE_CHARACTERS))
            cut = int(places[at]) if at < len(places) else until + 1
            cut = min(cut, cuts[-1] + _MAX_PIECE_CHARACTERS)
            if cut > until:
                break
            cuts.append(cut)
        beat()
    return [*cuts, len(text)] if cuts[-1] < len(text) else cuts


def _common_prefix_length(one: str, other: str) -> int:
    """How many characters both begin with: in leaps that double, then in ones that halve."""
    return _gallop(min(len(one), len(other)), lambda n, m: one[n:m] == other[n:m])


def _common_suffix_length(one: str, other: str) -> int:
    """How many characters both end with."""
    a, b = len(one), len(other)
    return _gallop(min(a, b), lambda n, m: one[a - m : a - n] == other[b - m : b - n])


def _gallop(limit: int, is_equal: Callable[[int, int], bool]) -> int:
    n, leap = 0, 64
    while n + leap <= limit and is_equal(n, n + leap):
        n += leap
        leap *= 2
    while leap > 1:
        leap //= 2
        if n + leap <= limit and is_equal(n, n + leap):
            n += leap
    return n
