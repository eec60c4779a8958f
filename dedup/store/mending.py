"""What puts right what a database derives from the rest of itself: nothing of what files showed is touched."""

from __future__ import annotations

from dedup.store.auditing import Auditor
from dedup.store.writing import Writer

_STRAYS = {
    "matches": "a NOT IN (SELECT id FROM texts) OR b NOT IN (SELECT id FROM texts)",
    "passages": "text_id NOT IN (SELECT id FROM texts) OR publisher_id NOT IN (SELECT id FROM publishers)",
    "represented": "by NOT IN (SELECT id FROM texts) OR text_id NOT IN (SELECT id FROM texts)",
    "changes": "sighting_id NOT IN (SELECT id FROM sightings) OR previous_id NOT IN (SELECT id FROM sightings)"
    " OR page_id NOT IN (SELECT id FROM pages)",
}
"""Derived table → which of its rows name something that is not there."""


class Mender(Writer, Auditor):
    """The one writer, and what an auditor asks. Everything is to be done within a transaction."""

    def make_indexes_again(self) -> None:
        """The indexes of SQLite's own, from their tables."""
        self._execute("REINDEX")

    def delete_strays(self) -> int:
        """Forget derived rows that name something that is not there; returns how many."""
        gone = 0
        for table, where in _STRAYS.items():
            gone += self._connection.execute(f"DELETE FROM {table} WHERE {where}").rowcount
        return gone

    def forget_lost_current(self) -> int:
        """Pages whose current sighting is not there have none, until they are settled; returns how many."""
        sql = (
            "UPDATE pages SET current_sighting_id = NULL"
            " WHERE current_sighting_id IS NOT NULL AND current_sighting_id NOT IN (SELECT id FROM sightings)"
        )
        return self._connection.execute(sql).rowcount

    def clear_text(self, revision: int) -> None:
        """A revision has no text: there is no letter or number in its body."""
        self._execute("UPDATE revisions SET text_id = NULL WHERE id = ?", revision)
