"""Candidates → matches: what shares a bucket, of signatures or of passages, is measured and judged, or is nothing."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from dedup import store
from dedup.matching.boilerplate import Boilerplate
from dedup.matching.newsletters import Bundles
from dedup.matching.passage_matcher import FAMILY, Lookup, Proposed, Stories
from dedup.matching.text_cache import Kept
from dedup.matching.thresholds import Matching
from dedup.model import CLUSTERED, NO_COMMIT, Match
from dedup.similarity import winnowing
from dedup.store import Database, Transaction
from dedup.store.rows import TextPages
from dedup.text import normalise
from dedup.text.publishers import Publishers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dedup.index.lsh import CandidateIndex, Met
    from dedup.index.passages import PassageIndex

LOADED_AT_ONCE = 500
MOST_COMPARED = 16_000_000
"""Normalised characters, of a text and of those that it is compared with, after which one match is enough; three times as many without
any match. A text of the usual length comes to that with thousands of others."""
_CUT = "%s was cut short or overwritten by something else; it is made again from what the database stores"
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class NewText:
    """A distinct normalised text that is new to the indexes; `signature` None: too short for anything but exact matching.
    `keys` are its packed winnowed keys, `publisher`, `oid` and `url` those of the article that brought it. `returned`: it was known
    before its bodies were pruned, and has the matches of that time."""

    number: int
    signature: bytes | None
    body: str
    keys: bytes | None = None
    publisher: str = ""
    oid: str = ""
    url: str = ""
    returned: bool = False


@dataclass(frozen=True, slots=True)
class Meeting:
    """Text → its candidates by signature, the likeliest first. A `crowded` one met a full bucket: its first match is enough.
    `new` and `again` are what was asked for."""

    candidates: dict[int, list[int]]
    crowded: frozenset[int]
    new: tuple[NewText, ...] = ()
    again: tuple[int, ...] = ()


@dataclass(slots=True)
class _Round:
    """What is found out while the texts of one meeting are confirmed. `fresh` are texts that no batch has confirmed before: they
    have no stored matches."""

    fresh: frozenset[int]
    stored: dict[tuple[int, int], Match]
    judged: dict[tuple[int, int], Match | None] = field(default_factory=dict)
    pages: dict[int, TextPages | None] = field(default_factory=dict)
    crowded: set[int] = field(default_factory=set)
    compared: int = 0
    matched: bool = False
    further: dict[int, list[int]] = field(default_factory=dict)


class Matcher:
    """Finds the matches of texts; keeps the candidate index and the passage index, which are opened when first needed
    (`progress` hears of texts that have to be added then). `token` is that of the commit that is being made."""

    def __init__(self, database: Database, matching: Matching, publishers: Publishers) -> None:
        self.matching = matching
        self.progress: Callable[[int], None] = lambda _: None
        self.token: bytes | None = None
        self._database = database
        self._houses = publishers
        self._index: CandidateIndex | None = None
        self._passages: PassageIndex | None = None
        self._pending: dict[int, bytes] = {}
        self._kept = Kept(database)
        self._boilerplate = Boilerplate(matching.limits.boilerplate_articles)
        self._stories = Stories(database, self._boilerplate, self._kept)
        self._bundles = Bundles(database, matching, self._kept, self._mask)
        self._publisher_keys: dict[str, int] = {}
        self._discarded = False

    def forget(self) -> None:
        """A batch was rolled back: what it brought was never there."""
        self._pending.clear()
        self._kept.clear()
        self._stories.forget()
        self._boilerplate.forget()
        self._publisher_keys.clear()
        self.token = None

    def discard_indexes(self) -> bool:
        """Remove the files of both indexes, so that they are made again from the database when they are next opened: their content may
        be what fails. Does nothing and returns False if that was done before: then it did not help."""
        if self._discarded:
            return False
        self._discarded = True
        self._index = self._passages = None
        for path in (self._database.index_path(), self._database.passages_path()):
            with suppress(FileNotFoundError):
                os.unlink(path)
        return True

    def house_called(self, name: str) -> str:
        """The publisher of this name, by the aliases in force."""
        return self._houses.house(name, "", "")

    def open(self) -> CandidateIndex:
        """The candidate index: loaded, caught up or made anew."""
        if self._index is not None and not self._index.is_intact():
            _log.warning(_CUT, self._database.index_path())
            self._index = None
        if self._index is None:
            from dedup.index.lsh import open_index

            database, d = self._database, self.matching.limits
            self._index = open_index(
                database.index_path(), self._uuid(), d.threshold, d.num_perm,
                store.batches.latest(database)[0], partial(store.batches.last_text, database), partial(store.texts.all_signatures, database), self.progress,
            )  # fmt: skip
        return self._index

    def open_passages(self) -> PassageIndex:
        """The passage index, likewise."""
        if self._passages is not None and not self._passages.is_intact():
            _log.warning(_CUT, self._database.passages_path())
            self._passages = None
        if self._passages is None:
            from dedup.index.passages import open_index

            database = self._database
            self._passages = open_index(
                database.passages_path(),
                self._uuid(),
                store.batches.latest(database)[0],
                partial(store.batches.last_text, database),
                partial(store.passages.all_fingerprints, database),
                self.progress,
            )
        return self._passages

    def restart(self) -> None:
        """Begin with empty indexes: all texts will be met again, in order of their keys."""
        from dedup.index import lsh, passages

        d = self.matching.limits
        self._index = lsh.new_index(self._database.index_path(), self._uuid(), d.threshold, d.num_perm)
        if d.passages:
            self._passages = passages.new_index(self._database.passages_path(), self._uuid())
        self.forget()

    def _uuid(self) -> bytes:
        return uuid.UUID(store.settings.get(self._database, "uuid")).bytes

    def meet(self, new: Sequence[NewText], again: Collection[int]) -> Meeting:
        """Candidates by signature of new texts among all others, and of known texts that now form pairs which did not count before:
        texts that a second page has come to show (pairs within the first page were left out), and texts that no page showed.

        Texts that earlier parts of the same transaction brought are not in the index yet; they are among the others all the same.
        """
        signed = {t.number: t.signature for t in new if t.signature is not None}
        if not signed and not again:
            return Meeting({}, frozenset())
        index = self.open()
        if self.matching.limits.passages:
            self.open_passages()
        known = store.texts.signatures(self._database, again)
        earlier = dict(self._pending)
        indexed = {number: signature for number, signature in known.items() if number not in earlier}
        met: dict[int, Met] = {}
        if indexed:
            found = _met(index, {**earlier, **indexed})
            met = {number: found[number] for number in indexed}
        met |= _met(index, {**earlier, **signed})
        for number in earlier:  # each has met those before it; a known one meets those after it too
            for other, bands in met[number].candidates.items():
                if other in earlier and other in known:
                    met[other].candidates.setdefault(number, bands)
        for number in earlier.keys() - known.keys():
            del met[number]
        self._pending |= signed
        for t in new:
            if t.number in met and met[t.number].candidates:
                self._kept.put(t.number, t.body)
        return Meeting(
            {number: _likeliest_first(m) for number, m in met.items() if m.candidates or m.crowded},
            frozenset(number for number, m in met.items() if m.crowded),
            tuple(t for t in new if t.signature is not None),
            tuple(known),
        )

    def committed(self) -> None:
        """What was met is in the database now."""
        token, self.token = self.token, None
        if self._pending and token is not None:
            self._take(token)

    def taken(self) -> None:
        """What was met counts as there, for those to come; nothing is committed yet."""
        self._take(NO_COMMIT)

    def settled(self) -> None:
        """All that was taken is committed now."""
        assert self.token is not None
        self._take(self.token)
        self.token = None

    def _take(self, token: bytes) -> None:
        pending, self._pending = self._pending, {}
        entered = self._stories.committed()
        try:
            index = self.open()
            index.add(list(pending), list(pending.values()), token)
            if self.matching.limits.passages:
                self.open_passages().add([n for n, _ in entered], [k for _, k in entered], token, index.last_text)
        except BaseException:  # what they hold is not known; opened again they are caught up from what is stored
            self._index = self._passages = None
            raise

    def requoted(self, quoted: Mapping[int, bytes]) -> None:
        """These texts have other quoted characters than before (see `ingest.quoted`)."""
        self._kept.requoted(quoted)

    def measured_again(self, transaction: Transaction, texts: Collection[int]) -> list[Match]:
        """The stored matches of these texts that have another relation or share of quotations now, as they are now."""
        changed: list[Match] = []
        stored = store.matches.of_texts(self._database, texts)
        self._stories.load_publishers({number for pair in stored for number in pair})
        for pair, match in stored.items():
            found = self._judge(*pair, by_passages=True)
            if found is None or found.numbers.quoted == match.numbers.quoted:
                continue
            numbers = replace(match.numbers, quoted=found.numbers.quoted)
            flipped = "quote" in (match.relation, found.relation)
            (again,) = self._bundles.sort(transaction, [replace(found, numbers=numbers)]) if flipped else (replace(match, numbers=numbers),)
            changed.append(again)
        self._kept.end_group()
        return changed

    def confirm(self, transaction: Transaction, meeting: Meeting) -> list[Match]:
        """The matches among the candidates that are not stored yet; their texts are in the database by now. What is found on
        the way is stored: under which keys the new texts stand for a story, which of them are crowded, what was learned.

        Texts are taken one by one, in order of their keys: what comes of them does not depend on which came together. Only
        pairs that two different pages can show: revisions of one page are never matched with each other.
        """
        fresh = frozenset(t.number for t in meeting.new if not t.returned)
        known = {*meeting.candidates, *meeting.again, *(t.number for t in meeting.new)} - fresh
        round_ = _Round(fresh, store.matches.of_texts(self._database, known))
        lookups = self._lookups(transaction, meeting)
        if lookups:
            self._stories.begin(self.open_passages(), list(lookups.values()))
        self._stories.load_publishers({other for others in meeting.candidates.values() for other in others})
        entered: list[NDArray[np.int64]] = []
        likely = {n: self._likely(n, meeting, lookups.get(n)) for n in sorted({*meeting.candidates, *lookups})}
        for some in _chunks(likely):
            self._load(some, round_)
            for number in some:
                crowded = number in meeting.crowded
                round_.compared, round_.matched = 0, False
                one = lookups.get(number)
                proposed = self._stories.propose(transaction, one) if one else None
                self._confirm_signatures(number, meeting, round_, crowded=crowded)
                if proposed:
                    behind = self._confirm_stories(proposed, round_, crowded=crowded)
                    if proposed.lookup.body is not None:
                        entered.append(self._stories.enter(proposed, behind))
        new = [one for one in lookups.values() if one.body is not None]
        store.passages.insert(transaction, ((one.number, one.publisher, keys) for one, keys in zip(new, _packed(entered), strict=True)))
        self._stories.finish(transaction)
        store.texts.set_crowded(transaction, round_.crowded)
        found = [m for pair, m in round_.judged.items() if m and pair not in round_.stored]
        matches = self._bundles.sort(transaction, found)
        self._kept.end_group()
        self._stories.end_batch()
        self._boilerplate.end_batch()
        return matches

    def _likely(self, number: int, meeting: Meeting, one: Lookup | None) -> list[int]:
        """What a text will be compared with, as far as is known now."""
        by_signature = meeting.candidates.get(number, [])
        if number in meeting.crowded:
            by_signature = by_signature[:1]
        by_passages = self._stories.likely(one) if one else []
        behind = [other for text in by_passages for other in self._stories.family(text)[:FAMILY]]
        own = self._stories.own_family(one) if one else []
        return list(dict.fromkeys((*by_signature, *by_passages, *behind, *own)))

    def _load(self, some: dict[int, list[int]], round_: _Round) -> None:
        """Have what is needed for these texts and what they will be compared with in memory, in place of what was before."""
        self._kept.end_group()
        some = {number: others for number, others in some.items() if others}
        self._load_pages({*some, *(other for others in some.values() for other in others)}, round_)
        wanted = {number: [other for other in others if _fits(number, other, round_)] for number, others in some.items()}
        self._kept.load({n for number, others in wanted.items() if others for n in (number, *others)})

    def _load_pages(self, texts: Iterable[int], round_: _Round) -> None:
        wanted = [n for n in texts if n not in round_.pages]
        if wanted:
            found = store.texts.pages_showing_any(self._database, wanted)
            round_.pages |= {n: found.get(n) for n in wanted}

    # By signature

    def _confirm_signatures(self, number: int, meeting: Meeting, round_: _Round, *, crowded: bool) -> None:
        candidates = meeting.candidates.get(number, [])
        if not self._any(number, candidates, round_, first=crowded) and crowded:
            self._any(number, [other for other in self._further(number, round_) if other not in candidates], round_, first=True)

    def _any(self, number: int, others: list[int], round_: _Round, *, first: bool) -> bool:
        """Confirm a text's candidates, or only until one is a match; whether any is."""
        if not others:
            return False
        found = False
        self._load_pages(others, round_)
        for other in others:
            found |= _fits(number, other, round_) and self._confirm(number, other, round_) is not None
            if found and first:
                break
        return found

    def _further(self, number: int, round_: _Round) -> list[int]:
        """What full buckets hold beyond the few that they gave first."""
        from dedup.index.lsh import BUCKET

        if number not in round_.further:
            if number in round_.fresh:  # those of the batch are met all at once: each meets those before it
                texts = self._pending
            else:  # it meets all of them
                texts = {text: signature for text, signature in self._pending.items() if text != number}
                texts |= store.texts.signatures(self._database, [number])
            met = _met(self.open(), texts, few=BUCKET)
            wanted = round_.fresh.intersection(met) if number in round_.fresh else {number}
            round_.further |= {text: _likeliest_first(met[text]) for text in wanted if text in met}
        return round_.further.get(number, [])

    # By passages

    def _lookups(self, transaction: Transaction, meeting: Meeting) -> dict[int, Lookup]:
        """What is to be looked up by passages: new texts, and known ones that are met again; in order of their keys."""
        if not self.matching.limits.passages:
            return {}
        known = store.texts.bodies(self._database, meeting.again)
        found = [Lookup(n, p, _keys(body), None) for n, body in known.items() if (p := self._stories.publisher(n)) is not None]
        packed = [t.keys or b"" for t in meeting.new]
        keys = winnowing.unpack(b"".join(packed))
        end = 0
        for new, own in zip(meeting.new, packed, strict=True):
            begin, end = end, end + len(own) // winnowing.KEY_BYTES
            found.append(Lookup(new.number, self._publisher(transaction, new), keys[begin:end], new.body))
        return {one.number: one for one in sorted(found, key=lambda one: one.number)}

    def _publisher(self, transaction: Transaction, new: NewText) -> int:
        house = self._houses.house(new.publisher, new.oid, new.url)
        if house not in self._publisher_keys:
            self._publisher_keys[house] = store.publishers.get_or_insert(transaction, house)
        return self._publisher_keys[house]

    def _confirm_stories(self, proposed: Proposed, round_: _Round, *, crowded: bool) -> list[int]:
        """Confirm a text's candidates and those that stand behind them. Gives those that it may go behind itself: what it
        copies, and other states of its page."""
        one, candidates = proposed.lookup, proposed.candidates
        families = self._stories.own_family(one)
        if not candidates and not families:
            return []
        if one.body is not None:
            self._kept.put(one.number, one.body)
        self._load_pages((one.number, *candidates), round_)
        behind: list[int] = []
        for other in candidates:
            before = self._confirm(one.number, other, round_, by_passages=True) if _fits(one.number, other, round_) else None
            copied = before is not None and before.relation in CLUSTERED
            if copied or _same_page(one.number, other, round_):
                behind.append(other)
            family = self._stories.family(other)
            if copied and len(family) > FAMILY:
                round_.crowded.add(one.number)
            elif not (copied and crowded):
                families = [*families, *family[:FAMILY]]
        self._load_pages(families, round_)
        for other in dict.fromkeys(families):
            if other != one.number and _fits(one.number, other, round_):
                self._confirm(one.number, other, round_, by_passages=True)
        return behind

    # Pairs

    def _confirm(self, number: int, other: int, round_: _Round, *, by_passages: bool = False) -> Match | None:
        pair = min(number, other), max(number, other)
        if pair in round_.stored:
            return round_.stored[pair]
        if pair not in round_.judged:
            if round_.compared > MOST_COMPARED * (1 if round_.matched else 3):
                round_.crowded.add(number)
                return None
            judged = round_.judged[pair] = self._judge(*pair, by_passages=by_passages)
            round_.compared += sum(len(self._kept.get(n).points) for n in pair)
            round_.matched |= judged is not None
        return round_.judged[pair]

    def _judge(self, a: int, b: int, *, by_passages: bool) -> Match | None:
        judged = self.matching.judge(self._kept.get(a), self._kept.get(b), lambda: (self._mask(a), self._mask(b)), by_passages=by_passages)
        if judged.relation is None:
            return None
        names: set[str] = set()
        for number in (a, b):
            publisher = self._stories.publisher(number) if self.matching.limits.passages else None
            if publisher is not None:
                names |= self._boilerplate.names_of(self._database, publisher, number, self._kept.get(number).points)
        return Match(a, b, judged.relation, replace(judged.numbers, masked=tuple(sorted(names))))

    def _mask(self, number: int) -> NDArray[np.bool_] | None:
        publisher = self._stories.publisher(number)
        if publisher is None or not self.matching.limits.passages:
            return None
        return self._boilerplate.mask_of(self._database, publisher, number, self._kept.get(number).points)


def _met(index: CandidateIndex, texts: dict[int, bytes], few: int | None = None) -> dict[int, Met]:
    """Text → what it meets, of texts with their signatures, in their order."""
    return dict(zip(texts, index.meet(list(texts), list(texts.values()), few), strict=True))


def _chunks(candidates: dict[int, list[int]]) -> Iterator[dict[int, list[int]]]:
    """So many texts at a time that what they are compared with fits into memory."""
    some: dict[int, list[int]] = {}
    size = 0
    for number, others in candidates.items():
        some[number] = others
        size += len(others)
        if size >= LOADED_AT_ONCE:
            yield some
            some, size = {}, 0
    if some:
        yield some


def _packed(keys: Sequence[NDArray[np.int64]]) -> list[bytes]:
    """Each text's keys as stored."""
    import numpy as np

    if not keys:
        return []
    whole = winnowing.pack(np.concatenate(keys))
    ends = (winnowing.KEY_BYTES * np.cumsum([len(k) for k in keys])).tolist()
    return [whole[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


def _keys(body: str) -> NDArray[np.int64]:
    """The keys of one body."""
    (found,) = winnowing.keys(next(normalise.folded([body])), 1)
    assert found is not None
    return found


def _fits(number: int, other: int, round_: _Round) -> bool:
    """Whether two different pages can show these two texts."""
    a, b = round_.pages.get(number), round_.pages.get(other)
    return a is not None and b is not None and (a.several or b.several or a.first != b.first)


def _same_page(number: int, other: int, round_: _Round) -> bool:
    """Whether one page shows both, as far as the first and last page of each tell."""
    a, b = round_.pages.get(number), round_.pages.get(other)
    return a is not None and b is not None and bool({a.first, a.last} & {b.first, b.last})


def _likeliest_first(met: Met) -> list[int]:
    """Candidates met in at least half as many bands as the best one before the others, the earliest text first."""
    most = max(met.candidates.values(), default=0)
    return sorted(met.candidates, key=lambda number: (2 * met.candidates[number] < most, number))
