"""What puts right what a database derives from the rest of itself: nothing of what files showed is touched."""

from __future__ import annotations

from dedup.store.auditing import Auditor
from dedup.store.writing import Writer


class Mender(Writer, Auditor):
    """The one writer, and what an auditor asks. Everything is to be done within a transaction."""

    def make_indexes_again(self) -> None:
        """The indexes of SQLite's own, from their tables."""
        self._execute("REINDEX")

    def clear_text(self, revision: int) -> None:
        """A revision has no text: there is no letter or number in its body."""
        self._execute("UPDATE revisions SET text_id = NULL WHERE id = ?", revision)
