"""First step of recording a batch: compare its files with their rows, and record what happened to the files themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dedup import store
from dedup.pipeline.batch import BatchContext, FileArticle, IdAllocator, RecordedFault, Report, file_path, printable_relative_path
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.events import write_fault_alert
from dedup.pipeline.extract import Extraction
from dedup.pipeline.rereads import Rereads, begin_rereads, find_copies, is_deferred, is_reread
from dedup.store import Transaction
from dedup.store.rows import FileRow
from dedup.text import sanitise

_FileResult = Literal["unsettled", "missing", "deferred", "as_recorded", "fault", "article"]
"""`missing`: there is no regular file at the path. `deferred`: the file cannot be read now and is read again later. `as_recorded`: the
stored reading is still right. `fault` and `article`: the file holds one that has to be recorded."""


class _ComparedFile(NamedTuple):
    """An extracted file and its stored row. `file_id` is 0 for a file that has no row and gets none."""

    extraction: Extraction
    row: FileRow | None
    result: _FileResult
    file_id: int
    is_reread: bool

    @property
    def needs_reading(self) -> bool:
        """Return whether the file holds something that is not recorded yet."""
        return self.result in ("fault", "article")


@dataclass(frozen=True, slots=True)
class FileBatch:
    """The files of a batch after comparison: articles to record, files to insert (by id), ids of files that are faults now, and what the
    batch reads again because settings changed."""

    articles: list[FileArticle]
    new_files: dict[int, Extraction]
    fault_ids: list[int]
    rereads: Rereads


def record_files(context: BatchContext, extractions: Sequence[Extraction]) -> FileBatch:
    """Compare extracted files, no two of which have the same path, with their rows; write states, faults and the alert about faults.

    The new files themselves are written later by `write_files`, together with their readings.
    """
    transaction = context.transaction
    rows_by_path = store.files.find_by_path(transaction, (file_path(e) for e in extractions if e.outcome != "unsettled"))
    files = [_compare_file(e, rows_by_path.get(file_path(e)), context.ids) for e in extractions]
    for file in files:
        _count_file(file, context.counts)
    if context.report is not None:
        _report_faults(files, context.report)
    if context.committed is not None:
        context.committed.faults.extend(_new_faults(files))
    examined = [file.extraction for file in files if _has_examined_content(file)]
    articles, rereads = _extend_rereads(context, files, examined)
    _write_file_states(transaction, files, context.now)
    _write_faults(context, examined)
    return FileBatch(
        articles,
        {file.file_id: file.extraction for file in files if file.needs_reading and file.row is None},
        [file.file_id for file in files if file.result == "fault"],
        rereads,
    )


def write_files(transaction: Transaction, files: FileBatch, reading_ids: Mapping[int, int], now: str) -> None:
    """Insert the new files of a batch, and set what every examined file holds: `reading_ids` is file → reading; a fault has none."""
    current_readings: dict[int, int | None] = {**dict.fromkeys(files.fault_ids), **reading_ids}
    store.files.insert(
        transaction, ((
            file_id, e.file.directory_id, e.file.folder, e.file.name, printable_relative_path(e), e.file.stamp.size, e.file.stamp.mtime_ns,
            e.file.stamp.inode, e.file.stamp.ctime_ns, e.content_digest, current_readings.get(file_id), now,
        ) for file_id, e in files.new_files.items())
    )  # fmt: skip
    store.files.set_readings(
        transaction, ((file_id, reading_id) for file_id, reading_id in current_readings.items() if file_id not in files.new_files)
    )


def _compare_file(extraction: Extraction, row: FileRow | None, ids: IdAllocator) -> _ComparedFile:
    result = _compare_with_row(extraction, row)
    needs_id = row is None and result in ("fault", "article")
    file_id = row.id if row is not None else ids.next_id("files") if needs_id else 0
    return _ComparedFile(extraction, row, result, file_id, row is not None and is_reread(row, extraction))


def _compare_with_row(extraction: Extraction, row: FileRow | None) -> _FileResult:
    if extraction.outcome == "unsettled":
        return "unsettled"
    if extraction.outcome in ("symlink", "special", "vanished"):
        return "missing"
    if row is not None and is_deferred(row, extraction):
        return "deferred"
    if row is not None and _is_as_recorded(extraction, row):
        return "as_recorded"
    return "fault" if extraction.article is None or extraction.url is None else "article"


def _is_as_recorded(extraction: Extraction, row: FileRow) -> bool:
    return (
        _has_recorded_bytes(extraction, row)
        and row.is_article == (extraction.article is not None)
        and not row.is_pruned
        and not is_reread(row, extraction)
    )


def _has_recorded_bytes(extraction: Extraction, row: FileRow | None) -> bool:
    return row is not None and extraction.content_digest is not None and row.content_digest == extraction.content_digest


def _has_examined_content(file: _ComparedFile) -> bool:
    """Return whether the faults of a file have to be written: it was read, and is not merely an article that was recorded before."""
    if file.result == "as_recorded":
        return file.extraction.article is None or (file.row is not None and file.row.is_gone)
    return file.result in ("deferred", "fault", "article")


def _count_file(file: _ComparedFile, counts: ScanCounts) -> None:
    """Count a file, unless it holds an article to record: those are counted once it is known whether they moved."""
    extraction = file.extraction
    if file.result == "unsettled":
        counts.unsettled += 1
    elif file.result == "missing":
        if extraction.outcome != "vanished":
            counts.ignored[extraction.outcome] += 1
        counts.gone += file.row is not None and not file.row.is_gone
    elif file.result == "deferred":
        counts.faults += not extraction.file.is_reread
    elif file.result == "as_recorded":
        counts.faults += extraction.article is None
        counts.unchanged += extraction.article is not None
    elif file.result == "fault":
        counts.faults += not extraction.file.is_reread
        counts.reread += extraction.file.is_reread


def _report_faults(files: Iterable[_ComparedFile], report: Report) -> None:
    for recorded in _new_faults(files):
        report(f"fault, {recorded.fault.kind}", f"fault: {recorded.path}: {sanitise.to_printable(recorded.fault.message)}")


def _new_faults(files: Iterable[_ComparedFile]) -> Iterator[RecordedFault]:
    for file in files:
        if file.needs_reading and not file.is_reread and file.extraction.faults:
            path = sanitise.to_printable_path(file.extraction.file.path)
            yield from (RecordedFault(path, fault) for fault in file.extraction.faults)


def _extend_rereads(
    context: BatchContext, files: Sequence[_ComparedFile], examined: Iterable[Extraction]
) -> tuple[list[FileArticle], Rereads]:
    """Return the articles to record, those of queued copies of the files included, and begin to replace readings of reread files."""
    queued_ids = {file.file_id for file in files if file.row is not None and file.row.reread_digest is not None and _was_read(file)}
    copies = find_copies(context.transaction, examined, queued_ids)
    copied_contents = {copy.extraction.content_digest for copy in copies.articles}
    articles = [
        article._replace(is_reread=True) if article.extraction.content_digest in copied_contents else article
        for article in (*(_to_article(file) for file in files if file.result == "article"), *copies.articles)
    ]
    fault_readings = [file.row.reading_id for file in files if file.result == "fault" and file.is_reread and file.row is not None]
    rereads = begin_rereads(
        context.transaction,
        context.policy,
        file_ids=queued_ids | copies.file_ids,
        article_readings=[a.file_row.reading_id for a in articles if a.is_reread and a.file_row is not None],
        fault_readings=[*fault_readings, *copies.fault_readings],
    )
    return articles, rereads


def _was_read(file: _ComparedFile) -> bool:
    return file.needs_reading or file.result == "as_recorded"


def _to_article(file: _ComparedFile) -> FileArticle:
    extraction, row = file.extraction, file.row
    assert extraction.article is not None
    assert extraction.url is not None
    is_recorded_again = file.is_reread or (row is not None and row.is_pruned)
    return FileArticle(
        extraction,
        extraction.article,
        extraction.url,
        file.file_id,
        row,
        is_unchanged=is_recorded_again and _has_recorded_bytes(extraction, row),
        is_reread=file.is_reread,
    )


def _write_file_states(transaction: Transaction, files: Iterable[_ComparedFile], now: str) -> None:
    known_files = [(file, file.row) for file in files if file.row is not None]
    store.files.mark_gone(transaction, [row.id for file, row in known_files if file.result == "missing" and not row.is_gone], now)
    store.files.update(
        transaction,
        [(row.id, file.extraction.file.stamp, file.extraction.content_digest) for file, row in known_files if _was_read(file)],
    )


def _write_faults(context: BatchContext, examined: Sequence[Extraction]) -> None:
    """Replace the stored faults of the examined files, and write the alert about faults if any new fault may raise it."""
    store.faults.replace(
        context.transaction,
        [(e.file.directory_id, e.file.relative_path, printable_relative_path(e) if e.faults else "", e.faults) for e in examined],
        context.now,
    )
    if any(e.faults and e.file.directory_id not in context.suppressed_directories and not e.file.is_reread for e in examined):
        write_fault_alert(context.transaction, context.policy, context.now)
