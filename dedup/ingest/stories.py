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
CANDIDATES = 16
"""Texts that stand in the buckets of a text and are confirmed, those first that share most keys."""
EVIDENCE = 0.49
"""What the keys that a candidate shares must say for it, each one part of as many as there are stories under it: one key of two
stories is enough, or three of six."""
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
        self._local: dict[int, tuple[int, ...]] = {}
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
        keys = np.concatenate([one.keys for one in lookups])
        owners = np.repeat(np.arange(len(lookups)), [len(one.keys) for one in lookups])
        held: dict[int, dict[int, list[int]]] = {one.number: {} for one in lookups}
        for place, there in index.stories(keys):
            held[lookups[owners[place]].number][int(keys[place])] = there
        met = {text for buckets in held.values() for there in buckets.values() if len(there) <= STORIES for text in there}
        self._families = self._store.represented_by(met, FAMILY + 1)
        self.load_publishers({*met, *(text for family in self._families.values() for text in family)})
        self._publishers |= {one.number: one.publisher for one in lookups}
        return held

    def finish(self) -> None:
        """Store which texts stand for which."""
        self._store.add_represented(self._represented)
        self._represented.clear()

    def likely(self, one: Lookup, held: dict[int, list[int]]) -> list[int]:
        """What will be proposed, as far as the index alone tells."""
        if not held:
            return []
        masked = self._boilerplate.masked_keys(self._store, one.publisher)
        return likeliest(there for key, there in held.items() if key not in masked)

    def propose(self, one: Lookup, held: dict[int, list[int]]) -> Proposed:
        """The candidates of a text; `held` is what the index holds under its keys. Passages that so many articles of its
        publisher share are learned on the way, and are no reason to propose anything."""
        every: list[int] = one.keys.tolist()
        keys = self._unmasked(one, every)
        met = held.keys() | (self._local.keys() & set(every))
        buckets = {key: [*held.get(key, ()), *self._local.get(key, ())] for key in sorted(met)}
        if one.body is not None and self._learn(one, keys, buckets):
            keys = self._unmasked(one, every)
        unmasked = buckets.keys() if keys is every else buckets.keys() & set(keys)
        candidates = likeliest([text for text in buckets[key] if not self._masked(text, key)] for key in unmasked)
        return Proposed(one, keys, buckets, [other for other in candidates if other != one.number])

    def enter(self, proposed: Proposed, behind: Iterable[int]) -> Keys:
        """Enter a text under those of its keys where none of those stands that it goes behind, and remember which they are.
        Gives the keys."""
        number, theirs, local = proposed.lookup.number, set(behind), self._local
        entered: list[int] = []
        represented: set[int] = set()
        if proposed.buckets:
            for key in proposed.keys:
                there = proposed.buckets.get(key)
                if there is None:
                    local[key] = (number,)
                    entered.append(key)
                    continue
                before = theirs.intersection(there)
                if before:
                    represented |= before
                elif len(there) <= STORIES:
                    local[key] = (*local.get(key, ()), number)
                    entered.append(key)
        else:
            local.update(dict.fromkeys(proposed.keys, (number,)))
            entered = proposed.keys
        for by in sorted(represented):
            self._represented.append((by, number))
            self._families.setdefault(by, []).append(number)
        found = proposed.lookup.keys if len(entered) == len(proposed.lookup.keys) else np.array(entered, np.int64)
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

    def _masked(self, text: int, key: int) -> bool:
        """Whether a key under which a text was entered lies in what has been learned since."""
        publisher = self.publisher(text)
        if publisher is None or key not in self._boilerplate.masked_keys(self._store, publisher):
            return False
        return self._boilerplate.mask_of(self._store, publisher, text, self._kept.get(text).points) is not None

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
        if needed < 1:
            return False
        unmasked = set(keys)
        for key, there in buckets.items():
            if not needed <= len(there) <= STORIES or key not in unmasked:
                continue
            if not self._boilerplate.doubtful(self._store, one.publisher, key):
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
    """The candidates that these buckets propose, those first that most of them do, then the earliest. A bucket of many stories
    holds a phrase, and says little of each: what all of a candidate's say must come to `EVIDENCE`."""
    met: dict[int, int] = {}
    said: dict[int, float] = {}
    for there in buckets:
        if 0 < len(there) <= STORIES:
            share = 1 / len(there)
            for other in there[:PROPOSED]:
                met[other] = met.get(other, 0) + 1
                said[other] = said.get(other, 0.0) + share
    return sorted((o for o in met if said[o] >= EVIDENCE), key=lambda other: (-met[other], other))[:CANDIDATES]
