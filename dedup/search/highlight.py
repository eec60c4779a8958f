"""Snippets of matching texts, with the matches highlighted."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

import regex

from dedup.search.query import Term
from dedup.search.tokenizer import blank_separators
from dedup.text.normalise import to_nfc

CHARACTERS_BEFORE_HIT = 50
"""About how many characters a snippet shows before the first match."""
SNIPPET_CHARACTERS = 200
"""About how many characters a snippet has."""
_MAX_CUT_SHIFT = 20
"""Characters within which a blank is searched as a place to cut."""
ELLIPSIS = "…"

HighlightedText = tuple[tuple[str, bool], ...]
"""A text as pieces: (text, whether it is a match)."""

_GRAPHEMES = regex.compile(r"\X")


def highlight(text: str, terms: Iterable[Term]) -> HighlightedText:
    """Highlight the matches of `terms` in a text. The result is in NFC, with each run of white space replaced by one blank."""
    flat_text = " ".join(to_nfc(text).split())
    return _split_pieces(flat_text, _find_matches(flat_text, terms), 0, len(flat_text))


def snippet(text: str, terms: Iterable[Term]) -> HighlightedText:
    """Highlight the part of a text around its first match, or its beginning if nothing matches.

    The text is normalised as by `highlight`. `ELLIPSIS` marks each end that was cut.
    """
    flat_text = " ".join(to_nfc(text).split())
    matches = _find_matches(flat_text, terms)
    first = matches[0][0] if matches else 0
    begin = _find_cut(flat_text, first - CHARACTERS_BEFORE_HIT) if first > CHARACTERS_BEFORE_HIT + _MAX_CUT_SHIFT else 0
    end = (
        _find_cut(flat_text, begin + SNIPPET_CHARACTERS, back=True)
        if len(flat_text) > begin + SNIPPET_CHARACTERS + _MAX_CUT_SHIFT
        else len(flat_text)
    )
    pieces = _split_pieces(flat_text, matches, begin, end)
    return ((ELLIPSIS, False),) * (begin > 0) + pieces + ((ELLIPSIS, False),) * (end < len(flat_text))


def pieces_to_text(pieces: Sequence[tuple[str, bool]]) -> str:
    """Join highlighted pieces to plain text."""
    return "".join(text for text, _ in pieces)


def _find_matches(flat_text: str, terms: Iterable[Term]) -> list[tuple[int, int]]:
    """(begin, end) of each match, sorted. Matches may overlap."""
    folded = flat_text.casefold()
    offsets = None if len(folded) == len(flat_text) else [0, *accumulate(len(c.casefold()) for c in flat_text)]
    searchable = blank_separators(folded)
    spans = [match.span() for term in terms for match in term.pattern.finditer(searchable)]
    if offsets is not None:
        spans = [(bisect_right(offsets, begin) - 1, bisect_left(offsets, end)) for begin, end in spans]
    return sorted(spans)


def _find_cut(flat_text: str, position: int, *, back: bool = False) -> int:
    """A place to cut near `position`: at a blank after it (with `back`, before it), otherwise between two grapheme clusters."""
    window = flat_text[position - _MAX_CUT_SHIFT : position] if back else flat_text[position : position + _MAX_CUT_SHIFT]
    blank = window.rfind(" ") if back else window.find(" ")
    if blank >= 0:
        return position - _MAX_CUT_SHIFT + blank if back else position + blank + 1
    begin = max(0, position - 4 * _MAX_CUT_SHIFT)
    edges = [begin + m.end() for m in _GRAPHEMES.finditer(flat_text, begin, position + 4 * _MAX_CUT_SHIFT)]
    return next((edge for edge in edges if edge >= position), position)


def _split_pieces(flat_text: str, matches: Iterable[tuple[int, int]], begin: int, end: int) -> HighlightedText:
    """The text from `begin` to `end` with its matches highlighted. Matches are extended to whole grapheme clusters."""
    edges = [begin, *(m.end() for m in _GRAPHEMES.finditer(flat_text, begin, end))]
    pieces: list[tuple[str, bool]] = []
    position = begin
    for first, last in ((max(first, begin), min(last, end)) for first, last in matches):
        if first >= last:
            continue
        first_edge, last_edge = max(position, edges[bisect_right(edges, first) - 1]), edges[bisect_left(edges, last)]
        if last_edge <= position:
            continue
        pieces += [(flat_text[position:first_edge], False), (flat_text[first_edge:last_edge], True)]
        position = last_edge
    return _merge_pieces((*pieces, (flat_text[position:end], False)))


def _merge_pieces(pieces: Iterable[tuple[str, bool]]) -> HighlightedText:
    """Drop empty pieces and join adjacent pieces of the same kind."""
    merged: list[tuple[str, bool]] = []
    for text, is_match in pieces:
        if merged and merged[-1][1] is is_match:
            merged[-1] = merged[-1][0] + text, is_match
        elif text:
            merged.append((text, is_match))
    return tuple(merged)
