"""Find the matches of texts: look up candidates in both indexes, measure each pair, and keep those that reach a threshold."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.index.lsh import CandidateIndex
from dedup.index.passages import PassageIndex
from dedup.matching.batch_confirmer import BatchConfirmer, PassageSide
from dedup.matching.candidates import CandidateSet, FullBuckets, NewText, query_signatures, rank_candidates
from dedup.matching.indexes import MatchIndexes
from dedup.matching.match_caches import MatchCaches
from dedup.matching.newsletters import NewsletterDetector
from dedup.matching.pair_confirmer import PairAssessor, PairConfirmer
from dedup.matching.passage_lookup import FingerprintQuery, look_up_passages
from dedup.matching.passage_matcher import PassageEntry, PassageMatcher
from dedup.matching.thresholds import MatchCriteria
from dedup.model import NO_COMMIT, Match
from dedup.similarity import winnowing
from dedup.store import Database, Transaction
from dedup.text import normalise
from dedup.text.publishers import PublisherResolver


class Matcher:
    """Finds the matches of the texts that a transaction adds.

    `query` returns the candidates of a batch; `confirm_candidates` takes them and returns the matches. The texts stay pending, visible to
    later batches of the transaction, until an `index_…` method adds them to the indexes or `rollback` drops them. `progress` receives the
    number of texts added while an index catches up or is rebuilt."""

    def __init__(self, database: Database, criteria: MatchCriteria, publishers: PublisherResolver) -> None:
        self.criteria = criteria
        self.progress: Callable[[int], None] = lambda _: None
        self._database, self._publishers = database, publishers
        self._indexes = MatchIndexes(database, criteria.settings, self._report_progress)
        self._caches = MatchCaches.for_database(database, criteria.settings)
        self._assessor = PairAssessor(criteria, self._caches)
        self._newsletters = NewsletterDetector(database, criteria, self._caches)
        self._publisher_ids: dict[str, int] = {}
        self._pending_signatures: dict[int, bytes] = {}
        self._pending_entries: list[PassageEntry] = []

    def _report_progress(self, count: int) -> None:
        self.progress(count)

    def canonical_publisher(self, name: str) -> str:
        """Return the canonical name of a publisher, by the aliases in force."""
        return self._publishers.canonical_name(name, "", "")

    # Indexes

    def open_candidate_index(self) -> CandidateIndex:
        """Return the candidate index. Opens it, catches up, or rebuilds it as needed."""
        return self._indexes.open_candidate_index()

    def open_passage_index(self) -> PassageIndex:
        """Return the passage index. Opens it, catches up, or rebuilds it as needed."""
        return self._indexes.open_passage_index()

    def open_indexes(self) -> None:
        """Open the indexes that the settings ask for, so that they are up to date."""
        self._indexes.open()

    def reset_indexes(self) -> None:
        """Replace the indexes by empty ones. The caller then matches all texts again, in the order of their ids."""
        self._indexes.reset()
        self.rollback()

    def discard_indexes(self) -> bool:
        """Delete both index files because their content may be the cause of a failure. The next use rebuilds them from the database.

        Returns False, and does nothing, if they were discarded before: it did not help then."""
        return self._indexes.discard()

    def index_committed(self, token: bytes | None) -> None:
        """Add the pending texts to the indexes. The commit `token` wrote them; None if the commit has no text with a signature."""
        if token is not None and self._pending_signatures:
            self._index_pending(token)

    def index_uncommitted(self) -> None:
        """Add the pending texts to the indexes, although nothing is committed yet: `confirm_index` or `rollback` follows."""
        self._index_pending(NO_COMMIT)

    def confirm_index(self, token: bytes) -> None:
        """Mark everything in the indexes, and what is pending, as written by the commit `token`."""
        self._index_pending(token)

    def rollback(self) -> None:
        """Drop the pending texts and all caches: the transaction that wrote them was rolled back."""
        self._pending_signatures.clear()
        self._pending_entries.clear()
        self._publisher_ids.clear()
        self._caches.clear()

    def _index_pending(self, token: bytes) -> None:
        signatures, self._pending_signatures = self._pending_signatures, {}
        entries, self._pending_entries = self._pending_entries, []
        self._indexes.add(signatures, [(entry.text_id, entry.fingerprints) for entry in entries], token)

    # Candidates

    def query(self, new_texts: Sequence[NewText], requery_ids: Collection[int]) -> CandidateSet:
        """Return the candidates by signature of new texts and of stored texts that form new pairs now, among all other texts.

        A stored text forms new pairs if a second page shows it (pairs within the first page were left out), or if no page showed it before.
        The other texts include those of earlier batches of the same transaction, which are not in the index yet."""
        new_signatures = {new_text.text_id: new_text.signature for new_text in new_texts if new_text.signature is not None}
        if not new_signatures and not requery_ids:
            return CandidateSet({}, frozenset())
        self._indexes.open()
        requeried = store.texts.signatures(self._database, requery_ids)
        results = query_signatures(self._indexes.open_candidate_index(), new_signatures, requeried, self._pending_signatures)
        self._pending_signatures |= new_signatures
        for new_text in new_texts:
            if new_text.text_id in results and results[new_text.text_id].candidates:
                self._caches.texts.put(new_text.text_id, new_text.body)
        return CandidateSet(
            {text_id: rank_candidates(result) for text_id, result in results.items() if result.candidates or result.crowded},
            frozenset(text_id for text_id, result in results.items() if result.crowded),
            tuple(new_text for new_text in new_texts if new_text.signature is not None),
            tuple(requeried),
        )

    # Matches

    def confirm_candidates(self, transaction: Transaction, candidate_set: CandidateSet) -> list[Match]:
        """Return the matches among the candidates that are not stored yet. The texts must be stored.

        Also stores fingerprints, followers, crowded texts and learned boilerplate. Texts are taken one by one in the order of their ids, so
        the result does not depend on how they are split into batches."""
        queries = self._fingerprint_queries(transaction, candidate_set)
        passages = self._query_passages(queries)
        self._caches.publishers.load({other for others in candidate_set.candidates.values() for other in others})
        confirmed = self._batch_confirmer(candidate_set, passages).confirm(transaction)
        _write_entries(transaction, confirmed.entries)
        store.texts.set_crowded(transaction, confirmed.crowded)
        matches = self._newsletters.relabel_parts(transaction, confirmed.new_matches)
        self._pending_entries += confirmed.entries
        self._caches.end_batch()
        return matches

    def _query_passages(self, queries: dict[int, FingerprintQuery]) -> PassageSide | None:
        if not queries:
            return None
        lookup = look_up_passages(self._indexes.open_passage_index(), list(queries.values()))
        return PassageSide(queries, PassageMatcher(self._database, self._caches, lookup, self._pending_entries))

    def _batch_confirmer(self, candidate_set: CandidateSet, passages: PassageSide | None) -> BatchConfirmer:
        unmatched_ids = frozenset(text.text_id for text in candidate_set.new_texts if not text.was_known)
        all_ids = {*candidate_set.candidates, *candidate_set.requery_ids, *(text.text_id for text in candidate_set.new_texts)}
        stored_matches = store.matches.of_texts(self._database, all_ids - unmatched_ids)
        full_buckets = FullBuckets(self._database, self._indexes, self._pending_signatures, unmatched_ids)
        pairs = PairConfirmer(self._database, self._assessor, self._caches, stored_matches)
        return BatchConfirmer(candidate_set, passages, full_buckets, pairs, self._caches)

    def _fingerprint_queries(self, transaction: Transaction, candidate_set: CandidateSet) -> dict[int, FingerprintQuery]:
        """Return the texts to look up by passages, new and requeried ones, in the order of their ids."""
        if not self.criteria.settings.passages:
            return {}
        bodies = store.texts.bodies(self._database, candidate_set.requery_ids)
        queries = [
            FingerprintQuery(text_id, publisher_id, _fingerprint_body(body), None)
            for text_id, body in bodies.items()
            if (publisher_id := self._caches.publishers.get(text_id)) is not None
        ]
        packed = [text.packed_fingerprints or b"" for text in candidate_set.new_texts]
        fingerprints = winnowing.unpack(b"".join(packed))
        end = 0
        for text, packed_own in zip(candidate_set.new_texts, packed, strict=True):
            begin, end = end, end + len(packed_own) // winnowing.FINGERPRINT_BYTES
            queries.append(FingerprintQuery(text.text_id, self._publisher_id(transaction, text), fingerprints[begin:end], text.body))
        return {query.text_id: query for query in sorted(queries, key=lambda query: query.text_id)}

    def _publisher_id(self, transaction: Transaction, text: NewText) -> int:
        publisher = self._publishers.canonical_name(text.publisher, text.oid, text.url)
        if publisher not in self._publisher_ids:
            self._publisher_ids[publisher] = store.publishers.get_or_insert(transaction, publisher)
        return self._publisher_ids[publisher]

    # Quotations

    def set_quoted_masks(self, quoted_masks: Mapping[int, bytes]) -> None:
        """Use other quoted characters for these texts from now on; see `store.texts.quoted_masks`."""
        self._caches.texts.set_quoted_masks(quoted_masks)

    def reassess(self, transaction: Transaction, text_ids: Collection[int]) -> list[Match]:
        """Measure the stored matches of these texts again, and return those whose relation or share of quotations changed."""
        changed: list[Match] = []
        stored_matches = store.matches.of_texts(self._database, text_ids)
        self._caches.publishers.load({text_id for pair in stored_matches for text_id in pair})
        for pair, match in stored_matches.items():
            assessed = self._assessor.assess(*pair, by_passages=True)
            if assessed is None or assessed.scores.quoted_share == match.scores.quoted_share:
                continue
            scores = replace(match.scores, quoted_share=assessed.scores.quoted_share)
            if "quote" in (match.relation, assessed.relation):
                changed += self._newsletters.relabel_parts(transaction, [replace(assessed, scores=scores)])
            else:
                changed.append(replace(match, scores=scores))
        self._caches.texts.end_group()
        return changed


def _write_entries(transaction: Transaction, entries: Sequence[PassageEntry]) -> None:
    """Store the fingerprints under which texts are leaders, and the leaders that they follow."""
    packed = _pack_each([entry.fingerprints for entry in entries])
    rows = ((entry.text_id, entry.publisher_id, own) for entry, own in zip(entries, packed, strict=True))
    store.passages.insert(transaction, rows)
    store.passages.insert_followers(transaction, [(leader_id, entry.text_id) for entry in entries for leader_id in entry.leader_ids])


def _pack_each(fingerprints: Sequence[NDArray[np.int64]]) -> list[bytes]:
    """Pack the fingerprints of each text, in the stored form."""
    if not fingerprints:
        return []
    packed = winnowing.pack(np.concatenate(fingerprints))
    ends = (winnowing.FINGERPRINT_BYTES * np.cumsum([len(own) for own in fingerprints])).tolist()
    return [packed[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _fingerprint_body(body: str) -> NDArray[np.int64]:
    (fingerprints,) = winnowing.fingerprint_texts(next(normalise.fold_batches([body])), 1)
    assert fingerprints is not None
    return fingerprints
