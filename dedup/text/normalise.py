"""Normalise text for comparison, and split it into shingles."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE_CHARACTERS = 5
"""Characters in a shingle."""
MAX_BATCH_CHARACTERS = 1_000_000
"""Characters of a batch; a longer text is a batch by itself."""


def is_storable(value: object) -> bool:
    """Return whether SQLite can store a text or a number: no lone surrogates, 64-bit signed integers, no NaN.

    Python represents invalid UTF-8 in arguments and file names by lone surrogates.
    """
    if isinstance(value, str):
        return not _SURROGATE.search(value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return not isinstance(value, float) or value == value


_SURROGATE = re.compile("[\ud800-\udfff]")


class _AlphanumericTable(dict[int, int | None]):
    """A `str.translate` table, filled on demand, that keeps Unicode letters, marks and numbers and deletes the rest."""

    def __missing__(self, code: int) -> int | None:
        result = code if unicodedata.category(chr(code))[0] in "LMN" else None
        self[code] = result
        return result


_ALPHANUMERIC_TABLE = _AlphanumericTable()


def normalise(text: str) -> str:
    """Return the form of `text` that shingles and exact matches use (recipe `text1`).

    NFC, case-folded, only Unicode categories L*, M* and N*: Korean copies differ in spacing and punctuation, so both are removed.
    """
    return keep_alphanumeric(fold(text))


def keep_alphanumeric(folded: str) -> str:
    """Return the characters of a folded text in the Unicode categories L*, M* and N*."""
    if len(folded) < _MAX_TRANSLATED_CHARACTERS:
        return folded.translate(_ALPHANUMERIC_TABLE)
    points = to_points(folded)
    return from_points(points[alphanumeric_mask()[points]])


_MAX_TRANSLATED_CHARACTERS = 10_000
"""Length of a text up to which `str.translate` is faster than numpy."""


def fold(text: str) -> str:
    """Return `text` in NFC, case-folded: the first step of `normalise`."""
    return to_nfc(text).casefold()


@dataclass(frozen=True, slots=True)
class FoldedTexts:
    """Folded texts as code points in one array: text `t` is `points[starts[t]:starts[t + 1]]`."""

    points: NDArray[np.uint32]
    starts: NDArray[np.int64]


def fold_batches(texts: Iterable[str]) -> Iterator[FoldedTexts]:
    """Yield the folded texts in order, in batches of about `MAX_BATCH_CHARACTERS` characters."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(fold(text))
        size += len(batch[-1])
        if size >= MAX_BATCH_CHARACTERS:
            yield _join_batch(batch)
            batch, size = [], 0
    if batch:
        yield _join_batch(batch)


def to_points(text: str) -> NDArray[np.uint32]:
    """Return the code points of a text."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def from_points(points: NDArray[np.uint32]) -> str:
    """Return the text of an array of code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _join_batch(batch: list[str]) -> FoldedTexts:
    import numpy as np

    starts = np.zeros(len(batch) + 1, np.int64)
    np.cumsum([len(f) for f in batch], out=starts[1:])
    return FoldedTexts(to_points("".join(batch)), starts)


@lru_cache(maxsize=1)
def alphanumeric_flags() -> bytes:
    """Return one byte per code point: 1 if `normalise` keeps it. Planes 4 to 13 are unassigned, 15 and 16 private."""
    flags = bytearray(0x110000)
    for begin, end in ((0, 0x40000), (0xE0000, 0xF0000)):
        flags[begin:end] = bytes(unicodedata.category(chr(code))[0] in "LMN" for code in range(begin, end))
    return bytes(flags)


@lru_cache(maxsize=1)
def alphanumeric_mask() -> NDArray[np.bool_]:
    """Return `alphanumeric_flags` as a boolean array, indexed by code point."""
    import numpy as np

    return np.frombuffer(alphanumeric_flags(), np.bool_)


_WIDE_BLOCKS = (
    (0x1100, 0x1200), (0x2E80, 0x2FE0), (0x3040, 0x3100), (0x3105, 0x3190), (0x31A0, 0x31C0), (0x31F0, 0x3200), (0x3400, 0x4DC0),
    (0x4E00, 0xA000), (0xA960, 0xA980), (0xAC00, 0xD800), (0xF900, 0xFB00), (0x20000, 0x40000),
)  # fmt: skip


@lru_cache(maxsize=1)
def wide_mask() -> NDArray[np.bool_]:
    """Return a boolean array, indexed by code point: whether it is Hangul, kana, bopomofo or a CJK ideograph (by Unicode block).

    One such character carries as much information as several letters of an alphabet.
    """
    import numpy as np

    wide = np.zeros(0x110000, np.bool_)
    for begin, end in _WIDE_BLOCKS:
        wide[begin:end] = True
    return wide


_STRIDE = 32
_NON_ASCII_SYMBOL = re.compile(r"[^\w\x00-\x7f]")
_LONG_RUN = re.compile(rf"(?<![^\w\x00-\x7f])[^\w\x00-\x7f]{{{2 * _STRIDE},}}")
"""A run that may hold many combining marks: they are not word characters. The lookbehind prevents attempts within a run."""


def to_nfc(text: str) -> str:
    """Return `text` in NFC, in linear time."""
    return to_unicode_form("NFC", text)


def to_unicode_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """Return `text` in a Unicode normalisation form, in linear time.

    `unicodedata` sorts a run of combining marks in quadratic time. Long runs, which no language has, are therefore sorted first.
    """
    if text.isascii():
        return text
    if _NON_ASCII_SYMBOL.search(text[::_STRIDE]):  # a long run contains a sampled character
        return _form_of_runs(form, text)
    return unicodedata.normalize(form, text)


@lru_cache(maxsize=2)
def _form_of_runs(form: Literal["NFC", "NFKC"], text: str) -> str:
    """`to_unicode_form` of a text with long runs. Two results are cached: two states of a page are normalised several times each."""
    return unicodedata.normalize(form, _LONG_RUN.sub(_order_marks, text))


def _order_marks(run: re.Match[str]) -> str:
    """Return a run in canonical decomposition and canonical order (Unicode Standard, 3.11, D109)."""
    import numpy as np

    table = _combining_arrays()
    points = _decomposed(to_points(run[0]), table)
    classes = table.classes[points]
    if not classes.any():
        return run[0]
    # a stable sort by class within each stretch that starts at a character of class 0
    sort_keys = np.cumsum(classes == 0) << 8 | classes
    return from_points(points if (sort_keys[1:] >= sort_keys[:-1]).all() else points[np.argsort(sort_keys, kind="stable")])


def _decomposed(points: NDArray[np.uint32], table: _Combining) -> NDArray[np.uint32]:
    """Replace each code point by its canonical decomposition."""
    import numpy as np

    rows = table.rows[points]
    if not rows.any():
        return points
    lengths = table.lengths[rows]
    decomposed = np.repeat(points, lengths)
    starts = np.cumsum(lengths) - lengths
    for position in range(table.decompositions.shape[1]):
        longer = np.flatnonzero((rows > 0) & (lengths > position))
        decomposed[starts[longer] + position] = table.decompositions[rows[longer], position]
    return decomposed


class _Combining(NamedTuple):
    """Tables of combining characters. Planes 4 and up have none.

    `classes`: canonical combining class of each code point. `rows`: for each code point the row of `decompositions` with its canonical
    decomposition, 0 if it has none. `lengths`: number of code points in each row.
    """

    classes: NDArray[np.uint8]
    rows: NDArray[np.uint16]
    lengths: NDArray[np.int64]
    decompositions: NDArray[np.uint32]


@lru_cache(maxsize=1)
def _combining_arrays() -> _Combining:
    import numpy as np

    classes, rows = np.zeros(0x110000, np.uint8), np.zeros(0x110000, np.uint16)
    classes[:0x40000] = [unicodedata.combining(chr(code)) for code in range(0x40000)]
    composed_codes = [code for code in range(0x40000) if unicodedata.decomposition(chr(code))[:1] not in ("", "<")]
    composed_codes += range(0xAC00, 0xD7A4)
    decompositions = [unicodedata.normalize("NFD", chr(code)) for code in composed_codes]
    rows[composed_codes] = np.arange(1, len(composed_codes) + 1)
    lengths = np.array([1, *map(len, decompositions)])
    padded = "".join(one.ljust(lengths.max(), "\0") for one in ("", *decompositions))
    return _Combining(classes, rows, lengths, to_points(padded).reshape(len(lengths), -1))


def shingles(normalised: str) -> frozenset[str]:
    """Return the distinct overlapping runs of 5 characters. A shorter text is one shingle; an empty text has none."""
    if len(normalised) <= SHINGLE_CHARACTERS:
        return frozenset((normalised,)) if normalised else frozenset()
    return frozenset(normalised[i : i + SHINGLE_CHARACTERS] for i in range(len(normalised) - SHINGLE_CHARACTERS + 1))
