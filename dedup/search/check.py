"""Looking at a search index for `dedup doctor`: whether it is whole, and has what is stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from dedup import store
from dedup.search import index_file, tokenizer
from dedup.search.searcher import continues
from dedup.search.tokenizer import RECIPE, TITLE
from dedup.store import Database

_ALL = 1 << 62
SAMPLE = 500
"""Revisions, spread over all, of which every word of the title is looked for."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What an index was found to be. `held` revisions can be found, `left` are still to be entered, `lacking` should be there and are
    not; with a `problem` nothing of that is known."""

    held: int = 0
    left: int = 0
    lacking: int = 0
    problem: str = ""
    missing: bool = False


def look(database: Database, *, deep: bool) -> Looked:
    """Look at the index of a database, as deeply as can be while nobody writes, else at what it says of itself."""
    try:
        index = index_file.open_reading(database.search_path())
    except FileNotFoundError:
        return Looked(missing=True)
    except OSError as error:
        return Looked(problem=f"not to be read ({error.strerror})")
    except sqlite3.Error as error:
        return Looked(problem=f"damaged: {error}")
    with closing(index):
        return _look(database, index, deep=deep)


def _look(database: Database, index: sqlite3.Connection, *, deep: bool) -> Looked:
    try:
        now = index_file.standing(index)
        last, held = index_file.last_held(index, 32), index_file.held(index) if deep else {}
        due = set(index_file.due(index, _ALL))
        complaint = index.execute("PRAGMA quick_check(1)").fetchone() if deep else ("ok",)
    except (sqlite3.Error, ValueError) as error:
        return Looked(problem=f"damaged: {error}")
    if complaint != ("ok",):
        return Looked(problem=f"damaged: {' '.join(str(complaint[0]).split())}")
    if now.uuid != store.settings.get(database, "uuid"):
        return Looked(problem="another database's")
    if now.recipe != RECIPE:
        return Looked(problem="of another version")
    if deep and not continues(database, now, last):
        return Looked(problem="not of this state of the database")
    left = len(due) + store.search.count_revisions_after(database, now.last)
    if not deep:
        return Looked(now.held, left)
    altered = {revision for _, revision in store.search.altered_after(database, now.altered, _ALL) or ()}
    lacking = {
        revision
        for revision, state in store.search.state_digests(database)
        if revision <= now.last and held.get(revision) != state and revision not in altered and revision not in due
    }
    sample = [r for r in sorted(held)[:: max(1, len(held) // SAMPLE)] if r not in altered]
    try:
        lacking |= _unfound(database, index, sample)
    except sqlite3.Error as error:
        return Looked(problem=f"damaged: {error}")
    return Looked(now.held, left, len(lacking))


def _unfound(database: Database, index: sqlite3.Connection, revisions: list[int]) -> set[int]:
    """Those of the revisions that are not found by the words of their title."""
    found: set[int] = set()
    for begin in range(0, len(revisions), 100):
        for row in store.search.revisions(database, revisions[begin : begin + 100]):
            asked = [tokenizer.cut(word) for word in tokenizer.words(row.title)]
            expression = " AND ".join(f'"{place}{word}"' for word in asked for place in ("", TITLE))
            if asked and not index.execute("SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?", (expression, row.id)).fetchone():
                found.add(row.id)
    return found
