"""Serial half of a scan: write batches of extracted files into the database.

A batch is looked up, worked out and written as a whole in one transaction. The number of statements does not grow with its size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dedup import store
from dedup.errors import DedupError
from dedup.matching.candidates import CandidateSet
from dedup.matching.matcher import Matcher
from dedup.model import FileOutcome, Match
from dedup.pipeline.batch import (
    BatchContext,
    BatchListener,
    BatchReading,
    CommittedBatch,
    IdAllocator,
    RecordedFault,
    RecordedFile,
    Report,
    file_path,
    printable_relative_path,
)
from dedup.pipeline.classifications import ChangeIdentity, PageChange
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.events import BatchOutcome, Policy, RecordedArticle, write_alerts
from dedup.pipeline.extract import Extraction, to_fault
from dedup.pipeline.isolation import has_passed_through, internal_fault, is_file_error, isolate_failures, log_error_once
from dedup.pipeline.moved_files import find_moved_files
from dedup.pipeline.page_history import TouchedSightings, recompute_pages, recompute_sightings
from dedup.pipeline.record_files import FileBatch, record_files, write_files
from dedup.pipeline.record_pages import NewRevision, PageBatch, identify_articles
from dedup.pipeline.record_sightings import (
    ReadingRows,
    assign_sightings,
    build_reading_rows,
    find_settled_pages,
    merge_new_sightings,
    write_sightings,
)
from dedup.pipeline.record_texts import TextBatch, assign_texts, report_copies, write_texts
from dedup.pipeline.rereads import Rereads, delete_dropped_readings, finish_rereads
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.store.files import FilePath
from dedup.store.timeline import SightingPosition
from dedup.text import sanitise, times

INDEX_MODULES = ("dedup.index.lsh", "dedup.index.passages", "dedup.index.hashtable")
"""Modules whose errors may mean that an index file is damaged. Index files can be rebuilt from the database."""


def record_extractions(
    database: WritableDatabase,
    extractions: Sequence[Extraction],
    matcher: Matcher,
    policy: Policy,
    counts: ScanCounts,
    report: Report | None = None,
    suppressed_directories: Collection[int] = (),
    on_committed: BatchListener | None = None,
) -> None:
    """Record a batch of extracted files in one transaction, together with the alerts that `policy` asks for.

    `counts` and `report` receive the results once they are committed: `report` gets a line for each mismatch, fault, change and match.
    `on_committed` receives what each transaction recorded.
    Files in `suppressed_directories` (ids of crawl directories) raise no alerts.

    If one file makes this fail, the batch is recorded in halves until that file is alone; it becomes a fault of the kind `internal`.
    Raises SQLite errors, OSError and DedupError; what was not recorded then can be recorded again.
    """
    has_checked_database = False

    def record_part(batch: Sequence[Extraction]) -> None:
        nonlocal has_checked_database
        try:
            _record_batch(database, batch, matcher, policy, counts, report, suppressed_directories, on_committed)
        except Exception as error:
            if has_checked_database or not is_file_error(error):
                raise
            has_checked_database = True  # once for all errors of this batch
            if isinstance(error, SUSPICIOUS_ERRORS):
                database.require_sound(error)
            if not (has_passed_through(error, INDEX_MODULES) and matcher.discard_indexes()):
                raise
            log_error_once(error, "using an index, which is rebuilt")
            _record_batch(database, batch, matcher, policy, counts, report, suppressed_directories, on_committed)

    def record_fault(extraction: Extraction, error: Exception) -> None:
        fault = internal_fault(error, "recording")
        try:
            if extraction.outcome in ("article", "fault"):
                _record_batch(
                    database, [to_fault(extraction, fault)], matcher, policy, counts, report, suppressed_directories, on_committed
                )
                return
        except Exception as fault_error:
            if not is_file_error(fault_error):
                raise
            log_error_once(fault_error, "recording a fault")
        with database.transaction() as transaction:  # the row of the file itself cannot be written
            path = extraction.file.directory_id, extraction.file.relative_path
            store.faults.replace(transaction, [(*path, printable_relative_path(extraction), (fault,))], times.now())
        counts.faults += 1
        if on_committed is not None:
            recorded_fault = RecordedFault(sanitise.to_printable_path(extraction.file.path), fault)
            on_committed(CommittedBatch(ScanCounts(faults=1), faults=[recorded_fault]))

    isolate_failures(extractions, record_part, record_fault)


def _record_batch(
    database: WritableDatabase,
    extractions: Sequence[Extraction],
    matcher: Matcher,
    policy: Policy,
    counts: ScanCounts,
    report: Report | None,
    suppressed_directories: Collection[int],
    on_committed: BatchListener | None,
) -> None:
    """Record a whole batch or nothing of it."""
    committed = CommittedBatch()
    messages: list[tuple[str, str]] = []
    commit_token: bytes | None = None

    def collect_message(kind: str, line: str) -> None:
        messages.append((kind, line))

    try:
        with database.transaction() as transaction:
            for part in _split_by_path(extractions):
                context = BatchContext(
                    transaction,
                    IdAllocator(transaction),
                    matcher,
                    policy,
                    committed.counts,
                    collect_message if report else None,
                    suppressed_directories,
                    times.now(),
                    committed if on_committed is not None else None,
                )
                commit_token = _record_files(context, part) or commit_token
    except BaseException:
        matcher.rollback()
        raise
    database.lock.set_activity("adding what was recorded to the indexes")
    counts.add(committed.counts)
    _index_committed(matcher, commit_token)
    if report:
        for kind, line in messages:
            report(kind, line)
    if on_committed is not None:
        on_committed(committed)


def _index_committed(matcher: Matcher, commit_token: bytes | None) -> None:
    try:
        matcher.index_committed(commit_token)
    except (OSError, DedupError):
        raise
    except Exception as error:  # everything is recorded; the indexes catch up when they are opened again
        log_error_once(error, "entering texts into an index")


def _split_by_path(extractions: Iterable[Extraction]) -> Iterator[list[Extraction]]:
    """Split a batch into parts that have no path twice; order is kept."""
    part: dict[FilePath, Extraction] = {}
    for extraction in extractions:
        path = file_path(extraction)
        if path in part:
            yield list(part.values())
            part = {}
        part[path] = extraction
    if part:
        yield list(part.values())


def _record_files(context: BatchContext, extractions: Sequence[Extraction]) -> bytes | None:
    """Record extracted files, no two of which have the same path.

    Returns the token of the commit if the files bring texts with a signature, which the indexes then take; otherwise None.
    """
    files = record_files(context, extractions)
    if files.articles:
        return _record_articles(context, files)
    write_files(context.transaction, files, {}, context.now)
    dropped_changes = delete_dropped_readings(context.transaction, files.rereads, context.policy.rules)
    finish_rereads(context.transaction, files.rereads, context.policy, dropped_changes, [], context.now)
    return None


def _record_articles(context: BatchContext, files: FileBatch) -> bytes | None:
    transaction, ids = context.transaction, context.ids
    pages = identify_articles(transaction, ids, files.articles)
    sightings = assign_sightings(transaction, ids, files.articles, pages.keys, files.rereads)
    texts = assign_texts(transaction, ids, sightings.readings)
    context.counts.matches["exact"] += len(texts.copies)
    if context.report is not None:
        report_copies(transaction, sightings.readings, texts.copies, context.report)

    new_sightings = merge_new_sightings(sightings.readings)
    settled_pages = find_settled_pages(sightings.readings, new_sightings)
    _write_pages(transaction, pages, settled_pages)
    candidates = write_texts(transaction, context.matcher, texts)
    _write_revisions(transaction, pages.new_revisions, texts.ids_by_revision, sightings.readings)
    if texts.replaced_texts:
        store.matches.delete_outdated(transaction, texts.replaced_texts, context.matcher.criteria.recipe)
    write_sightings(transaction, sightings, new_sightings)
    reading_rows = build_reading_rows(ids, sightings, context.now)
    _write_readings(transaction, files, reading_rows, context.now)

    stored_sightings = {r.sighting_id for r in sightings.readings}.difference(new_sightings)
    changes = _recompute_histories(
        context,
        sightings.readings,
        sightings.affected_sightings | reading_rows.repeated_sightings | stored_sightings,
        new_sightings,
        settled_pages,
        files.rereads,
    )
    _count_changes(context, changes.news)
    matches = _record_matches(context, candidates, texts)
    signed_texts = [text_id for text_id, reading in texts.new_texts.items() if reading.source.extraction.signature is not None]
    commit_token = store.batches.insert(transaction, signed_texts[-1]) if signed_texts else None
    _count_articles(context, sightings.readings, pages.new_revisions)
    _finish_batch(context, files.rereads, sightings.readings, texts, changes, matches)
    return commit_token


# Writing


def _write_pages(transaction: Transaction, pages: PageBatch, current_sightings: Mapping[int, int | None]) -> None:
    store.pages.insert(transaction, ((page_id, url, current_sightings.get(page_id)) for page_id, url in pages.new_pages))
    store.pages.insert_aliases(transaction, pages.new_aliases)
    store.pages.insert_metadata(transaction, pages.new_metadata)


def _write_revisions(
    transaction: Transaction,
    new_revisions: Mapping[int, NewRevision],
    text_ids: Mapping[int, int],
    readings: Iterable[BatchReading],
) -> None:
    """Insert new revisions, set the texts of stored ones, and restore bodies that were pruned and are read again."""
    store.revisions.insert(
        transaction,
        (
            (revision_id, page_id, source.extraction.state_digest, text_ids.get(revision_id), source.article.title, source.article.body)
            for revision_id, (page_id, source) in new_revisions.items()
        ),
    )
    store.revisions.set_texts(transaction, ((revision, text) for revision, text in text_ids.items() if revision not in new_revisions))
    if bodies_by_revision := {r.keys.revision_id: r.source.article.body for r in readings if r.keys.is_pruned}:
        store.revisions.restore_bodies(transaction, bodies_by_revision.items())


def _write_readings(transaction: Transaction, files: FileBatch, reading_rows: ReadingRows, now: str) -> None:
    write_files(transaction, files, reading_rows.ids_by_file, now)
    store.readings.insert(transaction, reading_rows.new)
    store.readings.update(transaction, reading_rows.updated)


# Histories


@dataclass(frozen=True, slots=True)
class _BatchChanges:
    """Changes that followed from a batch. `news` are those that are more than another interpretation of recorded files; `superseded` are
    changes that no longer exist."""

    all: list[PageChange]
    news: list[PageChange]
    superseded: list[ChangeIdentity]


def _recompute_histories(
    context: BatchContext,
    readings: Sequence[BatchReading],
    affected_sightings: set[int] | frozenset[int],
    new_sightings: Mapping[int, SightingPosition],
    settled_pages: Collection[int],
    rereads: Rereads,
) -> _BatchChanges:
    """Recompute stored sightings whose readings changed, and the histories of all pages of the batch except `settled_pages`."""
    transaction = context.transaction
    superseded_changes: list[ChangeIdentity] = []
    collected_changes = superseded_changes if context.policy.alerting.rules else None
    touched_sightings: TouchedSightings = recompute_sightings(transaction, affected_sightings, collected_changes)
    for sighting_id, position in new_sightings.items():
        touched_sightings.setdefault(position.page_id, {})[sighting_id] = position
    pages = {r.keys.page_id for r in readings}.difference(settled_pages) | rereads.page_ids
    whole_pages = {r.keys.page_id for r in readings if r.keys.is_pruned} | rereads.page_ids  # any of their changes may differ now
    page_changes = recompute_pages(
        transaction,
        sorted(pages),
        context.policy.rules,
        touched_sightings={page: touched_sightings.get(page, {}) for page in pages - whole_pages},
        read_sightings={r.sighting_id for r in readings},
        superseded_changes=collected_changes,
    )
    arrived_sightings = frozenset(r.sighting_id for r in readings if not r.source.is_reread)
    news = [change for change in page_changes if rereads.is_news(change, arrived_sightings)]
    return _BatchChanges(page_changes, news, superseded_changes)


def _count_changes(context: BatchContext, page_changes: Sequence[PageChange]) -> None:
    new_changes = [change for change in page_changes if not change.is_known]
    context.counts.changes += len(new_changes)
    if context.committed is not None:
        context.committed.changed_sightings.extend(change.change.sighting.id for change in new_changes)
    if context.report is not None and page_changes:
        urls = store.pages.urls(context.transaction, {change.page_id for change in page_changes})
        for change in page_changes:
            context.report("change", _describe_change(change, urls[change.page_id]))


# Matches


def _record_matches(context: BatchContext, candidates: CandidateSet, texts: TextBatch) -> list[Match]:
    """Confirm candidates and write the matches; returns the new ones."""
    transaction, matcher = context.transaction, context.matcher
    matches = matcher.confirm_candidates(transaction, candidates)
    store.matches.insert(transaction, matches, matcher.criteria.recipe, context.now)
    if texts.quoted_masks:
        store.matches.update(transaction, matcher.reassess(transaction, texts.quoted_masks))
    for match in matches:
        context.counts.matches[match.relation] += 1
        if context.report is not None:
            context.report(f"{match.relation} duplicate", _describe_match(transaction, match))
    return matches


# Counts and alerts


def _count_articles(context: BatchContext, readings: Sequence[BatchReading], new_revisions: Collection[int]) -> None:
    """Count the articles of a batch, and mark the files gone that were moved."""
    moved_ids, gone_ids = find_moved_files(context.transaction, readings)
    store.files.mark_gone(context.transaction, gone_ids, context.now)
    for reading in readings:
        if not reading.source.is_copy:
            _count_article(context, reading, is_moved=reading.source.file_id in moved_ids)
    counted_revisions = {r.keys.revision_id for r in readings if r.status == "counted" and not r.source.is_reread}
    context.counts.revisions += len(counted_revisions.intersection(new_revisions))


def _count_article(context: BatchContext, reading: BatchReading, *, is_moved: bool) -> None:
    counts, source = context.counts, reading.source
    if not source.is_reread:
        counts.sightings += reading.is_new_sighting
        counts.checks[reading.check_status] += 1
        if reading.check_status == "mismatched" and context.report is not None:
            path = sanitise.to_printable_path(source.extraction.file.path)
            context.report("mismatched content_hash", f"mismatched content_hash ({reading.check_cause}): {path}")
    outcome = _outcome(reading, is_moved=is_moved)
    if outcome == "reread":
        counts.reread += 1
    elif outcome == "changed":
        counts.changed += 1
    elif outcome == "unchanged":
        counts.unchanged += 1
    elif outcome == "moved":
        counts.moved += 1
    else:
        counts.new += 1
    if context.committed is not None:
        path = sanitise.to_printable_path(source.extraction.file.path)
        file = RecordedFile(path, source.url, reading.keys.crawled_at, outcome, reading.check_status, reading.check_cause)
        context.committed.files.append(file)


def _outcome(reading: BatchReading, *, is_moved: bool) -> FileOutcome:
    source = reading.source
    if source.extraction.file.is_reread:
        return "reread"
    if source.file_row is not None:
        return "unchanged" if source.is_unchanged else "changed"
    return "moved" if is_moved else "new"


def _finish_batch(
    context: BatchContext,
    rereads: Rereads,
    readings: Iterable[BatchReading],
    texts: TextBatch,
    changes: _BatchChanges,
    matches: list[Match],
) -> None:
    """Drop the readings of files that are faults now, and write the alerts that rules ask for."""
    transaction, policy, now = context.transaction, context.policy, context.now
    page_changes = [*changes.all, *delete_dropped_readings(transaction, rereads, policy.rules)]
    if not policy.alerting.rules:
        finish_rereads(transaction, rereads, policy, page_changes, [], now)
        return
    texts_by_sighting = {r.sighting_id: text_id for text_id, r in (texts.recompared_texts | texts.new_texts).items()}
    alertable_readings = [r for r in readings if r.source.extraction.file.directory_id not in context.suppressed_directories]
    reread_articles = [_to_recorded_article(r, texts_by_sighting) for r in alertable_readings if r.source.is_reread]
    finish_rereads(transaction, rereads, policy, page_changes, reread_articles, now)
    outcome = BatchOutcome(changes.news, changes.superseded, matches, texts.copies)
    arrived_articles = [_to_recorded_article(r, texts_by_sighting) for r in alertable_readings if not r.source.is_reread]
    write_alerts(transaction, policy, outcome, arrived_articles, now)


def _to_recorded_article(reading: BatchReading, texts_by_sighting: Mapping[int, int]) -> RecordedArticle:
    source, keys = reading.source, reading.keys
    return RecordedArticle(
        reading.sighting_id,
        keys.page_id,
        source.url,
        source.extraction,
        source.article,
        keys.crawled_at,
        reading.check_status == "mismatched",
        texts_by_sighting.get(reading.sighting_id),
    )


def _describe_match(database: Database, match: Match) -> str:
    a, b = (sanitise.to_printable(url) for url in store.texts.urls_of_pair(database, match.a, match.b))
    scores = match.scores
    return f"{match.relation}, similarity {scores.similarity:.2f}, coverage {scores.coverage:.2f}: {a} and {b}"


def _describe_change(page_change: PageChange, url: str) -> str:
    classification = page_change.classification
    summary = f" ({classification.kind}, {classification.severity}{', silent' if classification.silent else ''})" if classification else ""
    return f"changed{summary}: {sanitise.to_printable(url)}"
