"""Looking at a search index for `dedup doctor`: whether it is whole, and has what is stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from more_itertools import chunked

from dedup import store
from dedup.search import index_file, tokenizer
from dedup.search.searcher import is_same_history
from dedup.search.tokenizer import RECIPE, TITLE
from dedup.store import Database

_NO_LIMIT = 1 << 62
SAMPLE_SIZE = 500
"""Revisions, spread over all, of which every word of the title is looked for."""


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """What an index was found to be. `indexed` revisions can be found, `remaining` are still to be entered, `missing_count` should be there
    and are not; with a `problem` nothing of that is known."""

    indexed: int = 0
    remaining: int = 0
    missing_count: int = 0
    problem: str = ""
    is_missing: bool = False


def check_index(database: Database, *, deep: bool) -> IndexCheck:
    """Look at the index of a database, as deeply as can be while nobody writes, else at what it says of itself."""
    try:
        index = index_file.open_for_reading(database.search_index_path())
    except FileNotFoundError:
        return IndexCheck(is_missing=True)
    except OSError as error:
        return IndexCheck(problem=f"not to be read ({error.strerror})")
    except sqlite3.Error as error:
        return IndexCheck(problem=f"damaged: {error}")
    with closing(index):
        return _check_open_index(database, index, deep=deep)


def _check_open_index(database: Database, index: sqlite3.Connection, *, deep: bool) -> IndexCheck:
    try:
        index_state = index_file.read_state(index)
        last_indexed, indexed = index_file.last_indexed(index, 32), index_file.indexed_revisions(index) if deep else {}
        pending = set(index_file.pending_revisions(index, _NO_LIMIT))
        complaint = index.execute("PRAGMA quick_check(1)").fetchone() if deep else ("ok",)
    except (sqlite3.Error, ValueError) as error:
        return IndexCheck(problem=f"damaged: {error}")
    if complaint != ("ok",):
        return IndexCheck(problem=f"damaged: {' '.join(str(complaint[0]).split())}")
    if index_state.uuid != store.settings.get(database, "uuid"):
        return IndexCheck(problem="another database's")
    if index_state.recipe != RECIPE:
        return IndexCheck(problem="of another version")
    if deep and not is_same_history(database, index_state, last_indexed):
        return IndexCheck(problem="not of this state of the database")
    remaining = len(pending) + store.search.count_revisions_after(database, index_state.last_revision)
    if not deep:
        return IndexCheck(index_state.indexed, remaining)
    altered = {revision for _, revision in store.search.log_entries_after(database, index_state.altered_position, _NO_LIMIT) or ()}
    missing_revisions = {
        revision
        for revision, state in store.search.state_digests(database)
        if revision <= index_state.last_revision and indexed.get(revision) != state and revision not in altered and revision not in pending
    }
    sample = [r for r in sorted(indexed)[:: max(1, len(indexed) // SAMPLE_SIZE)] if r not in altered]
    try:
        missing_revisions |= _find_unsearchable(database, index, sample)
    except sqlite3.Error as error:
        return IndexCheck(problem=f"damaged: {error}")
    return IndexCheck(index_state.indexed, remaining, len(missing_revisions))


def _find_unsearchable(database: Database, index: sqlite3.Connection, revisions: list[int]) -> set[int]:
    """Those of the revisions that are not found by the words of their title."""
    missing_revisions: set[int] = set()
    for batch in chunked(revisions, 100):
        for row in store.search.revisions(database, batch):
            words = [tokenizer.truncate_words(word) for word in tokenizer.tokenise(row.title)]
            expression = " AND ".join(f'"{place}{word}"' for word in words for place in ("", TITLE))
            if words and not index.execute("SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?", (expression, row.id)).fetchone():
                missing_revisions.add(row.id)
    return missing_revisions
