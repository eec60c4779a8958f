"""The passage side of matching: which stories a text shares keys with, and under which keys it stands for one itself.

Texts are taken one after the other, in the order of their keys: whether a text is entered in a bucket depends on what was
matched before it, and on nothing else. What was decided is stored with the text, so that the index can be made again exactly.

A bucket's texts stand for all that hold its passage: for the copies of theirs that were not entered, and for other states of
their pages. Those are candidates too (`represented`), so that a text that is no copy of the one may still be one of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dedup import store
from dedup.index.hashtable import plain
from dedup.index.passages import STORIES, PassageIndex
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.cache import Cache
from dedup.matching.text_cache import Kept
from dedup.matching.top_candidates import likeliest
from dedup.similarity import jit
from dedup.store import Database, Transaction

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
"""Texts of which the publisher stays in memory between batches."""

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
    """What a text's buckets propose: candidates, those first that share most keys. `unmasked`: which of its keys do not lie in
    boilerplate."""

    lookup: Lookup
    unmasked: NDArray[np.bool_]
    candidates: list[int]


class _Held:
    """What the index holds under the keys of a batch's texts, looked up all at once. A place is that of a key among all of them."""

    def __init__(self, index: PassageIndex, lookups: Sequence[Lookup]) -> None:
        self.lookups = lookups
        self.every = np.concatenate([one.keys for one in lookups])
        self.ends = np.cumsum([len(one.keys) for one in lookups])
        self.numbers_under, self.texts_under = index.stories(self.every)
        self.keys: list[int] = self.every.tolist()
        self.numbers: list[int] = self.numbers_under.tolist()
        self._texts: list[int] = self.texts_under.tolist()
        self._behind: list[int] = np.cumsum(self.numbers_under).tolist()
        begins = [0, *self.ends.tolist()]
        self.places = {one.number: range(begin, end) for one, begin, end in zip(lookups, begins, begins[1:], strict=False)}

    def under(self, place: int) -> list[int]:
        """The texts that the index holds under a key."""
        behind = self._behind[place]
        return self._texts[behind - self.numbers[place] : behind]

    def met(self) -> set[int]:
        """The texts of all buckets that may propose any."""
        return set(self.texts_under[np.repeat(self.numbers_under <= STORIES, self.numbers_under)].tolist())

    def owned(self, which: NDArray[np.bool_]) -> Iterator[tuple[int, Lookup]]:
        """(place, whose key it is) of these keys."""
        places = np.flatnonzero(which)
        owners = np.searchsorted(self.ends, places, side="right")
        return ((place, self.lookups[owner]) for place, owner in zip(places.tolist(), owners.tolist(), strict=True))

    def repeated(self) -> NDArray[np.bool_]:
        """Which keys are there more than once."""
        order = np.argsort(self.every)
        same = self.every[order[1:]] == self.every[order[:-1]]
        found = np.zeros(len(order), np.bool_)
        found[order[1:][same]] = True
        found[order[:-1][same]] = True
        return found


@dataclass(frozen=True, slots=True)
class _Seen:
    """What can be told of a batch before its texts are taken one by one.

    Most texts have candidates that the index alone tells. More counts for those whose keys others of the batch have had
    (`repeated`: text → places of keys that others have), and for `intricate` ones: with passages that may be boilerplate, or
    are that of other publishers."""

    unmasked: NDArray[np.bool_]
    repeated: dict[int, list[int]]
    intricate: set[int]
    candidates: dict[int, list[int]]


class Stories:
    """Proposes candidates and enters texts, on top of an index of what is committed."""

    def __init__(self, database: Database, boilerplate: Boilerplate, kept: Kept) -> None:
        self._database, self._boilerplate, self._kept = database, boilerplate, kept
        self._held: _Held
        self._seen: _Seen
        self._publishers: Cache[int, int] = Cache(MOST_PUBLISHERS)
        self._families: dict[int, list[int]] = {}
        self._own_families: dict[int, list[int]] = {}
        self._local: dict[int, tuple[int, ...]] = {}
        self._entered: list[tuple[int, Keys]] = []
        self._represented: list[tuple[int, int]] = []

    def forget(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        self._publishers.clear()
        for kept in (self._families, self._own_families, self._local, self._entered, self._represented):
            kept.clear()

    def committed(self) -> list[tuple[int, Keys]]:
        """What was entered since the last time, for the index."""
        entered, self._entered = self._entered, []
        return entered

    def begin(self, index: PassageIndex, lookups: Sequence[Lookup]) -> None:
        """Look up the texts of a batch, and all that will be asked of those that stand under their keys."""
        self._held = held = _Held(index, lookups)
        met = held.met() | {number for number, _ in self._entered}
        self._families = store.passages.first_followers(self._database, met, FAMILY + 1)
        self._own_families = store.passages.first_followers(self._database, [one.number for one in lookups if one.body is None], None)
        families = (*self._families.values(), *self._own_families.values())
        self.load_publishers({*met, *(text for family in families for text in family)})
        self._publishers.update({one.number: one.publisher for one in lookups})
        self._boilerplate.load(self._database, {one.publisher for one in lookups})
        self._local = {}
        for number, keys in self._entered:  # by an earlier part of the same commit
            for key in keys.tolist():
                self._local[key] = (*self._local.get(key, ()), number)
        self._seen = self._look_ahead(held)

    def _look_ahead(self, held: _Held) -> _Seen:
        again = held.repeated()
        if self._local:
            again |= np.isin(held.every, list(self._local))
        repeated: dict[int, list[int]] = {}
        for place, one in held.owned(again):
            repeated.setdefault(one.number, []).append(place)
        intricate: set[int] = set()
        unmasked = np.ones(len(held.keys), np.bool_)
        known = self._boilerplate.keys.intersection(held.keys)
        needed = self._boilerplate.articles - 1
        doubtful = (held.numbers_under >= needed) & (held.numbers_under <= STORIES) if needed > 0 else np.zeros(len(held.keys), np.bool_)
        if known:
            doubtful |= np.isin(held.every, list(known))
        for place, one in held.owned(doubtful):
            if held.keys[place] in self._boilerplate.masked_keys(self._database, one.publisher):
                unmasked[place] = False
            elif held.keys[place] in known or self._common(one, held.keys[place], held.under(place)):
                intricate.add(one.number)
        for _, one in held.owned(~unmasked):
            places = held.places[one.number]
            if 2 * np.count_nonzero(unmasked[places.start : places.stop]) < len(places):
                intricate.add(one.number)
        numbers = np.where(unmasked, held.numbers_under, 0)
        candidates = _likeliest(held.ends, numbers, held.texts_under[np.repeat(unmasked, held.numbers_under)])
        of_text = {one.number: others for one, others in zip(held.lookups, candidates, strict=True)}
        return _Seen(unmasked, repeated, intricate, of_text)

    def finish(self, transaction: Transaction) -> None:
        """Store which texts stand for which."""
        store.passages.insert_followers(transaction, self._represented)
        self._represented.clear()

    def end_batch(self) -> None:
        """The texts of the batch are asked for no more."""
        self._publishers.end_batch()

    def likely(self, one: Lookup) -> list[int]:
        """What will be proposed, as far as the index alone tells."""
        return self._seen.candidates[one.number]

    def propose(self, transaction: Transaction, one: Lookup) -> Proposed:
        """The candidates of a text. Passages that so many articles of its publisher share are learned on the way, and are no
        reason to propose anything."""
        held, seen = self._held, self._seen
        places = held.places[one.number]
        repeated = seen.repeated.get(one.number, ())
        local = bool(self._local) and any(held.keys[place] in self._local for place in repeated)
        if not local and one.number not in seen.intricate:
            unmasked, candidates = seen.unmasked[places.start : places.stop], seen.candidates[one.number]
        else:
            met = sorted({*repeated, *(place for place in places if held.numbers[place])})
            buckets = {key: there for place in met if (there := self._under(place, key := held.keys[place]))}
            unmasked = self._unmasked(one)
            learned = self._learn(transaction, one, one.keys[unmasked].tolist(), buckets) if one.body is not None else set()
            if learned:
                unmasked = self._unmasked(one)
                seen.intricate.update(other.number for _, other in held.owned(np.isin(held.every, list(learned))))
            left = set(one.keys[unmasked].tolist())
            proposing = [
                [text for text in there if not self._masked(text, key)] if key in self._boilerplate.keys else there
                for key, there in buckets.items()
                if key in left
            ]
            texts = [text for there in proposing for text in there]
            (candidates,) = _likeliest(_array([len(proposing)]), _array([len(there) for there in proposing]), _array(texts))
        return Proposed(one, unmasked, [other for other in candidates if other != one.number])

    def _under(self, place: int, key: int) -> list[int]:
        """What stands under a key, in the index and by this commit."""
        there = self._held.under(place)
        return [*there, *self._local[key]] if key in self._local else there

    def enter(self, proposed: Proposed, behind: Iterable[int]) -> Keys:
        """Enter a text under those of its keys where none of those stands that it goes behind, and remember which they are.
        Gives the keys."""
        number, theirs, held = proposed.lookup.number, set(behind), self._held
        places = held.places[number]
        repeated = set(self._seen.repeated.get(number, ()))
        if not theirs and not repeated and proposed.unmasked.all() and max(held.numbers[places.start : places.stop], default=0) <= STORIES:
            self._entered.append((number, proposed.lookup.keys))
            return proposed.lookup.keys
        entering = proposed.unmasked & (held.numbers_under[places.start : places.stop] <= STORIES)
        represented: set[int] = set()
        for place in {*repeated, *(place for place in places if held.numbers[place])} if theirs else repeated:
            if not proposed.unmasked[place - places.start]:
                continue
            key = held.keys[place]
            there = self._under(place, key)
            before = theirs.intersection(there)
            if before or len(there) > STORIES:
                represented |= before
                entering[place - places.start] = False
            elif place in repeated:
                self._local[key] = (*self._local.get(key, ()), number)
        for by in sorted(represented):
            self._represented.append((by, number))
            self._families.setdefault(by, []).append(number)
        found = proposed.lookup.keys[entering]
        self._entered.append((number, found))
        return found

    def family(self, text: int) -> list[int]:
        """The texts that stand behind one; of more than `FAMILY` the earliest so many and some."""
        return self._families.get(text, [])

    def own_family(self, one: Lookup) -> list[int]:
        """All texts that are represented by one that is in the index already: none of its keys leads to them."""
        return self._own_families.get(one.number, [])

    def publisher(self, text: int) -> int | None:
        """The publisher of a text; None for one that is too short to be looked up."""
        if text not in self._publishers:
            self.load_publishers([text])
        return self._publishers.get(text)

    def load_publishers(self, texts: Iterable[int]) -> None:
        """Have the publishers of these texts at hand."""
        if unknown := self._publishers.missing(texts):
            found = store.passages.publishers(self._database, unknown)
            self._boilerplate.load(self._database, set(found.values()))
            self._publishers.update(found)

    def _masked(self, text: int, key: int) -> bool:
        """Whether a key under which a text was entered lies in what has been learned since."""
        publisher = self.publisher(text)
        if publisher is None or key not in self._boilerplate.masked_keys(self._database, publisher):
            return False
        return self._boilerplate.mask_of(self._database, publisher, text, self._kept.get(text).points) is not None

    def _unmasked(self, one: Lookup) -> NDArray[np.bool_]:
        """Which keys do not lie in boilerplate; all of them where that is over half of the text."""
        masked = self._boilerplate.masked_keys(self._database, one.publisher)
        found = np.array([key not in masked for key in one.keys.tolist()], np.bool_)
        if 2 * np.count_nonzero(found) < len(found):
            if one.body is not None:
                self._kept.put(one.number, one.body)
            if self._boilerplate.mask(self._database, one.publisher, self._kept.get(one.number).points) is None:
                found[:] = True
        return found

    def _common(self, one: Lookup, key: int, there: Sequence[int]) -> list[int]:
        """The texts that show that a key lies in boilerplate, if there are as many as that takes."""
        needed = self._boilerplate.articles - 1
        if not 1 <= needed <= len(there) <= STORIES or not self._boilerplate.doubtful(self._database, one.publisher, key):
            return []
        same = [text for text in there if self.publisher(text) == one.publisher][:needed]
        return same if len(same) == needed else []

    def _learn(self, transaction: Transaction, one: Lookup, keys: list[int], buckets: dict[int, list[int]]) -> set[int]:
        """Learn what this text and so many others of its publisher share. Gives the keys that lie in it."""
        assert one.body is not None
        learned: set[int] = set()
        needed = self._boilerplate.articles - 1
        frequent = {key for key, there in buckets.items() if 1 <= needed <= len(there) <= STORIES}
        for key in sorted(frequent.intersection(keys)) if frequent else ():
            same = self._common(one, key, buckets[key])
            if not same:
                continue
            self._kept.put(one.number, one.body)
            self._kept.load(same)
            own, others = self._kept.get(one.number).points, [self._kept.get(text).points for text in same]
            learned |= self._boilerplate.learn(transaction, one.publisher, key, one.body, own, others)
        return learned


def _likeliest(ends: Keys, numbers: Keys, texts: Keys) -> list[list[int]]:
    """See `likeliest`."""
    chosen = np.zeros(len(ends) * CANDIDATES, np.int64)
    chosen_numbers = np.zeros(len(ends), np.int64)
    limits = _array([STORIES, PROPOSED, CANDIDATES])
    jit.of(likeliest)(plain(ends), plain(numbers), plain(texts), plain(limits), EVIDENCE, plain(chosen), plain(chosen_numbers))
    found: list[int] = chosen.tolist()
    return [found[i * CANDIDATES : i * CANDIDATES + number] for i, number in enumerate(chosen_numbers.tolist())]


def _array(numbers: Sequence[int]) -> Keys:
    return np.array(numbers, np.int64)
