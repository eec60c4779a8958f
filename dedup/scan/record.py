"""The half of the work that owns the transaction: what a batch of files says lands together or not at all.

A batch is looked up, worked out and written as a whole: so many statements, however many files.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dedup import store
from dedup.errors import DedupError
from dedup.files.nofollow import Beneath
from dedup.matching.matcher import Matcher, Meeting, NewText
from dedup.matching.quotations import common
from dedup.model import Article, Cause, CheckStatus, Match, Standing, TimeSource
from dedup.scan.counts import Tally
from dedup.scan.events import Happened, Met, Policy, announce, announce_faults
from dedup.scan.extract import Examined, Found, as_fault
from dedup.scan.isolation import each_apart, fault_of, is_of_file, log_once, passed_through
from dedup.scan.judgements import Settled
from dedup.scan.page_history import Touched, settle_pages, settle_sightings
from dedup.scan.rereads import Rereads, is_put_off, is_reread
from dedup.scan.roots import Root, absent_mounts, below
from dedup.scan.sighting_status import worth
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import UNEXPECTED
from dedup.store.database import Row
from dedup.store.files import Path
from dedup.store.pages import metadata_values
from dedup.store.rows import FileReading, FileRow, KnownState, ReadingRow
from dedup.store.timeline import Place
from dedup.text import normalise, times
from dedup.text.urls import without_credentials


@dataclass(slots=True)
class _Seen:
    """An article on its way into the database: its keys, as they become known. `pruned`: its state is known, the body of that was
    let go; `same`: the file holds what it held last; `again`: its bytes were recorded before, and are read again because settings
    changed; `copy`: it is another file with the same bytes, of which the same holds, and was not looked at."""

    e: Examined
    article: Article
    url: str
    file: int
    row: FileRow | None
    page: int = 0
    alias: int = 0
    metadata: int = 0
    metadata_digest: bytes = b""
    revision: int = 0
    revision_text: int | None = None
    pruned: bool = False
    same: bool = False
    again: bool = False
    copy: bool = False
    crawled_at: str = ""
    crawled_at_from: TimeSource = "file"
    sighting: int = 0
    new_sighting: bool = False
    status: CheckStatus = "unclaimed"
    cause: Cause | None = None
    standing: Standing = "counted"


class _Keys(dict[str, Iterator[int]]):
    """Table → keys for rows that are not written yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __missing__(self, table: str) -> Iterator[int]:
        self[table] = keys = itertools.count(self._database.next_id(table))
        return keys

    def give(self, table: str) -> int:
        return next(self[table])


def record(
    database: WritableDatabase,
    examined: Sequence[Examined],
    matcher: Matcher,
    policy: Policy,
    tally: Tally,
    tell: Callable[[str, str], None] | None = None,
    quiet: Collection[int] = (),
) -> None:
    """Take a batch into the database in one transaction, with the alerts that the `policy` makes of it, but for what lies in crawl
    directories that are `quiet`; `tally` is added to once it is committed, and `tell` gets a
    kind and a line for each mismatch, fault, change and match.

    A file that makes this fail becomes a fault of the kind `internal`: the batch is recorded in halves then, until that file is alone.
    Raises errors of SQLite, of the system (OSError) and DedupError; what is not recorded then can be recorded again.
    """
    checked = False

    def attempt(part: Sequence[Examined]) -> None:
        nonlocal checked
        try:
            _record(database, part, matcher, policy, tally, tell, quiet)
        except Exception as error:
            if checked or not is_of_file(error):
                raise
            checked = True  # once for all that this batch brings
            if isinstance(error, UNEXPECTED):
                database.require_sound(error)
            if not (passed_through(error, INDEXES) and matcher.discard_indexes()):
                raise
            log_once(error, "using an index, which is made again")
            _record(database, part, matcher, policy, tally, tell, quiet)

    def aside(e: Examined, error: Exception) -> None:
        fault = fault_of(error, "recording")
        try:
            if e.outcome in ("article", "fault"):
                _record(database, [as_fault(e, fault)], matcher, policy, tally, tell, quiet)
                return
        except Exception as again:
            if not is_of_file(again):
                raise
            log_once(again, "recording a fault")
        with database.transaction() as transaction:  # the row of the file itself cannot be written
            store.faults.replace(transaction, [(e.found.directory, e.found.relative, _shown(e), (fault,))], times.now())
        tally.faults += 1

    each_apart(examined, attempt, aside)


INDEXES = ("dedup.index.lsh", "dedup.index.passages", "dedup.index.hashtable")
"""Where errors may mean that an index file is damaged, which can be made again from the database."""


def _record(
    database: WritableDatabase,
    examined: Sequence[Examined],
    matcher: Matcher,
    policy: Policy,
    tally: Tally,
    tell: Callable[[str, str], None] | None,
    quiet: Collection[int],
) -> None:
    """All of a batch or nothing of it."""
    count = Tally()
    told: list[tuple[str, str]] = []
    try:
        with database.transaction() as transaction:
            for part in _distinct(examined):
                _Batch(transaction, matcher, policy, count, told if tell else None, quiet).take(part)
    except BaseException:
        matcher.forget()
        raise
    database.lock.doing("entering into the indexes what was recorded")
    tally.add(count)
    try:
        matcher.committed()
    except (OSError, DedupError):
        raise
    except Exception as error:  # all is recorded; the indexes catch up when they are opened again
        log_once(error, "entering texts into an index")
    if tell:
        for kind, line in told:
            tell(kind, line)


def _distinct(examined: Iterable[Examined]) -> Iterator[list[Examined]]:
    """The batch in parts that name no path twice, order kept."""
    part: dict[Path, Examined] = {}
    for e in examined:
        path = _path(e)
        if path in part:
            yield list(part.values())
            part = {}
        part[path] = e
    if part:
        yield list(part.values())


def _path(e: Examined) -> Path:
    return e.found.directory, e.found.folder, e.found.name


class _Batch:
    """One batch on its way into the transaction; `told` None: nobody listens."""

    def __init__(
        self,
        transaction: Transaction,
        matcher: Matcher,
        policy: Policy,
        count: Tally,
        told: list[tuple[str, str]] | None,
        quiet: Collection[int],
    ) -> None:
        self._transaction, self._matcher, self._policy, self._count, self._told = transaction, matcher, policy, count, told
        self._quiet = quiet
        self._happened = Happened()
        self._now = times.now()
        self._keys = _Keys(transaction)
        self._unmounted: dict[int, list[bytes]] = {}

    def take(self, examined: Sequence[Examined]) -> None:
        """Everything that these files say, which name no path twice."""
        known = store.files.find_by_path(self._transaction, (_path(e) for e in examined if e.outcome != "unsettled"))
        self._seen: list[_Seen] = []
        self._new_files: dict[int, Examined] = {}
        self._readings: dict[int, int | None] = {}
        self._again = Rereads(self._transaction, self._policy)
        self._files(examined, known)
        if self._seen:
            self._articles()
        else:
            self._write_files()
            self._again.finish(self._again.drop(), [], self._now)

    def _say(self, kind: str, line: str) -> None:
        if self._told is not None:
            self._told.append((kind, line))

    # Files

    def _files(self, examined: Sequence[Examined], known: dict[Path, FileRow]) -> None:
        count = self._count
        gone, updated = [], []
        faulted: list[Examined] = []
        faults_again: dict[int, int | None] = {}
        for e in examined:
            if e.outcome == "unsettled":
                count.unsettled += 1
                continue
            row = known.get(_path(e))
            if e.outcome in ("symlink", "special", "vanished"):
                if e.outcome != "vanished":
                    count.ignored[e.outcome] += 1
                if row and not row.gone:
                    gone.append(row.id)
                    count.gone += 1
                continue
            same = row is not None and e.content is not None and row.content == e.content
            if row is not None and is_put_off(row, e):
                faulted.append(e)
                count.faults += not e.found.reread
                continue
            again = row is not None and is_reread(row, e)
            if row is not None:
                updated.append((row.id, e.found.stat, e.content))
                if row.stale is not None:
                    self._again.files.add(row.id)
            if row is not None and same and row.is_article == (e.article is not None) and not row.pruned and not again:
                if row.gone or e.article is None:
                    faulted.append(e)
                if e.article is None:
                    count.faults += 1
                else:
                    count.unchanged += 1
                continue
            file = row.id if row else self._keys.give("files")
            if row is None:
                self._new_files[file] = e
            faulted.append(e)
            if self._told is not None and not again:
                shown = normalise.printable_path(e.found.path)
                self._told += [(f"fault, {f.kind}", f"fault: {shown}: {normalise.printable(f.message)}") for f in e.faults]
            if e.article is None or e.url is None:
                self._readings[file] = None
                count.faults += not e.found.reread
                count.reread += e.found.reread
                if row is not None and again:
                    faults_again[file] = row.reading
            else:
                self._seen.append(
                    _Seen(e, e.article, e.url, file, row, same=same and (again or (row is not None and row.pruned)), again=again)
                )
        self._copies(faulted, faults_again)
        store.files.mark_gone(self._transaction, gone, self._now)
        store.files.update(self._transaction, updated)
        store.faults.replace(
            self._transaction, [(e.found.directory, e.found.relative, _shown(e) if e.faults else "", e.faults) for e in faulted], self._now
        )
        if any(e.faults and e.found.directory not in self._quiet and not e.found.reread for e in faulted):
            announce_faults(self._transaction, self._policy, self._now)

    def _copies(self, read: Iterable[Examined], faults_again: dict[int, int | None]) -> None:
        """Extend what was read to files with the same bytes that are to be read again, and begin to replace their readings."""
        by_content = {e.content: e for e in read if e.content is not None}
        copies = self._again.copies(by_content)
        rows = store.files.find_by_path(self._transaction, (path for of_content in copies.values() for _, path in of_content))
        for content, of_content in copies.items():
            e = by_content[content]
            for file, path in of_content:
                row = rows[path]
                away = row.gone or (path[0] == e.found.directory and not _there(e.found.root, path[1], path[2]))
                if row.content != content or not row.is_article or not away:
                    continue  # it holds other bytes by now, or is read again by itself
                if e.article is None or e.url is None:
                    faults_again[file] = row.reading
                elif not row.pruned:
                    there = replace(e, found=replace(e.found, directory=path[0], folder=path[1], name=path[2], stat=row.stat))
                    self._seen.append(_Seen(there, e.article, e.url, file, row, same=True, again=True, copy=True))
                self._again.files.add(file)
        known = {s.e.content for s in self._seen if s.copy}
        for s in self._seen:
            s.again = s.again or s.e.content in known
        self._again.begin({s.file: s.row.reading for s in self._seen if s.again and s.row}, faults_again)

    def _write_files(self) -> None:
        """New files with the readings they hold; and known ones that hold another now."""
        store.files.insert(
            self._transaction, ((file, e.found.directory, e.found.folder, e.found.name, _shown(e), e.found.stat.size, e.found.stat.mtime_ns,
             e.found.stat.inode, e.found.stat.ctime_ns, e.content, self._readings.get(file), self._now)
            for file, e in self._new_files.items())
        )  # fmt: skip
        store.files.set_readings(self._transaction, ((f, r) for f, r in self._readings.items() if f not in self._new_files))

    # Articles

    def _articles(self) -> None:
        transaction, keys, seen = self._transaction, self._keys, self._seen
        pages = store.pages.find_by_url(transaction, {s.url for s in seen})
        self._known_pages = frozenset(pages.values())
        new_pages = [(pages.setdefault(url, keys.give("pages")), url) for url in dict.fromkeys(s.url for s in seen) if url not in pages]
        for s in seen:
            s.page = pages[s.url]
        new_aliases = self._give_aliases()
        new_metadata = self._give_metadata()
        new_states = self._give_revisions()
        self._date()
        prior = store.readings.find_by_crawl(
            transaction, ((s.file, s.page, s.crawled_at) for s in seen if s.row and s.page in self._known_pages)
        )
        settled, replaced, superseded = self._overrule(prior)
        self._give_sightings()
        for s in seen:
            earlier = self._again.replaced.get(s.row.reading) if s.again and s.row and s.row.reading else None
            if earlier is not None and s.row and s.row.reading and earlier[0] != s.sighting:
                settled.add(earlier[0])
                replaced.append(s.row.reading)
        new_texts, again = self._give_texts()

        new_sightings = self._new_sightings()
        current = self._settled_pages(new_sightings)

        store.pages.insert(transaction, ((page, url, current.get(page)) for page, url in new_pages))
        store.pages.insert_aliases(transaction, new_aliases)
        store.pages.insert_metadata(transaction, new_metadata)
        meeting = self._matcher.meet([_new_text(n, s, returned=n in self._returned) for n, s in new_texts.items()], list(again))
        if self._returned:
            store.texts.release_digests(transaction, self._returned.values())
        store.texts.insert(
            transaction, ((number, s.e.text, s.e.characters, s.e.signature, int(number in meeting.crowded)) for number, s in new_texts.items())
        )
        if self._requoted:
            store.texts.set_quoted_masks(transaction, self._requoted.items())
            self._matcher.requoted(self._requoted)
        store.texts.set_crowded(transaction, meeting.crowded & again.keys())
        if self._returned:
            store.texts.replace(transaction, ((before, number) for number, before in self._returned.items()))
        self._write_revisions(new_states)
        if self._returned:
            store.matches.delete_outdated(transaction, self._returned, self._matcher.matching.recipe)
        store.readings.supersede(transaction, superseded)
        store.readings.delete(transaction, replaced)
        store.sightings.insert(transaction, ((sighting, p.page, p.at[0], p.revision, *p.worth) for sighting, p in new_sightings.items()))
        made_again = self._write_readings(prior)
        self._settle(settled | made_again | {s.sighting for s in seen if s.sighting not in new_sightings}, new_sightings, current.keys())
        self._matches(meeting)
        signed = [number for number, s in new_texts.items() if s.e.signature is not None]
        if signed:
            self._matcher.token = store.batches.insert(transaction, signed[-1])
        self._count_articles(new_states)
        self._announce(again | new_texts)

    def _announce(self, met_texts: dict[int, _Seen]) -> None:
        """Write the alerts that rules ask for."""
        settled = [*self._happened.settled, *self._again.drop()]
        if not self._policy.alerting.rules:
            self._again.finish(settled, [], self._now)
            return
        numbers = {s.sighting: number for number, s in met_texts.items()}
        met = {
            again: [
                Met(s.sighting, s.page, s.url, s.e, s.article, s.crawled_at, s.status == "mismatched", numbers.get(s.sighting))
                for s in self._seen
                if s.e.found.directory not in self._quiet and s.again == again
            ]
            for again in (False, True)
        }
        self._again.finish(settled, met[True], self._now)
        arrived = self._arrived()
        self._happened.settled = [s for s in self._happened.settled if self._again.is_news(s, arrived)]
        announce(self._transaction, self._policy, self._happened, met[False], self._now)

    def _arrived(self) -> frozenset[int]:
        """Sightings that files of this batch showed for the first time, rather than by another interpretation."""
        return frozenset(s.sighting for s in self._seen if not s.again)

    def _give_aliases(self) -> list[Row]:
        keys = [(s.page, without_credentials(s.article.url), m.oid, m.aid) for s in self._seen for m in (s.article.metadata,)]
        known = store.pages.find_aliases(self._transaction, (k for k in dict.fromkeys(keys) if k[0] in self._known_pages))
        new = []
        for s, key in zip(self._seen, keys, strict=True):
            if key not in known:
                known[key] = self._keys.give("aliases")
                new.append((known[key], *key))
            s.alias = known[key]
        return new

    def _give_metadata(self) -> list[tuple[int, int, bytes, Row]]:
        values = [metadata_values(s.article.metadata) for s in self._seen]
        keys = [(s.page, digest) for s, (digest, _) in zip(self._seen, values, strict=True)]
        known = store.pages.find_metadata(self._transaction, (k for k in dict.fromkeys(keys) if k[0] in self._known_pages))
        new = []
        for s, key, (digest, row) in zip(self._seen, keys, values, strict=True):
            if key not in known:
                known[key] = self._keys.give("metadata")
                new.append((known[key], s.page, digest, row))
            s.metadata, s.metadata_digest = known[key], digest
        return new

    def _give_revisions(self) -> dict[int, _Seen]:
        known = store.revisions.find_by_state(self._transaction, ((s.page, s.e.state) for s in self._seen if s.page in self._known_pages))
        new: dict[int, _Seen] = {}
        for s in self._seen:
            key = (s.page, s.e.state)
            if key not in known:
                known[key] = KnownState(self._keys.give("revisions"), None, pruned=False)
                new[known[key].revision] = s
            s.revision, s.revision_text, s.pruned = known[key].revision, known[key].text, known[key].pruned
        return new

    def _date(self) -> None:
        """When each article was crawled: as the file says; as was taken when the file began to show this state, if it has shown nothing
        else since; or by its mtime."""
        undated = [s for s in self._seen if not s.article.crawled_at]
        last = store.readings.latest_of_files(self._transaction, (s.file for s in undated if s.row))
        for s in self._seen:
            s.crawled_at = s.article.crawled_at or ""
        for s in undated:
            before = last.get(s.file)
            same = before and (before.page_id, before.revision_id, before.crawled_at_from) == (s.page, s.revision, "mtime")
            s.crawled_at = before.crawled_at if before and same else times.from_ns(s.e.found.stat.mtime_ns)
            s.crawled_at_from = "mtime"

    def _overrule(self, prior: dict[int, list[FileReading]]) -> tuple[set[int], list[int], list[int]]:
        """Weigh each article against earlier readings of the same crawl from the same file that gave another state. Returns
        (sightings to settle again, readings that are replaced, readings that are superseded)."""
        settled: set[int] = set()
        replaced: list[int] = []
        superseded: list[int] = []
        for s in self._seen:
            check = s.article.check
            s.status, s.cause = check.status, check.cause
            s.standing = "truncated" if check.cause == "truncated" else "counted"
            for r in prior.get(s.file, ()):
                if r.revision_id == s.revision or r.standing == "overruled":
                    continue
                if s.again and s.row and r.id == s.row.reading:
                    continue  # it is replaced, whatever it was
                if r.check_status == "verified":
                    s.status, s.cause, s.standing = "mismatched", "altered", "overruled"
                    continue
                settled.add(r.sighting_id)
                (superseded if r.check_status == "unclaimed" else replaced).append(r.id)
        return settled, replaced, superseded

    def _give_sightings(self) -> None:
        keys = [(s.page, s.crawled_at, s.revision) for s in self._seen]
        known = store.sightings.find(self._transaction, (k for k in keys if k[0] in self._known_pages))
        for s, key in zip(self._seen, keys, strict=True):
            s.new_sighting = key not in known
            s.sighting = known.setdefault(key, 0) or self._keys.give("sightings")
            known[key] = s.sighting

    def _give_texts(self) -> tuple[dict[int, _Seen], dict[int, _Seen]]:
        """Give counted revisions their texts; returns (new texts, each with the first article that has it; known texts that form
        pairs which did not count before, likewise). Those are texts that a second page has come to show, and texts that no page
        showed any more: while none did, they were compared with nothing. A text whose bodies were all pruned is a new one where an
        article brings it again (`_returned`: its key → that which it had)."""
        transaction, count = self._transaction, self._count
        had = {s.revision for s in self._seen if s.pruned and s.revision_text is not None}  # whatever this crawl counts for
        counted = [s for s in self._seen if (s.standing == "counted" or s.revision in had) and s.e.text is not None]
        texts = store.texts.find_by_digest(transaction, {s.e.text for s in counted if s.e.text and (s.revision_text is None or s.pruned)})
        bodiless = store.texts.without_body(transaction, texts.values())
        shown = store.texts.pages_showing_any(transaction, texts.values())
        shows = store.texts.pages_showing_among(
            transaction, ((texts[s.e.text], s.page) for s in counted if s.e.text in texts and s.page in self._known_pages)
        )
        pages = {number: {p.first, p.last} for number, p in shown.items()}
        given: dict[int, int] = {}
        returned: dict[int, int] = {}
        new: dict[int, _Seen] = {}
        again: dict[int, _Seen] = {}
        copies: list[tuple[_Seen, int]] = []
        for s in counted:
            assert s.e.text is not None
            if (s.revision_text is not None and not s.pruned) or s.revision in given:
                continue
            number = texts.get(s.e.text)
            if number is None:
                number = texts[s.e.text] = self._keys.give("texts")
                new[number] = s
            elif number in bodiless and s.e.signature is not None:
                known, number = number, self._keys.give("texts")
                texts[s.e.text], returned[number], new[number] = number, known, s
                pages[number] = pages.get(known, set())
                shows |= {(number, page) for text_, page in shows if text_ == known}
            given[s.revision] = number
            before = pages.setdefault(number, set())
            further = (number, s.page) not in shows
            if further and before:
                count.matches["exact"] += 1
                copies.append((s, min(before)))
            if further and len(before) < 2 and number not in new:
                again.setdefault(number, s)
            before.add(s.page)
            shows.add((number, s.page))
        self._texts = given
        self._returned = returned
        self._requoted = self._quoted_otherwise(counted, new)
        self._happened.copies = [(given[s.revision], s.page, page) for s, page in copies]
        if self._told is not None and copies:
            urls = {s.page: s.url for s in self._seen} | store.pages.urls(transaction, {page for _, page in copies})
            for s, page in copies:
                self._say(
                    "exact duplicate", f"exact duplicate: {normalise.printable(s.url)} has the text of {normalise.printable(urls[page])}"
                )
        return new, again

    def _quoted_otherwise(self, counted: Sequence[_Seen], new: Collection[int]) -> dict[int, bytes]:
        """Text → its quoted characters, of texts of which this batch brings a body that differs from others in quotation marks."""
        bodies: dict[int, set[str]] = {}
        for s in counted:
            if s.revision in self._texts and s.e.signature is not None:
                bodies.setdefault(self._texts[s.revision], set()).add(s.article.body)
        known = [number for number in bodies if number not in new]
        packed, stored = store.texts.quoted_masks(self._transaction, known), store.texts.bodies(self._transaction, known)
        for number, body in stored.items():
            bodies[number].add(body)
        found = {number: common(b, packed.get(number)) for number, b in bodies.items() if len(b) > 1}
        return {number: mask for number, mask in found.items() if mask is not None and mask != packed.get(number)}

    def _write_revisions(self, new: dict[int, _Seen]) -> None:
        store.revisions.insert(
            self._transaction,
            ((revision, s.page, s.e.state, self._texts.get(revision), s.article.title, s.article.body) for revision, s in new.items()),
        )
        store.revisions.set_texts(self._transaction, ((revision, number) for revision, number in self._texts.items() if revision not in new))
        if again := {s.revision: s.article.body for s in self._seen if s.pruned}:
            store.revisions.restore_bodies(self._transaction, again.items())

    def _new_sightings(self) -> dict[int, Place]:
        """Sighting → where it is, with what this batch's readings make of it."""
        new: dict[int, list[_Seen]] = {}
        for s in self._seen:
            if s.new_sighting or s.sighting in new:
                new.setdefault(s.sighting, []).append(s)
        found: dict[int, Place] = {}
        for sighting, seen in new.items():
            s = seen[0]
            made = [ReadingRow(o.standing, o.status, o.cause, o.metadata, o.metadata_digest, o.crawled_at_from) for o in seen]
            found[sighting] = Place(s.page, (s.crawled_at, s.e.state), s.revision, worth(made))
        return found

    def _settled_pages(self, new_sightings: dict[int, Place]) -> dict[int, int | None]:
        """Page → current sighting, of new pages with one sighting: there is nothing more to settle about them."""
        sightings: dict[int, set[int]] = {}
        for s in self._seen:
            if s.page not in self._known_pages:
                sightings.setdefault(s.page, set()).add(s.sighting)
        single = {page: next(iter(of_page)) for page, of_page in sightings.items() if len(of_page) == 1}
        return {page: sighting if new_sightings[sighting].worth.standing == "counted" else None for page, sighting in single.items()}

    def _write_readings(self, prior: dict[int, list[FileReading]]) -> set[int]:
        """Record which file showed which sighting; returns the sightings that had been read from the same file before."""
        added: list[Row] = []
        again: list[Row] = []
        made_again: set[int] = set()
        for s in self._seen:
            there = next((r.id for r in prior.get(s.file, ()) if r.sighting_id == s.sighting), None)
            check = s.article.check
            reading = there or self._keys.give("readings")
            row = (
                reading, s.file, s.sighting, s.alias, s.metadata, s.standing, s.status, s.cause, check.claimed, check.recipe,
                s.article.encoding, s.crawled_at_from, self._now,
            )  # fmt: skip
            (again if there else added).append(row)
            if there:
                made_again.add(s.sighting)
            self._readings[s.file] = reading
        self._write_files()
        store.readings.insert(self._transaction, added)
        store.readings.update(self._transaction, again)
        return made_again

    def _settle(self, sightings: set[int], new: dict[int, Place], settled_pages: Collection[int]) -> None:
        """Put right the sightings that were there before, and the histories of all pages but those that are settled already."""
        happened = self._happened
        superseded = happened.superseded if self._policy.alerting.rules else None
        touched: Touched = settle_sightings(self._transaction, sightings, superseded)
        for sighting, place in new.items():
            touched.setdefault(place.page, {})[sighting] = place
        pages = {s.page for s in self._seen}.difference(settled_pages) | self._again.pages
        whole = {s.page for s in self._seen if s.pruned} | self._again.pages  # any of their changes may be another now
        known = {page: touched.get(page, {}) for page in pages - whole}
        settled = happened.settled = settle_pages(
            self._transaction, sorted(pages), self._policy.rules,
            touched=known, read={s.sighting for s in self._seen}, superseded=superseded,
        )  # fmt: skip
        arrived = self._arrived()
        news = [s for s in settled if self._again.is_news(s, arrived)]
        self._count.changes += sum(not s.known for s in news)
        if self._told is not None and news:
            urls = store.pages.urls(self._transaction, {s.page for s in news})
            self._told += [("change", _told_change(s, urls[s.page])) for s in news]

    def _matches(self, meeting: Meeting) -> None:
        matches = self._happened.matches = self._matcher.confirm(self._transaction, meeting)
        store.matches.insert(self._transaction, matches, self._matcher.matching.recipe, self._now)
        if self._requoted:
            store.matches.update(self._transaction, self._matcher.measured_again(self._transaction, self._requoted))
        for match in matches:
            self._count.matches[match.relation] += 1
            if self._told is not None:
                self._say(f"{match.relation} duplicate", _told_match(self._transaction, match))

    def _count_articles(self, new_states: dict[int, _Seen]) -> None:
        count = self._count
        moved = self._moved()
        for s in self._seen:
            if s.copy:
                continue
            if not s.again:
                count.sightings += s.new_sighting
                count.checks[s.status] += 1
                if s.status == "mismatched":
                    self._say("mismatched content_hash", f"mismatched content_hash ({s.cause}): {normalise.printable_path(s.e.found.path)}")
            if s.e.found.reread:
                count.reread += 1
            elif s.row is not None:
                count.changed += not s.same
                count.unchanged += s.same
            elif s.file in moved:
                count.moved += 1
            else:
                count.new += 1
        count.revisions += len(new_states.keys() & {s.revision for s in self._seen if s.standing == "counted" and not s.again})

    def _moved(self) -> set[int]:
        """New files whose bytes were last seen at another path of the same crawl directory that is no longer there."""
        copied = {s.sighting for s in self._seen if s.copy}
        doubtful = [s for s in self._seen if s.row is None and (not s.new_sighting or s.sighting in copied)]
        own = {s.file for s in self._seen if not s.copy}
        copies = store.files.files_of_sightings(self._transaction, {s.sighting for s in doubtful})
        moved: set[int] = set()
        gone: list[int] = []
        taken: set[tuple[int, int]] = set()  # one of this batch's files already stands for what was there
        for s in doubtful:
            found = s.e.found
            left = False
            for file, content, directory, folder, name, known_gone in copies.get(s.sighting, ()):
                if file in own or content != s.e.content or directory != found.directory:
                    continue
                if not known_gone:
                    if _there(found.root, folder, name) or self._is_out_of_sight(found, file, folder):
                        left = False
                        break
                    gone.append(file)
                left = True
            if left and (s.sighting, found.directory) not in taken:
                moved.add(s.file)
                taken.add((s.sighting, found.directory))
        store.files.mark_gone(self._transaction, gone, self._now)
        return moved

    def _is_out_of_sight(self, found: Found, file: int, folder: bytes) -> bool:
        """Whether a file of the same crawl directory lies on a mount that is absent, or below one that hides it."""
        if found.directory not in self._unmounted:
            self._unmounted[found.directory] = absent_mounts(self._transaction, Root(found.directory, found.root))
        return any(below(folder, path) for path in self._unmounted[found.directory]) or bool(
            store.files.hidden_among(self._transaction, [file])
        )


def _new_text(number: int, s: _Seen, *, returned: bool) -> NewText:
    m = s.article.metadata
    return NewText(number, s.e.signature, s.article.body, s.e.keys, m.publisher, m.oid, s.url, returned)


def _told_match(database: Database, match: Match) -> str:
    a, b = (normalise.printable(url) for url in store.texts.urls_of_pair(database, match.a, match.b))
    n = match.numbers
    return f"{match.relation}, similarity {n.similarity:.2f}, coverage {n.coverage:.2f}: {a} and {b}"


def _told_change(settled: Settled, url: str) -> str:
    j = settled.judgement
    how = f" ({j.kind}, {j.severity}{', stealth' if j.stealth else ''})" if j else ""
    return f"changed{how}: {normalise.printable(url)}"


def _there(root: bytes, folder: bytes, name: bytes) -> bool:
    with Beneath() as beneath, suppress(OSError):
        return beneath.stat(root, folder, name) is not None
    return True  # it may not be asked about


def _shown(e: Examined) -> str:
    return normalise.printable_path(e.found.relative)
