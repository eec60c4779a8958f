"""Confirm candidates pair by pair: measure two texts, and keep the result for the rest of the batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from dedup import store
from dedup.matching.match_caches import MatchCaches
from dedup.matching.thresholds import MatchCriteria
from dedup.model import Match
from dedup.store import Database
from dedup.store.rows import TextPages

MAX_COMPARED_CHARACTERS = 16_000_000
"""Normalised characters, of a text and of those compared with it, after which one match is enough; without a match, three times as many.
A text of usual length reaches this limit after thousands of comparisons."""


class PairAssessor:
    """Measures two texts and decides whether they match."""

    def __init__(self, criteria: MatchCriteria, caches: MatchCaches) -> None:
        self._criteria, self._caches = criteria, caches

    def assess(self, a_id: int, b_id: int, *, by_passages: bool) -> Match | None:
        """Return the match of two texts; None if there is none. `by_passages`: only shared passages made them candidates."""
        caches = self._caches
        assessment = self._criteria.assess(
            caches.texts.get(a_id),
            caches.texts.get(b_id),
            lambda: (caches.boilerplate_mask(a_id), caches.boilerplate_mask(b_id)),
            by_passages=by_passages,
        )
        if assessment.relation is None:
            return None
        names = caches.masked_passage_names(a_id) | caches.masked_passage_names(b_id)
        return Match(a_id, b_id, assessment.relation, replace(assessment.scores, masked_boilerplate=tuple(sorted(names))))


@dataclass(slots=True)
class ComparisonBudget:
    """The work done for one text of a batch, against MAX_COMPARED_CHARACTERS."""

    compared_characters: int = 0
    has_match: bool = False

    def is_exhausted(self) -> bool:
        return self.compared_characters > MAX_COMPARED_CHARACTERS * (1 if self.has_match else 3)


class PairConfirmer:
    """Confirms the pairs of one batch. Each pair is measured once; `stored_matches` are not measured again.

    `new_matches` are the matches found, and `crowded` the texts that ran out of their budget, or that a caller added."""

    def __init__(
        self, database: Database, assessor: PairAssessor, caches: MatchCaches, stored_matches: Mapping[tuple[int, int], Match]
    ) -> None:
        self.crowded: set[int] = set()
        self._database, self._assessor, self._caches, self._stored_matches = database, assessor, caches, stored_matches
        self._assessed: dict[tuple[int, int], Match | None] = {}
        self._pages: dict[int, TextPages | None] = {}

    @property
    def new_matches(self) -> list[Match]:
        return [match for match in self._assessed.values() if match]

    def load_pages(self, text_ids: Iterable[int]) -> None:
        """Load which pages show these texts, with one query."""
        missing = [text_id for text_id in text_ids if text_id not in self._pages]
        if missing:
            pages = store.texts.pages_showing_any(self._database, missing)
            self._pages |= {text_id: pages.get(text_id) for text_id in missing}

    def load_texts(self, candidates: Mapping[int, Collection[int]]) -> None:
        """Load the texts that are keys, the candidates of each, and their pages, in place of the texts loaded before."""
        self._caches.texts.end_group()
        candidates = {text_id: others for text_id, others in candidates.items() if others}
        self.load_pages({*candidates, *(other for others in candidates.values() for other in others)})
        comparable = {text_id: [other for other in others if self.can_match(text_id, other)] for text_id, others in candidates.items()}
        self._caches.texts.load({n for text_id, others in comparable.items() if others for n in (text_id, *others)})

    def can_match(self, text_id: int, other_id: int) -> bool:
        """Return whether two different pages show the texts. Revisions of one page are never matched with each other. The pages must be
        loaded."""
        a, b = self._pages.get(text_id), self._pages.get(other_id)
        return a is not None and b is not None and (a.has_several or b.has_several or a.first_page_id != b.first_page_id)

    def is_same_page(self, text_id: int, other_id: int) -> bool:
        """Return whether one page shows both texts, judged by the first and the last page of each. The pages must be loaded."""
        a, b = self._pages.get(text_id), self._pages.get(other_id)
        return a is not None and b is not None and bool({a.first_page_id, a.last_page_id} & {b.first_page_id, b.last_page_id})

    def confirm(self, text_id: int, other_id: int, budget: ComparisonBudget, *, by_passages: bool = False) -> Match | None:
        """Return the match of a text with a candidate; None if there is none, if only revisions of one page show them, or if the budget of
        the text is exhausted."""
        if not self.can_match(text_id, other_id):
            return None
        pair = min(text_id, other_id), max(text_id, other_id)
        if pair in self._stored_matches:
            return self._stored_matches[pair]
        if pair not in self._assessed:
            if budget.is_exhausted():
                self.crowded.add(text_id)
                return None
            match = self._assessed[pair] = self._assessor.assess(*pair, by_passages=by_passages)
            budget.compared_characters += sum(len(self._caches.texts.get(n).points) for n in pair)
            budget.has_match |= match is not None
        return self._assessed[pair]
