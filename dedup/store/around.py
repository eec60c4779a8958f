"""What a reader of pages asks: one page and what is around it, and long lists in pieces, each piece by where the one before ended."""

from __future__ import annotations

from dedup.store.feed import Feed


class Around(Feed):
    """Questions about one page, and about lists too long to be shown at once."""

    def faults_after(self, after: tuple[str, str] | None, most: int, kind: str | None = None) -> list[tuple[str, str, str, str]]:
        """(path, kind, message, since) of what could not be read, by path and kind, from the one after `after` on."""
        path, last = after or ("", "")
        return [
            (r[0], r[1], r[2], r[3])
            for r in self._all(
                "SELECT * FROM (SELECT o.path_text || '/' || t.path_text AS path, t.kind AS kind, t.message, t.since FROM faults t"
                " JOIN directories o ON o.id = t.directory_id WHERE ?4 IS NULL OR t.kind = ?4)"
                " WHERE (path, kind) > (?1, ?2) ORDER BY path, kind LIMIT ?3",
                path, last, most, kind,
            )
        ]  # fmt: skip
