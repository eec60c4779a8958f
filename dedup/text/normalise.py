"""Text as it is compared (normalised, in shingles), and as it may be shown (nothing a terminal would obey)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 5
"""Characters in a shingle."""
BATCH_CHARACTERS = 1_000_000
"""Characters worked on at once, unless one text alone has more."""


def is_storable(value: object) -> bool:
    """Whether SQLite can hold a text or a number: no lone surrogates, which UTF-8 does not have (an argument or a file name that is
    not UTF-8 has them), integers of 64 bits with a sign, no NaN."""
    if isinstance(value, str):
        return not _SURROGATE.search(value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return not isinstance(value, float) or value == value


_SURROGATE = re.compile("[\ud800-\udfff]")


class _Kept(dict[int, int | None]):
    """A `str.translate` table that learns which characters count as text: Unicode letters, marks and numbers."""

    def __missing__(self, code: int) -> int | None:
        kept = code if unicodedata.category(chr(code))[0] in "LMN" else None
        self[code] = kept
        return kept


_KEPT = _Kept()


def normalise(text: str) -> str:
    """`text` in the form that shingles and exact matches are taken from (recipe `text1`).

    NFC, case-folded, only Unicode L*, M* and N*: Korean copies differ in spacing and punctuation, so both are left out.
    """
    return kept(fold(text))


def kept(folded: str) -> str:
    """The characters of a folded text that are Unicode L*, M* or N*."""
    if len(folded) < _SHORT:
        return folded.translate(_KEPT)
    points = to_points(folded)
    return from_points(points[kept_array()[points]])


_SHORT = 10_000
"""Characters of a text up to which Python's own `translate` is the quicker way."""


def fold(text: str) -> str:
    """`text` in NFC and case-folded: what `normalise` chooses its characters from."""
    return nfc(text).casefold()


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded texts as code points in one array: text t is points[starts[t]:starts[t+1]]."""

    points: NDArray[np.uint32]
    starts: NDArray[np.int64]


def folded(texts: Iterable[str]) -> Iterator[Folded]:
    """The texts folded, order kept, so many at a time that they have `BATCH_CHARACTERS` characters."""
    batch: list[str] = []
    size = 0
    for one in texts:
        batch.append(fold(one))
        size += len(batch[-1])
        if size >= BATCH_CHARACTERS:
            yield _joined(batch)
            batch, size = [], 0
    if batch:
        yield _joined(batch)


def to_points(text: str) -> NDArray[np.uint32]:
    """The code points of a text."""
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


def from_points(points: NDArray[np.uint32]) -> str:
    """The text of normalised code points."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _joined(batch: list[str]) -> Folded:
    import numpy as np

    starts = np.zeros(len(batch) + 1, np.int64)
    np.cumsum([len(f) for f in batch], out=starts[1:])
    return Folded(to_points("".join(batch)), starts)


@lru_cache(maxsize=1)
def kept_codes() -> bytes:
    """One byte for every code point: 1 where `normalise` keeps it. Planes 4 to 13 are unassigned, 15 and 16 private."""
    kept = bytearray(0x110000)
    for begin, end in ((0, 0x40000), (0xE0000, 0xF0000)):
        kept[begin:end] = bytes(unicodedata.category(chr(code))[0] in "LMN" for code in range(begin, end))
    return bytes(kept)


@lru_cache(maxsize=1)
def kept_array() -> NDArray[np.bool_]:
    """`kept_codes` as an array, for choosing from code points."""
    import numpy as np

    return np.frombuffer(kept_codes(), np.bool_)


_WIDE_BLOCKS = (
    (0x1100, 0x1200), (0x2E80, 0x2FE0), (0x3040, 0x3100), (0x3105, 0x3190), (0x31A0, 0x31C0), (0x31F0, 0x3200), (0x3400, 0x4DC0),
    (0x4E00, 0xA000), (0xA960, 0xA980), (0xAC00, 0xD800), (0xF900, 0xFB00), (0x20000, 0x40000),
)  # fmt: skip


@lru_cache(maxsize=1)
def wide_array() -> NDArray[np.bool_]:
    """For every code point whether it is Hangul, kana, bopomofo or a CJK ideograph (by Unicode block): what says as much as
    several letters of an alphabet."""
    import numpy as np

    wide = np.zeros(0x110000, np.bool_)
    for begin, end in _WIDE_BLOCKS:
        wide[begin:end] = True
    return wide


_STRIDE = 32
_SIGN = re.compile(r"[^\w\x00-\x7f]")
_LONG_RUN = re.compile(rf"(?<![^\w\x00-\x7f])[^\w\x00-\x7f]{{{2 * _STRIDE},}}")
"""Where a run of combining marks can be long: they are no word characters. It is tried where a run begins, not within."""


def nfc(text: str) -> str:
    """NFC in linear time."""
    return unicode_form("NFC", text)


def unicode_form(form: Literal["NFC", "NFKC"], text: str) -> str:
    """A normalisation form of Unicode in linear time. Unicodedata orders a run of combining marks in the square of its length, so a
    long run, which no language has, is brought to canonical order first."""
    if text.isascii():
        return text
    if _SIGN.search(text[::_STRIDE]):  # a long run meets a stride
        return _form_of_runs(form, text)
    return unicodedata.normalize(form, text)


@lru_cache(maxsize=2)
def _form_of_runs(form: Literal["NFC", "NFKC"], text: str) -> str:
    """`unicode_form` of a text with long runs. The latest two are cached: two states of a page are normalised several times each."""
    return unicodedata.normalize(form, _LONG_RUN.sub(_ordered, text))


def _ordered(run: re.Match[str]) -> str:
    """A run in canonical decomposition, its marks in canonical order (Unicode Standard, 3.11, D109)."""
    import numpy as np

    table = _combining()
    points = _decomposed(to_points(run[0]), table)
    classes = table.classes[points]
    if not classes.any():
        return run[0]
    # a stable sort by class within each stretch that a character of class 0 begins
    keys = np.cumsum(classes == 0) << 8 | classes
    return from_points(points if (keys[1:] >= keys[:-1]).all() else points[np.argsort(keys, kind="stable")])


def _decomposed(points: NDArray[np.uint32], table: _Combining) -> NDArray[np.uint32]:
    """Code points, each replaced by its canonical decomposition."""
    import numpy as np

    rows = table.rows[points]
    if not rows.any():
        return points
    lengths = table.lengths[rows]
    found = np.repeat(points, lengths)
    starts = np.cumsum(lengths) - lengths
    for place in range(table.decompositions.shape[1]):
        longer = np.flatnonzero((rows > 0) & (lengths > place))
        found[starts[longer] + place] = table.decompositions[rows[longer], place]
    return found


class _Combining(NamedTuple):
    """`classes`: the canonical combining class of every code point. `rows`: for every code point the row of `decompositions` that holds
    its canonical decomposition, 0 where it has none; `lengths`: how many code points each row has. Planes 4 and up have neither."""

    classes: NDArray[np.uint8]
    rows: NDArray[np.uint16]
    lengths: NDArray[np.int64]
    decompositions: NDArray[np.uint32]


@lru_cache(maxsize=1)
def _combining() -> _Combining:
    import numpy as np

    classes, rows = np.zeros(0x110000, np.uint8), np.zeros(0x110000, np.uint16)
    classes[:0x40000] = [unicodedata.combining(chr(code)) for code in range(0x40000)]
    composed = [code for code in range(0x40000) if unicodedata.decomposition(chr(code))[:1] not in ("", "<")]
    composed += range(0xAC00, 0xD7A4)
    decompositions = [unicodedata.normalize("NFD", chr(code)) for code in composed]
    rows[composed] = np.arange(1, len(composed) + 1)
    lengths = np.array([1, *map(len, decompositions)])
    padded = "".join(one.ljust(lengths.max(), "\0") for one in ("", *decompositions))
    return _Combining(classes, rows, lengths, to_points(padded).reshape(len(lengths), -1))


def shingles(normalised: str) -> frozenset[str]:
    """The distinct overlapping runs of 5 characters; a shorter text is one shingle, an empty one has none."""
    if len(normalised) <= SHINGLE:
        return frozenset((normalised,)) if normalised else frozenset()
    return frozenset(normalised[i : i + SHINGLE] for i in range(len(normalised) - SHINGLE + 1))


class _Printable(dict[int, str]):
    """A `str.translate` table that spells out what could steer a terminal or reorder a line."""

    def __missing__(self, code: int) -> str:
        # C*: controls, format characters (bidirectional overrides among them), surrogates, private use, unassigned;
        # Zl, Zp: line and paragraph separators. Zero-width joiners are part of scripts and emoji and stay.
        steering = unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and code not in (
            0x200C,
            0x200D,
        )
        shown = chr(code)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in names and arguments
            shown = f"\\x{code - 0xDC00:02x}"
        elif steering:
            shown = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        self[code] = shown
        return shown


_PRINTABLE = _Printable()


def printable(text: str) -> str:
    """`text` on one line, with every character that could steer a terminal spelt out (`\\x1b`, `\\u202e`)."""
    return text if text.isprintable() else text.translate(_PRINTABLE)


def printable_path(path: bytes) -> str:
    """A path's bytes as text for people: UTF-8 where it is, bytes that are not and control characters as `\\xNN`."""
    return printable(path.decode("utf-8", "backslashreplace"))


def printable_json(value: Any, indent: int | None = None) -> str:
    """JSON; characters that could steer a terminal are escaped, as JSON allows for any character."""
    shown = json.dumps(value, ensure_ascii=False, indent=indent)
    return shown if shown.replace("\n", "").isprintable() else shown.translate(_JSON)


class _Json(dict[int, str]):
    """A `str.translate` table that escapes what could steer, but line ends, which stand between values only."""

    def __missing__(self, code: int) -> str:
        c = chr(code)
        escaped = f"\\u{code:04x}" if code < 0x10000 else json.dumps(c)[1:-1]
        self[code] = c if c == "\n" or printable(c) == c else escaped
        return self[code]


_JSON = _Json()


def printable_block(text: str) -> str:
    """Like `printable`, over several lines: line ends stay, a tab is four blanks."""
    return "\n".join(line.replace("\t", "    ").translate(_PRINTABLE) for line in text.split("\n"))
