"""Texts that were lately compared, prepared for being compared again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from dedup.heartbeat import beat
from dedup.overlap import Prepared, prepare
from dedup.store import Writer

CACHED_CHARACTERS = 4_000_000
"""Normalised characters kept in memory (5 bytes each), but for the two texts that were asked for last."""


class Kept:
    """The latest texts, so many characters of them."""

    def __init__(self, store: Writer) -> None:
        self._store = store
        self._kept: OrderedDict[int, Prepared] = OrderedDict()
        self._characters = 0

    def clear(self) -> None:
        self._kept.clear()
        self._characters = 0

    def put(self, number: int, body: str) -> None:
        """Keep a text whose body is at hand."""
        if number in self._kept:
            return
        self._kept[number] = prepare(body)
        self._characters += len(self._kept[number].points)
        beat()
        while self._characters > CACHED_CHARACTERS and len(self._kept) > 2:
            _, old = self._kept.popitem(last=False)
            self._characters -= len(old.points)

    def load(self, numbers: Collection[int]) -> None:
        """Have these texts at hand, as far as they fit."""
        wanted = set(numbers)
        left = CACHED_CHARACTERS
        for number in wanted & self._kept.keys():
            self._kept.move_to_end(number)
            left -= len(self._kept[number].points)
        fitting: list[int] = []
        for number, characters in sorted(self._store.characters_of(wanted - self._kept.keys()).items()):
            if characters <= left:
                left -= characters
                fitting.append(number)
        for number, body in self._store.bodies_of_texts(fitting).items():
            self.put(number, body)

    def get(self, number: int) -> Prepared:
        if number not in self._kept:
            self.put(number, self._store.body_of_text(number) or "")
        self._kept.move_to_end(number)
        return self._kept[number]
