"""Texts that were lately compared, prepared for being compared again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from dedup.heartbeat import beat
from dedup.ingest.cache import Cache
from dedup.ingest.quoted import unpacked
from dedup.overlap import Prepared, prepare
from dedup.store import Writer

CACHED_CHARACTERS = 4_000_000
"""Normalised characters that stay in memory between one group of comparisons and the next (5 bytes each). Within a group there may be
more: the texts that are not stored yet, and the two that were asked for last."""


class Kept:
    """The texts of the current group of comparisons, and the latest of earlier ones."""

    def __init__(self, store: Writer) -> None:
        self._store = store
        self._texts: Cache[int, Prepared] = Cache(CACHED_CHARACTERS, lambda text: max(len(text.points), 1))
        self._put: set[int] = set()
        self._requoted: dict[int, bytes] = {}
        self._last = 0

    def clear(self) -> None:
        self._texts.clear()
        self._put.clear()
        self._requoted.clear()

    def requoted(self, quoted: Mapping[int, bytes]) -> None:
        """These texts have other quoted characters than before; they are stored already. New texts are prepared with these, without a
        look into the database for each."""
        self._requoted = dict(quoted)
        for number in quoted:
            self._texts.drop(number)

    def end_group(self) -> None:
        """What was compared so far is compared no more."""
        self._put.clear()
        self._texts.end_batch()

    def put(self, number: int, body: str) -> None:
        """Keep a text of this batch, whose body is at hand. It may not be stored yet, so it stays in memory until the group of comparisons
        ends. It is new, so no other body of it has been stored."""
        self._put.add(number)
        if self._texts.missing([number]):
            self._texts[number] = _prepared(body, self._requoted.get(number))
            beat()

    def load(self, numbers: Collection[int]) -> None:
        """Have these texts in memory, as far as they fit; `get` loads the others one by one."""
        absent = self._texts.missing(set(numbers))
        left = CACHED_CHARACTERS
        fitting: list[int] = []
        for number, characters in sorted(self._store.characters_of(absent).items()):
            if characters <= left:
                left -= characters
                fitting.append(number)
        stored = self._store.quoted_of(fitting)
        for number, body in self._store.bodies_of_texts(fitting).items():
            self._texts[number] = _prepared(body, stored.get(number))
            beat()

    def get(self, number: int) -> Prepared:
        if number not in self._texts:
            self._texts[number] = _prepared(self._store.body_of_text(number) or "", self._store.quoted_of([number]).get(number))
            beat()
            self._texts.trim({*self._put, self._last, number})
        self._last = number
        return self._texts[number]


def _prepared(body: str, quoted: bytes | None) -> Prepared:
    """A body as `overlap.prepare` gives it, with its quoted characters as they are stored, if they are."""
    own = prepare(body)
    return own if quoted is None else replace(own, quoted=unpacked(quoted, len(own.points)))
