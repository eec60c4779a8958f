"""Commit tokens: how far the indexes beside the database have come."""

from __future__ import annotations

import os

from dedup.model import NO_COMMIT
from dedup.store.database import Database, Transaction

MAX_BATCHES = 1000
"""Commits that the candidate index can be behind and still be caught up."""


def latest(database: Database) -> tuple[bytes, int]:
    """(token, last text with a signature) of the newest commit that brought texts with signatures."""
    row = database.row("SELECT token, last_text_id FROM batches ORDER BY id DESC LIMIT 1")
    return (row[0], row[1]) if row else (NO_COMMIT, 0)


def last_text_of_token(database: Database, token: bytes) -> int | None:
    """The last text as of the commit with this token; None for one that this database does not know (any more)."""
    if token == NO_COMMIT:
        return 0
    text_id: int | None = database.value("SELECT last_text_id FROM batches WHERE token = ?", token)
    return text_id


def insert(transaction: Transaction, last_text_id: int) -> bytes:
    """A token for this commit, which brought texts with signatures up to a key. Old tokens are forgotten."""
    token = os.urandom(16)
    batch_id = transaction.insert("INSERT INTO batches (token, last_text_id) VALUES (?, ?)", (token, last_text_id))
    transaction.execute("DELETE FROM batches WHERE id <= ?", batch_id - MAX_BATCHES)
    return token


def restart(transaction: Transaction) -> bytes:
    """Signatures were made anew: no candidate index holds them. The token of this commit."""
    last_text_id = transaction.value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL")
    batch_id = transaction.insert("INSERT INTO batches (token, last_text_id) VALUES (?, ?)", (os.urandom(16), last_text_id))
    transaction.execute("DELETE FROM batches WHERE id < ?", batch_id)
    return latest(transaction)[0]
