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
from dedup.files.nofollow import NoFollowTree
from dedup.matching.candidates import CandidateSet, NewText
from dedup.matching.matcher import Matcher
from dedup.matching.quotations import pack_common_quotations
from dedup.model import Article, CheckStatus, Match, MismatchCause, SightingStatus, TimeSource
from dedup.scan.counts import ScanCounts
from dedup.scan.events import BatchOutcome, Policy, RecordedArticle, write_alerts, write_fault_alert
from dedup.scan.extract import CrawlFile, Extraction, to_fault
from dedup.scan.isolation import has_passed_through, internal_fault, is_file_error, isolate_failures, log_error_once
from dedup.scan.judgements import PageChange
from dedup.scan.page_history import TouchedSightings, recompute_pages, recompute_sightings
from dedup.scan.rereads import Rereads, is_deferred, is_reread
from dedup.scan.roots import CrawlDirectory, find_absent_mounts, is_below
from dedup.scan.sighting_status import merge_readings
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.store.database import Row
from dedup.store.files import FilePath
from dedup.store.pages import metadata_values
from dedup.store.rows import ExistingState, FileReadingRow, FileRow, ReadingRow
from dedup.store.timeline import SightingPosition
from dedup.text import sanitise, times
from dedup.text.urls import strip_credentials


@dataclass(slots=True)
class _PendingArticle:
    """An article on its way into the database: its keys, as they become known. `is_pruned`: its state is known, the body of that was
    let go; `is_unchanged`: the file holds what it held last; `is_reread`: its bytes were recorded before, and are read again because
    settings changed; `is_copy`: it is another file with the same bytes, of which the same holds, and was not looked at."""

    extraction: Extraction
    article: Article
    url: str
    file_id: int
    file_row: FileRow | None
    page_id: int = 0
    alias_id: int = 0
    metadata_id: int = 0
    metadata_digest: bytes = b""
    revision_id: int = 0
    revision_text_id: int | None = None
    is_pruned: bool = False
    is_unchanged: bool = False
    is_reread: bool = False
    is_copy: bool = False
    crawled_at: str = ""
    crawled_at_from: TimeSource = "file"
    sighting_id: int = 0
    is_new_sighting: bool = False
    check_status: CheckStatus = "unclaimed"
    check_cause: MismatchCause | None = None
    status: SightingStatus = "counted"


class _IdAllocator(dict[str, Iterator[int]]):
    """Table → keys for rows that are not written yet."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __missing__(self, table: str) -> Iterator[int]:
        self[table] = ids = itertools.count(self._database.next_id(table))
        return ids

    def next_id(self, table: str) -> int:
        return next(self[table])


def record_extractions(
    database: WritableDatabase,
    extractions: Sequence[Extraction],
    matcher: Matcher,
    policy: Policy,
    counts: ScanCounts,
    report: Callable[[str, str], None] | None = None,
    suppressed_directories: Collection[int] = (),
) -> None:
    """Take a batch into the database in one transaction, with the alerts that the `policy` makes of it, but for what lies in crawl
    directories that are `suppressed_directories`; `counts` is added to once it is committed, and `report` gets a
    kind and a line for each mismatch, fault, change and match.

    A file that makes this fail becomes a fault of the kind `internal`: the batch is recorded in halves then, until that file is alone.
    Raises errors of SQLite, of the system (OSError) and DedupError; what is not recorded then can be recorded again.
    """
    has_checked_database = False

    def record_part(batch: Sequence[Extraction]) -> None:
        nonlocal has_checked_database
        try:
            _record_batch(database, batch, matcher, policy, counts, report, suppressed_directories)
        except Exception as error:
            if has_checked_database or not is_file_error(error):
                raise
            has_checked_database = True  # once for all that this batch brings
            if isinstance(error, SUSPICIOUS_ERRORS):
                database.require_sound(error)
            if not (has_passed_through(error, INDEX_MODULES) and matcher.discard_indexes()):
                raise
            log_error_once(error, "using an index, which is made again")
            _record_batch(database, batch, matcher, policy, counts, report, suppressed_directories)

    def record_fault(extraction: Extraction, error: Exception) -> None:
        fault = internal_fault(error, "recording")
        try:
            if extraction.outcome in ("article", "fault"):
                _record_batch(database, [to_fault(extraction, fault)], matcher, policy, counts, report, suppressed_directories)
                return
        except Exception as again:
            if not is_file_error(again):
                raise
            log_error_once(again, "recording a fault")
        with database.transaction() as transaction:  # the row of the file itself cannot be written
            store.faults.replace(
                transaction,
                [(extraction.file.directory_id, extraction.file.relative_path, _format_relative_path(extraction), (fault,))],
                times.now(),
            )
        counts.faults += 1

    isolate_failures(extractions, record_part, record_fault)


INDEX_MODULES = ("dedup.index.lsh", "dedup.index.passages", "dedup.index.hashtable")
"""Where errors may mean that an index file is damaged, which can be made again from the database."""


def _record_batch(
    database: WritableDatabase,
    extractions: Sequence[Extraction],
    matcher: Matcher,
    policy: Policy,
    counts: ScanCounts,
    report: Callable[[str, str], None] | None,
    suppressed_directories: Collection[int],
) -> None:
    """All of a batch or nothing of it."""
    batch_counts = ScanCounts()
    messages: list[tuple[str, str]] = []
    commit_token: bytes | None = None
    try:
        with database.transaction() as transaction:
            for part in _split_by_path(extractions):
                batch = _Batch(transaction, matcher, policy, batch_counts, messages if report else None, suppressed_directories)
                batch.record_files(part)
                commit_token = batch.commit_token or commit_token
    except BaseException:
        matcher.rollback()
        raise
    database.lock.set_activity("entering into the indexes what was recorded")
    counts.add(batch_counts)
    try:
        matcher.index_committed(commit_token)
    except (OSError, DedupError):
        raise
    except Exception as error:  # all is recorded; the indexes catch up when they are opened again
        log_error_once(error, "entering texts into an index")
    if report:
        for kind, line in messages:
            report(kind, line)


def _split_by_path(extractions: Iterable[Extraction]) -> Iterator[list[Extraction]]:
    """The batch in parts that name no path twice, order kept."""
    group: dict[FilePath, Extraction] = {}
    for extraction in extractions:
        path = _path_of(extraction)
        if path in group:
            yield list(group.values())
            group = {}
        group[path] = extraction
    if group:
        yield list(group.values())


def _path_of(extraction: Extraction) -> FilePath:
    return extraction.file.directory_id, extraction.file.folder, extraction.file.name


class _Batch:
    """One batch on its way into the transaction; `messages` None: nobody listens."""

    def __init__(
        self,
        transaction: Transaction,
        matcher: Matcher,
        policy: Policy,
        counts: ScanCounts,
        messages: list[tuple[str, str]] | None,
        suppressed_directories: Collection[int],
    ) -> None:
        self._transaction, self._matcher, self._policy, self._counts, self._messages = transaction, matcher, policy, counts, messages
        self._suppressed_directories = suppressed_directories
        self.commit_token: bytes | None = None
        self._outcome = BatchOutcome()
        self._now = times.now()
        self._ids = _IdAllocator(transaction)
        self._absent_mounts: dict[int, list[bytes]] = {}

    def record_files(self, extractions: Sequence[Extraction]) -> None:
        """Everything that these files say, which name no path twice."""
        rows_by_path = store.files.find_by_path(self._transaction, (_path_of(e) for e in extractions if e.outcome != "unsettled"))
        self._entries: list[_PendingArticle] = []
        self._new_files: dict[int, Extraction] = {}
        self._reading_ids: dict[int, int | None] = {}
        self._rereads = Rereads(self._transaction, self._policy)
        self._record_files(extractions, rows_by_path)
        if self._entries:
            self._record_articles()
        else:
            self._write_files()
            self._rereads.finish(self._rereads.delete_dropped_readings(), [], self._now)

    def _report(self, kind: str, line: str) -> None:
        if self._messages is not None:
            self._messages.append((kind, line))

    # Files

    def _record_files(self, extractions: Sequence[Extraction], rows_by_path: dict[FilePath, FileRow]) -> None:
        counts = self._counts
        gone_ids, file_updates = [], []
        fault_updates: list[Extraction] = []
        reread_faults: dict[int, int | None] = {}
        for extraction in extractions:
            if extraction.outcome == "unsettled":
                counts.unsettled += 1
                continue
            row = rows_by_path.get(_path_of(extraction))
            if extraction.outcome in ("symlink", "special", "vanished"):
                if extraction.outcome != "vanished":
                    counts.ignored[extraction.outcome] += 1
                if row and not row.is_gone:
                    gone_ids.append(row.id)
                    counts.gone += 1
                continue
            is_unchanged = row is not None and extraction.content_digest is not None and row.content_digest == extraction.content_digest
            if row is not None and is_deferred(row, extraction):
                fault_updates.append(extraction)
                counts.faults += not extraction.file.is_reread
                continue
            is_reread_now = row is not None and is_reread(row, extraction)
            if row is not None:
                file_updates.append((row.id, extraction.file.stamp, extraction.content_digest))
                if row.reread_digest is not None:
                    self._rereads.file_ids.add(row.id)
            if (
                row is not None
                and is_unchanged
                and row.is_article == (extraction.article is not None)
                and not row.is_pruned
                and not is_reread_now
            ):
                if row.is_gone or extraction.article is None:
                    fault_updates.append(extraction)
                if extraction.article is None:
                    counts.faults += 1
                else:
                    counts.unchanged += 1
                continue
            file_id = row.id if row else self._ids.next_id("files")
            if row is None:
                self._new_files[file_id] = extraction
            fault_updates.append(extraction)
            if self._messages is not None and not is_reread_now:
                display_path = sanitise.to_printable_path(extraction.file.path)
                self._messages += [
                    (f"fault, {f.kind}", f"fault: {display_path}: {sanitise.to_printable(f.message)}") for f in extraction.faults
                ]
            if extraction.article is None or extraction.url is None:
                self._reading_ids[file_id] = None
                counts.faults += not extraction.file.is_reread
                counts.reread += extraction.file.is_reread
                if row is not None and is_reread_now:
                    reread_faults[file_id] = row.reading_id
            else:
                self._entries.append(
                    _PendingArticle(
                        extraction,
                        extraction.article,
                        extraction.url,
                        file_id,
                        row,
                        is_unchanged=is_unchanged and (is_reread_now or (row is not None and row.is_pruned)),
                        is_reread=is_reread_now,
                    )
                )
        self._add_copies(fault_updates, reread_faults)
        store.files.mark_gone(self._transaction, gone_ids, self._now)
        store.files.update(self._transaction, file_updates)
        store.faults.replace(
            self._transaction,
            [
                (
                    extraction.file.directory_id,
                    extraction.file.relative_path,
                    _format_relative_path(extraction) if extraction.faults else "",
                    extraction.faults,
                )
                for extraction in fault_updates
            ],
            self._now,
        )
        if any(
            extraction.faults and extraction.file.directory_id not in self._suppressed_directories and not extraction.file.is_reread
            for extraction in fault_updates
        ):
            write_fault_alert(self._transaction, self._policy, self._now)

    def _add_copies(self, extractions: Iterable[Extraction], reread_faults: dict[int, int | None]) -> None:
        """Extend what was read to files with the same bytes that are to be read again, and begin to replace their readings."""
        by_digest = {extraction.content_digest: extraction for extraction in extractions if extraction.content_digest is not None}
        copies_by_content = self._rereads.find_copies(by_digest)
        rows_by_path = store.files.find_by_path(self._transaction, (path for copies in copies_by_content.values() for _, path in copies))
        for content_digest, copies in copies_by_content.items():
            extraction = by_digest[content_digest]
            for file_id, path in copies:
                row = rows_by_path[path]
                is_missing = row.is_gone or (
                    path[0] == extraction.file.directory_id and not _has_file(extraction.file.directory_path, path[1], path[2])
                )
                if row.content_digest != content_digest or not row.is_article or not is_missing:
                    continue  # it holds other bytes by now, or is read again by itself
                if extraction.article is None or extraction.url is None:
                    reread_faults[file_id] = row.reading_id
                elif not row.is_pruned:
                    copy_extraction = replace(
                        extraction, file=replace(extraction.file, directory_id=path[0], folder=path[1], name=path[2], stamp=row.stamp)
                    )
                    self._entries.append(
                        _PendingArticle(
                            copy_extraction,
                            extraction.article,
                            extraction.url,
                            file_id,
                            row,
                            is_unchanged=True,
                            is_reread=True,
                            is_copy=True,
                        )
                    )
                self._rereads.file_ids.add(file_id)
        copied_contents = {entry.extraction.content_digest for entry in self._entries if entry.is_copy}
        for entry in self._entries:
            entry.is_reread = entry.is_reread or entry.extraction.content_digest in copied_contents
        self._rereads.begin(
            {entry.file_id: entry.file_row.reading_id for entry in self._entries if entry.is_reread and entry.file_row}, reread_faults
        )

    def _write_files(self) -> None:
        """New files with the readings they hold; and known ones that hold another now."""
        store.files.insert(
            self._transaction, ((
                file, e.file.directory_id, e.file.folder, e.file.name, _format_relative_path(e), e.file.stamp.size, e.file.stamp.mtime_ns,
                e.file.stamp.inode, e.file.stamp.ctime_ns, e.content_digest, self._reading_ids.get(file), self._now,
            ) for file, e in self._new_files.items())
        )  # fmt: skip
        store.files.set_readings(self._transaction, ((f, r) for f, r in self._reading_ids.items() if f not in self._new_files))

    # Articles

    def _record_articles(self) -> None:
        transaction, ids, entries = self._transaction, self._ids, self._entries
        pages = store.pages.find_by_url(transaction, {entry.url for entry in entries})
        self._known_pages = frozenset(pages.values())
        new_pages = [
            (pages.setdefault(url, ids.next_id("pages")), url) for url in dict.fromkeys(entry.url for entry in entries) if url not in pages
        ]
        for entry in entries:
            entry.page_id = pages[entry.url]
        new_aliases = self._assign_aliases()
        new_metadata = self._assign_metadata()
        new_states = self._assign_revisions()
        self._assign_crawl_times()
        earlier_readings = store.readings.find_by_crawl(
            transaction,
            (
                (entry.file_id, entry.page_id, entry.crawled_at)
                for entry in entries
                if entry.file_row and entry.page_id in self._known_pages
            ),
        )
        affected_sightings, replaced_readings, superseded_readings = self._compare_with_earlier(earlier_readings)
        self._assign_sightings()
        for entry in entries:
            earlier_sighting = (
                self._rereads.replaced_readings.get(entry.file_row.reading_id)
                if entry.is_reread and entry.file_row and entry.file_row.reading_id
                else None
            )
            if earlier_sighting is not None and entry.file_row and entry.file_row.reading_id and earlier_sighting[0] != entry.sighting_id:
                affected_sightings.add(earlier_sighting[0])
                replaced_readings.append(entry.file_row.reading_id)
        new_texts, recompared_texts = self._assign_texts()

        new_sightings = self._build_new_sightings()
        current_sightings = self._find_single_sightings(new_sightings)

        store.pages.insert(transaction, ((page, url, current_sightings.get(page)) for page, url in new_pages))
        store.pages.insert_aliases(transaction, new_aliases)
        store.pages.insert_metadata(transaction, new_metadata)
        candidates = self._matcher.query(
            [_to_new_text(n, entry, is_returned=n in self._replaced_texts) for n, entry in new_texts.items()], list(recompared_texts)
        )
        if self._replaced_texts:
            store.texts.release_digests(transaction, self._replaced_texts.values())
        store.texts.insert(
            transaction,
            (
                (
                    number,
                    entry.extraction.text_digest,
                    entry.extraction.characters,
                    entry.extraction.signature,
                    int(number in candidates.crowded),
                )
                for number, entry in new_texts.items()
            ),
        )
        if self._quoted_masks:
            store.texts.set_quoted_masks(transaction, self._quoted_masks.items())
            self._matcher.set_quoted_masks(self._quoted_masks)
        store.texts.set_crowded(transaction, candidates.crowded & recompared_texts.keys())
        if self._replaced_texts:
            store.texts.replace(transaction, ((before, number) for number, before in self._replaced_texts.items()))
        self._write_revisions(new_states)
        if self._replaced_texts:
            store.matches.delete_outdated(transaction, self._replaced_texts, self._matcher.criteria.recipe)
        store.readings.supersede(transaction, superseded_readings)
        store.readings.delete(transaction, replaced_readings)
        store.sightings.insert(
            transaction, ((sighting, p.page_id, p.position[0], p.revision_id, *p.readings) for sighting, p in new_sightings.items())
        )
        reread_sightings = self._write_readings(earlier_readings)
        self._recompute(
            affected_sightings | reread_sightings | {entry.sighting_id for entry in entries if entry.sighting_id not in new_sightings},
            new_sightings,
            current_sightings.keys(),
        )
        self._record_matches(candidates)
        signed_texts = [number for number, entry in new_texts.items() if entry.extraction.signature is not None]
        if signed_texts:
            self.commit_token = store.batches.insert(transaction, signed_texts[-1])
        self._count_articles(new_states)
        self._write_alerts(recompared_texts | new_texts)

    def _write_alerts(self, compared_texts: dict[int, _PendingArticle]) -> None:
        """Write the alerts that rules ask for."""
        page_changes = [*self._outcome.page_changes, *self._rereads.delete_dropped_readings()]
        if not self._policy.alerting.rules:
            self._rereads.finish(page_changes, [], self._now)
            return
        texts_by_sighting = {s.sighting_id: number for number, s in compared_texts.items()}
        articles_by_reread = {
            again: [
                RecordedArticle(
                    s.sighting_id,
                    s.page_id,
                    s.url,
                    s.extraction,
                    s.article,
                    s.crawled_at,
                    s.check_status == "mismatched",
                    texts_by_sighting.get(s.sighting_id),
                )
                for s in self._entries
                if s.extraction.file.directory_id not in self._suppressed_directories and s.is_reread == again
            ]
            for again in (False, True)
        }
        self._rereads.finish(page_changes, articles_by_reread[True], self._now)
        arrived_sightings = self._arrived_sightings()
        self._outcome.page_changes = [s for s in self._outcome.page_changes if self._rereads.is_news(s, arrived_sightings)]
        write_alerts(self._transaction, self._policy, self._outcome, articles_by_reread[False], self._now)

    def _arrived_sightings(self) -> frozenset[int]:
        """Sightings that files of this batch showed for the first time, rather than by another interpretation."""
        return frozenset(s.sighting_id for s in self._entries if not s.is_reread)

    def _assign_aliases(self) -> list[Row]:
        keys = [
            (entry.page_id, strip_credentials(entry.article.url), m.oid, m.aid)
            for entry in self._entries
            for m in (entry.article.metadata,)
        ]
        ids_by_key = store.pages.find_aliases(self._transaction, (k for k in dict.fromkeys(keys) if k[0] in self._known_pages))
        new_rows = []
        for entry, key in zip(self._entries, keys, strict=True):
            if key not in ids_by_key:
                ids_by_key[key] = self._ids.next_id("aliases")
                new_rows.append((ids_by_key[key], *key))
            entry.alias_id = ids_by_key[key]
        return new_rows

    def _assign_metadata(self) -> list[tuple[int, int, bytes, Row]]:
        values = [metadata_values(entry.article.metadata) for entry in self._entries]
        keys = [(entry.page_id, digest) for entry, (digest, _) in zip(self._entries, values, strict=True)]
        ids_by_key = store.pages.find_metadata(self._transaction, (k for k in dict.fromkeys(keys) if k[0] in self._known_pages))
        new_rows = []
        for entry, key, (digest, row) in zip(self._entries, keys, values, strict=True):
            if key not in ids_by_key:
                ids_by_key[key] = self._ids.next_id("metadata")
                new_rows.append((ids_by_key[key], entry.page_id, digest, row))
            entry.metadata_id, entry.metadata_digest = ids_by_key[key], digest
        return new_rows

    def _assign_revisions(self) -> dict[int, _PendingArticle]:
        states_by_key = store.revisions.find_by_state(
            self._transaction,
            ((entry.page_id, entry.extraction.state_digest) for entry in self._entries if entry.page_id in self._known_pages),
        )
        new_revisions: dict[int, _PendingArticle] = {}
        for entry in self._entries:
            key = (entry.page_id, entry.extraction.state_digest)
            if key not in states_by_key:
                states_by_key[key] = ExistingState(self._ids.next_id("revisions"), None, is_pruned=False)
                new_revisions[states_by_key[key].revision_id] = entry
            entry.revision_id, entry.revision_text_id, entry.is_pruned = (
                states_by_key[key].revision_id,
                states_by_key[key].text_id,
                states_by_key[key].is_pruned,
            )
        return new_revisions

    def _assign_crawl_times(self) -> None:
        """When each article was crawled: as the file says; as was taken when the file began to show this state, if it has shown nothing
        else since; or by its mtime."""
        undated_entries = [entry for entry in self._entries if not entry.article.crawled_at]
        latest_readings = store.readings.latest_of_files(self._transaction, (entry.file_id for entry in undated_entries if entry.file_row))
        for entry in self._entries:
            entry.crawled_at = entry.article.crawled_at or ""
        for entry in undated_entries:
            latest = latest_readings.get(entry.file_id)
            is_same_state = latest and (latest.page_id, latest.revision_id, latest.crawled_at_source) == (
                entry.page_id,
                entry.revision_id,
                "mtime",
            )
            entry.crawled_at = latest.crawled_at if latest and is_same_state else times.from_ns(entry.extraction.file.stamp.mtime_ns)
            entry.crawled_at_from = "mtime"

    def _compare_with_earlier(self, earlier_readings: dict[int, list[FileReadingRow]]) -> tuple[set[int], list[int], list[int]]:
        """Weigh each article against earlier readings of the same crawl from the same file that gave another state. Returns
        (sightings to settle again, readings that are replaced, readings that are superseded)."""
        affected_sightings: set[int] = set()
        replaced_readings: list[int] = []
        superseded_readings: list[int] = []
        for entry in self._entries:
            check = entry.article.check
            entry.check_status, entry.check_cause = check.status, check.cause
            entry.status = "truncated" if check.cause == "truncated" else "counted"
            for reading in earlier_readings.get(entry.file_id, ()):
                if reading.revision_id == entry.revision_id or reading.status == "overruled":
                    continue
                if entry.is_reread and entry.file_row and reading.id == entry.file_row.reading_id:
                    continue  # it is replaced, whatever it was
                if reading.check_status == "verified":
                    entry.check_status, entry.check_cause, entry.status = "mismatched", "altered", "overruled"
                    continue
                affected_sightings.add(reading.sighting_id)
                (superseded_readings if reading.check_status == "unclaimed" else replaced_readings).append(reading.id)
        return affected_sightings, replaced_readings, superseded_readings

    def _assign_sightings(self) -> None:
        keys = [(entry.page_id, entry.crawled_at, entry.revision_id) for entry in self._entries]
        ids_by_key = store.sightings.find_by_crawl(self._transaction, (k for k in keys if k[0] in self._known_pages))
        for entry, key in zip(self._entries, keys, strict=True):
            entry.is_new_sighting = key not in ids_by_key
            entry.sighting_id = ids_by_key.setdefault(key, 0) or self._ids.next_id("sightings")
            ids_by_key[key] = entry.sighting_id

    def _assign_texts(self) -> tuple[dict[int, _PendingArticle], dict[int, _PendingArticle]]:
        """Give counted revisions their texts; returns (new texts, each with the first article that has it; known texts that form
        pairs which did not count before, likewise). Those are texts that a second page has come to show, and texts that no page
        showed any more: while none did, they were compared with nothing. A text whose bodies were all pruned is a new one where an
        article brings it again (`_replaced_texts`: its key → that which it had)."""
        transaction, counts = self._transaction, self._counts
        pruned_with_text = {
            entry.revision_id for entry in self._entries if entry.is_pruned and entry.revision_text_id is not None
        }  # whatever this crawl counts for
        counted_entries = [
            entry
            for entry in self._entries
            if (entry.status == "counted" or entry.revision_id in pruned_with_text) and entry.extraction.text_digest is not None
        ]
        ids_by_digest = store.texts.find_by_digest(
            transaction,
            {
                entry.extraction.text_digest
                for entry in counted_entries
                if entry.extraction.text_digest and (entry.revision_text_id is None or entry.is_pruned)
            },
        )
        bodiless_texts = store.texts.without_body(transaction, ids_by_digest.values())
        pages_by_text = store.texts.pages_showing_any(transaction, ids_by_digest.values())
        shown_pairs = store.texts.pages_showing_among(
            transaction,
            (
                (ids_by_digest[entry.extraction.text_digest], entry.page_id)
                for entry in counted_entries
                if entry.extraction.text_digest in ids_by_digest and entry.page_id in self._known_pages
            ),
        )
        page_ids_by_text = {text_id: {p.first_page_id, p.last_page_id} for text_id, p in pages_by_text.items()}
        ids_by_revision: dict[int, int] = {}
        replaced_texts: dict[int, int] = {}
        new_texts: dict[int, _PendingArticle] = {}
        recompared_texts: dict[int, _PendingArticle] = {}
        copies: list[tuple[_PendingArticle, int]] = []
        for entry in counted_entries:
            assert entry.extraction.text_digest is not None
            if (entry.revision_text_id is not None and not entry.is_pruned) or entry.revision_id in ids_by_revision:
                continue
            text_id = ids_by_digest.get(entry.extraction.text_digest)
            if text_id is None:
                text_id = ids_by_digest[entry.extraction.text_digest] = self._ids.next_id("texts")
                new_texts[text_id] = entry
            elif text_id in bodiless_texts and entry.extraction.signature is not None:
                old_text_id, text_id = text_id, self._ids.next_id("texts")
                ids_by_digest[entry.extraction.text_digest], replaced_texts[text_id], new_texts[text_id] = text_id, old_text_id, entry
                page_ids_by_text[text_id] = page_ids_by_text.get(old_text_id, set())
                shown_pairs |= {(text_id, page) for text_, page in shown_pairs if text_ == old_text_id}
            ids_by_revision[entry.revision_id] = text_id
            earlier_pages = page_ids_by_text.setdefault(text_id, set())
            is_new_pair = (text_id, entry.page_id) not in shown_pairs
            if is_new_pair and earlier_pages:
                counts.matches["exact"] += 1
                copies.append((entry, min(earlier_pages)))
            if is_new_pair and len(earlier_pages) < 2 and text_id not in new_texts:
                recompared_texts.setdefault(text_id, entry)
            earlier_pages.add(entry.page_id)
            shown_pairs.add((text_id, entry.page_id))
        self._text_ids = ids_by_revision
        self._replaced_texts = replaced_texts
        self._quoted_masks = self._find_changed_masks(counted_entries, new_texts)
        self._outcome.copies = [(ids_by_revision[entry.revision_id], entry.page_id, page) for entry, page in copies]
        if self._messages is not None and copies:
            urls = {entry.page_id: entry.url for entry in self._entries} | store.pages.urls(transaction, {page for _, page in copies})
            for entry, page in copies:
                self._report(
                    "exact duplicate",
                    f"exact duplicate: {sanitise.to_printable(entry.url)} has the text of {sanitise.to_printable(urls[page])}",
                )
        return new_texts, recompared_texts

    def _find_changed_masks(self, counted_entries: Sequence[_PendingArticle], new_texts: Collection[int]) -> dict[int, bytes]:
        """Text → its quoted characters, of texts of which this batch brings a body that differs from others in quotation marks."""
        bodies_by_text: dict[int, set[str]] = {}
        for entry in counted_entries:
            if entry.revision_id in self._text_ids and entry.extraction.signature is not None:
                bodies_by_text.setdefault(self._text_ids[entry.revision_id], set()).add(entry.article.body)
        known_texts = [text_id for text_id in bodies_by_text if text_id not in new_texts]
        stored_masks, stored_bodies = (
            store.texts.quoted_masks(self._transaction, known_texts),
            store.texts.bodies(self._transaction, known_texts),
        )
        for text_id, body in stored_bodies.items():
            bodies_by_text[text_id].add(body)
        masks = {text_id: pack_common_quotations(b, stored_masks.get(text_id)) for text_id, b in bodies_by_text.items() if len(b) > 1}
        return {text_id: mask for text_id, mask in masks.items() if mask is not None and mask != stored_masks.get(text_id)}

    def _write_revisions(self, new_revisions: dict[int, _PendingArticle]) -> None:
        store.revisions.insert(
            self._transaction,
            (
                (revision, s.page_id, s.extraction.state_digest, self._text_ids.get(revision), s.article.title, s.article.body)
                for revision, s in new_revisions.items()
            ),
        )
        store.revisions.set_texts(
            self._transaction, ((revision, number) for revision, number in self._text_ids.items() if revision not in new_revisions)
        )
        if bodies_by_revision := {s.revision_id: s.article.body for s in self._entries if s.is_pruned}:
            store.revisions.restore_bodies(self._transaction, bodies_by_revision.items())

    def _build_new_sightings(self) -> dict[int, SightingPosition]:
        """Sighting → where it is, with what this batch's readings make of it."""
        entries_by_sighting: dict[int, list[_PendingArticle]] = {}
        for entry in self._entries:
            if entry.is_new_sighting or entry.sighting_id in entries_by_sighting:
                entries_by_sighting.setdefault(entry.sighting_id, []).append(entry)
        positions: dict[int, SightingPosition] = {}
        for sighting_id, entries in entries_by_sighting.items():
            entry = entries[0]
            rows = [
                ReadingRow(o.status, o.check_status, o.check_cause, o.metadata_id, o.metadata_digest, o.crawled_at_from) for o in entries
            ]
            positions[sighting_id] = SightingPosition(
                entry.page_id, (entry.crawled_at, entry.extraction.state_digest), entry.revision_id, merge_readings(rows)
            )
        return positions

    def _find_single_sightings(self, new_sightings: dict[int, SightingPosition]) -> dict[int, int | None]:
        """Page → current sighting, of new pages with one sighting: there is nothing more to settle about them."""
        sightings_by_page: dict[int, set[int]] = {}
        for entry in self._entries:
            if entry.page_id not in self._known_pages:
                sightings_by_page.setdefault(entry.page_id, set()).add(entry.sighting_id)
        single_sightings = {page: next(iter(of_page)) for page, of_page in sightings_by_page.items() if len(of_page) == 1}
        return {
            page: sighting if new_sightings[sighting].readings.status == "counted" else None for page, sighting in single_sightings.items()
        }

    def _write_readings(self, earlier_readings: dict[int, list[FileReadingRow]]) -> set[int]:
        """Record which file showed which sighting; returns the sightings that had been read from the same file before."""
        new_rows: list[Row] = []
        updated_rows: list[Row] = []
        reread_sightings: set[int] = set()
        for entry in self._entries:
            existing_id = next((r.id for r in earlier_readings.get(entry.file_id, ()) if r.sighting_id == entry.sighting_id), None)
            check = entry.article.check
            reading_id = existing_id or self._ids.next_id("readings")
            row = (
                reading_id, entry.file_id, entry.sighting_id, entry.alias_id, entry.metadata_id, entry.status, entry.check_status,
                entry.check_cause, check.claimed, check.recipe, entry.article.encoding, entry.crawled_at_from, self._now,
            )  # fmt: skip
            (updated_rows if existing_id else new_rows).append(row)
            if existing_id:
                reread_sightings.add(entry.sighting_id)
            self._reading_ids[entry.file_id] = reading_id
        self._write_files()
        store.readings.insert(self._transaction, new_rows)
        store.readings.update(self._transaction, updated_rows)
        return reread_sightings

    def _recompute(self, affected_sightings: set[int], new_sightings: dict[int, SightingPosition], finished_pages: Collection[int]) -> None:
        """Put right the sightings that were there before, and the histories of all pages but those that are settled already."""
        outcome = self._outcome
        superseded_changes = outcome.superseded_changes if self._policy.alerting.rules else None
        touched_sightings: TouchedSightings = recompute_sightings(self._transaction, affected_sightings, superseded_changes)
        for sighting_id, position in new_sightings.items():
            touched_sightings.setdefault(position.page_id, {})[sighting_id] = position
        pages = {s.page_id for s in self._entries}.difference(finished_pages) | self._rereads.page_ids
        whole_pages = {s.page_id for s in self._entries if s.is_pruned} | self._rereads.page_ids  # any of their changes may be another now
        touched_by_page = {page: touched_sightings.get(page, {}) for page in pages - whole_pages}
        page_changes = outcome.page_changes = recompute_pages(
            self._transaction, sorted(pages), self._policy.rules,
            touched_sightings=touched_by_page, read_sightings={s.sighting_id for s in self._entries}, superseded_changes=superseded_changes,
        )  # fmt: skip
        arrived_sightings = self._arrived_sightings()
        new_changes = [s for s in page_changes if self._rereads.is_news(s, arrived_sightings)]
        self._counts.changes += sum(not s.is_known for s in new_changes)
        if self._messages is not None and new_changes:
            urls = store.pages.urls(self._transaction, {s.page_id for s in new_changes})
            self._messages += [("change", _describe_change(s, urls[s.page_id])) for s in new_changes]

    def _record_matches(self, candidates: CandidateSet) -> None:
        matches = self._outcome.matches = self._matcher.confirm_candidates(self._transaction, candidates)
        store.matches.insert(self._transaction, matches, self._matcher.criteria.recipe, self._now)
        if self._quoted_masks:
            store.matches.update(self._transaction, self._matcher.reassess(self._transaction, self._quoted_masks))
        for match in matches:
            self._counts.matches[match.relation] += 1
            if self._messages is not None:
                self._report(f"{match.relation} duplicate", _describe_match(self._transaction, match))

    def _count_articles(self, new_revisions: dict[int, _PendingArticle]) -> None:
        counts = self._counts
        moved_files = self._find_moved_files()
        for entry in self._entries:
            if entry.is_copy:
                continue
            if not entry.is_reread:
                counts.sightings += entry.is_new_sighting
                counts.checks[entry.check_status] += 1
                if entry.check_status == "mismatched":
                    self._report(
                        "mismatched content_hash",
                        f"mismatched content_hash ({entry.check_cause}): {sanitise.to_printable_path(entry.extraction.file.path)}",
                    )
            if entry.extraction.file.is_reread:
                counts.reread += 1
            elif entry.file_row is not None:
                counts.changed += not entry.is_unchanged
                counts.unchanged += entry.is_unchanged
            elif entry.file_id in moved_files:
                counts.moved += 1
            else:
                counts.new += 1
        counts.revisions += len(
            new_revisions.keys() & {entry.revision_id for entry in self._entries if entry.status == "counted" and not entry.is_reread}
        )

    def _find_moved_files(self) -> set[int]:
        """New files whose bytes were last seen at another path of the same crawl directory that is no longer there."""
        copied_sightings = {entry.sighting_id for entry in self._entries if entry.is_copy}
        possibly_moved = [
            entry
            for entry in self._entries
            if entry.file_row is None and (not entry.is_new_sighting or entry.sighting_id in copied_sightings)
        ]
        own_files = {entry.file_id for entry in self._entries if not entry.is_copy}
        files_by_sighting = store.files.files_of_sightings(self._transaction, {entry.sighting_id for entry in possibly_moved})
        moved_files: set[int] = set()
        gone_ids: list[int] = []
        used_sightings: set[tuple[int, int]] = set()  # one of this batch's files already stands for what was there
        for entry in possibly_moved:
            crawl_file = entry.extraction.file
            has_left = False
            for file_id, content_digest, directory_id, folder, name, is_gone in files_by_sighting.get(entry.sighting_id, ()):
                if file_id in own_files or content_digest != entry.extraction.content_digest or directory_id != crawl_file.directory_id:
                    continue
                if not is_gone:
                    if _has_file(crawl_file.directory_path, folder, name) or self._is_out_of_sight(crawl_file, file_id, folder):
                        has_left = False
                        break
                    gone_ids.append(file_id)
                has_left = True
            if has_left and (entry.sighting_id, crawl_file.directory_id) not in used_sightings:
                moved_files.add(entry.file_id)
                used_sightings.add((entry.sighting_id, crawl_file.directory_id))
        store.files.mark_gone(self._transaction, gone_ids, self._now)
        return moved_files

    def _is_out_of_sight(self, crawl_file: CrawlFile, file_id: int, folder: bytes) -> bool:
        """Whether a file of the same crawl directory lies on a mount that is absent, or below one that hides it."""
        if crawl_file.directory_id not in self._absent_mounts:
            self._absent_mounts[crawl_file.directory_id] = find_absent_mounts(
                self._transaction, CrawlDirectory(crawl_file.directory_id, crawl_file.directory_path)
            )
        return any(is_below(folder, path) for path in self._absent_mounts[crawl_file.directory_id]) or bool(
            store.files.hidden_among(self._transaction, [file_id])
        )


def _to_new_text(text_id: int, entry: _PendingArticle, *, is_returned: bool) -> NewText:
    metadata = entry.article.metadata
    return NewText(
        text_id,
        entry.extraction.signature,
        entry.article.body,
        entry.extraction.fingerprints,
        metadata.publisher,
        metadata.oid,
        entry.url,
        is_returned,
    )


def _describe_match(database: Database, match: Match) -> str:
    a, b = (sanitise.to_printable(url) for url in store.texts.urls_of_pair(database, match.a, match.b))
    scores = match.scores
    return f"{match.relation}, similarity {scores.similarity:.2f}, coverage {scores.coverage:.2f}: {a} and {b}"


def _describe_change(page_change: PageChange, url: str) -> str:
    classification = page_change.classification
    summary = f" ({classification.kind}, {classification.severity}{', stealth' if classification.silent else ''})" if classification else ""
    return f"changed{summary}: {sanitise.to_printable(url)}"


def _has_file(directory_path: bytes, folder: bytes, name: bytes) -> bool:
    with NoFollowTree() as tree, suppress(OSError):
        return tree.stat_path(directory_path, folder, name) is not None
    return True  # it may not be asked about


def _format_relative_path(extraction: Extraction) -> str:
    return sanitise.to_printable_path(extraction.file.relative_path)
