"""What is shown of a text that was found: where it is found, with what was looked for marked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

import regex

from dedup.search.query import Term
from dedup.search.tokenizer import blank_separators
from dedup.text.normalise import to_nfc

CHARACTERS_BEFORE_HIT = 50
"""Characters that are shown before the first hit, about."""
SNIPPET_CHARACTERS = 200
"""Characters that are shown in all, about."""
_MAX_CUT_SHIFT = 20
"""Characters within which a blank is looked for to cut at."""
ELLIPSIS = "…"

HighlightedText = tuple[tuple[str, bool], ...]
"""A text in pieces: (text, whether it is what was looked for)."""

_GRAPHEMES = regex.compile(r"\X")


def highlight(text: str, terms: Iterable[Term]) -> HighlightedText:
    """All of a text (in NFC, every stretch of white space a blank), in pieces."""
    flat_text = " ".join(to_nfc(text).split())
    return _split_pieces(flat_text, _find_hits(flat_text, terms), 0, len(flat_text))


def snippet(text: str, terms: Iterable[Term]) -> HighlightedText:
    """The stretch of a text around the first hit, or its beginning where there is none, likewise; `ELLIPSIS` stands where it was cut."""
    flat_text = " ".join(to_nfc(text).split())
    hits = _find_hits(flat_text, terms)
    first = hits[0][0] if hits else 0
    begin = _find_cut(flat_text, first - CHARACTERS_BEFORE_HIT) if first > CHARACTERS_BEFORE_HIT + _MAX_CUT_SHIFT else 0
    end = (
        _find_cut(flat_text, begin + SNIPPET_CHARACTERS, back=True)
        if len(flat_text) > begin + SNIPPET_CHARACTERS + _MAX_CUT_SHIFT
        else len(flat_text)
    )
    pieces = _split_pieces(flat_text, hits, begin, end)
    return ((ELLIPSIS, False),) * (begin > 0) + pieces + ((ELLIPSIS, False),) * (end < len(flat_text))


def _find_hits(flat_text: str, terms: Iterable[Term]) -> list[tuple[int, int]]:
    """(begin, end) of what is found, in order; they may meet."""
    folded = flat_text.casefold()
    offsets = None if len(folded) == len(flat_text) else [0, *accumulate(len(c.casefold()) for c in flat_text)]
    searchable = blank_separators(folded)
    spans = [match.span() for term in terms for match in term.pattern.finditer(searchable)]
    if offsets is not None:
        spans = [(bisect_right(offsets, begin) - 1, bisect_left(offsets, end)) for begin, end in spans]
    return sorted(spans)


def _find_cut(flat_text: str, position: int, *, back: bool = False) -> int:
    """Near a place where to cut: at a blank, or between two characters as a reader sees them."""
    window = flat_text[position - _MAX_CUT_SHIFT : position] if back else flat_text[position : position + _MAX_CUT_SHIFT]
    blank = window.rfind(" ") if back else window.find(" ")
    if blank >= 0:
        return position - _MAX_CUT_SHIFT + blank if back else position + blank + 1
    begin = max(0, position - 4 * _MAX_CUT_SHIFT)
    edges = [begin + m.end() for m in _GRAPHEMES.finditer(flat_text, begin, position + 4 * _MAX_CUT_SHIFT)]
    return next((edge for edge in edges if edge >= position), position)


def _split_pieces(flat_text: str, hits: list[tuple[int, int]], begin: int, end: int) -> HighlightedText:
    """What lies between two places, with the hits marked as whole characters, as a reader sees them."""
    edges = [begin, *(m.end() for m in _GRAPHEMES.finditer(flat_text, begin, end))]
    pieces: list[tuple[str, bool]] = []
    position = begin
    for first, last in ((max(first, begin), min(last, end)) for first, last in hits):
        if first >= last:
            continue
        first_edge, last_edge = max(position, edges[bisect_right(edges, first) - 1]), edges[bisect_left(edges, last)]
        if last_edge <= position:
            continue
        pieces += [(flat_text[position:first_edge], False), (flat_text[first_edge:last_edge], True)]
        position = last_edge
    return _merge_pieces((*pieces, (flat_text[position:end], False)))


def _merge_pieces(pieces: Iterable[tuple[str, bool]]) -> HighlightedText:
    """Without empty ones, and those of a kind that meet as one."""
    result: list[tuple[str, bool]] = []
    for text, hit in pieces:
        if result and result[-1][1] is hit:
            result[-1] = result[-1][0] + text, hit
        elif text:
            result.append((text, hit))
    return tuple(result)
