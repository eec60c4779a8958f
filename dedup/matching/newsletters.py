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
from dedup.matching.text_cache import PreparedTextCache
from dedup.matching.thresholds import MatchCriteria
from dedup.model import Match
from dedup.similarity import overlap
from dedup.store import Database, Transaction

MAX_COMMON_SHARE = 0.1
"""Share of the smaller stretch that two may have in common and still stand side by side."""
MAX_COMPARED_MATCHES = 64
"""Other matches of a text that a new one is looked at beside."""
MAX_SEARCHED_CHARACTERS = 20_000_000
"""Normalised characters of the text that are searched for that, one match after the other."""

Mask = NDArray[np.bool_]
Pair = tuple[int, int]


class NewsletterDetector:
    """Tells which copies are parts of a bundle."""

    def __init__(
        self, database: Database, criteria: MatchCriteria, text_cache: PreparedTextCache, mask_of: Callable[[int], Mask | None]
    ) -> None:
        self._database, self._criteria, self._text_cache, self._mask_of = database, criteria, text_cache, mask_of

    def relabel_parts(self, transaction: Transaction, new_matches: list[Match]) -> list[Match]:
        """New matches, those that are parts of a bundle told as excerpts; stored ones that turn out to be parts are changed in
        the store."""
        possible_parts = [m for m in new_matches if self._is_possible_part(m)]
        if not possible_parts:
            return new_matches
        text_ids = {n for m in possible_parts for n in (m.a, m.b)}
        stored_matches = store.matches.of_texts(self._database, text_ids)
        without_body = store.texts.without_body(self._database, {n for pair in stored_matches for n in pair} - text_ids)
        stored_matches = {
            pair: match for pair, match in stored_matches.items() if without_body.isdisjoint(pair)
        }  # where those stand is not known any more
        matches_of_text: dict[int, dict[Pair, Match]] = {}
        for match in (*stored_matches.values(), *possible_parts):
            if self._is_possible_part(match):
                for text_id in {match.a, match.b} & text_ids:
                    matches_of_text.setdefault(text_id, {})[match.a, match.b] = match
        lengths = store.texts.lengths(self._database, text_ids)
        part_pairs: set[Pair] = set()
        for match in possible_parts:
            self._text_cache.end_group()
            for whole_id in (match.a, match.b):
                part_pairs |= self._find_disjoint_parts(whole_id, lengths[whole_id], match, matches_of_text[whole_id].values())
        store.matches.set_relations(transaction, ((*pair, "excerpt") for pair in sorted(part_pairs & stored_matches.keys())))
        return [replace(m, relation="excerpt") if (m.a, m.b) in part_pairs else m for m in new_matches]

    def _is_possible_part(self, match: Match) -> bool:
        return self._criteria.is_possible_part(match.relation, match.scores)

    def _find_disjoint_parts(self, whole_id: int, length: int, match: Match, others: Iterable[Match]) -> set[Pair]:
        """The pairs that `match` and others make of the same text, where they stand side by side in it."""
        part_pairs: set[Pair] = set()
        compared_count = characters = 0
        for other in others:
            smaller_shared = min(match.scores.shared_characters, other.scores.shared_characters)
            # what two stretches share is at least what they have more than there is room for
            if (
                other is match
                or match.scores.shared_characters + other.scores.shared_characters - length > MAX_COMMON_SHARE * smaller_shared
            ):
                continue
            compared_count += 1
            if compared_count > MAX_COMPARED_MATCHES or characters > MAX_SEARCHED_CHARACTERS:
                break
            characters += 2 * length
            beat()
            spans = [self._span_of(whole_id, m.b if m.a == whole_id else m.a) for m in (match, other)]
            common_characters = int(np.count_nonzero(spans[0] & spans[1]))
            if common_characters <= MAX_COMMON_SHARE * min(int(np.count_nonzero(s)) for s in spans):
                part_pairs |= {(match.a, match.b), (other.a, other.b)}
        return part_pairs

    def _span_of(self, whole_id: int, part_id: int) -> Mask:
        """Where in a text another one stands."""
        whole_text = self._text_cache.get(whole_id)
        span = overlap.mark_passages(whole_text.points, overlap.prepare_passages(self._text_cache.get(part_id).points))
        boilerplate = self._mask_of(whole_id)
        return span if boilerplate is None else span & ~boilerplate
