"""Newsletters: a text that holds several others side by side is a copy of none of them. Its copies are relabelled as excerpts.

All matches of a text decide, whatever their order: each new match is compared with all others of the text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.matching.match_caches import MatchCaches
from dedup.matching.thresholds import MatchCriteria
from dedup.model import Match
from dedup.runtime.heartbeat import beat
from dedup.similarity import overlap
from dedup.store import Database, Transaction

MAX_COMMON_SHARE = 0.1
"""Share of the smaller of two spans that may lie in the other one too if the spans are side by side."""
MAX_COMPARED_MATCHES = 64
"""Other matches of a text that a new one is compared with."""
MAX_SEARCHED_CHARACTERS = 20_000_000
"""Normalised characters that these comparisons may search."""

Mask = NDArray[np.bool_]
Pair = tuple[int, int]


class NewsletterDetector:
    """Finds copies that are parts of a newsletter."""

    def __init__(self, database: Database, criteria: MatchCriteria, caches: MatchCaches) -> None:
        self._database, self._criteria, self._caches = database, criteria, caches

    def relabel_parts(self, transaction: Transaction, new_matches: list[Match]) -> list[Match]:
        """Return the new matches, those that are parts of a newsletter relabelled as excerpts.

        Stored matches that turn out to be parts are relabelled in the database."""
        possible_parts = [m for m in new_matches if self._is_possible_part(m)]
        if not possible_parts:
            return new_matches
        text_ids = {n for m in possible_parts for n in (m.a, m.b)}
        stored_matches = self._load_stored_matches(text_ids)
        matches_of_text: dict[int, dict[Pair, Match]] = {}
        for match in (*stored_matches.values(), *possible_parts):
            if self._is_possible_part(match):
                for text_id in {match.a, match.b} & text_ids:
                    matches_of_text.setdefault(text_id, {})[match.a, match.b] = match
        lengths = store.texts.lengths(self._database, text_ids)
        part_pairs: set[Pair] = set()
        for match in possible_parts:
            self._caches.texts.end_group()
            for whole_id in (match.a, match.b):
                part_pairs |= self._find_disjoint_parts(whole_id, lengths[whole_id], match, matches_of_text[whole_id].values())
        store.matches.set_relations(transaction, ((*pair, "excerpt") for pair in sorted(part_pairs & stored_matches.keys())))
        return [replace(m, relation="excerpt") if (m.a, m.b) in part_pairs else m for m in new_matches]

    def _load_stored_matches(self, text_ids: set[int]) -> dict[Pair, Match]:
        """Return the stored matches of these texts with texts that still have a body: without one, the span of a text is unknown."""
        stored_matches = store.matches.of_texts(self._database, text_ids)
        without_body = store.texts.without_body(self._database, {n for pair in stored_matches for n in pair} - text_ids)
        return {pair: match for pair, match in stored_matches.items() if without_body.isdisjoint(pair)}

    def _is_possible_part(self, match: Match) -> bool:
        return self._criteria.is_possible_part(match.relation, match.scores)

    def _find_disjoint_parts(self, whole_id: int, length: int, match: Match, others: Iterable[Match]) -> set[Pair]:
        """Return the pairs of `match` and of those `others` whose span in the text lies side by side with that of `match`.

        All matches are matches of the text `whole_id`, of `length` normalised characters."""
        part_pairs: set[Pair] = set()
        compared_count = characters = 0
        for other in others:
            smaller_shared = min(match.scores.shared_characters, other.scores.shared_characters)
            # two spans that are together longer than the text overlap by at least the difference
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
        """Return the mask of the passages in a text that it shares with another one, without boilerplate."""
        texts = self._caches.texts
        span = overlap.mark_passages(texts.get(whole_id).points, overlap.prepare_passages(texts.get(part_id).points))
        boilerplate = self._caches.boilerplate_mask(whole_id)
        return span if boilerplate is None else span & ~boilerplate
