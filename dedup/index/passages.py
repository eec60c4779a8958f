"""The passage index: which stories hold a passage. Derived from the keys stored with the texts, never a truth of its own.

A bucket, a key, holds the texts that stand for a story there. A text that copies one of them is not entered: a wire story run
by a hundred papers is one story. A phrase that more than `STORIES` stories hold says nothing, and proposes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from dedup.index import probing
from dedup.index.hashtable import HASH_BITS, Table, numbered, open_table, plain
from dedup.similarity import jit, winnowing

assert winnowing.KEY_BITS == HASH_BITS

STORIES = 16
"""Stories that a key may hold and still propose candidates; one more is kept, to know."""

Keys = NDArray[np.int64]


class PassageIndex:
    """Key → texts. `stories` asks, `add` takes in what was committed."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def is_intact(self) -> bool:
        """Whether its file was not cut short or overwritten by something else."""
        return self._table.is_intact()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._table.size

    @property
    def last_text(self) -> int:
        """All texts up to this key are held."""
        return self._table.state.last_text

    def add(self, texts: Sequence[int], keys: Sequence[Keys], token: bytes, last_text: int) -> None:
        """Take in texts (rising) under these keys of theirs; the commit `token` brought texts up to `last_text`."""
        enter(self._table, texts, keys)
        self._table.settle(token, last_text)

    def stories(self, keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(how many texts stand under each key, STORIES + 1 at most; those texts, the earliest of a key first, one key's after
        the other's)."""
        numbers = np.zeros(len(keys), np.int64)
        keys = self._table.scattered(keys)
        gather = jit.of(probing.gather)
        room = 2 * len(keys) + 256
        while True:
            found = np.zeros(room, np.int64)
            all_ = gather(self._table.slots(), self._table.state.homes, plain(keys), STORIES + 1, plain(numbers), plain(found))
            if all_ >= 0:
                return numbers, found[:all_]
            room *= 4

    def lacking(self, texts: Sequence[int], keys: Sequence[Keys]) -> tuple[int, int]:
        """(entries that these texts have under their keys, entries that they lack)."""
        if not sum(lengths := [len(k) for k in keys]):
            return 0, 0
        return self._table.lacking(self._table.scattered(np.concatenate(keys)), np.repeat(numbered(texts), lengths), 1, STORIES + 1)


def enter(table: Table, texts: Sequence[int], keys: Sequence[Keys]) -> None:
    """Enter texts under their keys, in this order."""
    if len(texts) != len(keys):
        raise ValueError(f"{len(texts)} texts and {len(keys)} lists of keys")
    lengths = [len(k) for k in keys]
    if sum(lengths):
        table.add(table.scattered(np.concatenate(keys)), np.repeat(numbered(texts), lengths), 1, STORIES + 1)


def new_index(path: str, uuid: bytes) -> PassageIndex:
    """An empty index in place of whatever is at `path`."""
    return PassageIndex(Table.empty(path, uuid, _RECIPE))


def recipe() -> bytes:
    """What the header of an index holds."""
    return _RECIPE


_RECIPE = xxhash.xxh3_128_digest(f"{winnowing.RECIPE}/{STORIES}".encode())


def open_index(
    path: str, uuid: bytes, token: bytes, last_text_of: Callable[[bytes], int | None],
    stored: Callable[[int], Iterable[tuple[int, bytes]]], progress: Callable[[int], None] = lambda _: None,
) -> PassageIndex:  # fmt: skip
    """The index of a database as of its commit `token`; see `table.open_table`. `stored` gives (text, the packed keys under
    which it stands for a story) beyond a text, in order of their keys."""

    def add(table: Table, rows: Sequence[tuple[int, bytes]]) -> None:
        enter(table, [t for t, _ in rows], [winnowing.unpack(k) for _, k in rows])

    return PassageIndex(open_table(path, "the passage index", uuid, _RECIPE, token, last_text_of, stored, add, progress))
