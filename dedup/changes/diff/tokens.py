"""Tokens: the smallest parts of a text in a difference. A number, a Hangul syllable or a grapheme is never split.

Graphemes are the extended grapheme clusters of UAX #29, as implemented by the package `regex`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

import regex

from dedup.text.normalise import to_nfc

TokenKind = Literal["number", "word", "ideograph", "blank", "sign", "address"]

_JOINING_CHARACTER = regex.compile(r"[\p{M}\p{Cf}\p{Sk}\p{RI}\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=Prepend}\p{GCB=L}\p{GCB=V}\p{GCB=T}]")
"""A character that may be in one grapheme with its neighbour."""
_INVISIBLE = "\u00ad\u200b\u2060\ufeff"
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_BLANKS = "".join(character for character in map(chr, range(0x3001)) if character.isspace() and character not in _LINE_ENDS)

_DIGITS = r"\d++(?:[.,:]\d++)*+"
_DATE = r"\d{4}(?P<separator>[-./])\d{1,2}(?P=separator)\d{1,2}(?!\d)"
_POWER = r"(?:[십백천만억조경]++)"
_UNIT = (
    r"여?+(?:%p|%포인트|%|퍼센트포인트|퍼센트|포인트|‰|℃|℉|°[CF]?|㎡|㎢|㎥|㎞|㎏|㎝|㎜|㎖|㎾|㎿"
    r"|개월|분기|시간|주일|년도|년대|학년|개국|가구|세대|달러|유로|위안|파운드|킬로미터|킬로그램|미터|그램|리터|톤|평|헥타르"
    r"|원|엔|명|개|건|곳|년|월|일|시|분|초|주|차|회|위|호|층|세|살|대|배|도|번|점|권|장|쪽|조|항|선|표|석|척|마리|그루|만|억"
    r"|(?:bn|mn|km/h|km|kg|cm|mm|mg|ml|GHz|MHz|GB|MB|TB|kB|kWh|MWh|GWh|kW|MW|GW|st|nd|rd|th|am|pm|AM|PM|[kKmMbBgGtTxX])(?![\p{Latin}]))"
)
_NUMBER = (
    r"(?:(?<![\p{L}\p{N}])[+\-\u2212±△▲▼])?(?:[$€£¥₩₤￦](?=\d))?"
    rf"(?:{_DATE}|{_DIGITS}(?:{_POWER}(?:\x20?{_DIGITS}{_POWER})*+(?:{_DIGITS})?+)?+{_UNIT}?+)"
)
_TOKEN = regex.compile(
    r"(?P<address>(?:https?://|(?<![\w:/])//(?=[\w-]{1,63}+\.))[^\s<>\"'”’)\]}]++|[\w.+-]{1,64}+@[\w-]{1,63}+(?:\.[\w-]{1,63}+)++)"
    rf"|(?P<number>{_NUMBER})(?!\p{{M}})"
    r"|(?P<ideograph>\p{Han}(?!\p{M}))"
    r"|(?P<word>\p{Hangul}(?:[\p{Hangul}\p{M}])*+|(?:[\p{L}--[\p{Han}\p{Hangul}]]\p{M}*+)(?:[\p{L}--[\p{Han}\p{Hangul}]]|\p{M}|\d|['’](?=\p{L})|(?<=\d)\.(?=\d))*+)"
    r"|(?P<blank>\s++)"
    r"|(?P<sign>\X)",
    regex.V1,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a text and its kind."""

    kind: TokenKind
    text: str


def clean(text: str) -> str:
    """Return `text` in NFC, without differences that do not count.

    Any line end becomes `\\n`, without white space around it and without the line ends after it. Runs of white space become one
    space. White space at either end and invisible characters (soft hyphens, zero-width spaces) are removed.
    """
    text = to_nfc(text)
    for characters, one in ((_INVISIBLE, ""), (_BLANKS, " "), (_LINE_ENDS, "\n")):
        for character in characters:
            text = text.replace(character, one)
    for pair, one in (("  ", " "), ("\n ", "\n"), (" \n", "\n"), ("\n\n", "\n")):
        while pair in text:  # each pass halves a run
            text = text.replace(pair, one)
    return text.strip()


def tokenise(text: str) -> list[Token]:
    """Return the tokens of a cleaned text. Joined, they are the text.

    A number includes its sign, currency, separators, powers of ten and unit (`-3.5%`, `3억 5천만원`, `2026-03-05`, `10:30`). A word is
    a run of Hangul, or of letters of other alphabets. A Chinese character or a sign is a token. URLs and mail addresses are whole.
    """
    matches = list(_TOKEN.finditer(text))
    kinds = {m.start(): m.lastgroup for m in matches}
    parts = join_graphemes([m[0] for m in matches], text)
    starts = accumulate(map(len, parts), initial=0)
    return [Token(kinds[start], part) for start, part in zip(starts, parts, strict=False)]  # type: ignore[arg-type]  # its groups


def split_tokens(text: str) -> list[str]:
    """Return the texts of the tokens of a cleaned text."""
    return join_graphemes([m[0] for m in _TOKEN.finditer(text)], text)


def is_joining(character: str) -> bool:
    """Return whether a character may be in one grapheme with the character before or after it."""
    return _JOINING_CHARACTER.match(character) is not None


def _may_split_grapheme(parts: list[str]) -> bool:
    """Return whether a grapheme may be split between two of the parts."""
    return any(
        _JOINING_CHARACTER.match(a[-1]) or _JOINING_CHARACTER.match(b[0]) for a, b in pairwise(parts) if not (a[-1] + b[0]).isascii()
    )


def join_graphemes(parts: list[str], text: str) -> list[str]:
    """Return the parts of a text with those joined between which a grapheme would be split."""
    if not _may_split_grapheme(parts):
        return parts
    ends = {m.end() for m in regex.finditer(r"\X", text)}
    result: list[str] = []
    position, part = 0, ""
    for piece in parts:
        part += piece
        position += len(piece)
        if position in ends:
            result.append(part)
            part = ""
    return result
