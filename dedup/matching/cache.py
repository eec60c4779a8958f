"""A cache that keeps what the current batch uses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _count_as_one(_: object) -> int:
    return 1


class Cache(Generic[K, V]):
    """The latest entries, of a total size of `limit`.

    Nothing is dropped in the middle of a batch: the bound is applied when a batch ends, to the entries that were not used for the longest
    time first. An entry may be larger than the bound; it is dropped at the end of its batch too.
    """

    def __init__(self, limit: int, size_of: Callable[[V], int] = _count_as_one) -> None:
        self._limit, self._size_of = limit, size_of
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __getitem__(self, key: K) -> V:
        """Raises KeyError for what is not there."""
        value = self._entries[key]
        self._entries.move_to_end(key)
        return value

    def __setitem__(self, key: K, value: V) -> None:
        if key in self._entries:
            self._total -= self._size_of(self._entries[key])
        self._entries[key] = value
        self._entries.move_to_end(key)
        self._total += self._size_of(value)

    def get(self, key: K) -> V | None:
        """The value of a key; None for one that is not there."""
        return self[key] if key in self._entries else None

    def update(self, entries: Mapping[K, V]) -> None:
        for key, value in entries.items():
            self[key] = value

    def missing(self, keys: Iterable[K]) -> list[K]:
        """Those of the keys that are not there. The others count as used."""
        missing_keys = []
        for key in keys:
            if key in self._entries:
                self._entries.move_to_end(key)
            else:
                missing_keys.append(key)
        return missing_keys

    def end_batch(self) -> None:
        """What was used so far is needed no longer: drop what is beyond the bound."""
        while self._total > self._limit:
            _, value = self._entries.popitem(last=False)
            self._total -= self._size_of(value)

    def trim(self, needed: Collection[K]) -> None:
        """Drop what is beyond the bound in the middle of a batch, but for the entries that are `needed`. The others must be ones that
        whoever asks for them can make again."""
        if self._total <= self._limit:
            return
        for key in [key for key in self._entries if key not in needed]:
            if self._total <= self._limit:
                break
            self._total -= self._size_of(self._entries.pop(key))

    def drop(self, key: K) -> None:
        """Forget one entry, if it is there: it is outdated."""
        if key in self._entries:
            self._total -= self._size_of(self._entries.pop(key))

    def clear(self) -> None:
        self._entries.clear()
        self._total = 0
