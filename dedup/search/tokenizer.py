"""Splits texts into index words (recipe `fts1`).

A text is folded (NFC, case-folded). Letters, marks and numbers are kept; everything else becomes a blank. Runs of Hangul, kana and
ideographs become overlapping pairs of characters, so that any two adjacent ones are found, whatever is around them. An ideograph is
also a word by itself, because headlines use single ones. Other runs stay whole words. The result contains only words and ASCII blanks,
so that SQLite's `ascii` tokenizer, which depends on no version of Unicode, only splits at blanks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dedup.runtime.heartbeat import beat
from dedup.text.normalise import alphanumeric_mask, fold, from_points, to_points, wide_mask

RECIPE = "fts1"
TITLE, URL, PUBLISHER = "\ue000", "\ue001", "\ue002"
"""Prefixes of words that belong to one field. They are private-use characters, which do not occur in words."""
_BLANK = 32
_TEXT_SEPARATOR = 0
"""Code point between texts that are tokenised together. It is not kept in texts, since it is no letter, mark or number."""
_MAX_WORD_CHARACTERS = 64
"""Longer words are truncated. They are encoded images, for example, and are not searched for."""
_CHUNK_CODE_POINTS = 1 << 18
"""Code points that are tokenised at a time."""
_OVERLONG_WORD = re.compile(f"[^ ]{{{_MAX_WORD_CHARACTERS + 1}}}")


def tokenise_texts(texts: Sequence[str]) -> list[str]:
    """The index words of each text, separated by blanks. One call for several texts is faster than a call for each."""
    if not texts:
        return []
    points = to_points("\0".join(fold(text).replace("\0", " ") for text in texts))
    return "".join(_tokenise_points(points)).split("\0")


def _tokenise_points(points: NDArray[np.uint32]) -> Iterator[str]:
    """The index words of code points, `_CHUNK_CODE_POINTS` at a time: the tables take 50 bytes for each code point.

    Each chunk is read with one more code point on either side, since words depend on the neighbours of a character.
    """
    for begin in range(0, len(points), _CHUNK_CODE_POINTS):
        end, first = min(begin + _CHUNK_CODE_POINTS, len(points)), max(begin - 1, 0)
        slots, used = _token_slots(points[first : end + 1])
        rows = slice(begin - first, end - first)
        yield from_points(slots[rows][used[rows]])
        beat()


def _token_slots(points: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """(slots, used), each n × 5: five slots for each of n code points, and which of them are part of the result.

    The slots hold the code point, the next one, a blank, the code point again, and a blank.
    """
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
    used[:, 0] = ~is_wide_kept | begins_pair  # a wide character begins a pair unless it is the last of its run
    used[:, 1] = begins_pair
    used[:, 2] = is_wide_kept
    used[:-1, 2] |= is_wide_kept[1:]
    used[:, 3] = used[:, 4] = is_single
    return slots, used


def tokenise(text: str) -> list[str]:
    """The index words of one text."""
    return tokenise_texts([text])[0].split()


def truncate_words(tokens: str) -> str:
    """Truncate overlong words in a result of `tokenise_texts`."""
    return " ".join(word[:_MAX_WORD_CHARACTERS] for word in tokens.split()) if _OVERLONG_WORD.search(tokens) else tokens


def prefix_words(field_prefix: str, tokens: str) -> str:
    """Prefix each word in a result of `tokenise_texts`."""
    return " ".join(field_prefix + word for word in tokens.split())


def blank_separators(folded: str) -> str:
    """Replace each character of a folded text that is not a letter, mark or number by a blank. The length stays the same."""
    points = to_points(folded)
    return from_points(np.where(alphanumeric_mask()[points], points, np.uint32(_BLANK)))


def is_wide(character: str) -> bool:
    """Return whether a character is Hangul, kana or an ideograph, which are indexed in pairs."""
    return bool(wide_mask()[ord(character)])


@lru_cache(maxsize=1)
def ideograph_table() -> NDArray[np.bool_]:
    """A table that holds for every code point whether it is a CJK ideograph, by Unicode block."""
    table = np.zeros(0x110000, np.bool_)
    for begin, end in ((0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0x20000, 0x40000)):
        table[begin:end] = True
    return table


def wide_character_class() -> str:
    """All wide characters as ranges for a character class of a regular expression."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], wide_mask().view(np.int8), [0]))))
    return "".join(f"{chr(begin)}-{chr(end - 1)}" for begin, end in _pairs(edges.tolist()))


def _pairs(edges: list[int]) -> Iterable[tuple[int, int]]:
    return zip(edges[::2], edges[1::2], strict=True)
