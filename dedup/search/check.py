"""Check a search index for `dedup doctor`: whether it is intact and holds what the database stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from more_itertools import chunked

from dedup import store
from dedup.search import index_file, index_tables, tokenizer
from dedup.search.coverage import TAIL_REVISIONS, is_same_history
from dedup.search.index_tables import IndexState
from dedup.search.tokenizer import RECIPE, TITLE
from dedup.store import Database

_NO_LIMIT = 1 << 62
_CHUNK_REVISIONS = 100
SAMPLE_SIZE = 500
"""About how many revisions a deep check looks up by the words of their titles. They are spread evenly over the index."""


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """Result of a check: numbers of revisions that are indexed, that remain to be indexed, and that should be indexed but are missing.

    With a `problem`, which completes the sentence "the index is …", or if `is_missing`, the numbers are unknown and 0.
    """

    indexed: int = 0
    remaining: int = 0
    missing_count: int = 0
    problem: str = ""
    is_missing: bool = False


def check_index(database: Database, *, deep: bool) -> IndexCheck:
    """Check the index of a database. With `deep`, compare it with the database; this needs that no process writes to the index."""
    try:
        index = index_file.open_for_reading(database.search_index_path())
    except FileNotFoundError:
        return IndexCheck(is_missing=True)
    except OSError as error:
        return IndexCheck(problem=f"unreadable ({error.strerror or error})")
    except sqlite3.Error as error:
        return IndexCheck(problem=f"damaged: {error}")
    with closing(index):
        try:
            return _check_open_index(database, index, deep=deep)
        except _IndexDamagedError as error:
            return IndexCheck(problem=f"damaged: {error}")


class _IndexDamagedError(Exception):
    """The index cannot be read. The database is another file; its errors are raised as they are."""


@dataclass(frozen=True, slots=True)
class _IndexContent:
    state: IndexState
    queued: set[int]
    indexed: dict[int, bytes]
    """Revision → prefix of its state digest: of all indexed revisions if the check is deep, else of the last ones."""


def _check_open_index(database: Database, index: sqlite3.Connection, *, deep: bool) -> IndexCheck:
    content = _read_content(index, deep=deep)
    state = content.state
    if state.uuid != store.settings.get(database, "uuid"):
        return IndexCheck(problem="another database's")
    if state.recipe != RECIPE:
        return IndexCheck(problem="of another version")
    if deep:
        last_indexed = {revision: content.indexed[revision] for revision in sorted(content.indexed)[-TAIL_REVISIONS:]}
        if not is_same_history(database, state, last_indexed):
            return IndexCheck(problem="not of this state of the database")
    missing_count = len(_find_missing(database, index, content)) if deep else 0
    remaining = len(content.queued) + store.search.count_revisions_after(database, state.last_revision)
    return IndexCheck(state.indexed, remaining, missing_count)


def _read_content(index: sqlite3.Connection, *, deep: bool) -> _IndexContent:
    try:
        content = _IndexContent(
            index_tables.read_state(index),
            set(index_tables.queued_revisions(index, _NO_LIMIT)),
            index_tables.indexed_revisions(index) if deep else index_tables.last_indexed(index, TAIL_REVISIONS),
        )
        damage = index_tables.find_damage(index) if deep else None
    except (sqlite3.Error, ValueError) as error:
        raise _IndexDamagedError(str(error)) from error
    if damage is not None:
        raise _IndexDamagedError(damage)
    return content


def _find_missing(database: Database, index: sqlite3.Connection, content: _IndexContent) -> set[int]:
    """Revisions that the index should hold and does not, or that it does not find by the words of their titles (a sample)."""
    state, indexed = content.state, content.indexed
    log_entries = store.search.log_entries_after(database, state.altered_position, _NO_LIMIT) or ()
    outdated = content.queued | {entry.revision_id for entry in log_entries}
    missing = {
        revision
        for revision, digest in store.search.state_digests(database)
        if revision <= state.last_revision and indexed.get(revision) != digest and revision not in outdated
    }
    altered = {entry.revision_id for entry in log_entries}
    sample = [r for r in sorted(indexed)[:: max(1, len(indexed) // SAMPLE_SIZE)] if r not in altered]
    return missing | _find_unsearchable(database, index, sample)


def _find_unsearchable(database: Database, index: sqlite3.Connection, revisions: Sequence[int]) -> set[int]:
    """Those of `revisions` that the index does not find by the words of their titles."""
    unsearchable: set[int] = set()
    for batch in chunked(revisions, _CHUNK_REVISIONS):
        for row in store.search.revisions(database, batch):
            words = [tokenizer.truncate_words(word) for word in tokenizer.tokenise(row.title)]
            expression = " AND ".join(f'"{prefix}{word}"' for word in words for prefix in ("", TITLE))
            try:
                if words and not index_tables.is_matching(index, expression, row.id):
                    unsearchable.add(row.id)
            except sqlite3.Error as error:
                raise _IndexDamagedError(str(error)) from error
    return unsearchable
