"""The passage side of matching: which stories a text shares keys with, and under which keys it stands for one itself.

Texts are taken one after the other, in the order of their keys: whether a text is entered in a bucket depends on what was
matched before it, and on nothing else. What was decided is stored with the text, so that the index can be made again exactly.

A bucket's texts stand for all that hold its passage: for the copies of theirs that were not entered, and for other states of
their pages. Those are candidates too (`represented`), so that a text that is no copy of the one may still be one of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup.ingest.boilerplate import Boilerplate
from dedup.ingest.kept import Kept
from dedup.passages import STORIES, PassageIndex
from dedup.store import Writer

PROPOSED = 4
"""Texts of a bucket that are proposed: the earliest."""
CANDIDATES = 8
"""Texts that stand in the buckets of a text and are confirmed, those first that share most keys."""
FAMILY = 32
"""Texts that stand behind a candidate and are confirmed too; one with more has a match, and the copies of that are many."""
MOST_PUBLISHERS = 200_000
"""Texts of which the publisher is kept in memory."""

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A text that is looked up by its keys. `body` None: it is not entered (it stands in the index already)."""

    number: int
    publisher: int
    keys: Keys
    body: str | None


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a text's buckets hold: candidates, those first that share most keys, each with the keys it was met under."""

    lookup: Lookup
    keys: list[int]
    buckets: dict[int, list[int]]
    candidates: list[int]


class Stories:
    """Proposes candidates and enters texts, on top of an index of what is committed."""

    def __init__(self, store: Writer, boilerplate: Boilerplate, kept: Kept) -> None:
        self._store, self._boilerplate, self._kept = store, boilerplate, kept
        self._publishers: dict[int, int] = {}
        self._families: dict[int, list[int]] = {}
        self._local: dict[int, list[int]] = {}
        self._entered: list[tuple[int, Keys]] = []
        self._represented: list[tuple[int, int]] = []

    def forget(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        for kept in (self._publishers, self._families, self._local, self._entered, self._represented):
            kept.clear()

    def committed(self) -> list[tuple[int, Keys]]:
        """What was entered since the last time, for the index."""
        entered, self._entered = self._entered, []
        self._local.clear()
        return entered

    def begin(self, index: PassageIndex, lookups: Sequence[Lookup]) -> dict[int, dict[int, list[int]]]:
        """Lookup's text → what the index holds under its keys: key → texts, without empty ones. All that will be asked of
        those texts is looked up at once."""
        if not lookups:
            return {}
        stories = iter(index.stories(np.concatenate([one.keys for one in lookups])))
        held = {one.number: {key: there for key, there in zip(one.keys.tolist(), stories, strict=False) if there} for one in lookups}
        met = {text for buckets in held.values() for there in buckets.values() if len(there) <= STORIES for text in there}
        self._families = self._store.represented_by(met, FAMILY + 1)
        self.load_publishers({*met, *(text for family in self._families.values() for text in family)})
        self._publishers |= {one.number: one.publisher for one in lookups}
        return held

    def finish(self) -> None:
        """Store which texts stand for which."""
        self._store.add_represented(self._represented)
        self._represented.clear()

    def propose(self, one: Lookup, held: dict[int, list[int]]) -> Proposed:
        """The candidates of a text; `held` is what the index holds under its keys. Passages that so many articles of its
        publisher share are learned on the way, and are no reason to propose anything."""
        every: list[int] = one.keys.tolist()
        keys = self._unmasked(one, every)
        buckets = {key: held.get(key, []) + self._local.get(key, []) for key in held.keys() | (self._local.keys() & set(every))}
        if one.body is not None and self._learn(one, keys, buckets):
            keys = self._unmasked(one, every)
        candidates = likeliest(buckets[key] for key in keys if key in buckets)
        return Proposed(one, keys, buckets, [other for other in candidates if other != one.number])

    def enter(self, proposed: Proposed, behind: Iterable[int]) -> Keys:
        """Enter a text under those of its keys where none of those stands that it goes behind, and remember which they are.
        Gives the keys."""
        number, theirs = proposed.lookup.number, set(behind)
        entered: list[int] = []
        represented: set[int] = set()
        for key in proposed.keys:
            there = proposed.buckets.get(key)
            if there:
                before = theirs.intersection(there)
                if before:
                    represented |= before
                    continue
                if len(there) > STORIES:
                    continue
            self._local.setdefault(key, []).append(number)
            entered.append(key)
        for by in sorted(represented):
            self._represented.append((by, number))
            self._families.setdefault(by, []).append(number)
        found = np.array(entered, np.int64)
        self._entered.append((number, found))
        return found

    def family(self, text: int) -> list[int]:
        """The texts that stand behind one; of more than `FAMILY` the earliest so many and some."""
        return self._families.get(text, [])

    def publisher(self, text: int) -> int | None:
        """The publisher of a text; None for one that is too short to be looked up."""
        if text not in self._publishers:
            self.load_publishers([text])
        return self._publishers.get(text)

    def load_publishers(self, texts: Iterable[int]) -> None:
        """Have the publishers of these texts at hand."""
        unknown = [text for text in texts if text not in self._publishers]
        if len(self._publishers) > MOST_PUBLISHERS:
            self._publishers = {number: self._publishers[number] for number, _ in self._entered}
        if unknown:
            self._publishers |= self._store.publishers_of_texts(unknown)

    def _unmasked(self, one: Lookup, keys: list[int]) -> list[int]:
        """The keys that do not lie in boilerplate; all of them where that is over half of the text."""
        masked = self._boilerplate.masked_keys(self._store, one.publisher)
        if masked.isdisjoint(keys):
            return keys
        left = [key for key in keys if key not in masked]
        if 2 * len(left) < len(keys):
            if one.body is not None:
                self._kept.put(one.number, one.body)
            if self._boilerplate.mask(self._store, one.publisher, self._kept.get(one.number).points) is None:
                return keys
        return left

    def _learn(self, one: Lookup, keys: list[int], buckets: dict[int, list[int]]) -> bool:
        """Learn what this text and so many others of its publisher share; whether anything was."""
        needed = self._boilerplate.articles - 1
        learned = False
        for key in keys:
            there = buckets.get(key, ())
            if needed < 1 or not needed <= len(there) <= STORIES or not self._boilerplate.doubtful(self._store, one.publisher, key):
                continue
            same = [text for text in there if self.publisher(text) == one.publisher][:needed]
            if len(same) < needed:
                continue
            assert one.body is not None
            self._kept.put(one.number, one.body)
            self._kept.load(same)
            own, others = self._kept.get(one.number).points, [self._kept.get(text).points for text in same]
            learned |= self._boilerplate.learn(self._store, one.publisher, key, one.body, own, others)
        return learned


def likeliest(buckets: Iterable[Sequence[int]]) -> list[int]:
    """The candidates that these buckets propose, those first that most of them do, then the earliest."""
    met: dict[int, int] = {}
    for there in buckets:
        if len(there) <= STORIES:
            for other in there[:PROPOSED]:
                met[other] = met.get(other, 0) + 1
    return sorted(met, key=lambda other: (-met[other], other))[:CANDIDATES]
