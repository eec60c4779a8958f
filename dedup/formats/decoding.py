"""A file's bytes as text: UTF-8 first, then UTF-16 and CP949 if the bytes are consistent with them. Never a guess."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

HEADER_MARK = "---"
"""The beginning of an article's file, in any encoding."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """`text` has no BOM. `truncated`: the file ends inside a character; `text` is everything before it."""

    text: str
    encoding: str
    truncated: bool


def decode(raw: bytes) -> DecodedText | None:
    """Return the text of `raw`, or None if it is in none of the supported encodings."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        utf16 = "utf-16-le" if raw.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
        return _decode_utf16(raw[2:], utf16)
    if raw.startswith(codecs.BOM_UTF8):
        raw = raw[3:]
    for utf16 in ("utf-16-le", "utf-16-be"):
        if raw.startswith(HEADER_MARK.encode(utf16)):
            return _decode_utf16(raw, utf16)
    try:
        return DecodedText(raw.decode(), "utf-8", truncated=False)
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.end == len(raw):
            return DecodedText(raw[: error.start].decode(), "utf-8", truncated=True)
    return _decode_cp949(raw)


def _decode_utf16(raw: bytes, encoding: str) -> DecodedText | None:
    try:
        return DecodedText(raw.decode(encoding), encoding, truncated=False)
    except UnicodeDecodeError as error:
        # An odd byte or half a surrogate pair at the very end.
        if error.start >= len(raw) - 3 and error.reason in ("truncated data", "unexpected end of data"):
            return DecodedText(raw[: error.start].decode(encoding), encoding, truncated=True)
        return None


def _decode_cp949(raw: bytes) -> DecodedText | None:
    """Decode CP949 (which includes EUC-KR), unless the bytes look like damaged UTF-8: decoding those as Korean would invent words."""
    if _is_mostly_utf8(raw):
        return None
    try:
        return DecodedText(raw.decode("cp949"), "cp949", truncated=False)
    except UnicodeDecodeError as error:
        if error.start == len(raw) - 1 and error.reason == "incomplete multibyte sequence":
            return DecodedText(raw[: error.start].decode("cp949"), "cp949", truncated=True)
        return None


def _is_mostly_utf8(raw: bytes) -> bool:
    valid_text = raw.decode("utf-8", "ignore")
    non_ascii_bytes = sum(1 for byte in raw if byte > 0x7F)
    valid_bytes = len(valid_text.encode()) - sum(1 for c in valid_text if c < "\x80")
    return valid_bytes * 2 > non_ascii_bytes
