"""From a file's bytes to text: UTF-8 first, then UTF-16 and CP949 where the bytes speak for them. Never a guess."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

HEADER = "---"
"""How an article's file begins, in any encoding."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """`text` without BOM; `truncated` where the file ends inside a character (`text` is what stands before it)."""

    text: str
    encoding: str
    truncated: bool


def decode(raw: bytes) -> Decoded | None:
    """The text of `raw`, or None where it is in none of the known encodings."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        wide = "utf-16-le" if raw.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        return _utf16(raw[2:], wide)
    if raw.startswith(codecs.BOM_UTF8):
        raw = raw[3:]
    for wide in ("utf-16-le", "utf-16-be"):
        if raw.startswith(HEADER.encode(wide)):
            return _utf16(raw, wide)
    try:
        return Decoded(raw.decode(), "utf-8", truncated=False)
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.end == len(raw):
            return Decoded(raw[: error.start].decode(), "utf-8", truncated=True)
    return _cp949(raw)


def _utf16(raw: bytes, encoding: str) -> Decoded | None:
    try:
        return Decoded(raw.decode(encoding), encoding, truncated=False)
    except UnicodeDecodeError as error:
        # An odd byte or half a surrogate pair at the very end.
        if error.start >= len(raw) - 3 and error.reason in ("truncated data", "unexpected end of data"):
            return Decoded(raw[: error.start].decode(encoding), encoding, truncated=True)
        return None


def _cp949(raw: bytes) -> Decoded | None:
    """CP949 (EUC-KR included), unless the bytes look like UTF-8 that was damaged: then reading them as Korean would only
    make up other words."""
    if _mostly_utf8(raw):
        return None
    try:
        return Decoded(raw.decode("cp949"), "cp949", truncated=False)
    except UnicodeDecodeError as error:
        if error.start == len(raw) - 1 and error.reason == "incomplete multibyte sequence":
            return Decoded(raw[: error.start].decode("cp949"), "cp949", truncated=True)
        return None


def _mostly_utf8(raw: bytes) -> bool:
    kept = raw.decode("utf-8", "ignore")
    beyond_ascii = sum(1 for byte in raw if byte > 0x7F)
    valid = len(kept.encode()) - sum(1 for c in kept if c < "\x80")
    return valid * 2 > beyond_ascii
