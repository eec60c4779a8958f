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
from dedup.text.normalise import alphanumeric_mask, fold, from_points, to_points, wide_mask

RECIPE = "fts1"
TITLE, URL, PUBLISHER = "\ue000", "\ue001", "\ue002"
"""What a word begins with that is asked for in one place alone: private characters, which no kept text has."""
_BLANK = 32
_TEXT_SEPARATOR = 0
"""Between texts that are split together; a text has none, since it is neither letter, mark nor number."""
_MAX_WORD_CHARACTERS = 64
"""Characters of a word that it is found by: nobody types longer ones, and an encoded picture is one."""
_CHUNK_CODE_POINTS = 1 << 18
"""Code points that are looked at together."""
_OVERLONG_WORD = re.compile(f"[^ ]{{{_MAX_WORD_CHARACTERS + 1}}}")


def tokenise_texts(texts: Sequence[str]) -> list[str]:
    """For each text what it is found by, blanks between; several at once cost less."""
    if not texts:
        return []
    points = to_points("\0".join(fold(text).replace("\0", " ") for text in texts))
    return "".join(_tokenise_points(points)).split("\0")


def _tokenise_points(points: NDArray[np.uint32]) -> Iterator[str]:
    """What code points are found by, some of them at a time: the tables take 50 bytes for each. A character is found by itself and its
    neighbours, so each part is looked at with one more on either side."""
    for begin in range(0, len(points), _CHUNK_CODE_POINTS):
        end, first = min(begin + _CHUNK_CODE_POINTS, len(points)), max(begin - 1, 0)
        slots, used = _token_slots(points[first : end + 1])
        rows = slice(begin - first, end - first)
        yield from_points(slots[rows][used[rows]])
        beat()


def _token_slots(points: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Five places for every code point, and which of them are used: itself, the one that follows, a blank, itself, a blank."""
    ends = points == _TEXT_SEPARATOR
    is_kept = alphanumeric_mask()[points]
    is_wide_kept = wide_mask()[points] & is_kept
    continues_run, begins_pair = np.zeros_like(is_wide_kept), np.zeros_like(is_wide_kept)
    continues_run[1:], begins_pair[:-1] = is_wide_kept[:-1] & is_wide_kept[1:], is_wide_kept[:-1] & is_wide_kept[1:]
    is_single = ideograph_table()[points] & is_kept
    slots = np.full((len(points), 5), _BLANK, np.uint32)
    slots[:, 0] = np.where(is_kept | ends, points, _BLANK)
    slots[:-1, 1] = points[1:]
    slots[:, 3] = points
    used = np.zeros(slots.shape, np.bool_)
    used[:, 0] = ~is_wide_kept | begins_pair  # a wide character begins a pair; the last of its run, or one by itself, does not
    used[:, 1] = begins_pair
    used[:, 2] = is_wide_kept
    used[:-1, 2] |= is_wide_kept[1:]
    used[:, 3] = used[:, 4] = is_single
    return slots, used


def tokenise(text: str) -> list[str]:
    """The same of one text, as a list."""
    return tokenise_texts([text])[0].split()


def truncate_words(tokens: str) -> str:
    """What `tokenise_texts` gave, with overlong words cut short."""
    return " ".join(word[:_MAX_WORD_CHARACTERS] for word in tokens.split()) if _OVERLONG_WORD.search(tokens) else tokens


def prefix_words(field_prefix: str, tokens: str) -> str:
    """What `tokenise_texts` gave, as words of one place."""
    return " ".join(field_prefix + word for word in tokens.split())


def blank_separators(folded: str) -> str:
    """A folded text with a blank for every character that is not kept; as long as it was."""
    points = to_points(folded)
    return from_points(np.where(alphanumeric_mask()[points], points, np.uint32(_BLANK)))


def is_wide(character: str) -> bool:
    """Whether it is Hangul, kana or an ideograph: found in pairs."""
    return bool(wide_mask()[ord(character)])


@lru_cache(maxsize=1)
def ideograph_table() -> NDArray[np.bool_]:
    """For every code point whether it is a CJK ideograph, by Unicode block."""
    table = np.zeros(0x110000, np.bool_)
    for begin, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)):
        table[begin:end] = True
    return table


def wide_character_class() -> str:
    """Wide characters, for between the brackets of a regular expression."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], wide_mask().view(np.int8), [0]))))
    return "".join(f"{chr(begin)}-{chr(end - 1)}" for begin, end in _pairs(edges.tolist()))


def _pairs(edges: list[int]) -> Iterable[tuple[int, int]]:
    return zip(edges[::2], edges[1::2], strict=True)
