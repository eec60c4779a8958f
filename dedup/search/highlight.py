"""What is shown of a text that was found: where it is found, with what was looked for marked."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

import regex

from dedup.search.query import Term
from dedup.search.tokenizer import blanked
from dedup.text.normalise import nfc

BEFORE = 50
"""Characters that are shown before the first hit, about."""
SHOWN = 200
"""Characters that are shown in all, about."""
_LATEST = 20
"""Characters within which a blank is looked for to cut at."""
CUT = "…"

Pieces = tuple[tuple[str, bool], ...]
"""A text in pieces: (text, whether it is what was looked for)."""

_GRAPHEMES = regex.compile(r"\X")


def marked(text: str, terms: Iterable[Term]) -> Pieces:
    """All of a text (in NFC, every stretch of white space a blank), in pieces."""
    shown = " ".join(nfc(text).split())
    return _pieces(shown, _hits(shown, terms), 0, len(shown))


def snippet(text: str, terms: Iterable[Term]) -> Pieces:
    """The stretch of a text around the first hit, or its beginning where there is none, likewise; `CUT` stands where it was cut."""
    shown = " ".join(nfc(text).split())
    hits = _hits(shown, terms)
    first = hits[0][0] if hits else 0
    begin = _cut(shown, first - BEFORE) if first > BEFORE + _LATEST else 0
    end = _cut(shown, begin + SHOWN, back=True) if len(shown) > begin + SHOWN + _LATEST else len(shown)
    pieces = _pieces(shown, hits, begin, end)
    return ((CUT, False),) * (begin > 0) + pieces + ((CUT, False),) * (end < len(shown))


def _hits(shown: str, terms: Iterable[Term]) -> list[tuple[int, int]]:
    """(begin, end) of what is found, in order; they may meet."""
    folded = shown.casefold()
    places = None if len(folded) == len(shown) else [0, *accumulate(len(c.casefold()) for c in shown)]
    text = blanked(folded)
    found = [match.span() for term in terms for match in term.pattern.finditer(text)]
    if places is not None:
        found = [(bisect_right(places, begin) - 1, bisect_left(places, end)) for begin, end in found]
    return sorted(found)


def _cut(shown: str, place: int, *, back: bool = False) -> int:
    """Near a place where to cut: at a blank, or between two characters as a reader sees them."""
    near = shown[place - _LATEST : place] if back else shown[place : place + _LATEST]
    blank = near.rfind(" ") if back else near.find(" ")
    if blank >= 0:
        return place - _LATEST + blank if back else place + blank + 1
    begin = max(0, place - 4 * _LATEST)
    edges = [begin + m.end() for m in _GRAPHEMES.finditer(shown, begin, place + 4 * _LATEST)]
    return next((edge for edge in edges if edge >= place), place)


def _pieces(shown: str, hits: list[tuple[int, int]], begin: int, end: int) -> Pieces:
    """What lies between two places, with the hits marked as whole characters, as a reader sees them."""
    edges = [begin, *(m.end() for m in _GRAPHEMES.finditer(shown, begin, end))]
    found: list[tuple[str, bool]] = []
    at = begin
    for first, last in ((max(first, begin), min(last, end)) for first, last in hits):
        if first >= last:
            continue
        first_edge, last_edge = max(at, edges[bisect_right(edges, first) - 1]), edges[bisect_left(edges, last)]
        if last_edge <= at:
            continue
        found += [(shown[at:first_edge], False), (shown[first_edge:last_edge], True)]
        at = last_edge
    return _joined((*found, (shown[at:end], False)))


def _joined(pieces: Iterable[tuple[str, bool]]) -> Pieces:
    """Without empty ones, and those of a kind that meet as one."""
    found: list[tuple[str, bool]] = []
    for text, hit in pieces:
        if found and found[-1][1] is hit:
            found[-1] = found[-1][0] + text, hit
        elif text:
            found.append((text, hit))
    return tuple(found)
