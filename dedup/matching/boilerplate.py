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
from dedup.similarity.overlap import RUN, Sought
from dedup.similarity.overlap.spans import origins
from dedup.similarity.winnowing import numpy_kernel
from dedup.store import Database, Transaction
from dedup.store.rows import BoilerplateRow
from dedup.text import normalise, times

MOST_LEARNED = 500_000
"""Characters of texts that boilerplate is learned from. What is printed under everything is printed under shorter ones too."""
MASKED_CHARACTERS = 4_000_000
"""Normalised characters of texts whose masks stay in memory between batches (1 byte each)."""

Points = NDArray[np.uint32]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class _House:
    """What is known of one publisher. `keys`: those of its passages that are masked; `settled`: those of all its passages."""

    name: str
    passages: list[tuple[str, str]] = field(default_factory=list)
    keys: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)
    sought: Sought | None = None

    def add(self, name: str, passage: str, status: Masking) -> set[int]:
        """Take a passage in. Gives the keys that lie in it."""
        keys = _keys(passage)
        self.settled |= keys
        if status == "allowed":
            return keys
        self.keys |= keys
        self.passages.append((name, passage))
        self.runs |= {passage[i : i + RUN]: name for i in range(len(passage) - RUN + 1)}
        self.sought = None
        return keys


@dataclass(slots=True)
class _Hidden:
    """What is masked of a text, and the names of the passages that hide it once somebody asked for them."""

    mask: Mask | None
    names: frozenset[str] | None = None

    @property
    def size(self) -> int:
        return 1 if self.mask is None else len(self.mask)


def _keys(passage: str) -> set[int]:
    """Every key that a text can choose within a normalised passage."""
    return set(numpy_kernel.keys_of(numpy_kernel.hashes(normalise.to_points(passage))).tolist())


class Boilerplate:
    """The passages of every publisher, as far as they have been asked for; learns new ones within the store's transaction.
    `articles`: in how many of a publisher a passage must return; 0: none is learned. `keys`: those that lie within boilerplate
    of any of these publishers."""

    def __init__(self, articles: int) -> None:
        self.articles = articles
        self.keys: set[int] = set()
        self._houses: dict[int, _House] = {}
        self._hidden: Cache[tuple[int, int, int], _Hidden] = Cache(MASKED_CHARACTERS, lambda hidden: hidden.size)

    def end_batch(self) -> None:
        """The texts of the batch are compared no more."""
        self._hidden.end_batch()

    def forget(self) -> None:
        """Ask the database again."""
        self._houses.clear()
        self._hidden.clear()
        self.keys.clear()

    def load(self, database: Database, publishers: Iterable[int]) -> None:
        """Have what is known of these publishers at hand."""
        for publisher in publishers:
            self.house(database, publisher)

    def house(self, database: Database, publisher: int) -> _House:
        if publisher not in self._houses:
            self._houses[publisher] = known = _House(store.publishers.name(database, publisher))
            for row in store.boilerplate.list_passages(database, known.name):
                known.add(row.name, row.passage, row.status)
            self.keys |= known.keys
        return self._houses[publisher]

    def masked_keys(self, database: Database, publisher: int) -> set[int]:
        """The keys that lie within a publisher's boilerplate."""
        return self.house(database, publisher).keys

    def mask_of(self, database: Database, publisher: int, text: int, own: Points) -> Mask | None:
        """The mask of a text that is asked for again and again."""
        return self._hidden_of(database, publisher, text, own).mask if self.house(database, publisher).passages else None

    def _hidden_of(self, database: Database, publisher: int, text: int, own: Points) -> _Hidden:
        key = publisher, text, len(self.house(database, publisher).passages)  # a passage that is learned makes other masks
        if key not in self._hidden:
            self._hidden[key] = _Hidden(self.mask(database, publisher, own))
        return self._hidden[key]

    def mask(self, database: Database, publisher: int, own: Points) -> Mask | None:
        """Which characters of a text are boilerplate of its publisher; None where none is, or over half of the text would be:
        that is no frame, but what the text is."""
        house = self.house(database, publisher)
        if not house.passages:
            return None
        if house.sought is None:
            house.sought = overlap.sought(normalise.to_points("\0".join(passage for _, passage in house.passages)))
        masked = overlap.runs_in(own, house.sought)
        number = int(np.count_nonzero(masked))
        return masked if 0 < 2 * number <= len(own) else None

    def names_of(self, database: Database, publisher: int, text: int, own: Points) -> frozenset[str]:
        """The names of the passages that the mask of such a text hides."""
        if self.mask_of(database, publisher, text, own) is None:
            return frozenset()
        hidden = self._hidden_of(database, publisher, text, own)
        if hidden.names is None:
            hidden.names = frozenset(self.names(database, publisher, own, hidden.mask))
        return hidden.names

    def names(self, database: Database, publisher: int, own: Points, mask: Mask | None) -> set[str]:
        """The names of the passages that a mask hides."""
        if mask is None:
            return set()
        house, body, hidden = self.house(database, publisher), normalise.from_points(own), mask.tolist()
        runs = (body[i : i + RUN] for i in range(len(body) - RUN + 1) if hidden[i] and hidden[i + RUN - 1])
        return {house.runs[run] for run in runs if run in house.runs}

    def doubtful(self, database: Database, publisher: int, key: int) -> bool:
        """Whether a key that many of a publisher's articles have is still to be looked at."""
        return bool(self.articles) and key not in self.house(database, publisher).settled

    def learn(self, transaction: Transaction, publisher: int, key: int, body: str, own: Points, others: Sequence[Points]) -> set[int]:
        """Learn the passage around a key of a text (`body`, and `own` normalised) that runs alike through the others too.
        Gives the keys that lie in it; none where there is no such passage."""
        if max(map(len, (own, *others))) > MOST_LEARNED:
            return set()
        house = self.house(transaction, publisher)
        passage = _common(key, own, others)
        if not passage:
            return set()
        learned = {key}
        if not all(passage[i : i + RUN] in house.runs for i in range(len(passage) - RUN + 1)):
            row = remember(transaction, publisher, house.name, passage, _shown(body, passage), len(others) + 1, "learned")
            learned |= house.add(row.name, row.passage, row.status)
        house.settled.add(key)
        house.keys.add(key)
        self.keys |= learned
        return learned


def remember(
    transaction: Transaction, publisher: int, house: str, passage: str, shown: str, articles: int, status: Masking
) -> BoilerplateRow:
    """Write a passage of a publisher down, under a name of its own."""
    digest = xxhash.xxh3_128_hexdigest(f"{house}\0{passage}".encode())
    row = BoilerplateRow(digest[:12], house, passage, shown, articles, status, times.now())
    store.boilerplate.insert(transaction, row.name, publisher, row.passage, row.shown, row.articles, row.status, row.since)
    return row


def find(database: Database, name: str) -> BoilerplateRow:
    """The passage of this name, or whose name begins so. Raises UnknownBoilerplateError, AmbiguousBoilerplateError."""
    found = [row for row in store.boilerplate.list_passages(database) if row.name.startswith(name.lower())] if name else []
    if not found:
        raise UnknownBoilerplateError(wanted=name)
    if len(found) > 1:
        raise AmbiguousBoilerplateError(wanted=name, names=", ".join(row.name for row in found[:10]))
    return found[0]


def tell(transaction: Transaction, house: str, shown: str) -> BoilerplateRow:
    """Mask a passage that is told by hand. Raises ShortBoilerplateError for one that is too short to be found."""
    passage = normalise.normalise(shown)
    if len(passage) < RUN:
        raise ShortBoilerplateError(characters=len(passage), least=RUN)
    known = next((row for row in store.boilerplate.list_passages(transaction, house) if row.passage == passage), None)
    if known is None:
        return remember(transaction, store.publishers.get_or_insert(transaction, house), house, passage, " ".join(shown.split()), 0, "masked")
    store.boilerplate.set_status(transaction, known.name, "masked")
    return replace(known, status="masked")


def _common(key: int, own: Points, others: Sequence[Points]) -> str:
    """The passage around the run with this key, as far as it runs alike through all; empty where they have no such run."""
    places = np.flatnonzero(numpy_kernel.keys_of(numpy_kernel.hashes(own)) == key)
    if not len(places):
        return ""
    body, at = normalise.from_points(own), int(places[0])
    k = int(numpy_kernel.lengths(own)[at])
    run = body[at : at + k]
    these = [(body, at), *((other, other.find(run)) for other in map(normalise.from_points, others))]
    if any(place < 0 for _, place in these):
        return ""
    before = _alike([reversed(other[:place]) for other, place in these])
    after = _alike([iter(other[place + k :]) for other, place in these])
    return body[at - before : at + k + after]


def _alike(rests: Sequence[Iterable[str]]) -> int:
    """How far these run alike."""
    number = 0
    for characters in zip(*rests, strict=False):
        if len(set(characters)) > 1:
            break
        number += 1
    return number


def _shown(body: str, passage: str) -> str:
    """A normalised passage as it stands in a body."""
    at = normalise.normalise(body).find(passage)
    where = origins(body)
    return body[where[at][0] : where[at + len(passage) - 1][1]] if at >= 0 else passage
