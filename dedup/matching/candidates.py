"""Candidates by signature: texts that share a band, from the candidate index and from the running transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dedup import store
from dedup.index.lsh import MAX_BUCKET, CandidateIndex, LshCandidates
from dedup.matching.indexes import MatchIndexes
from dedup.store import Database


@dataclass(frozen=True, slots=True)
class NewText:
    """A distinct normalised text that the indexes do not hold yet.

    `signature` is None if the text is too short for anything but exact matching. `packed_fingerprints` are its winnowed fingerprints;
    `publisher`, `oid` and `url` belong to the first article with it. `was_known`: the text was stored before its bodies were pruned, and
    its matches of that time are still stored."""

    text_id: int
    signature: bytes | None
    body: str
    packed_fingerprints: bytes | None = None
    publisher: str = ""
    oid: str = ""
    url: str = ""
    was_known: bool = False


@dataclass(frozen=True, slots=True)
class CandidateSet:
    """Text id → its candidates by signature, the likeliest first.

    A `crowded` text met a full bucket: one match is enough for it. `new_texts` and `requery_ids` are the texts that were looked up."""

    candidates: dict[int, list[int]]
    crowded: frozenset[int]
    new_texts: tuple[NewText, ...] = ()
    requery_ids: tuple[int, ...] = ()


def query_signatures(
    index: CandidateIndex, new: Mapping[int, bytes], requeried: Mapping[int, bytes], pending: Mapping[int, bytes]
) -> dict[int, LshCandidates]:
    """Return the candidates of `new` and `requeried` texts among the texts of the index, the `pending` ones and each other.

    All arguments map text ids to signatures. Pending texts were written earlier in the same transaction; the index does not hold them
    yet. A requeried text may be pending."""
    in_index = {text_id: signature for text_id, signature in requeried.items() if text_id not in pending}
    results: dict[int, LshCandidates] = {}
    if in_index:
        with_pending = _query_index(index, {**pending, **in_index})
        results = {text_id: with_pending[text_id] for text_id in in_index}
    results |= _query_index(index, {**pending, **new})
    for text_id in pending:  # the index gives a text those before it only; a requeried text needs those after it too
        for other_id, bands in results[text_id].candidates.items():
            if other_id in pending and other_id in requeried:
                results[other_id].candidates.setdefault(text_id, bands)
    for text_id in pending.keys() - requeried.keys():
        del results[text_id]
    return results


class FullBuckets:
    """The further candidates of crowded texts: what full buckets hold beyond the few texts that they gave first.

    `pending` maps the texts of the running transaction to their signatures. All `unmatched_ids`, the pending texts that no batch has
    confirmed before, are looked up with one query of the index."""

    def __init__(self, database: Database, indexes: MatchIndexes, pending: Mapping[int, bytes], unmatched_ids: frozenset[int]) -> None:
        self._database, self._indexes, self._pending, self._unmatched_ids = database, indexes, pending, unmatched_ids
        self._candidates: dict[int, list[int]] = {}

    def candidates_of(self, text_id: int) -> list[int]:
        """Return all candidates of a crowded text, the likeliest first."""
        if text_id not in self._candidates:
            self._query(text_id)
        return self._candidates.get(text_id, [])

    def _query(self, text_id: int) -> None:
        if text_id in self._unmatched_ids:  # a new text is compared with those before it
            signatures = dict(self._pending)
            result_ids: Iterable[int] = self._unmatched_ids.intersection(signatures)
        else:  # a requeried text is compared with all
            signatures = {other: signature for other, signature in self._pending.items() if other != text_id}
            signatures |= store.texts.signatures(self._database, [text_id])
            result_ids = [text_id] if text_id in signatures else []
        results = _query_index(self._indexes.open_candidate_index(), signatures, initial_limit=MAX_BUCKET)
        self._candidates |= {other: rank_candidates(results[other]) for other in result_ids}


def rank_candidates(candidates: LshCandidates) -> list[int]:
    """Order candidates: first those in at least half as many bands as the best one, then the others; each part by text id."""
    max_bands = max(candidates.candidates.values(), default=0)
    return sorted(candidates.candidates, key=lambda text_id: (2 * candidates.candidates[text_id] < max_bands, text_id))


def _query_index(index: CandidateIndex, signatures: Mapping[int, bytes], initial_limit: int | None = None) -> dict[int, LshCandidates]:
    return dict(zip(signatures, index.query(list(signatures), list(signatures.values()), initial_limit), strict=True))
