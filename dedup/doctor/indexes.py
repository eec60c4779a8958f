"""Compare the candidate index, the passage index and the search index with the database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from more_itertools import chunked

from dedup import search, store
from dedup.doctor.context import CheckContext, Finding, Severity, Steps
from dedup.index import lsh, passages
from dedup.index.hashtable import HashTable, TableState, find_mismatch, read_state
from dedup.similarity import jit, winnowing
from dedup.text.sanitise import to_printable_path

CHECK = "indexes"
BATCH_SIZE = 4000

_REBUILD_REMEDY = "It is rebuilt when 'dedup scan' next records an article. To rebuild it now, run 'dedup doctor --repair'."
_REPAIR_REMEDY = "Run 'dedup doctor --repair' to rebuild it from the database."


def check_candidate_index(context: CheckContext) -> Iterator[Finding]:
    """Check the candidate index; only its header while a process is writing."""
    duplicates, database = context.settings.duplicates, context.readable_database
    yield from _check_index(
        context, database.lsh_index_path(), "the candidate index", lsh.recipe_digest(duplicates.threshold, duplicates.num_perm),
        partial(store.texts.all_signatures, database),
        lambda table, rows: lsh.CandidateIndex(table, duplicates.threshold, duplicates.num_perm).count_missing(
            [t for t, _ in rows], [s for _, s in rows]
        ),
        lambda signature: len(signature) == 4 * duplicates.num_perm,
    )  # fmt: skip


def check_passage_index(context: CheckContext) -> Iterator[Finding]:
    """Check the passage index; only its header while a process is writing."""
    if context.settings.duplicates.passages:
        database = context.readable_database
        yield from _check_index(
            context, database.passage_index_path(), "the passage index", passages.recipe_digest(),
            partial(store.passages.all_fingerprints, database),
            lambda table, rows: passages.PassageIndex(table).count_missing([t for t, _ in rows], [winnowing.unpack(k) for _, k in rows]),
            lambda keys: len(keys) % winnowing.FINGERPRINT_BYTES == 0,
        )  # fmt: skip


def check_search_index(context: CheckContext) -> Iterator[Finding]:
    """Check the search index; only its own record of its content while a process is writing."""
    if not context.settings.search.index:
        return
    database = context.readable_database
    label = f"the search index {to_printable_path(os.fsencode(database.search_index_path()))}"
    if not search.is_available():
        yield Finding(CHECK, "ok", f"search is not available: {search.NOT_AVAILABLE}", "It becomes available with another build of SQLite.")
        return
    index_check = search.check_index(database, deep=not context.writer)
    context.add_checked(CHECK, index_check.indexed)
    if index_check.is_missing:
        if store.statistics.count(database, "revisions"):
            yield Finding(CHECK, "ok", f"{label} is missing", _SEARCH_REMEDY, "search")
    elif index_check.problem:
        yield Finding(CHECK, "warning", f"{label} is {index_check.problem}", _SEARCH_REMEDY, "search")
    elif index_check.missing_count:
        message = f"{label} lacks stored revisions, so searches would miss them: {index_check.missing_count:,}"
        yield Finding(CHECK, "error", message, _REPAIR_REMEDY, "search")
    elif index_check.remaining:
        message = f"{label} is behind: it holds {index_check.indexed:,} of {index_check.indexed + index_check.remaining:,} texts"
        yield Finding(CHECK, "ok", message, _SEARCH_UPDATE_REMEDY)


_SEARCH_REMEDY = "It is rebuilt after scans and while 'dedup watch' is idle. To rebuild it now, run 'dedup reindex --search'."
_SEARCH_UPDATE_REMEDY = "It is updated after scans and while 'dedup watch' is idle. To update it now, run 'dedup reindex --search'."

STEPS: Steps = {
    "the candidate index": check_candidate_index,
    "the passage index": check_passage_index,
    "the search index": check_search_index,
}

IndexRows = Sequence[tuple[int, bytes]]


def _check_index(
    context: CheckContext, path: str, name: str, recipe: bytes,
    read_rows: Callable[[int], Iterable[tuple[int, bytes]]], count_entries: Callable[[HashTable, IndexRows], tuple[int, int]],
    is_well_formed: Callable[[bytes], bool],
) -> Iterator[Finding]:  # fmt: skip
    """Check the header of an index, and without a writer every entry.

    `read_rows` yields the stored rows (text, packed values) after a text; `count_entries` returns how many entries such rows have and lack
    in the index."""
    database = context.readable_database
    label = f"{name} {to_printable_path(path.encode('utf-8', 'surrogateescape'))}"
    table, problem = (None, "") if context.writer else HashTable.load_read_only(path)
    state = table.state if table else read_state(path)
    if not problem and state is None:
        problem = "missing or has no header"
    last_token, last_text = store.batches.latest(database)  # after the header: the database has the commit that it names
    if state is None or problem:
        if last_text:
            severity: Severity = "warning" if os.path.exists(path) else "ok"  # a backup has no index, and it may be deleted any time
            yield Finding(CHECK, severity, f"{label} is {problem}", _REBUILD_REMEDY, "indexes")
        return
    if problem := find_mismatch(state, _database_uuid(context), recipe, partial(store.batches.last_text_of_token, database)):
        yield Finding(CHECK, "warning", f"{label} is {problem}", _REBUILD_REMEDY, "indexes")
        return
    if context.writer:
        context.add_checked(CHECK, state.last_text)
        message = f"{label}: only its header was checked because {context.writer.description} is writing to it"
        yield Finding(CHECK, "ok", message, "To check every entry, stop it and run 'dedup doctor' again.")
        return
    assert table is not None
    yield from _check_entries(context, table, label, read_rows, count_entries, is_well_formed)
    if state.token != last_token:
        message = f"{label} is behind: it holds the texts up to id {state.last_text:,} of {last_text:,}"
        yield Finding(CHECK, "ok", message, "The next 'dedup scan' catches it up.")


def _check_entries(
    context: CheckContext, table: HashTable, label: str,
    read_rows: Callable[[int], Iterable[tuple[int, bytes]]], count_entries: Callable[[HashTable, IndexRows], tuple[int, int]],
    is_well_formed: Callable[[bytes], bool],
) -> Iterator[Finding]:  # fmt: skip
    """Check that the index has an entry for every stored value, and no others."""
    present = missing = 0
    for rows in _row_batches(read_rows(0), table.state):
        jit.count_work(len(rows))
        well_formed = [row for row in rows if is_well_formed(row[1])]
        batch_present, batch_missing = count_entries(table, well_formed)
        present += batch_present
        missing += batch_missing + len(rows) - len(well_formed)
        context.add_checked(CHECK, len(rows))
    if missing:
        yield Finding(
            CHECK,
            "error",
            f"{label} lacks entries of stored texts, so duplicates would be missed: {missing:,}",
            _REPAIR_REMEDY,
            "indexes",
        )
    elif present != table.state.used_slots:
        message = f"{label} has entries that belong to no stored text: {table.state.used_slots - present:,}"
        yield Finding(CHECK, "warning", message, _REPAIR_REMEDY, "indexes")


def _row_batches(rows: Iterable[tuple[int, bytes]], state: TableState) -> Iterator[IndexRows]:
    return chunked((row for row in rows if row[0] <= state.last_text), BATCH_SIZE)


def _database_uuid(context: CheckContext) -> bytes:
    try:
        return uuid.UUID(store.settings.get(context.readable_database, "uuid") or "").bytes
    except ValueError:
        return b""
