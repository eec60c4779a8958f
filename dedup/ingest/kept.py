"""Texts that were lately compared, prepared for being compared again."""

from __future__ import annotations

from collections.abc import Collection

from dedup.ingest.cache import Cache
from dedup.overlap import Prepared, prepare
from dedup.store import Writer

CACHED_CHARACTERS = 4_000_000
"""Normalised characters that stay in memory between one group of comparisons and the next (5 bytes each)."""


class Kept:
    """The texts of the current group of comparisons, and the latest of earlier ones."""

    def __init__(self, store: Writer) -> None:
        self._store = store
        self._texts: Cache[int, Prepared] = Cache(CACHED_CHARACTERS, lambda text: max(len(text.points), 1))

    def clear(self) -> None:
        self._texts.clear()

    def end_group(self) -> None:
        """What was compared so far is compared no more."""
        self._texts.end_batch()

    def put(self, number: int, body: str) -> None:
        """Keep a text whose body is at hand."""
        if self._texts.missing([number]):
            self._texts[number] = prepare(body)

    def load(self, numbers: Collection[int]) -> None:
        """Have these texts in memory until the group of comparisons ends."""
        absent = self._texts.missing(set(numbers))
        for number, body in self._store.bodies_of_texts(absent).items():
            self.put(number, body)

    def get(self, number: int) -> Prepared:
        if number not in self._texts:
            self.put(number, self._store.body_of_text(number) or "")
        return self._texts[number]
