"""Two texts split for comparison: short ones into sentences, long ones first into stretches that both have in common.

Splitting and aligning sentences takes microseconds a sentence, and 10 MB can contain five million. In texts of more than
`MAX_SPLIT_CHARACTERS` characters the common stretches are found first, by pieces of about a thousand characters. Each stretch is
treated as one sentence; only the text between two stretches is split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MAX_SENTENCES, MAX_SPLIT_CHARACTERS, split_sentences
from dedup.changes.diff.tokens import is_joining
from dedup.runtime.heartbeat import beat
from dedup.text.normalise import to_points

_CUT_RARITY = 1024
"""A piece ends at one in this many windows of characters."""
_MIN_PIECE_CHARACTERS, _MAX_PIECE_CHARACTERS = 512, 8192
"""Characters of a piece, least and most."""
_WINDOW_CHARACTERS = 8
"""Characters that decide whether a piece ends after them. An edit therefore moves only the cuts around it."""
_BLOCK_CHARACTERS = 1 << 20
"""Characters that are processed at once."""
_SENTENCE_ENDINGS = frozenset(".!?…。！？”’\"'")
_MAX_TRIM_CHARACTERS = 1000
"""Characters within which a stretch is trimmed to the edge of a word."""


class Stretch(NamedTuple):
    """Text of one side only, text of the other side only, and the text of both that follows."""

    only_one: str
    only_other: str
    common: str


def split_pair(one: str, other: str) -> tuple[list[str], list[str]]:
    """Split two cleaned texts for comparison. The parts of each side, joined, are that side.

    Parts are sentences. If a text is longer than `MAX_SPLIT_CHARACTERS`, parts are stretches of both texts as well, and the text
    between them is one part if there is too much of it to split.
    """
    if max(len(one), len(other)) <= MAX_SPLIT_CHARACTERS:
        return split_sentences(one), split_sentences(other)
    common_stretches = list(find_stretches(one, other))
    differing = [sum(len(stretch[side]) for stretch in common_stretches) for side in (0, 1)]
    if max(differing) <= MAX_SPLIT_CHARACTERS:
        sides = _side_parts(common_stretches, 0, split_between=True), _side_parts(common_stretches, 1, split_between=True)
        if max(map(len, sides)) <= MAX_SENTENCES:
            return sides
    return _side_parts(common_stretches, 0, split_between=False), _side_parts(common_stretches, 1, split_between=False)


def _side_parts(common_stretches: list[Stretch], side: int, *, split_between: bool) -> list[str]:
    parts: list[str] = []
    for stretch in common_stretches:
        between = stretch.only_other if side else stretch.only_one
        if between:
            parts += split_sentences(between) if split_between else [between]
        if stretch.common:
            parts.append(stretch.common)
    return parts


def find_stretches(one: str, other: str) -> Iterator[Stretch]:
    """Yield the text that two texts have in common, in order, with the text before it that differs, in linear time.

    A common stretch is as long as possible, except that it begins and ends after white space or between two letters.
    """
    end = other_end = 0
    for run in _trim_runs(one, other):
        yield Stretch(one[end : run.begin], other[other_end : run.other_begin], one[run.begin : run.end])
        end, other_end = run.end, run.other_end
    if end < len(one) or other_end < len(other):
        yield Stretch(one[end:], other[other_end:], "")


class _Run(NamedTuple):
    """A run of characters that two texts have in common: where it begins in either, and its length."""

    begin: int
    other_begin: int
    length: int

    @property
    def end(self) -> int:
        return self.begin + self.length

    @property
    def other_end(self) -> int:
        return self.other_begin + self.length


def _trim_runs(one: str, other: str) -> Iterator[_Run]:
    """The extended runs, trimmed to positions where both texts can be cut."""
    for run in _extend_runs(one, other):
        first: int | None = 0
        last: int | None = run.end
        if run.begin or run.other_begin:
            first = _find_edge(one, range(run.begin + 1, min(run.begin + _MAX_TRIM_CHARACTERS, run.end)))
        if run.end < len(one) or run.other_end < len(other):
            last = _find_edge(one, range(run.end - 1, max(run.end - _MAX_TRIM_CHARACTERS, run.begin), -1))
        if first is not None and last is not None and first < last:
            yield _Run(first, run.other_begin + first - run.begin, last - first)


def _find_edge(text: str, positions: range) -> int | None:
    """The first of some positions after the end of a sentence; else the first after white space; else the first between two letters.
    None if there is no such position: a number or a grapheme could continue anywhere."""
    after_space = between_letters = None
    for p in positions:
        before, following = text[p - 1], text[p]
        if is_joining(following):
            continue
        if before == "\n" or (before == " " and text[p - 2] in _SENTENCE_ENDINGS):
            return p
        if after_space is None and before.isspace():
            after_space = p
        if between_letters is None and before.isalpha() and following.isalpha() and not is_joining(before):
            between_letters = p
    return after_space if after_space is not None else between_letters


def _extend_runs(one: str, other: str) -> Iterator[_Run]:
    """The runs of common pieces, extended in both directions as far as the texts are equal."""
    run, *others = _find_runs(one, other)
    for following in others:
        after = _common_prefix_length(one[run.end : following.begin], other[run.other_end : following.other_begin])
        run = run._replace(length=run.length + after)
        before = _common_suffix_length(one[run.end : following.begin], other[run.other_end : following.other_begin])
        extended = _Run(following.begin - before, following.other_begin - before, following.length + before)
        if (run.end, run.other_end) == (extended.begin, extended.other_begin):
            run = run._replace(length=run.length + extended.length)
            continue
        if run.length:
            yield run
        run = extended
    if run.length:
        yield run


def _find_runs(one: str, other: str) -> list[_Run]:
    """The common beginning (maybe empty), the runs of common pieces, the common end (maybe empty)."""
    head = _common_prefix_length(one, other)
    tail = _common_suffix_length(one[head:], other[head:])
    end, other_end = len(one) - tail, len(other) - tail
    middle = _find_common_pieces(one[head:end], other[head:other_end])
    return [
        _Run(0, 0, head),
        *(_Run(run.begin + head, run.other_begin + head, run.length) for run in middle),
        _Run(end, other_end, tail),
    ]


def _find_common_pieces(one: str, other: str) -> list[_Run]:
    """Runs of pieces that both texts have in common, in order."""
    piece_ids: dict[str, int] = {}
    cuts = [_find_cuts(text) for text in (one, other)]
    keys = [
        [piece_ids.setdefault(text[begin:end], len(piece_ids)) for begin, end in pairwise(text_cuts)]
        for text, text_cuts in zip((one, other), cuts, strict=True)
    ]
    beat()
    return [
        _Run(cuts[0][o.src_start], cuts[1][o.dest_start], cuts[0][o.src_end] - cuts[0][o.src_start])
        for o in Indel.opcodes(*keys)
        if o.tag == "equal"
    ]


def _find_cuts(text: str) -> list[int]:
    """Where the pieces of a text begin and end: after some windows of characters, whatever precedes them, and after
    `_MAX_PIECE_CHARACTERS` characters without such a window."""
    import numpy as np

    cuts = [0]
    for start in range(0, len(text), _BLOCK_CHARACTERS):
        points = to_points(text[start : start + _BLOCK_CHARACTERS + _WINDOW_CHARACTERS - 1])
        hashes = np.zeros(max(0, len(points) - _WINDOW_CHARACTERS + 1), np.uint32)
        for k in range(_WINDOW_CHARACTERS):
            hashes = hashes * np.uint32(0x9E3779B1) + points[k : k + len(hashes)]
        mixed = (hashes ^ hashes >> np.uint32(15)) * np.uint32(0x85EBCA6B)
        candidates = np.flatnonzero(mixed < np.uint32((1 << 32) // _CUT_RARITY)) + (start + _WINDOW_CHARACTERS)
        until = min(start + _BLOCK_CHARACTERS + _WINDOW_CHARACTERS - 1, len(text))
        while True:
            index = int(np.searchsorted(candidates, cuts[-1] + _MIN_PIECE_CHARACTERS))
            cut = int(candidates[index]) if index < len(candidates) else until + 1
            cut = min(cut, cuts[-1] + _MAX_PIECE_CHARACTERS)
            if cut > until:
                break
            cuts.append(cut)
        beat()
    return [*cuts, len(text)] if cuts[-1] < len(text) else cuts


def _common_prefix_length(one: str, other: str) -> int:
    """Number of characters that both begin with, found with steps that double, then halve."""
    return _gallop(min(len(one), len(other)), lambda n, m: one[n:m] == other[n:m])


def _common_suffix_length(one: str, other: str) -> int:
    """Number of characters that both end with."""
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
