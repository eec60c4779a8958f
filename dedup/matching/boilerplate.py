"""What a publisher prints under everything: bylines with addresses, tip lines, copyright notices. It is learned as articles
arrive and counts for nothing from then on; never across publishers, which would mask wire copy."""

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
"""Characters of texts that boilerplate is learned from. What is printed under everything is printed under shorter ones too."""
MAX_CACHED_MASK_CHARACTERS = 4_000_000
"""Normalised characters of texts whose masks stay in memory between batches (1 byte each)."""

Points = NDArray[np.uint32]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class _PublisherBoilerplate:
    """What is known of one publisher. `masked_fingerprints`: those of its passages that are masked; `examined_fingerprints`: those of all
    its passages."""

    name: str
    passages: list[tuple[str, str]] = field(default_factory=list)
    masked_fingerprints: set[int] = field(default_factory=set)
    examined_fingerprints: set[int] = field(default_factory=set)
    passage_by_run: dict[str, str] = field(default_factory=dict)
    passage_set: PassageSet | None = None

    def add_passage(self, name: str, passage: str, status: Masking) -> set[int]:
        """Take a passage in. Gives the keys that lie in it."""
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
    """What is masked of a text, and the names of the passages that hide it once somebody asked for them."""

    mask: Mask | None
    names: frozenset[str] | None = None

    @property
    def size(self) -> int:
        return 1 if self.mask is None else len(self.mask)


def _fingerprints_in(passage: str) -> set[int]:
    """Every key that a text can choose within a normalised passage."""
    return set(numpy_kernel.to_fingerprints(numpy_kernel.hash_runs(normalise.to_points(passage))).tolist())


class Boilerplate:
    """The passages of every publisher, as far as they have been asked for; learns new ones within the store's transaction.
    `min_articles`: in how many of a publisher a passage must return; 0: none is learned. `masked_fingerprints`: those that lie within
    boilerplate of any of these publishers."""

    def __init__(self, min_articles: int) -> None:
        self.min_articles = min_articles
        self.masked_fingerprints: set[int] = set()
        self._publishers: dict[int, _PublisherBoilerplate] = {}
        self._masks: Cache[tuple[int, int, int], _CachedMask] = Cache(MAX_CACHED_MASK_CHARACTERS, lambda hidden: hidden.size)

    def end_batch(self) -> None:
        """The texts of the batch are compared no more."""
        self._masks.end_batch()

    def clear(self) -> None:
        """Ask the database again."""
        self._publishers.clear()
        self._masks.clear()
        self.masked_fingerprints.clear()

    def load(self, database: Database, publisher_ids: Iterable[int]) -> None:
        """Have what is known of these publishers at hand."""
        for publisher_id in publisher_ids:
            self.publisher_boilerplate(database, publisher_id)

    def publisher_boilerplate(self, database: Database, publisher_id: int) -> _PublisherBoilerplate:
        if publisher_id not in self._publishers:
            self._publishers[publisher_id] = entry = _PublisherBoilerplate(store.publishers.name(database, publisher_id))
            for row in store.boilerplate.list_passages(database, entry.name):
                entry.add_passage(row.name, row.passage, row.status)
            self.masked_fingerprints |= entry.masked_fingerprints
        return self._publishers[publisher_id]

    def fingerprints_masked_for(self, database: Database, publisher_id: int) -> set[int]:
        """The keys that lie within a publisher's boilerplate."""
        return self.publisher_boilerplate(database, publisher_id).masked_fingerprints

    def cached_mask(self, database: Database, publisher_id: int, text_id: int, points: Points) -> Mask | None:
        """The mask of a text that is asked for again and again."""
        return (
            self._cached_mask_entry(database, publisher_id, text_id, points).mask
            if self.publisher_boilerplate(database, publisher_id).passages
            else None
        )

    def _cached_mask_entry(self, database: Database, publisher_id: int, text_id: int, points: Points) -> _CachedMask:
        cache_key = (
            publisher_id,
            text_id,
            len(self.publisher_boilerplate(database, publisher_id).passages),
        )  # a passage that is learned makes other masks
        if cache_key not in self._masks:
            self._masks[cache_key] = _CachedMask(self.mask(database, publisher_id, points))
        return self._masks[cache_key]

    def mask(self, database: Database, publisher_id: int, points: Points) -> Mask | None:
        """Which characters of a text are boilerplate of its publisher; None where none is, or over half of the text would be:
        that is no frame, but what the text is."""
        publisher_boilerplate = self.publisher_boilerplate(database, publisher_id)
        if not publisher_boilerplate.passages:
            return None
        if publisher_boilerplate.passage_set is None:
            publisher_boilerplate.passage_set = overlap.prepare_passages(
                normalise.to_points("\0".join(passage for _, passage in publisher_boilerplate.passages))
            )
        mask = overlap.mark_passages(points, publisher_boilerplate.passage_set)
        masked_count = int(np.count_nonzero(mask))
        return mask if 0 < 2 * masked_count <= len(points) else None

    def cached_passage_names(self, database: Database, publisher_id: int, text_id: int, points: Points) -> frozenset[str]:
        """The names of the passages that the mask of such a text hides."""
        if self.cached_mask(database, publisher_id, text_id, points) is None:
            return frozenset()
        cached = self._cached_mask_entry(database, publisher_id, text_id, points)
        if cached.names is None:
            cached.names = frozenset(self.masked_passage_names(database, publisher_id, points, cached.mask))
        return cached.names

    def masked_passage_names(self, database: Database, publisher_id: int, points: Points, mask: Mask | None) -> set[str]:
        """The names of the passages that a mask hides."""
        if mask is None:
            return set()
        publisher_boilerplate, text, masked = (
            self.publisher_boilerplate(database, publisher_id),
            normalise.from_points(points),
            mask.tolist(),
        )
        runs = (text[i : i + RUN_CHARACTERS] for i in range(len(text) - RUN_CHARACTERS + 1) if masked[i] and masked[i + RUN_CHARACTERS - 1])
        return {publisher_boilerplate.passage_by_run[run] for run in runs if run in publisher_boilerplate.passage_by_run}

    def needs_examination(self, database: Database, publisher_id: int, fingerprint: int) -> bool:
        """Whether a key that many of a publisher's articles have is still to be looked at."""
        return bool(self.min_articles) and fingerprint not in self.publisher_boilerplate(database, publisher_id).examined_fingerprints

    def learn_passage(
        self, transaction: Transaction, publisher_id: int, fingerprint: int, body: str, points: Points, others: Sequence[Points]
    ) -> set[int]:
        """Learn the passage around a key of a text (`body`, and `points` normalised) that runs alike through the others too.
        Gives the keys that lie in it; none where there is no such passage."""
        if max(map(len, (points, *others))) > MAX_LEARNED_CHARACTERS:
            return set()
        publisher_boilerplate = self.publisher_boilerplate(transaction, publisher_id)
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
    """Write a passage of a publisher down, under a name of its own."""
    digest = xxhash.xxh3_128_hexdigest(f"{publisher}\0{passage}".encode())
    row = BoilerplateRow(digest[:12], publisher, passage, example, article_count, status, times.now())
    store.boilerplate.insert(transaction, row.name, publisher_id, row.passage, row.example, row.article_count, row.status, row.added_at)
    return row


def find_passage(database: Database, name_prefix: str) -> BoilerplateRow:
    """The passage of this name, or whose name begins so. Raises UnknownBoilerplateError, AmbiguousBoilerplateError."""
    matches = [row for row in store.boilerplate.list_passages(database) if row.name.startswith(name_prefix.lower())] if name_prefix else []
    if not matches:
        raise UnknownBoilerplateError(name=name_prefix)
    if len(matches) > 1:
        raise AmbiguousBoilerplateError(name=name_prefix, names=", ".join(row.name for row in matches[:10]))
    return matches[0]


def mask_passage(transaction: Transaction, publisher: str, example: str) -> BoilerplateRow:
    """Mask a passage that is told by hand. Raises ShortBoilerplateError for one that is too short to be found."""
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
    """The passage around the run with this key, as far as it runs alike through all; empty where they have no such run."""
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
    """How far these run alike."""
    length = 0
    for characters in zip(*texts, strict=False):
        if len(set(characters)) > 1:
            break
        length += 1
    return length


def _example_of_passage(body: str, passage: str) -> str:
    """A normalised passage as it stands in a body."""
    start = normalise.normalise(body).find(passage)
    spans = origins(body)
    return body[spans[start][0] : spans[start + len(passage) - 1][1]] if start >= 0 else passage
