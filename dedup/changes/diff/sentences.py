"""Sentences of Korean and English prose, glued together or not."""

from __future__ import annotations

import regex

from dedup.changes.diff.tokens import join_graphemes

MAX_QUOTATION_CHARACTERS = 600
"""Characters between two quotation marks that are looked at as one quotation; what is longer was never closed."""

MAX_SPLIT_CHARACTERS = 200_000
"""Characters of a text that is split into sentences as a whole. The longest article has a quarter of them."""
MAX_SENTENCES = 20_000
"""Sentences of a side that are aligned with the other's."""

_CLOSING_MARKS = r"[”’」』》〉)\]]*+"
"""What may stand between the end of a sentence and the blank after it. Straight quotation marks are met as opening ones."""
_SENTENCE_END = regex.compile(
    rf"(?P<line>\n)"
    rf"|(?P<quote>[“‘「『\"]|(?<![\w'])'(?=[\p{{Lu}}\d]{{0,12}}\p{{Hangul}}))"
    # an end of any language before a blank, but for initials, abbreviations and numbered heads
    rf"|(?P<end>(?<!\b(?:\p{{Lu}}|Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Inc|Ltd|Co|Corp|Gov|Gen|Sen|Rep|e\.g|i\.e|etc)\.?)(?<!(?:^|\s)\d{{1,2}})(?:[.!?…]|[。！？])++{_CLOSING_MARKS}(?:\x20|\n|$))"
    # Korean endings glued to what follows
    rf"|(?P<korean>(?<=\p{{Hangul}})[.!?…]++{_CLOSING_MARKS}(?=[\p{{Hangul}}\p{{Lu}}\p{{Han}}“‘「『\"'△▲▶■●○◇◆\[(<〈《]))"
    # English ones: a small letter before, a capital after
    rf"|(?P<english>(?<=\p{{Ll}}{{2}})[.!?…]++{_CLOSING_MARKS}(?=\p{{Lu}}\p{{Ll}}|[“‘\"]))"
    rf"|(?P<chinese>[。！？]++{_CLOSING_MARKS})",
    regex.V1 | regex.MULTILINE,
)
_CLOSING_QUOTES = {"“": "”", "‘": "’", "「": "」", "『": "』", '"': '"', "'": "'"}


def split_sentences(text: str) -> list[str]:
    """The sentences of a cleaned text, each with the blank or line end after it; joined they are the text. A quotation is never
    split; a line's end is always the end of a sentence. Of a text with more than `MAX_SPLIT_CHARACTERS` characters its beginning and its
    end are split, and what is between them is one part."""
    if len(text) > MAX_SPLIT_CHARACTERS:
        begin, end = _split(text[: MAX_SPLIT_CHARACTERS // 2]), _split(text[-(MAX_SPLIT_CHARACTERS // 2) :])
        middle = begin[-1] + text[MAX_SPLIT_CHARACTERS // 2 : -(MAX_SPLIT_CHARACTERS // 2)] + end[0]
        return [*begin[:-1], middle, *end[1:]]
    return _split(text)


def _split(text: str) -> list[str]:
    parts: list[str] = []
    begin = at = 0
    while m := _SENTENCE_END.search(text, at):
        at = m.end()
        if m.lastgroup == "quote":
            at = _quotation_end(text, m)
            continue
        parts.append(text[begin:at])
        begin = at
    if begin < len(text):
        parts.append(text[begin:])
    return join_graphemes(parts, text)


def _quotation_end(text: str, mark: regex.Match[str]) -> int:
    """Where the quotation ends that a mark opens, before its closing mark's own end of a sentence; or just behind the mark, where
    it is not closed in its line."""
    begin = mark.end()
    end: int = text.find(_CLOSING_QUOTES[mark[0]], begin, begin + MAX_QUOTATION_CHARACTERS)
    line = text.find("\n", begin, begin + MAX_QUOTATION_CHARACTERS)
    if end < 0 or 0 <= line < end:
        return begin
    return end + 1
