"""Candidates → matches: what shares a bucket is confirmed by exact Jaccard and containment, or is nothing."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup import minhash
from dedup.model import NO_COMMIT, Match, Relation
from dedup.overlap import Overlap, overlap, points
from dedup.store import Reader, Writer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dedup.lsh import CandidateIndex, Met

CACHED_CHARACTERS = 4_000_000
"""Normalised characters of candidates kept in memory (4 bytes each)."""
LOADED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Matching:
    """What makes a match; `recipe` is stored with each."""

    threshold: float
    excerpt_threshold: float
    min_characters: int
    num_perm: int

    @property
    def recipe(self) -> str:
        banded = minhash.banded_recipe(self.threshold, self.num_perm)
        return f"{banded}/near{self.threshold:g}/excerpt{self.excerpt_threshold:g}/min{self.min_characters}"

    def relation(self, found: Overlap) -> Relation | None:
        """The relation of two different texts; None: they are not alike enough.

        `near` beats `excerpt`, which has at most half the other's shingles."""
        if found.jaccard >= self.threshold:
            return "near"
        small, large = sorted((found.a, found.b))
        if found.containment >= self.excerpt_threshold and 2 * small <= large:
            return "excerpt"
        return None


@dataclass(frozen=True, slots=True)
class Resemblance:
    """A text of the database that a given one matches, however that one is stored."""

    text: int
    relation: Relation
    similarity: float
    containment: float


@dataclass(frozen=True, slots=True)
class NewText:
    """A distinct normalised text that is new to the index; `signature` None: too short for near duplicates."""

    number: int
    signature: bytes | None
    body: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """Text → its candidates, the likeliest first. A `crowded` one met a full bucket: its first match is enough."""

    candidates: dict[int, list[int]]
    crowded: frozenset[int]


class Matcher:
    """Finds the matches of texts; keeps the candidate index, which is opened when first needed (`progress` hears of signatures
    that have to be added then). `token` is that of the commit that is being made."""

    def __init__(self, store: Writer, matching: Matching) -> None:
        self.matching = matching
        self.progress: Callable[[int], None] = lambda _: None
        self.token: bytes | None = None
        self._store = store
        self._index: CandidateIndex | None = None
        self._pending: dict[int, bytes] = {}
        self._points = _Points()

    def forget(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        self._pending.clear()
        self._points.clear()
        self.token = None

    def open(self) -> CandidateIndex:
        """The candidate index: loaded, caught up or made anew."""
        if self._index is None:
            from dedup.lsh import open_index

            store, m = self._store, self.matching
            self._index = open_index(
                store.index_path(), self._uuid(), m.threshold, m.num_perm,
                store.last_batch()[0], store.batch_text, store.signatures, self.progress,
            )  # fmt: skip
        return self._index

    def restart(self) -> None:
        """Begin with an empty index: all texts will be met again, in order of their keys."""
        from dedup.lsh import new_index

        self._index = new_index(self._store.index_path(), self._uuid(), self.matching.threshold, self.matching.num_perm)
        self.forget()

    def _uuid(self) -> bytes:
        return uuid.UUID(self._store.setting("uuid")).bytes

    def meet(self, new: Sequence[NewText], again: Collection[int]) -> Meeting:
        """Candidates of new texts among all others, and of known texts that a second page has come to show: the first of
        their pages may have made pairs that were left out for lying within it."""
        signed = {t.number: t.signature for t in new if t.signature is not None}
        if not signed and not again:
            return Meeting({}, frozenset())
        index = self.open()
        known = self._store.signatures_of(again)
        earlier = dict(self._pending)
        texts = {**earlier, **signed}
        met: dict[int, Met] = dict(zip(known, index.meet(list(known), list(known.values())), strict=True))
        met |= dict(zip(texts, index.meet(list(texts), list(texts.values())), strict=True))
        for number in earlier:
            del met[number]
        self._pending |= signed
        for t in new:
            if t.number in met and met[t.number].candidates:
                self._points.put(t.number, t.body)
        return Meeting(
            {number: _likeliest_first(m) for number, m in met.items() if m.candidates or m.crowded},
            frozenset(number for number, m in met.items() if m.crowded),
        )

    def committed(self) -> None:
        """What was met is in the database now."""
        pending, self._pending = self._pending, {}
        if pending and self.token is not None:
            self.open().add(list(pending), list(pending.values()), self.token)
        self.token = None

    def taken(self) -> None:
        """What was met counts as there, for those to come; nothing is committed yet."""
        pending, self._pending = self._pending, {}
        self.open().add(list(pending), list(pending.values()), NO_COMMIT)

    def settled(self) -> None:
        """All that was taken is committed now."""
        assert self.token is not None
        self.open().add([], [], self.token)
        self.token = None

    def confirm(self, meeting: Meeting) -> list[Match]:
        """The matches among the candidates that are not stored yet; their texts are in the database by now.

        Only pairs that two different pages can show: revisions of one page are never matched with each other.
        """
        known = self._store.matches_of(n for n in meeting.candidates if n not in self._pending)
        found: dict[tuple[int, int], Match] = {}
        unmatched: list[int] = []
        for number, others in self._loaded(meeting):
            matches = self._matches(number, others, first=number in meeting.crowded)
            found |= {(m.a, m.b): m for m in matches}
            if number in meeting.crowded and not matches:
                unmatched.append(number)
        if unmatched:
            for number, others in self._loaded(self._look_further(unmatched, meeting)):
                found |= {(m.a, m.b): m for m in self._matches(number, others, first=True)}
        return [match for pair, match in found.items() if pair not in known]

    def _matches(self, number: int, others: list[int], *, first: bool) -> list[Match]:
        """The matches of a text among these candidates, or only the first."""
        found = []
        for other in others:
            match = self._confirm(number, other)
            if match:
                found.append(match)
                if first:
                    break
        return found

    def _loaded(self, meeting: Meeting) -> Iterator[tuple[int, list[int]]]:
        """Each text with those candidates that another page shows, what is needed of them in memory, some texts at a time."""
        some: dict[int, list[int]] = {}
        size = 0
        for number, others in meeting.candidates.items():
            some[number] = others
            size += len(others)
            if size >= LOADED_AT_ONCE:
                yield from self._load(some, meeting.crowded)
                some, size = {}, 0
        if some:
            yield from self._load(some, meeting.crowded)

    def _load(self, some: dict[int, list[int]], crowded: frozenset[int]) -> Iterator[tuple[int, list[int]]]:
        pages = self._store.pages_of_texts({*some, *(other for others in some.values() for other in others)})
        fit: dict[int, list[int]] = {}
        for number, others in some.items():
            own = pages.get(number)
            if own is None:
                continue
            fit[number] = [other for other in others if (p := pages.get(other)) and (p.several or own.several or p.first != own.first)]
        wanted = {n for number, others in fit.items() if others for n in (number, *(others[:1] if number in crowded else others))}
        self._points.load(self._store, wanted)
        yield from fit.items()

    def _look_further(self, unmatched: Sequence[int], meeting: Meeting) -> Meeting:
        """What full buckets hold beyond the few that they gave first, for texts that none of those matches."""
        from dedup.lsh import BUCKET

        known = {n: s for n, s in self._store.signatures_of(unmatched).items() if n not in self._pending}
        index = self.open()
        met = dict(zip(known, index.meet(list(known), list(known.values()), few=BUCKET), strict=True))
        met |= dict(zip(self._pending, index.meet(list(self._pending), list(self._pending.values()), few=BUCKET), strict=True))
        more = {n: [o for o in _likeliest_first(met[n]) if o not in meeting.candidates[n]] for n in unmatched if n in met}
        return Meeting({n: others for n, others in more.items() if others}, frozenset(more))

    def _confirm(self, number: int, other: int) -> Match | None:
        found = overlap(self._points.get(self._store, number), self._points.get(self._store, other))
        relation = self.matching.relation(found)
        if relation is None:
            return None
        return Match(min(number, other), max(number, other), found.jaccard, found.containment, relation)


def _likeliest_first(met: Met) -> list[int]:
    """Candidates met in at least half as many bands as the best one before the others, the earliest text first."""
    most = max(met.candidates.values(), default=0)
    return sorted(met.candidates, key=lambda number: (2 * met.candidates[number] < most, number))


def resembling(store: Reader, matching: Matching, body: str, signature: bytes) -> list[Resemblance]:
    """Texts of the database that match a body which need not be in it.

    Every stored signature is compared, band by band: a reader has no use of an index that a writer may be changing.
    """
    import numpy as np

    bands, rows = minhash.bands(matching.threshold, matching.num_perm)
    own = np.frombuffer(signature, "<u4")[: bands * rows].reshape(bands, rows)
    wanted = points(body)
    found = []
    for numbers, signatures in _signatures(store):
        theirs = np.frombuffer(b"".join(signatures), "<u4").reshape(len(numbers), -1)[:, : bands * rows].reshape(-1, bands, rows)
        for i in np.flatnonzero((theirs == own).all(axis=2).any(axis=1)):
            other = store.body_of_text(numbers[i])
            if other is None:
                continue
            theirs_ = points(other)
            shared = overlap(wanted, theirs_)
            relation = matching.relation(shared)
            if relation and not np.array_equal(wanted, theirs_):
                found.append(Resemblance(numbers[i], relation, shared.jaccard, shared.containment))
    return found


def _signatures(store: Reader) -> Iterator[tuple[list[int], list[bytes]]]:
    numbers: list[int] = []
    signatures: list[bytes] = []
    for number, signature in store.signatures():
        numbers.append(number)
        signatures.append(signature)
        if len(numbers) == 4096:
            yield numbers, signatures
            numbers, signatures = [], []
    if numbers:
        yield numbers, signatures


class _Points:
    """The normalised code points of texts that were lately compared, so many characters of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, NDArray[np.uint32]] = OrderedDict()
        self._characters = 0

    def clear(self) -> None:
        self._kept.clear()
        self._characters = 0

    def put(self, number: int, body: str) -> None:
        if number in self._kept:
            return
        self._kept[number] = points(body)
        self._characters += len(self._kept[number])
        while self._characters > CACHED_CHARACTERS and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._characters -= len(old)

    def load(self, store: Writer, numbers: Collection[int]) -> None:
        """Have these texts at hand, as far as they fit."""
        for number in numbers & self._kept.keys():
            self._kept.move_to_end(number)
        for number, body in store.bodies_of_texts(set(numbers) - self._kept.keys()).items():
            self.put(number, body)

    def get(self, store: Writer, number: int) -> NDArray[np.uint32]:
        if number not in self._kept:
            self.put(number, store.body_of_text(number) or "")
        return self._kept[number]
