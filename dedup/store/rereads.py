"""Files that are to be read again because a setting that interprets them changed: the queue, and what reading them again replaces."""

from __future__ import annotations

from collections.abc import Iterable

from dedup.store.lookups import Lookups, Path
from dedup.store.rows import Stat

_QUEUE = "INSERT INTO rereads (file_id, content) SELECT f.id, f.content FROM files f WHERE f.content IS NOT NULL"
_REPLACING = " ON CONFLICT (file_id) DO UPDATE SET content = excluded.content"


class Rereads(Lookups):
    """The queue of files that are to be read again. A row goes when its file was read, so that a killed run goes on where it was."""

    def queue_all(self) -> int:
        """Queue every file whose bytes were read, those that are gone too: their bytes may be at another path by now. Returns how many
        are in the queue."""
        self._execute(_QUEUE + _REPLACING)
        return self.count("rereads")

    def queue_faults(self) -> int:
        """Queue every file that is there and has a fault. Returns how many have."""
        at = {
            (directory, folder, name): None
            for directory, path in self._all("SELECT DISTINCT directory_id, path FROM faults")
            for folder, _, name in (bytes(path).rpartition(b"/"),)
        }
        ids = [row.id for row in self.files(at).values() if not row.gone and row.content is not None]
        self._queue(ids)
        return len(ids)

    def queue_files_of_aliases(self, aliases: Iterable[int]) -> None:
        """Queue the files that are there and hold an article of these aliases."""
        select = "SELECT f.id FROM wanted w CROSS JOIN readings d ON d.alias_id = w.id JOIN files f ON f.reading_id = d.id WHERE f.gone = 0"
        self._queue([r[0] for r in self._by_id(aliases, select)])

    def _queue(self, files: Iterable[int]) -> None:
        self._connection.executemany(f"{_QUEUE} AND f.id = ?{_REPLACING}", ((f,) for f in files))

    def queued(self, directory: int, beyond: int, most: int) -> list[tuple[int, bytes, bytes, Stat]]:
        """(file, folder, name, recorded state) of queued files of a crawl directory that are not gone, by key, from the one after
        `beyond`; at most `most`."""
        rows = self._all(
            "SELECT f.id, f.folder, f.name, f.size, f.mtime_ns, f.inode, f.ctime_ns FROM rereads q CROSS JOIN files f ON f.id = q.file_id"
            " WHERE q.file_id > ? AND f.directory_id = ? AND f.gone = 0 ORDER BY q.file_id LIMIT ?",
            beyond, directory, most,
        )  # fmt: skip
        return [(r[0], r[1], r[2], Stat(r[3], r[4], r[5], r[6])) for r in rows]

    def any_queued(self) -> bool:
        """Whether any file is in the queue."""
        return self._one("SELECT 1 FROM rereads LIMIT 1") is not None

    def queued_with(self, contents: Iterable[bytes]) -> dict[bytes, list[tuple[int, Path]]]:
        """Content → (file, path) of every queued file with that content, gone or not."""
        select = (
            "SELECT q.content, q.file_id, f.directory_id, f.folder, f.name FROM wanted w CROSS JOIN rereads q ON q.content = w.content"
            " JOIN files f ON f.id = q.file_id ORDER BY q.file_id"
        )
        found: dict[bytes, list[tuple[int, Path]]] = {}
        for content, file, directory, folder, name in self._wanted("content", ((c,) for c in contents), select):
            found.setdefault(content, []).append((file, (directory, folder, name)))
        return found

    def unqueue(self, files: Iterable[int]) -> None:
        """Take files out of the queue."""
        self._connection.executemany("DELETE FROM rereads WHERE file_id = ?", ((f,) for f in files))

    # What a reading replaces

    def sightings_of_readings(self, readings: Iterable[int]) -> dict[int, tuple[int, int]]:
        """Reading → (its sighting, the page of that)."""
        select = "SELECT w.id, s.id, s.page_id FROM wanted w CROSS JOIN readings d ON d.id = w.id JOIN sightings s ON s.id = d.sighting_id"
        return {r[0]: (r[1], r[2]) for r in self._by_id(readings, select)}

    def changes_on(self, pages: Iterable[int]) -> set[tuple[int, bytes, bytes, str]]:
        """(page, digest of the state before, of that after, later crawl) of every change of these pages."""
        select = (
            "SELECT c.page_id, a.digest, b.digest, c.at FROM wanted w CROSS JOIN changes c ON c.page_id = w.id"
            " JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id"
            " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id"
        )
        return {(r[0], r[1], r[2], r[3]) for r in self._by_id(pages, select)}

    def mismatches_on(self, pages: Iterable[int]) -> set[tuple[int, bytes, str]]:
        """(page, digest of the state, crawl) of every mismatched sighting of these pages."""
        select = (
            "SELECT s.page_id, r.digest, s.crawled_at FROM wanted w CROSS JOIN sightings s ON s.page_id = w.id"
            " JOIN revisions r ON r.id = s.revision_id WHERE s.check_status = 'mismatched'"
        )
        return {(r[0], r[1], r[2]) for r in self._by_id(pages, select)}

    def held_back(self, beginnings: Iterable[str]) -> set[str]:
        """Those of the beginnings of event keys for which an alert was withdrawn before any channel took it, and none was sent."""
        found = set()
        for beginning in dict.fromkeys(beginnings):
            row = self._one(
                "SELECT count(*), count(a.withdrawn_at), sum(EXISTS (SELECT 1 FROM deliveries d WHERE d.state = 'sent'"
                " AND d.alert_id IN (a.id, a.folded_into))) FROM alerts a WHERE a.event >= ?1 AND a.event < ?1 || char(1114111)",
                beginning,
            )
            if row and row[0] and row[0] == row[1] and not row[2]:
                found.add(beginning)
        return found

    def delete_pages_without_sightings(self, pages: Iterable[int]) -> None:
        """Forget those of the pages that no crawl shows any more."""
        bare = [
            (r[0],)
            for r in self._by_id(
                pages,
                "SELECT p.id FROM wanted w CROSS JOIN pages p ON p.id = w.id"
                " WHERE NOT EXISTS (SELECT 1 FROM sightings s WHERE s.page_id = p.id)",
            )
        ]
        self._connection.executemany("DELETE FROM aliases WHERE page_id = ?", bare)
        self._connection.executemany("DELETE FROM pages WHERE id = ?", bare)
