"""Boilerplate: what a publisher prints under every article, such as bylines with addresses, tip lines and copyright notices.

It is learned as articles arrive, and masked from then on. It is never learned across publishers: that would mask wire copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xxhash
from numpy.typing import NDArray

from dedup import store
from dedup.errors import AmbiguousBoilerplateError, ShortBoilerplateError, UnknownBoilerplateError
from dedup.matching.cache import Cache
from dedup.model import Masking
from dedup.similarity import overlap
from dedup.similarity.overlap import RUN_CHARACTERS, PassageSet
from dedup.similarity.overlap.spans import origins
from dedup.similarity.winnowing import numpy_kernel
from dedup.store import Database, Transaction
from dedup.store.rows import BoilerplateRow
from dedup.text import normalise, times

MAX_LEARNED_CHARACTERS = 500_000
"""Longest text that boilerplate is learned from. Boilerplate occurs in shorter texts too."""
MAX_CACHED_MASK_CHARACTERS = 4_000_000
"""Normalised characters of texts whose masks stay in memory between batches (1 byte each)."""

Points = NDArray[np.uint32]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class _PublisherBoilerplate:
    """The passages of one publisher. `masked_fingerprints` lie in masked passages, `examined_fingerprints` in any passage."""

    name: str
    passages: list[tuple[str, str]] = field(default_factory=list)
    masked_fingerprints: set[int] = field(default_factory=set)
    examined_fingerprints: set[int] = field(default_factory=set)
    passage_by_run: dict[str, str] = field(default_factory=dict)
    passage_set: PassageSet | None = None

    def add_passage(self, name: str, passage: str, status: Masking) -> set[int]:
        """Add a passage. Returns the fingerprints that lie in it."""
        fingerprints = _fingerprints_in(passage)
        self.examined_fingerprints |= fingerprints
        if status == "allowed":
            return fingerprints
        self.masked_fingerprints |= fingerprints
        self.passages.append((name, passage))
        self.passage_by_run |= {passage[i : i + RUN_CHARACTERS]: name for i in range(len(passage) - RUN_CHARACTERS + 1)}
        self.passage_set = None
        return fingerprints


@dataclass(slots=True)
class _CachedMask:
    """The boilerplate mask of a text, and the names of the passages in it once they were computed."""

    mask: Mask | None
    names: frozenset[str] | None = None

    @property
    def size(self) -> int:
        return 1 if self.mask is None else len(self.mask)


def _fingerprints_in(passage: str) -> set[int]:
    """Return every fingerprint that winnowing can choose within a normalised passage."""
    return set(numpy_kernel.to_fingerprints(numpy_kernel.hash_runs(normalise.to_points(passage))).tolist())


class Boilerplate:
    """Loads the passages of publishers when first used, and learns new ones.

    A passage is learned if `min_articles` articles of a publisher have it; 0 turns learning off. `masked_fingerprints` lie in the
    boilerplate of any loaded publisher."""

    def __init__(self, database: Database, min_articles: int) -> None:
        self.min_articles = min_articles
        self._database = database
        self.masked_fingerprints: set[int] = set()
        self._publishers: dict[int, _PublisherBoilerplate] = {}
        self._masks: Cache[tuple[int, int, int], _CachedMask] = Cache(MAX_CACHED_MASK_CHARACTERS, lambda hidden: hidden.size)

    def end_batch(self) -> None:
        """Apply the size limit of the cached masks."""
        self._masks.end_batch()

    def clear(self) -> None:
        """Drop everything that was read from the database."""
        self._publishers.clear()
        self._masks.clear()
        self.masked_fingerprints.clear()

    def load(self, publisher_ids: Iterable[int]) -> None:
        """Load the passages of these publishers."""
        for publisher_id in publisher_ids:
            self.publisher_boilerplate(publisher_id)

    def publisher_boilerplate(self, publisher_id: int) -> _PublisherBoilerplate:
        if publisher_id not in self._publishers:
            self._publishers[publisher_id] = entry = _PublisherBoilerplate(store.publishers.name(self._database, publisher_id))
            for row in store.boilerplate.list_passages(self._database, entry.name):
                entry.add_passage(row.name, row.passage, row.status)
            self.masked_fingerprints |= entry.masked_fingerprints
        return self._publishers[publisher_id]

    def fingerprints_masked_for(self, publisher_id: int) -> set[int]:
        """Return the fingerprints that lie in a publisher's masked passages."""
        return self.publisher_boilerplate(publisher_id).masked_fingerprints

    def cached_mask(self, publisher_id: int, text_id: int, points: Points) -> Mask | None:
        """Return the mask of a text, cached under its id; see `mask`."""
        if not self.publisher_boilerplate(publisher_id).passages:
            return None
        return self._cached_mask_entry(publisher_id, text_id, points).mask

    def _cached_mask_entry(self, publisher_id: int, text_id: int, points: Points) -> _CachedMask:
        # the number of passages is part of the key: a passage that is learned changes masks
        cache_key = publisher_id, text_id, len(self.publisher_boilerplate(publisher_id).passages)
        if cache_key not in self._masks:
            self._masks[cache_key] = _CachedMask(self.mask(publisher_id, points))
        return self._masks[cache_key]

    def mask(self, publisher_id: int, points: Points) -> Mask | None:
        """Return a mask of the characters of a text that are boilerplate of its publisher.

        Returns None if there are none, or if they are over half of the text: then they are its content."""
        publisher_boilerplate = self.publisher_boilerplate(publisher_id)
        if not publisher_boilerplate.passages:
            return None
        if publisher_boilerplate.passage_set is None:
            publisher_boilerplate.passage_set = overlap.prepare_passages(
                normalise.to_points("\0".join(passage for _, passage in publisher_boilerplate.passages))
            )
        mask = overlap.mark_passages(points, publisher_boilerplate.passage_set)
        masked_count = int(np.count_nonzero(mask))
        return mask if 0 < 2 * masked_count <= len(points) else None

    def cached_passage_names(self, publisher_id: int, text_id: int, points: Points) -> frozenset[str]:
        """Return the names of the passages in the cached mask of a text."""
        if self.cached_mask(publisher_id, text_id, points) is None:
            return frozenset()
        cached = self._cached_mask_entry(publisher_id, text_id, points)
        if cached.names is None:
            cached.names = frozenset(self.masked_passage_names(publisher_id, points, cached.mask))
        return cached.names

    def masked_passage_names(self, publisher_id: int, points: Points, mask: Mask | None) -> set[str]:
        """Return the names of the passages that a mask covers."""
        if mask is None:
            return set()
        passage_by_run, text, masked = self.publisher_boilerplate(publisher_id).passage_by_run, normalise.from_points(points), mask.tolist()
        runs = (text[i : i + RUN_CHARACTERS] for i in range(len(text) - RUN_CHARACTERS + 1) if masked[i] and masked[i + RUN_CHARACTERS - 1])
        return {passage_by_run[run] for run in runs if run in passage_by_run}

    def needs_examination(self, publisher_id: int, fingerprint: int) -> bool:
        """Return whether the passage around a fingerprint may still be learned as boilerplate of a publisher."""
        return bool(self.min_articles) and fingerprint not in self.publisher_boilerplate(publisher_id).examined_fingerprints

    def learn_passage(
        self, transaction: Transaction, publisher_id: int, fingerprint: int, body: str, points: Points, others: Sequence[Points]
    ) -> set[int]:
        """Learn and store the passage around a fingerprint of a text, as far as it is the same in all `others`.

        `points` is the normalised form of `body`. Returns the fingerprints in the passage; none if there is no common passage."""
        if max(map(len, (points, *others))) > MAX_LEARNED_CHARACTERS:
            return set()
        publisher_boilerplate = self.publisher_boilerplate(publisher_id)
        passage = _common_passage(fingerprint, points, others)
        if not passage:
            return set()
        fingerprints = {fingerprint}
        if not all(
            passage[i : i + RUN_CHARACTERS] in publisher_boilerplate.passage_by_run for i in range(len(passage) - RUN_CHARACTERS + 1)
        ):
            row = insert_passage(
                transaction,
                publisher_id,
                publisher_boilerplate.name,
                passage,
                _example_of_passage(body, passage),
                len(others) + 1,
                "learned",
            )
            fingerprints |= publisher_boilerplate.add_passage(row.name, row.passage, row.status)
        publisher_boilerplate.examined_fingerprints.add(fingerprint)
        publisher_boilerplate.masked_fingerprints.add(fingerprint)
        self.masked_fingerprints |= fingerprints
        return fingerprints


def insert_passage(
    transaction: Transaction, publisher_id: int, publisher: str, passage: str, example: str, article_count: int, status: Masking
) -> BoilerplateRow:
    """Store a passage of a publisher. Its name is the start of a hash of publisher and passage."""
    digest = xxhash.xxh3_128_hexdigest(f"{publisher}\0{passage}".encode())
    row = BoilerplateRow(digest[:12], publisher, passage, example, article_count, status, times.now())
    store.boilerplate.insert(transaction, row.name, publisher_id, row.passage, row.example, row.article_count, row.status, row.added_at)
    return row


def find_passage(database: Database, name_prefix: str) -> BoilerplateRow:
    """Return the passage with this name or unique name prefix. Raises UnknownBoilerplateError, AmbiguousBoilerplateError."""
    matches = [row for row in store.boilerplate.list_passages(database) if row.name.startswith(name_prefix.lower())] if name_prefix else []
    if not matches:
        raise UnknownBoilerplateError(name=name_prefix)
    if len(matches) > 1:
        raise AmbiguousBoilerplateError(name=name_prefix, names=", ".join(row.name for row in matches[:10]))
    return matches[0]


def mask_passage(transaction: Transaction, publisher: str, example: str) -> BoilerplateRow:
    """Mask a passage that the user names. Raises ShortBoilerplateError if it is too short to be found in texts."""
    passage = normalise.normalise(example)
    if len(passage) < RUN_CHARACTERS:
        raise ShortBoilerplateError(characters=len(passage), minimum=RUN_CHARACTERS)
    existing = next((row for row in store.boilerplate.list_passages(transaction, publisher) if row.passage == passage), None)
    if existing is None:
        return insert_passage(
            transaction, store.publishers.get_or_insert(transaction, publisher), publisher, passage, " ".join(example.split()), 0, "masked"
        )
    store.boilerplate.set_status(transaction, existing.name, "masked")
    return replace(existing, status="masked")


def _common_passage(fingerprint: int, points: Points, others: Sequence[Points]) -> str:
    """Return the passage around the run with this fingerprint, as far as it is the same in all texts; empty if not all have the run."""
    positions = np.flatnonzero(numpy_kernel.to_fingerprints(numpy_kernel.hash_runs(points)) == fingerprint)
    if not len(positions):
        return ""
    text, at = normalise.from_points(points), int(positions[0])
    run_length = int(numpy_kernel.measure_runs(points)[at])
    run = text[at : at + run_length]
    occurrences = [(text, at), *((other, other.find(run)) for other in map(normalise.from_points, others))]
    if any(place < 0 for _, place in occurrences):
        return ""
    length_before = _common_prefix_length([reversed(other[:place]) for other, place in occurrences])
    length_after = _common_prefix_length([iter(other[place + run_length :]) for other, place in occurrences])
    return text[at - length_before : at + run_length + length_after]


def _common_prefix_length(texts: Sequence[Iterable[str]]) -> int:
    """Return the number of leading characters that all texts have in common."""
    length = 0
    for characters in zip(*texts, strict=False):
        if len(set(characters)) > 1:
            break
        length += 1
    return length


def _example_of_passage(body: str, passage: str) -> str:
    """Return a normalised passage as written in a body."""
    start = normalise.normalise(body).find(passage)
    spans = origins(body)
    return body[spans[start][0] : spans[start + len(passage) - 1][1]] if start >= 0 else passage
