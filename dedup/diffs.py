"""What changed between two texts, in words."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher
from itertools import accumulate
from typing import Literal

MOST_TOKENS = 20_000
"""Beyond so many differing tokens on both sides a difference is told as one stretch: coarser rather than never."""

MOST_PAIRS = 20_000_000
"""Pairs of equal tokens that are looked at: repetitive texts cost their square and more. What is left then is told as it stands."""

_TOKEN = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+|\s+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of text that both sides have (`same`), or that one side lost (`removed`) or won (`added`)."""

    kind: Literal["same", "removed", "added"]
    text: str


def tokens(text: str) -> list[str]:
    """Numbers with their separators, words, runs of white space, and every other character by itself; joined they are `text`."""
    return _TOKEN.findall(text)


def compare(before: str, after: str) -> list[Stretch]:
    """The stretches that lead from one text to the other: `same` and `removed` joined are `before`, `same` and `added` `after`."""
    a, b = tokens(before), tokens(after)
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    middle = _middle(a[start : len(a) - end], b[start : len(b) - end])
    whole = [Stretch("same", "".join(a[:start])), *middle, Stretch("same", "".join(a[len(a) - end :]))]
    return [s for s in whole if s.text]


def _middle(a: Sequence[str], b: Sequence[str]) -> Iterator[Stretch]:
    if not a or not b or max(len(a), len(b)) > MOST_TOKENS:
        yield Stretch("removed", "".join(a))
        yield Stretch("added", "".join(b))
        return
    i = k = 0
    for block in (*_blocks(a, b), Match(len(a), len(b), 0)):
        yield Stretch("removed", "".join(a[i : block.a]))
        yield Stretch("added", "".join(b[k : block.b]))
        i, k = block.a + block.size, block.b + block.size
        yield Stretch("same", "".join(a[block.a : i]))


def _blocks(a: Sequence[str], b: Sequence[str]) -> list[Match]:
    """The runs of tokens that both have, in order: the longest, then those before and after it, as long as MOST_PAIRS allows."""
    matcher = SequenceMatcher(None, a, b)
    places: dict[str, list[int]] = matcher.b2j  # type: ignore[attr-defined]  # documented, but unknown to typeshed
    pairs = list(accumulate((len(places.get(token, ())) for token in a), initial=0))
    blocks: list[Match] = []
    left = MOST_PAIRS
    stretches = deque([(0, len(a), 0, len(b))])
    while stretches:
        i, j, k, m = stretches.popleft()
        if i == j or k == m or pairs[j] - pairs[i] > left:
            continue
        left -= pairs[j] - pairs[i]
        found = matcher.find_longest_match(i, j, k, m)
        if found.size:
            blocks.append(found)
            stretches += ((i, found.a, k, found.b), (found.a + found.size, j, found.b + found.size, m))
    return sorted(blocks)
