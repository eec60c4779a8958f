"""A text that holds several others side by side (a newsletter) is no copy of any: they are told as excerpts.

What decides is the whole of a text's matches, whatever their order: each new one is looked at beside all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.heartbeat import beat
from dedup.matching.text_cache import Kept
from dedup.matching.thresholds import Matching
from dedup.model import Match
from dedup.similarity import overlap
from dedup.store import Database, Transaction

APART = 0.1
"""Share of the smaller stretch that two may have in common and still stand side by side."""
MOST = 64
"""Other matches of a text that a new one is looked at beside."""
MOST_CHARACTERS = 20_000_000
"""Normalised characters of the text that are searched for that, one match after the other."""

Mask = NDArray[np.bool_]
Pair = tuple[int, int]


class Bundles:
    """Tells which copies are parts of a bundle."""

    def __init__(self, database: Database, matching: Matching, kept: Kept, mask: Callable[[int], Mask | None]) -> None:
        self._database, self._matching, self._kept, self._mask = database, matching, kept, mask

    def sort(self, transaction: Transaction, found: list[Match]) -> list[Match]:
        """New matches, those that are parts of a bundle told as excerpts; stored ones that turn out to be parts are changed in
        the store."""
        doubtful = [m for m in found if self._could(m)]
        if not doubtful:
            return found
        texts = {n for m in doubtful for n in (m.a, m.b)}
        stored = store.matches.of_texts(self._database, texts)
        bodiless = store.texts.without_body(self._database, {n for pair in stored for n in pair} - texts)
        stored = {pair: match for pair, match in stored.items() if bodiless.isdisjoint(pair)}  # where those stand is not known any more
        of_text: dict[int, dict[Pair, Match]] = {}
        for match in (*stored.values(), *doubtful):
            if self._could(match):
                for number in {match.a, match.b} & texts:
                    of_text.setdefault(number, {})[match.a, match.b] = match
        characters = store.texts.lengths(self._database, texts)
        parts: set[Pair] = set()
        for match in doubtful:
            self._kept.end_group()
            for whole in (match.a, match.b):
                parts |= self._beside(whole, characters[whole], match, of_text[whole].values())
        store.matches.set_relations(transaction, ((*pair, "excerpt") for pair in sorted(parts & stored.keys())))
        return [replace(m, relation="excerpt") if (m.a, m.b) in parts else m for m in found]

    def _could(self, match: Match) -> bool:
        return self._matching.could_be_bundled(match.relation, match.numbers)

    def _beside(self, whole: int, length: int, match: Match, others: Iterable[Match]) -> set[Pair]:
        """The pairs that `match` and others make of the same text, where they stand side by side in it."""
        parts: set[Pair] = set()
        looked_at = characters = 0
        for other in others:
            smaller = min(match.numbers.shared, other.numbers.shared)
            # what two stretches share is at least what they have more than there is room for
            if other is match or match.numbers.shared + other.numbers.shared - length > APART * smaller:
                continue
            looked_at += 1
            if looked_at > MOST or characters > MOST_CHARACTERS:
                break
            characters += 2 * length
            beat()
            stretches = [self._stretch(whole, m.b if m.a == whole else m.a) for m in (match, other)]
            common = int(np.count_nonzero(stretches[0] & stretches[1]))
            if common <= APART * min(int(np.count_nonzero(s)) for s in stretches):
                parts |= {(match.a, match.b), (other.a, other.b)}
        return parts

    def _stretch(self, whole: int, part: int) -> Mask:
        """Where in a text another one stands."""
        own = self._kept.get(whole)
        found = overlap.runs_in(own.points, overlap.sought(self._kept.get(part).points))
        masked = self._mask(whole)
        return found if masked is None else found & ~masked
