"""What a body resembles among the texts of the database, however it is stored, without recording it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from dedup import store
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.thresholds import Matching
from dedup.model import Numbers, Relation
from dedup.similarity import minhash, winnowing
from dedup.similarity.overlap import Prepared, prepare
from dedup.store import Database

_CHUNK = 4096
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A text of the database that a given one matches."""

    text: int
    relation: Relation
    numbers: Numbers


def resembling(database: Database, matching: Matching, body: str, signature: bytes, keys: bytes, house: str) -> list[Resemblance]:
    """Texts of the database that match a body, of a publisher's, which need not be in it; signature and packed keys are its own.

    Everything that is stored of every text is looked at: a reader has no use of indexes that a writer may be changing.
    """
    own = prepare(body)
    judge = Judge(database, matching)
    mask = judge.mask(own, store.publishers.find(database, house))
    proposed = dict.fromkeys(_by_signature(database, matching, signature), False)
    for number in _by_passages(database, keys):
        proposed.setdefault(number, True)
    found = []
    for number, by_passages in proposed.items():
        other = store.texts.body(database, number)
        if other is None:
            continue
        theirs = prepare(other)
        if np.array_equal(own.points, theirs.points):
            continue
        publisher = store.passages.publisher(database, number)
        judged = matching.judge(own, theirs, lambda t=theirs, p=publisher: (mask, judge.mask(t, p)), by_passages=by_passages)  # type: ignore[misc]
        if judged.relation:
            found.append(Resemblance(number, judged.relation, judged.numbers))
    return found


class Judge:
    """Judges texts as the writer would, from a database that is only read."""

    def __init__(self, database: Database, matching: Matching) -> None:
        self._database, self._matching = database, matching
        self._boilerplate = Boilerplate(0)

    def mask(self, own: Prepared, publisher: int | None) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
        """What of a text is boilerplate of its publisher; see `Boilerplate.mask`."""
        if publisher is None or not self._matching.limits.passages:
            return None
        return self._boilerplate.mask(self._database, publisher, own.points)

    def names(self, own: Prepared, publisher: int | None) -> set[str]:
        """The names of the passages that are masked in a text."""
        if publisher is None:
            return set()
        return self._boilerplate.names(self._database, publisher, own.points, self.mask(own, publisher))


def _by_signature(database: Database, matching: Matching, signature: bytes) -> Iterator[int]:
    """Texts that share a band with a signature."""
    d = matching.limits
    bands, rows = minhash.bands(d.threshold, d.num_perm)
    own = np.frombuffer(signature, "<u4")[: bands * rows].reshape(bands, rows)
    for chunk in _chunks(store.texts.all_signatures(database)):
        theirs = np.frombuffer(b"".join(s for _, s in chunk), "<u4").reshape(len(chunk), -1)[:, : bands * rows]
        for i in np.flatnonzero((theirs.reshape(-1, bands, rows) == own).all(axis=2).any(axis=1)):
            yield chunk[i][0]


def _by_passages(database: Database, keys: bytes) -> Iterator[int]:
    """Texts that stand for a story under one of these keys, and those that stand behind them."""
    own = winnowing.unpack(keys)
    if not len(own):
        return
    for chunk in _chunks(store.passages.all_fingerprints(database)):
        ends = np.cumsum([len(k) // 5 for _, k in chunk])
        met = np.flatnonzero(np.isin(winnowing.unpack(b"".join(k for _, k in chunk)), own))
        for i in np.unique(np.searchsorted(ends, met, "right")):
            yield chunk[i][0]
            yield from store.passages.followers(database, chunk[i][0])


def _chunks(rows: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(rows)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
