"""Candidates → matches: what shares a bucket, of signatures or of passages, is measured and judged, or is nothing."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from dedup import store
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.newsletters import NewsletterDetector
from dedup.matching.passage_matcher import MAX_FOLLOWERS, CandidateProposal, FingerprintQuery, PassageMatcher
from dedup.matching.text_cache import PreparedTextCache
from dedup.matching.thresholds import MatchCriteria
from dedup.model import CLUSTER_RELATIONS, NO_COMMIT, Match
from dedup.similarity import winnowing
from dedup.store import Database, Transaction
from dedup.store.rows import TextPages
from dedup.text import normalise
from dedup.text.publishers import PublisherResolver

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dedup.index.lsh import CandidateIndex, LshCandidates
    from dedup.index.passages import PassageIndex

COMPARISONS_PER_CHUNK = 500
MAX_COMPARED_CHARACTERS = 16_000_000
"""Normalised characters, of a text and of those that it is compared with, after which one match is enough; three times as many without
any match. A text of the usual length comes to that with thousands of others."""
_DAMAGED_INDEX = "%s was cut short or overwritten by something else; it is made again from what the database stores"
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class NewText:
    """A distinct normalised text that is new to the indexes; `signature` None: too short for anything but exact matching.
    `packed_fingerprints` are its packed winnowed keys, `publisher`, `oid` and `url` those of the article that brought it. `was_known`: it
    was known before its bodies were pruned, and has the matches of that time."""

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
    """Text → its candidates by signature, the likeliest first. A `crowded` one met a full bucket: its first match is enough.
    `new_texts` and `requery_ids` are what was asked for."""

    candidates: dict[int, list[int]]
    crowded: frozenset[int]
    new_texts: tuple[NewText, ...] = ()
    requery_ids: tuple[int, ...] = ()


@dataclass(slots=True)
class _ConfirmState:
    """What is found out while the texts of one meeting are confirmed. `unmatched_ids` are texts that no batch has confirmed before: they
    have no stored matches."""

    unmatched_ids: frozenset[int]
    stored_matches: dict[tuple[int, int], Match]
    assessed: dict[tuple[int, int], Match | None] = field(default_factory=dict)
    pages: dict[int, TextPages | None] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)
    compared_characters: int = 0
    has_match: bool = False
    remaining_candidates: dict[int, list[int]] = field(default_factory=dict)


class Matcher:
    """Finds the matches of texts; keeps the candidate index and the passage index, which are opened when first needed
    (`progress` hears of texts that have to be added then). `commit_token` is that of the commit that is being made."""

    def __init__(self, database: Database, criteria: MatchCriteria, publishers: PublisherResolver) -> None:
        self.criteria = criteria
        self.progress: Callable[[int], None] = lambda _: None
        self.commit_token: bytes | None = None
        self._database = database
        self._publishers = publishers
        self._candidate_index: CandidateIndex | None = None
        self._passage_index: PassageIndex | None = None
        self._pending_signatures: dict[int, bytes] = {}
        self._text_cache = PreparedTextCache(database)
        self._boilerplate = Boilerplate(criteria.settings.boilerplate_articles)
        self._passage_matcher = PassageMatcher(database, self._boilerplate, self._text_cache)
        self._newsletters = NewsletterDetector(database, criteria, self._text_cache, self._boilerplate_mask)
        self._publisher_ids: dict[str, int] = {}
        self._indexes_discarded = False

    def rollback(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        self._pending_signatures.clear()
        self._text_cache.clear()
        self._passage_matcher.rollback()
        self._boilerplate.clear()
        self._publisher_ids.clear()
        self.commit_token = None

    def discard_indexes(self) -> bool:
        """Remove the files of both indexes, so that they are made again from the database when they are next opened: their content may
        be what fails. Does nothing and returns False if that was done before: then it did not help."""
        if self._indexes_discarded:
            return False
        self._indexes_discarded = True
        self._candidate_index = self._passage_index = None
        for path in (self._database.lsh_index_path(), self._database.passage_index_path()):
            with suppress(FileNotFoundError):
                os.unlink(path)
        return True

    def canonical_publisher(self, name: str) -> str:
        """The publisher of this name, by the aliases in force."""
        return self._publishers.canonical_name(name, "", "")

    def open_candidate_index(self) -> CandidateIndex:
        """The candidate index: loaded, caught up or made anew."""
        if self._candidate_index is not None and not self._candidate_index.is_intact():
            _log.warning(_DAMAGED_INDEX, self._database.lsh_index_path())
            self._candidate_index = None
        if self._candidate_index is None:
            from dedup.index.lsh import open_index

            database, settings = self._database, self.criteria.settings
            self._candidate_index = open_index(
                database.lsh_index_path(), self._uuid(), settings.threshold, settings.num_perm,
                store.batches.latest(database).token, partial(store.batches.last_text_of_token, database),
                partial(store.texts.all_signatures, database), self.progress,
            )  # fmt: skip
        return self._candidate_index

    def open_passage_index(self) -> PassageIndex:
        """The passage index, likewise."""
        if self._passage_index is not None and not self._passage_index.is_intact():
            _log.warning(_DAMAGED_INDEX, self._database.passage_index_path())
            self._passage_index = None
        if self._passage_index is None:
            from dedup.index.passages import open_index

            database = self._database
            self._passage_index = open_index(
                database.passage_index_path(),
                self._uuid(),
                store.batches.latest(database).token,
                partial(store.batches.last_text_of_token, database),
                partial(store.passages.all_fingerprints, database),
                self.progress,
            )
        return self._passage_index

    def reset_indexes(self) -> None:
        """Begin with empty indexes: all texts will be met again, in order of their keys."""
        from dedup.index import lsh, passages

        settings = self.criteria.settings
        self._candidate_index = lsh.new_index(self._database.lsh_index_path(), self._uuid(), settings.threshold, settings.num_perm)
        if settings.passages:
            self._passage_index = passages.new_index(self._database.passage_index_path(), self._uuid())
        self.rollback()

    def _uuid(self) -> bytes:
        return uuid.UUID(store.settings.get(self._database, "uuid")).bytes

    def query(self, new_texts: Sequence[NewText], requery_ids: Collection[int]) -> CandidateSet:
        """Candidates by signature of new texts among all others, and of known texts that now form pairs which did not count before:
        texts that a second page has come to show (pairs within the first page were left out), and texts that no page showed.

        Texts that earlier parts of the same transaction brought are not in the index yet; they are among the others all the same.
        """
        new_signatures = {new_text.text_id: new_text.signature for new_text in new_texts if new_text.signature is not None}
        if not new_signatures and not requery_ids:
            return CandidateSet({}, frozenset())
        index = self.open_candidate_index()
        if self.criteria.settings.passages:
            self.open_passage_index()
        known_signatures = store.texts.signatures(self._database, requery_ids)
        pending = dict(self._pending_signatures)
        known_in_index = {text_id: signature for text_id, signature in known_signatures.items() if text_id not in pending}
        results_by_text: dict[int, LshCandidates] = {}
        if known_in_index:
            results = _query_index(index, {**pending, **known_in_index})
            results_by_text = {text_id: results[text_id] for text_id in known_in_index}
        results_by_text |= _query_index(index, {**pending, **new_signatures})
        for text_id in pending:  # each has met those before it; a known one meets those after it too
            for other_id, bands in results_by_text[text_id].candidates.items():
                if other_id in pending and other_id in known_signatures:
                    results_by_text[other_id].candidates.setdefault(text_id, bands)
        for text_id in pending.keys() - known_signatures.keys():
            del results_by_text[text_id]
        self._pending_signatures |= new_signatures
        for new_text in new_texts:
            if new_text.text_id in results_by_text and results_by_text[new_text.text_id].candidates:
                self._text_cache.put(new_text.text_id, new_text.body)
        return CandidateSet(
            {text_id: _rank_candidates(m) for text_id, m in results_by_text.items() if m.candidates or m.crowded},
            frozenset(text_id for text_id, m in results_by_text.items() if m.crowded),
            tuple(new_text for new_text in new_texts if new_text.signature is not None),
            tuple(known_signatures),
        )

    def index_committed(self) -> None:
        """What was met is in the database now."""
        token, self.commit_token = self.commit_token, None
        if self._pending_signatures and token is not None:
            self._index_pending(token)

    def index_uncommitted(self) -> None:
        """What was met counts as there, for those to come; nothing is committed yet."""
        self._index_pending(NO_COMMIT)

    def mark_indexes_committed(self) -> None:
        """All that was taken is committed now."""
        assert self.commit_token is not None
        self._index_pending(self.commit_token)
        self.commit_token = None

    def _index_pending(self, token: bytes) -> None:
        pending, self._pending_signatures = self._pending_signatures, {}
        passage_entries = self._passage_matcher.take_entered()
        try:
            index = self.open_candidate_index()
            index.add(list(pending), list(pending.values()), token)
            if self.criteria.settings.passages:
                self.open_passage_index().add([n for n, _ in passage_entries], [k for _, k in passage_entries], token, index.last_text)
        except BaseException:  # what they hold is not known; opened again they are caught up from what is stored
            self._candidate_index = self._passage_index = None
            raise

    def set_quoted_masks(self, quoted_masks: Mapping[int, bytes]) -> None:
        """These texts have other quoted characters than before (see `store.texts.quoted_masks`)."""
        self._text_cache.set_quoted_masks(quoted_masks)

    def reassess(self, transaction: Transaction, text_ids: Collection[int]) -> list[Match]:
        """The stored matches of these texts that have another relation or share of quotations now, as they are now."""
        changed: list[Match] = []
        stored_matches = store.matches.of_texts(self._database, text_ids)
        self._passage_matcher.load_publishers({number for pair in stored_matches for number in pair})
        for pair, match in stored_matches.items():
            assessed = self._assess(*pair, by_passages=True)
            if assessed is None or assessed.scores.quoted_share == match.scores.quoted_share:
                continue
            scores = replace(match.scores, quoted_share=assessed.scores.quoted_share)
            quote_changed = "quote" in (match.relation, assessed.relation)
            (reassessed,) = (
                self._newsletters.relabel_parts(transaction, [replace(assessed, scores=scores)])
                if quote_changed
                else (replace(match, scores=scores),)
            )
            changed.append(reassessed)
        self._text_cache.end_group()
        return changed

    def confirm_candidates(self, transaction: Transaction, candidate_set: CandidateSet) -> list[Match]:
        """The matches among the candidates that are not stored yet; their texts are in the database by now. What is found on
        the way is stored: under which keys the new texts stand for a story, which of them are crowded, what was learned.

        Texts are taken one by one, in order of their keys: what comes of them does not depend on which came together. Only
        pairs that two different pages can show: revisions of one page are never matched with each other.
        """
        unmatched_ids = frozenset(t.text_id for t in candidate_set.new_texts if not t.was_known)
        known_ids = {*candidate_set.candidates, *candidate_set.requery_ids, *(t.text_id for t in candidate_set.new_texts)} - unmatched_ids
        state = _ConfirmState(unmatched_ids, store.matches.of_texts(self._database, known_ids))
        queries = self._fingerprint_queries(transaction, candidate_set)
        if queries:
            self._passage_matcher.begin_batch(self.open_passage_index(), list(queries.values()))
        self._passage_matcher.load_publishers({other for others in candidate_set.candidates.values() for other in others})
        entered_fingerprints: list[NDArray[np.int64]] = []
        expected = {n: self._expected_comparisons(n, candidate_set, queries.get(n)) for n in sorted({*candidate_set.candidates, *queries})}
        for chunk in _split_chunks(expected):
            self._load_texts(chunk, state)
            for text_id in chunk:
                crowded = text_id in candidate_set.crowded
                state.compared_characters, state.has_match = 0, False
                query = queries.get(text_id)
                proposal = self._passage_matcher.propose(transaction, query) if query else None
                self._confirm_by_signature(text_id, candidate_set, state, crowded=crowded)
                if proposal:
                    leaders = self._confirm_by_passages(proposal, state, crowded=crowded)
                    if proposal.query.body is not None:
                        entered_fingerprints.append(self._passage_matcher.enter(proposal, leaders))
        entered_queries = [query for query in queries.values() if query.body is not None]
        store.passages.insert(
            transaction,
            (
                (query.text_id, query.publisher_id, keys)
                for query, keys in zip(entered_queries, _pack_each(entered_fingerprints), strict=True)
            ),
        )
        self._passage_matcher.store_followers(transaction)
        store.texts.set_crowded(transaction, state.crowded)
        new_matches = [m for pair, m in state.assessed.items() if m and pair not in state.stored_matches]
        matches = self._newsletters.relabel_parts(transaction, new_matches)
        self._text_cache.end_group()
        self._passage_matcher.end_batch()
        self._boilerplate.end_batch()
        return matches

    def _expected_comparisons(self, text_id: int, candidate_set: CandidateSet, query: FingerprintQuery | None) -> list[int]:
        """What a text will be compared with, as far as is known now."""
        by_signature = candidate_set.candidates.get(text_id, [])
        if text_id in candidate_set.crowded:
            by_signature = by_signature[:1]
        by_passages = self._passage_matcher.expected_candidates(query) if query else []
        followers = [other for text in by_passages for other in self._passage_matcher.followers_of(text)[:MAX_FOLLOWERS]]
        own_followers = self._passage_matcher.own_followers_of(query) if query else []
        return list(dict.fromkeys((*by_signature, *by_passages, *followers, *own_followers)))

    def _load_texts(self, candidates: dict[int, list[int]], state: _ConfirmState) -> None:
        """Have what is needed for these texts and what they will be compared with in memory, in place of what was before."""
        self._text_cache.end_group()
        candidates = {number: others for number, others in candidates.items() if others}
        self._load_pages({*candidates, *(other for others in candidates.values() for other in others)}, state)
        comparable = {number: [other for other in others if _can_match(number, other, state)] for number, others in candidates.items()}
        self._text_cache.load({n for number, others in comparable.items() if others for n in (number, *others)})

    def _load_pages(self, text_ids: Iterable[int], state: _ConfirmState) -> None:
        missing = [n for n in text_ids if n not in state.pages]
        if missing:
            pages = store.texts.pages_showing_any(self._database, missing)
            state.pages |= {n: pages.get(n) for n in missing}

    # By signature

    def _confirm_by_signature(self, text_id: int, candidate_set: CandidateSet, state: _ConfirmState, *, crowded: bool) -> None:
        candidates = candidate_set.candidates.get(text_id, [])
        if not self._confirm_any(text_id, candidates, state, stop_at_first=crowded) and crowded:
            self._confirm_any(
                text_id,
                [other for other in self._remaining_candidates(text_id, state) if other not in candidates],
                state,
                stop_at_first=True,
            )

    def _confirm_any(self, text_id: int, candidates: list[int], state: _ConfirmState, *, stop_at_first: bool) -> bool:
        """Confirm a text's candidates, or only until one is a match; whether any is."""
        if not candidates:
            return False
        has_match = False
        self._load_pages(candidates, state)
        for candidate in candidates:
            has_match |= _can_match(text_id, candidate, state) and self._confirm_pair(text_id, candidate, state) is not None
            if has_match and stop_at_first:
                break
        return has_match

    def _remaining_candidates(self, text_id: int, state: _ConfirmState) -> list[int]:
        """What full buckets hold beyond the few that they gave first."""
        from dedup.index.lsh import MAX_BUCKET

        if text_id not in state.remaining_candidates:
            if text_id in state.unmatched_ids:  # those of the batch are met all at once: each meets those before it
                signatures = self._pending_signatures
            else:  # it meets all of them
                signatures = {text: signature for text, signature in self._pending_signatures.items() if text != text_id}
                signatures |= store.texts.signatures(self._database, [text_id])
            results = _query_index(self.open_candidate_index(), signatures, initial_limit=MAX_BUCKET)
            updated_ids = state.unmatched_ids.intersection(results) if text_id in state.unmatched_ids else {text_id}
            state.remaining_candidates |= {text: _rank_candidates(results[text]) for text in updated_ids if text in results}
        return state.remaining_candidates.get(text_id, [])

    # By passages

    def _fingerprint_queries(self, transaction: Transaction, candidate_set: CandidateSet) -> dict[int, FingerprintQuery]:
        """What is to be looked up by passages: new texts, and known ones that are met again; in order of their keys."""
        if not self.criteria.settings.passages:
            return {}
        bodies = store.texts.bodies(self._database, candidate_set.requery_ids)
        queries = [
            FingerprintQuery(n, p, _fingerprint_body(body), None)
            for n, body in bodies.items()
            if (p := self._passage_matcher.publisher_of(n)) is not None
        ]
        packed = [t.packed_fingerprints or b"" for t in candidate_set.new_texts]
        fingerprints = winnowing.unpack(b"".join(packed))
        end = 0
        for new_text, packed_own in zip(candidate_set.new_texts, packed, strict=True):
            begin, end = end, end + len(packed_own) // winnowing.FINGERPRINT_BYTES
            queries.append(
                FingerprintQuery(new_text.text_id, self._publisher_id(transaction, new_text), fingerprints[begin:end], new_text.body)
            )
        return {one.text_id: one for one in sorted(queries, key=lambda one: one.text_id)}

    def _publisher_id(self, transaction: Transaction, new_text: NewText) -> int:
        publisher = self._publishers.canonical_name(new_text.publisher, new_text.oid, new_text.url)
        if publisher not in self._publisher_ids:
            self._publisher_ids[publisher] = store.publishers.get_or_insert(transaction, publisher)
        return self._publisher_ids[publisher]

    def _confirm_by_passages(self, proposal: CandidateProposal, state: _ConfirmState, *, crowded: bool) -> list[int]:
        """Confirm a text's candidates and those that stand behind them. Gives those that it may go behind itself: what it
        copies, and other states of its page."""
        query, candidates = proposal.query, proposal.candidates
        followers = self._passage_matcher.own_followers_of(query)
        if not candidates and not followers:
            return []
        if query.body is not None:
            self._text_cache.put(query.text_id, query.body)
        self._load_pages((query.text_id, *candidates), state)
        leaders: list[int] = []
        for candidate in candidates:
            match = (
                self._confirm_pair(query.text_id, candidate, state, by_passages=True)
                if _can_match(query.text_id, candidate, state)
                else None
            )
            is_copy = match is not None and match.relation in CLUSTER_RELATIONS
            if is_copy or _is_same_page(query.text_id, candidate, state):
                leaders.append(candidate)
            candidate_followers = self._passage_matcher.followers_of(candidate)
            if is_copy and len(candidate_followers) > MAX_FOLLOWERS:
                state.crowded.add(query.text_id)
            elif not (is_copy and crowded):
                followers = [*followers, *candidate_followers[:MAX_FOLLOWERS]]
        self._load_pages(followers, state)
        for candidate in dict.fromkeys(followers):
            if candidate != query.text_id and _can_match(query.text_id, candidate, state):
                self._confirm_pair(query.text_id, candidate, state, by_passages=True)
        return leaders

    # Pairs

    def _confirm_pair(self, text_id: int, other_id: int, state: _ConfirmState, *, by_passages: bool = False) -> Match | None:
        pair = min(text_id, other_id), max(text_id, other_id)
        if pair in state.stored_matches:
            return state.stored_matches[pair]
        if pair not in state.assessed:
            if state.compared_characters > MAX_COMPARED_CHARACTERS * (1 if state.has_match else 3):
                state.crowded.add(text_id)
                return None
            match = state.assessed[pair] = self._assess(*pair, by_passages=by_passages)
            state.compared_characters += sum(len(self._text_cache.get(n).points) for n in pair)
            state.has_match |= match is not None
        return state.assessed[pair]

    def _assess(self, a_id: int, b_id: int, *, by_passages: bool) -> Match | None:
        assessment = self.criteria.assess(
            self._text_cache.get(a_id),
            self._text_cache.get(b_id),
            lambda: (self._boilerplate_mask(a_id), self._boilerplate_mask(b_id)),
            by_passages=by_passages,
        )
        if assessment.relation is None:
            return None
        names: set[str] = set()
        for text_id in (a_id, b_id):
            publisher_id = self._passage_matcher.publisher_of(text_id) if self.criteria.settings.passages else None
            if publisher_id is not None:
                names |= self._boilerplate.cached_passage_names(self._database, publisher_id, text_id, self._text_cache.get(text_id).points)
        return Match(a_id, b_id, assessment.relation, replace(assessment.scores, masked_boilerplate=tuple(sorted(names))))

    def _boilerplate_mask(self, text_id: int) -> NDArray[np.bool_] | None:
        publisher_id = self._passage_matcher.publisher_of(text_id)
        if publisher_id is None or not self.criteria.settings.passages:
            return None
        return self._boilerplate.cached_mask(self._database, publisher_id, text_id, self._text_cache.get(text_id).points)


def _query_index(index: CandidateIndex, signatures: dict[int, bytes], initial_limit: int | None = None) -> dict[int, LshCandidates]:
    """Text → what it meets, of texts with their signatures, in their order."""
    return dict(zip(signatures, index.query(list(signatures), list(signatures.values()), initial_limit), strict=True))


def _split_chunks(candidates: dict[int, list[int]]) -> Iterator[dict[int, list[int]]]:
    """So many texts at a time that what they are compared with fits into memory."""
    chunk: dict[int, list[int]] = {}
    size = 0
    for text_id, candidate_ids in candidates.items():
        chunk[text_id] = candidate_ids
        size += len(candidate_ids)
        if size >= COMPARISONS_PER_CHUNK:
            yield chunk
            chunk, size = {}, 0
    if chunk:
        yield chunk


def _pack_each(fingerprints: Sequence[NDArray[np.int64]]) -> list[bytes]:
    """Each text's keys as stored."""
    import numpy as np

    if not fingerprints:
        return []
    packed = winnowing.pack(np.concatenate(fingerprints))
    ends = (winnowing.FINGERPRINT_BYTES * np.cumsum([len(k) for k in fingerprints])).tolist()
    return [packed[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _fingerprint_body(body: str) -> NDArray[np.int64]:
    """The keys of one body."""
    (result,) = winnowing.fingerprint_texts(next(normalise.fold_batches([body])), 1)
    assert result is not None
    return result


def _can_match(text_id: int, other_id: int, state: _ConfirmState) -> bool:
    """Whether two different pages can show these two texts."""
    a, b = state.pages.get(text_id), state.pages.get(other_id)
    return a is not None and b is not None and (a.has_several or b.has_several or a.first_page_id != b.first_page_id)


def _is_same_page(text_id: int, other_id: int, state: _ConfirmState) -> bool:
    """Whether one page shows both, as far as the first and last page of each tell."""
    a, b = state.pages.get(text_id), state.pages.get(other_id)
    return a is not None and b is not None and bool({a.first_page_id, a.last_page_id} & {b.first_page_id, b.last_page_id})


def _rank_candidates(candidates: LshCandidates) -> list[int]:
    """Candidates met in at least half as many bands as the best one before the others, the earliest text first."""
    max_bands = max(candidates.candidates.values(), default=0)
    return sorted(candidates.candidates, key=lambda number: (2 * candidates.candidates[number] < max_bands, number))
