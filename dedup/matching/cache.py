"""A least-recently-used cache that never drops what the current batch uses."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


def _count_as_one(_: object) -> int:
    return 1


class Cache(Generic[K, V]):
    """Holds the most recently used entries, up to a total size of `limit`.

    The limit is applied when a batch ends, not within it: the least recently used entries go first. An entry larger than the limit is
    dropped at the end of its batch too.
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
        """Return the value of a key. Raises KeyError if there is no such entry."""
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
        """Return the value of a key; None if there is no such entry."""
        return self[key] if key in self._entries else None

    def update(self, entries: Mapping[K, V]) -> None:
        for key, value in entries.items():
            self[key] = value

    def missing(self, keys: Iterable[K]) -> list[K]:
        """Return the keys without an entry. The entries of the others count as used."""
        missing_keys = []
        for key in keys:
            if key in self._entries:
                self._entries.move_to_end(key)
            else:
                missing_keys.append(key)
        return missing_keys

    def end_batch(self) -> None:
        """Drop entries until the limit is met: nothing that was used so far is needed any more."""
        while self._total > self._limit:
            _, value = self._entries.popitem(last=False)
            self._total -= self._size_of(value)

    def trim(self, needed: Collection[K]) -> None:
        """Apply the limit within a batch, except to `needed` entries. The caller must be able to recompute the others."""
        if self._total <= self._limit:
            return
        for key in [key for key in self._entries if key not in needed]:
            if self._total <= self._limit:
                break
            self._total -= self._size_of(self._entries.pop(key))

    def drop(self, key: K) -> None:
        """Drop an outdated entry, if it exists."""
        if key in self._entries:
            self._total -= self._size_of(self._entries.pop(key))

    def clear(self) -> None:
        self._entries.clear()
        self._total = 0
