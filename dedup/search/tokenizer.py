"""What a text is found by, and how what was found is held against what is asked (recipe `fts1`).

A text is folded (NFC, case-folded) as for comparing; letters, marks and numbers are kept, the rest is blank. Runs of Hangul, kana and
ideographs become overlapping pairs of characters, so that any two of them that follow each other are found whatever stands around
them; an ideograph is found by itself too, since headlines are written with single ones. Other runs stay whole words. What is left is
ASCII's blanks and what is to be found, so that SQLite's `ascii` tokenizer, which has no table of Unicode's that could change, only
cuts at blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dedup.heartbeat import beat
from dedup.text.normalise import fold, from_points, kept_array, to_points, wide_array

RECIPE = "fts1"
TITLE, URL, PUBLISHER = "\ue000", "\ue001", "\ue002"
"""What a word begins with that is asked for in one place alone: private characters, which no kept text has."""
_BLANK = 32
_END = 0
"""Between texts that are split together; a text has none, since it is neither letter, mark nor number."""
_CUT = 64
"""Characters of a word that it is found by: nobody types longer ones, and an encoded picture is one."""
_AT_ONCE = 1 << 18
"""Code points that are looked at together."""
_LONG = re.compile(f"[^ ]{{{_CUT + 1}}}")


def split(texts: Sequence[str]) -> list[str]:
    """For each text what it is found by, blanks between; several at once cost less."""
    if not texts:
        return []
    points = to_points("\0".join(fold(text).replace("\0", " ") for text in texts))
    return "".join(_pieces(points)).split("\0")


def _pieces(points: NDArray[np.uint32]) -> Iterator[str]:
    """What code points are found by, some of them at a time: the tables take 50 bytes for each. A character is found by itself and its
    neighbours, so each part is looked at with one more on either side."""
    for begin in range(0, len(points), _AT_ONCE):
        end, first = min(begin + _AT_ONCE, len(points)), max(begin - 1, 0)
        shown, chosen = _shown(points[first : end + 1])
        rows = slice(begin - first, end - first)
        yield from_points(shown[rows][chosen[rows]])
        beat()


def _shown(points: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Five places for every code point, and which of them are used: itself, the one that follows, a blank, itself, a blank."""
    ends = points == _END
    kept = kept_array()[points]
    wide = wide_array()[points] & kept
    before, after = np.zeros_like(wide), np.zeros_like(wide)
    before[1:], after[:-1] = wide[:-1] & wide[1:], wide[:-1] & wide[1:]
    alone = ideographs()[points] & kept
    shown = np.full((len(points), 5), _BLANK, np.uint32)
    shown[:, 0] = np.where(kept | ends, points, _BLANK)
    shown[:-1, 1] = points[1:]
    shown[:, 3] = points
    chosen = np.zeros(shown.shape, np.bool_)
    chosen[:, 0] = ~wide | after  # a wide character begins a pair; the last of its run, or one by itself, does not
    chosen[:, 1] = after
    chosen[:, 2] = wide
    chosen[:-1, 2] |= wide[1:]
    chosen[:, 3] = chosen[:, 4] = alone
    return shown, chosen


def words(text: str) -> list[str]:
    """The same of one text, as a list."""
    return split([text])[0].split()


def cut(tokens: str) -> str:
    """What `split` gave, with overlong words cut short."""
    return " ".join(word[:_CUT] for word in tokens.split()) if _LONG.search(tokens) else tokens


def within(place: str, tokens: str) -> str:
    """What `split` gave, as words of one place."""
    return " ".join(place + word for word in tokens.split())


def blanked(folded: str) -> str:
    """A folded text with a blank for every character that is not kept; as long as it was."""
    points = to_points(folded)
    return from_points(np.where(kept_array()[points], points, np.uint32(_BLANK)))


def is_wide(character: str) -> bool:
    """Whether it is Hangul, kana or an ideograph: found in pairs."""
    return bool(wide_array()[ord(character)])


@lru_cache(maxsize=1)
def ideographs() -> NDArray[np.bool_]:
    """For every code point whether it is a CJK ideograph, by Unicode block."""
    found = np.zeros(0x110000, np.bool_)
    for begin, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)):
        found[begin:end] = True
    return found


def wide_class() -> str:
    """Wide characters, for between the brackets of a regular expression."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], wide_array().view(np.int8), [0]))))
    return "".join(f"{chr(begin)}-{chr(end - 1)}" for begin, end in _pairs(edges.tolist()))


def _pairs(edges: list[int]) -> Iterable[tuple[int, int]]:
    return zip(edges[::2], edges[1::2], strict=True)
