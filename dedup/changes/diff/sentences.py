"""Sentences of Korean and English prose, glued together or not."""

from __future__ import annotations

import regex

from dedup.changes.diff.tokens import whole

MOST_QUOTED = 600
"""Characters between two quotation marks that are looked at as one quotation; what is longer was never closed."""

MOST_SENTENCED = 200_000
"""Characters of a text that is split into sentences as a whole. The longest article has a quarter of them."""
MOST_LINES = 20_000
"""Sentences of a side that are aligned with the other's."""

_CLOSING = r"[”’」』》〉)\]]*+"
"""What may stand between the end of a sentence and the blank after it. Straight quotation marks are met as opening ones."""
_END = regex.compile(
    rf"(?P<line>\n)"
    rf"|(?P<quote>[“‘「『\"]|(?<![\w'])'(?=[\p{{Lu}}\d]{{0,12}}\p{{Hangul}}))"
    # an end of any language before a blank, but for initials, abbreviations and numbered heads
    rf"|(?P<end>(?<!\b(?:\p{{Lu}}|Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Inc|Ltd|Co|Corp|Gov|Gen|Sen|Rep|e\.g|i\.e|etc)\.?)(?<!(?:^|\s)\d{{1,2}})(?:[.!?…]|[。！？])++{_CLOSING}(?:\x20|\n|$))"
    # Korean endings glued to what follows
    rf"|(?P<korean>(?<=\p{{Hangul}})[.!?…]++{_CLOSING}(?=[\p{{Hangul}}\p{{Lu}}\p{{Han}}“‘「『\"'△▲▶■●○◇◆\[(<〈《]))"
    # English ones: a small letter before, a capital after
    rf"|(?P<english>(?<=\p{{Ll}}{{2}})[.!?…]++{_CLOSING}(?=\p{{Lu}}\p{{Ll}}|[“‘\"]))"
    rf"|(?P<chinese>[。！？]++{_CLOSING})",
    regex.V1 | regex.MULTILINE,
)
_CLOSED_BY = {"“": "”", "‘": "’", "「": "」", "『": "』", '"': '"', "'": "'"}


def sentences(text: str) -> list[str]:
    """The sentences of a cleaned text, each with the blank or line end after it; joined they are the text. A quotation is never
    split; a line's end is always the end of a sentence. Of a text with more than `MOST_SENTENCED` characters its beginning and its end
    are split, and what is between them is one part."""
    if len(text) > MOST_SENTENCED:
        begin, end = _sentences(text[: MOST_SENTENCED // 2]), _sentences(text[-(MOST_SENTENCED // 2) :])
        middle = begin[-1] + text[MOST_SENTENCED // 2 : -(MOST_SENTENCED // 2)] + end[0]
        return [*begin[:-1], middle, *end[1:]]
    return _sentences(text)


def _sentences(text: str) -> list[str]:
    found: list[str] = []
    begin = at = 0
    while m := _END.search(text, at):
        at = m.end()
        if m.lastgroup == "quote":
            at = _past(text, m)
            continue
        found.append(text[begin:at])
        begin = at
    if begin < len(text):
        found.append(text[begin:])
    return whole(found, text)


def _past(text: str, mark: regex.Match[str]) -> int:
    """Where the quotation ends that a mark opens, before its closing mark's own end of a sentence; or just behind the mark, where
    it is not closed in its line."""
    begin = mark.end()
    end: int = text.find(_CLOSED_BY[mark[0]], begin, begin + MOST_QUOTED)
    line = text.find("\n", begin, begin + MOST_QUOTED)
    if end < 0 or 0 <= line < end:
        return begin
    return end + 1
