"""What changed between two texts, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_TOKENS = 20_000
"""Beyond so many differing tokens on both sides a difference is told as one stretch: coarser rather than never."""

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
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Stretch("same", "".join(a[i:j]))
            continue
        yield Stretch("removed", "".join(a[i:j]))
        yield Stretch("added", "".join(b[k:m]))
