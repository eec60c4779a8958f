"""The caches that a matcher hands to every step of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.config import DuplicatesConfig
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.cache import Cache
from dedup.matching.text_cache import PreparedTextCache
from dedup.store import Database

MAX_CACHED_PUBLISHERS = 200_000
"""Texts whose publisher stays in memory between batches."""


class PublisherCache:
    """Maps a text to the publisher of the first article with it. Loading a publisher also loads its boilerplate."""

    def __init__(self, database: Database, boilerplate: Boilerplate) -> None:
        self._database, self._boilerplate = database, boilerplate
        self._publishers: Cache[int, int] = Cache(MAX_CACHED_PUBLISHERS)

    def get(self, text_id: int) -> int | None:
        """Return the publisher's id; None for a text without fingerprints."""
        if text_id not in self._publishers:
            self.load([text_id])
        return self._publishers.get(text_id)

    def load(self, text_ids: Iterable[int]) -> None:
        """Load the publishers of the texts that are not cached, with one query."""
        if missing := self._publishers.missing(text_ids):
            publishers = store.passages.publishers(self._database, missing)
            self._boilerplate.load(set(publishers.values()))
            self._publishers.update(publishers)

    def put(self, publishers: Mapping[int, int]) -> None:
        """Add the publishers of texts that are not stored yet."""
        self._boilerplate.load(set(publishers.values()))
        self._publishers.update(publishers)

    def end_batch(self) -> None:
        """Apply the size limit."""
        self._publishers.end_batch()

    def clear(self) -> None:
        self._publishers.clear()


@dataclass(frozen=True, slots=True)
class MatchCaches:
    """The data that stays in memory between batches. All of it can be read again from the database."""

    texts: PreparedTextCache
    boilerplate: Boilerplate
    publishers: PublisherCache
    masks_boilerplate: bool

    @classmethod
    def for_database(cls, database: Database, settings: DuplicatesConfig) -> MatchCaches:
        """Return empty caches. Without passages, no boilerplate is masked."""
        boilerplate = Boilerplate(database, settings.boilerplate_articles)
        return cls(PreparedTextCache(database), boilerplate, PublisherCache(database, boilerplate), settings.passages)

    def boilerplate_mask(self, text_id: int) -> NDArray[np.bool_] | None:
        """Return the mask of a text's boilerplate; None if nothing is masked or the text has no publisher."""
        publisher_id = self.publishers.get(text_id) if self.masks_boilerplate else None
        return None if publisher_id is None else self.boilerplate.cached_mask(publisher_id, text_id, self.texts.get(text_id).points)

    def masked_passage_names(self, text_id: int) -> frozenset[str]:
        """Return the names of the passages that a text's boilerplate mask covers."""
        publisher_id = self.publishers.get(text_id) if self.masks_boilerplate else None
        if publisher_id is None:
            return frozenset()
        return self.boilerplate.cached_passage_names(publisher_id, text_id, self.texts.get(text_id).points)

    def end_batch(self) -> None:
        """Apply the size limits. Until then nothing that the batch used is dropped."""
        self.texts.end_group()
        self.publishers.end_batch()
        self.boilerplate.end_batch()

    def clear(self) -> None:
        """Drop everything: a transaction was rolled back, and what it wrote is not stored."""
        self.texts.clear()
        self.publishers.clear()
        self.boilerplate.clear()
