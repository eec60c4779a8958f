"""Commit tokens, by which an index file knows how far behind the database it is.

Each commit that adds texts with signatures stores a random token. An index keeps the token of the last commit that it holds.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from dedup.model import NO_COMMIT
from dedup.store.database import Database, Transaction

MAX_BATCHES = 1000
"""Commits that an index can be behind without being rebuilt: older tokens are deleted."""


class Batch(NamedTuple):
    """The token of a commit, and the greatest id of a text with a signature after it."""

    token: bytes
    last_text_id: int


def latest(database: Database) -> Batch:
    """Return the newest commit that added texts with signatures; without one, `NO_COMMIT` and 0."""
    row = database.row("SELECT token, last_text_id FROM batches ORDER BY id DESC LIMIT 1")
    return Batch(*row) if row else Batch(NO_COMMIT, 0)


def last_text_of_token(database: Database, token: bytes) -> int | None:
    """Return the last text as of the commit with this token. None if the database does not have the token, or no longer has it."""
    if token == NO_COMMIT:
        return 0
    text_id: int | None = database.value("SELECT last_text_id FROM batches WHERE token = ?", token)
    return text_id


def insert(transaction: Transaction, last_text_id: int) -> bytes:
    """Store and return a token for this commit, which added texts with signatures up to `last_text_id`. Tokens older than `MAX_BATCHES`
    commits are deleted."""
    token = os.urandom(16)
    batch_id = transaction.insert("INSERT INTO batches (token, last_text_id) VALUES (?, ?)", (token, last_text_id))
    transaction.execute("DELETE FROM batches WHERE id <= ?", batch_id - MAX_BATCHES)
    return token


def restart(transaction: Transaction) -> bytes:
    """Replace all tokens by one for this commit, because all signatures were recomputed. Every index is then rebuilt. Returns the token."""
    last_text_id = transaction.value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL")
    batch_id = transaction.insert("INSERT INTO batches (token, last_text_id) VALUES (?, ?)", (os.urandom(16), last_text_id))
    transaction.execute("DELETE FROM batches WHERE id < ?", batch_id)
    return latest(transaction).token
