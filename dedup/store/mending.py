"""What puts right what a database derives from the rest of itself: nothing of what files showed is touched."""

from __future__ import annotations

from dedup.store.integrity import MADE_AGAIN, Auditor
from dedup.store.schema import Difference
from dedup.store.writing import Writer


class Mender(Writer, Auditor):
    """The one writer, and what an auditor asks. Everything is to be done within a transaction."""

    def make_indexes_again(self) -> None:
        """The indexes of SQLite's own, from their tables."""
        self._execute("REINDEX")

    def make_schema_again(self) -> list[Difference]:
        """Make indexes, triggers and views as the migrations do, and tables whose rows are made from others; gives what was made. What
        those tables are made from is due again."""
        mendable = [d for d in self.schema_differences() if is_mendable(d)]
        for d in reversed(mendable):  # what reads a table before the table
            self._execute(f'DROP {d.kind.upper()} IF EXISTS "{d.name}"')
        for d in self.schema_differences():  # a table that is dropped takes its indexes and triggers with it
            if is_mendable(d):
                self._execute(d.sql)
        if mendable:
            self._execute("INSERT OR IGNORE INTO due SELECT id FROM pages")
        return mendable

    def clear_text(self, revision: int) -> None:
        """A revision has no text: there is no letter or number in its body."""
        self._execute("UPDATE revisions SET text_id = NULL WHERE id = ?", revision)


def is_mendable(difference: Difference) -> bool:
    """Whether nothing is lost where that is made again."""
    return difference.kind != "table" or difference.name in MADE_AGAIN
