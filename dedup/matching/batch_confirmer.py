"""Confirm the candidates of a batch, text by text in the order of their ids: first those by signature, then those by passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dedup.matching.candidates import CandidateSet, FullBuckets
from dedup.matching.match_caches import MatchCaches
from dedup.matching.pair_confirmer import ComparisonBudget, PairConfirmer
from dedup.matching.passage_lookup import FingerprintQuery
from dedup.matching.passage_matcher import MAX_FOLLOWERS, CandidateProposal, PassageEntry, PassageMatcher
from dedup.model import CLUSTER_RELATIONS, Match
from dedup.store import Transaction

COMPARISONS_PER_CHUNK = 500
"""Comparisons whose texts are loaded at once."""


class ConfirmedBatch(NamedTuple):
    """The matches of a batch that are not stored yet, its crowded texts, and the entries of its new texts in the passage index, in the
    order of their ids."""

    new_matches: list[Match]
    crowded: set[int]
    entries: list[PassageEntry]


@dataclass(frozen=True, slots=True)
class PassageSide:
    """The texts of a batch that are looked up by passages, in the order of their ids, and the matcher that proposes their candidates."""

    queries: Mapping[int, FingerprintQuery]
    matcher: PassageMatcher


class BatchConfirmer:
    """Confirms one batch. `passages` is None if no text of it is looked up by passages."""

    def __init__(
        self,
        candidate_set: CandidateSet,
        passages: PassageSide | None,
        full_buckets: FullBuckets,
        pairs: PairConfirmer,
        caches: MatchCaches,
    ) -> None:
        self._candidate_set, self._passages, self._full_buckets, self._pairs = candidate_set, passages, full_buckets, pairs
        self._caches = caches

    def confirm(self, transaction: Transaction) -> ConfirmedBatch:
        """Confirm all candidates. Boilerplate that is learned from them is stored."""
        entries: list[PassageEntry] = []
        for chunk in _split_chunks(self._expected_comparisons()):
            self._pairs.load_texts(chunk)
            for text_id in chunk:
                budget = ComparisonBudget()
                query = self._passages.queries.get(text_id) if self._passages else None
                if self._passages and query:
                    entry = self._confirm_text(transaction, self._passages.matcher, query, budget)
                    entries += [entry] if entry else []
                else:
                    self._confirm_by_signature(text_id, budget)
        return ConfirmedBatch(self._pairs.new_matches, self._pairs.crowded, entries)

    def _confirm_text(
        self, transaction: Transaction, matcher: PassageMatcher, query: FingerprintQuery, budget: ComparisonBudget
    ) -> PassageEntry | None:
        """Confirm the candidates of one text. Returns its entry in the passage index; None for a text that is in it already."""
        proposal = matcher.propose(transaction, query)
        self._confirm_by_signature(query.text_id, budget)
        leader_ids = self._confirm_by_passages(matcher, proposal, budget)
        return None if query.body is None else matcher.enter(proposal, leader_ids)

    # By signature

    def _confirm_by_signature(self, text_id: int, budget: ComparisonBudget) -> None:
        """Confirm the candidates by signature: all of them, or those of a crowded text until one matches."""
        candidates = self._candidate_set.candidates.get(text_id, [])
        if text_id not in self._candidate_set.crowded:
            self._pairs.load_pages(candidates)
            for candidate in candidates:
                self._pairs.confirm(text_id, candidate, budget)
        elif not self._confirm_first(text_id, candidates, budget):
            further = [other for other in self._full_buckets.candidates_of(text_id) if other not in candidates]
            self._confirm_first(text_id, further, budget)

    def _confirm_first(self, text_id: int, candidates: list[int], budget: ComparisonBudget) -> bool:
        """Confirm candidates until one matches. Returns whether one does."""
        self._pairs.load_pages(candidates)
        return any(self._pairs.confirm(text_id, candidate, budget) is not None for candidate in candidates)

    # By passages

    def _confirm_by_passages(self, matcher: PassageMatcher, proposal: CandidateProposal, budget: ComparisonBudget) -> list[int]:
        """Confirm a text's candidates by passages, and their followers.

        Returns the candidates that the text may follow: those that it copies, and other states of its page."""
        query, candidates = proposal.query, proposal.candidates
        followers = list(matcher.own_followers_of(query))
        if not candidates and not followers:
            return []
        if query.body is not None:
            self._caches.texts.put(query.text_id, query.body)
        self._pairs.load_pages((query.text_id, *candidates))
        is_crowded = query.text_id in self._candidate_set.crowded
        leader_ids: list[int] = []
        for candidate in candidates:
            match = self._pairs.confirm(query.text_id, candidate, budget, by_passages=True)
            is_copy = match is not None and match.relation in CLUSTER_RELATIONS
            if is_copy or self._pairs.is_same_page(query.text_id, candidate):
                leader_ids.append(candidate)
            candidate_followers = matcher.followers_of(candidate)
            if is_copy and len(candidate_followers) > MAX_FOLLOWERS:
                self._pairs.crowded.add(query.text_id)
            elif not (is_copy and is_crowded):
                followers += candidate_followers[:MAX_FOLLOWERS]
        self._confirm_followers(query.text_id, followers, budget)
        return leader_ids

    def _confirm_followers(self, text_id: int, followers: Iterable[int], budget: ComparisonBudget) -> None:
        distinct = [other for other in dict.fromkeys(followers) if other != text_id]
        self._pairs.load_pages(distinct)
        for follower in distinct:
            self._pairs.confirm(text_id, follower, budget, by_passages=True)

    # Which texts to load

    def _expected_comparisons(self) -> dict[int, list[int]]:
        """Return, for each text in the order of their ids, the texts that it will be compared with, as far as the indexes show."""
        queried = self._passages.queries if self._passages else {}
        return {text_id: self._expected_candidates(text_id) for text_id in sorted({*self._candidate_set.candidates, *queried})}

    def _expected_candidates(self, text_id: int) -> list[int]:
        candidates = self._candidate_set.candidates.get(text_id, [])
        if text_id in self._candidate_set.crowded:
            candidates = candidates[:1]
        query = self._passages.queries.get(text_id) if self._passages else None
        if not self._passages or not query:
            return list(candidates)
        matcher = self._passages.matcher
        by_passages = matcher.expected_candidates(query)
        followers = [other for leader in by_passages for other in matcher.followers_of(leader)[:MAX_FOLLOWERS]]
        return list(dict.fromkeys((*candidates, *by_passages, *followers, *matcher.own_followers_of(query))))


def _split_chunks(candidates: Mapping[int, list[int]]) -> Iterator[dict[int, list[int]]]:
    """Split texts and their candidates into chunks of about COMPARISONS_PER_CHUNK comparisons, so that the texts of one fit into memory."""
    chunk: dict[int, list[int]] = {}
    comparison_count = 0
    for text_id, candidate_ids in candidates.items():
        chunk[text_id] = candidate_ids
        comparison_count += len(candidate_ids)
        if comparison_count >= COMPARISONS_PER_CHUNK:
            yield chunk
            chunk, comparison_count = {}, 0
    if chunk:
        yield chunk
