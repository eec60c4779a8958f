"""The candidate index, the passage index and the search index against what the database stores."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from dedup import search, store
from dedup.doctor.context import Case, Finding, Severity, Steps
from dedup.index import lsh, passages
from dedup.index.hashtable import State, Table, misfit, state_of
from dedup.similarity import jit, winnowing
from dedup.text.normalise import printable_path

CHECK = "indexes"
CHUNK = 4000

_MADE_AGAIN = "It is made again by itself when 'dedup scan' next takes an article in, or now by 'dedup doctor --repair'."
_FORCED = "Run 'dedup doctor --repair': it is made again from what the database stores."


def candidates(case: Case) -> Iterator[Finding]:
    """The candidate index; while somebody writes to it, its header alone."""
    d, database = case.settings.duplicates, case.asked
    yield from _index(
        case, database.index_path(), "the candidate index", lsh.recipe(d.threshold, d.num_perm), partial(store.texts.all_signatures, database),
        lambda table, rows: lsh.CandidateIndex(table, d.threshold, d.num_perm).lacking([t for t, _ in rows], [s for _, s in rows]),
        lambda signature: len(signature) == 4 * d.num_perm,
    )  # fmt: skip


def shared(case: Case) -> Iterator[Finding]:
    """The passage index, likewise."""
    if case.settings.duplicates.passages:
        database = case.asked
        yield from _index(
            case, database.passages_path(), "the passage index", passages.recipe(), partial(store.passages.all_fingerprints, database),
            lambda table, rows: passages.PassageIndex(table).lacking([t for t, _ in rows], [winnowing.unpack(k) for _, k in rows]),
            lambda keys: len(keys) % winnowing.KEY_BYTES == 0,
        )  # fmt: skip


def searched(case: Case) -> Iterator[Finding]:
    """The search index; while somebody writes to it, what it says of itself alone."""
    if not case.settings.search.index:
        return
    database = case.asked
    shown = f"the search index {printable_path(os.fsencode(database.search_path()))}"
    if not search.offered():
        yield Finding(CHECK, "ok", f"there is no search: {search.NOT_OFFERED}", "With another SQLite it comes by itself.")
        return
    looked = search.look(database, deep=not case.writer)
    case.look(CHECK, looked.held)
    if looked.missing:
        if store.statistics.count(database, "revisions"):
            yield Finding(CHECK, "ok", f"{shown} is missing", _FILLED, "search")
    elif looked.problem:
        yield Finding(CHECK, "warning", f"{shown} is {looked.problem}", _FILLED, "search")
    elif looked.lacking:
        what = f"{shown} lacks what is stored, and it would not be found: {looked.lacking:,}"
        yield Finding(CHECK, "error", what, _FORCED, "search")
    elif looked.left:
        what = f"{shown} is behind: it reaches {looked.held:,} of {looked.held + looked.left:,} texts"
        yield Finding(CHECK, "ok", what, "It is filled after scans and while 'dedup watch' is idle; at once by 'dedup reindex --search'.")


_FILLED = "It is made again by itself, after scans and while 'dedup watch' is idle; at once by 'dedup reindex --search'."

STEPS: Steps = {"the candidate index": candidates, "the passage index": shared, "the search index": searched}

Rows = Sequence[tuple[int, bytes]]


def _index(
    case: Case, path: str, name: str, recipe: bytes,
    stored: Callable[[int], Iterable[tuple[int, bytes]]], lacking: Callable[[Table, Rows], tuple[int, int]], fits: Callable[[bytes], bool],
) -> Iterator[Finding]:  # fmt: skip
    database = case.asked
    shown = f"{name} {printable_path(path.encode('utf-8', 'surrogateescape'))}"
    table, why = (None, "") if case.writer else Table.view(path)
    state = table.state if table else state_of(path)
    if not why and state is None:
        why = "missing or has no header"
    token, last = store.batches.latest(database)  # after the header: whatever commit it holds is in the database by now
    if state is None or why:
        if last:
            severity: Severity = "warning" if os.path.exists(path) else "ok"  # a backup has none, and it may always be deleted
            yield Finding(CHECK, severity, f"{shown} is {why}", _MADE_AGAIN, "indexes")
        return
    if why := misfit(state, _uuid(case), recipe, partial(store.batches.last_text, database)):
        yield Finding(CHECK, "warning", f"{shown} is {why}", _MADE_AGAIN, "indexes")
        return
    if case.writer:
        case.look(CHECK, state.last_text)
        what = f"{shown}: only its header was looked at, since {case.writer.holder} writes to it"
        yield Finding(CHECK, "ok", what, "Stop it and examine again to have every entry looked at.")
        return
    assert table is not None
    yield from _entries(case, table, shown, stored, lacking, fits)
    if state.token != token:
        what = f"{shown} is behind: it holds texts up to number {state.last_text:,} of {last:,}"
        yield Finding(CHECK, "ok", what, "It is caught up by itself.")


def _entries(
    case: Case, table: Table, shown: str,
    stored: Callable[[int], Iterable[tuple[int, bytes]]], lacking: Callable[[Table, Rows], tuple[int, int]], fits: Callable[[bytes], bool],
) -> Iterator[Finding]:  # fmt: skip
    """Every entry that what is stored should have, and that there are no others."""
    there = missing = 0
    for rows in _parts(stored(0), table.state):
        jit.worth(len(rows))
        sound = [row for row in rows if fits(row[1])]
        has, lacks = lacking(table, sound)
        there += has
        missing += lacks + len(rows) - len(sound)
        case.look(CHECK, len(rows))
    if missing:
        yield Finding(
            CHECK, "error", f"{shown} lacks entries of what is stored, and duplicates would be missed: {missing:,}", _FORCED, "indexes"
        )
    elif there != table.state.used:
        what = f"{shown} has entries that nothing stored makes: {table.state.used - there:,}"
        yield Finding(CHECK, "warning", what, _FORCED, "indexes")


def _parts(rows: Iterable[tuple[int, bytes]], state: State) -> Iterator[Rows]:
    held = (row for row in rows if row[0] <= state.last_text)
    while part := list(islice(held, CHUNK)):
        yield part


def _uuid(case: Case) -> bytes:
    try:
        return uuid.UUID(store.settings.get(case.asked, "uuid") or "").bytes
    except ValueError:
        return b""
