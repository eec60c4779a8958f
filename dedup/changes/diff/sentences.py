"""Sentences of Korean and English prose, even if they are not separated by white space."""

from __future__ import annotations

import regex

from dedup.changes.diff.tokens import join_graphemes

MAX_QUOTATION_CHARACTERS = 600
"""Characters between two quotation marks at most. A longer quotation is taken as never closed."""

MAX_SPLIT_CHARACTERS = 200_000
"""Characters of a text that is split into sentences as a whole. The longest article has a quarter of them."""
MAX_SENTENCES = 20_000
"""Sentences of a side that are aligned with those of the other."""

_CLOSING_MARKS = r"[”’」』》〉)\]]*+"
"""Marks between the end of a sentence and the space after it. Straight quotation marks are treated as opening ones."""
_SENTENCE_END = regex.compile(
    rf"(?P<line>\n)"
    rf"|(?P<quote>[“‘「『\"]|(?<![\w'])'(?=[\p{{Lu}}\d]{{0,12}}\p{{Hangul}}))"
    # an end of a sentence before a space, except after initials, abbreviations and numbers of headings
    rf"|(?P<end>(?<!\b(?:\p{{Lu}}|Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Inc|Ltd|Co|Corp|Gov|Gen|Sen|Rep|e\.g|i\.e|etc)\.?)(?<!(?:^|\s)\d{{1,2}})(?:[.!?…]|[。！？])++{_CLOSING_MARKS}(?:\x20|\n|$))"
    # Korean: the next sentence follows without a space
    rf"|(?P<korean>(?<=\p{{Hangul}})[.!?…]++{_CLOSING_MARKS}(?=[\p{{Hangul}}\p{{Lu}}\p{{Han}}“‘「『\"'△▲▶■●○◇◆\[(<〈《]))"
    # English, without a space: a lower-case letter before, a capital after
    rf"|(?P<english>(?<=\p{{Ll}}{{2}})[.!?…]++{_CLOSING_MARKS}(?=\p{{Lu}}\p{{Ll}}|[“‘\"]))"
    rf"|(?P<chinese>[。！？]++{_CLOSING_MARKS})",
    regex.V1 | regex.MULTILINE,
)
_CLOSING_QUOTES = {"“": "”", "‘": "’", "「": "」", "『": "』", '"': '"', "'": "'"}


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a cleaned text, each with the space or line end after it. Joined, they are the text.

    A quotation is never split, and a line end always ends a sentence. If a text has more than `MAX_SPLIT_CHARACTERS` characters,
    its beginning and its end are split, and the text between them is one part.
    """
    if len(text) > MAX_SPLIT_CHARACTERS:
        begin, end = _split(text[: MAX_SPLIT_CHARACTERS // 2]), _split(text[-(MAX_SPLIT_CHARACTERS // 2) :])
        middle = begin[-1] + text[MAX_SPLIT_CHARACTERS // 2 : -(MAX_SPLIT_CHARACTERS // 2)] + end[0]
        return [*begin[:-1], middle, *end[1:]]
    return _split(text)


def _split(text: str) -> list[str]:
    parts: list[str] = []
    begin = position = 0
    while m := _SENTENCE_END.search(text, position):
        position = m.end()
        if m.lastgroup == "quote":
            position = _quotation_end(text, m)
            continue
        parts.append(text[begin:position])
        begin = position
    if begin < len(text):
        parts.append(text[begin:])
    return join_graphemes(parts, text)


def _quotation_end(text: str, mark: regex.Match[str]) -> int:
    """Where a quotation ends, before the closing mark's own sentence end; directly after its opening mark if it is not closed in its
    line."""
    begin = mark.end()
    end: int = text.find(_CLOSING_QUOTES[mark[0]], begin, begin + MAX_QUOTATION_CHARACTERS)
    line = text.find("\n", begin, begin + MAX_QUOTATION_CHARACTERS)
    if end < 0 or 0 <= line < end:
        return begin
    return end + 1
