"""Crawl directories as rows: which the database knows, and what `dedup roots` does to them."""

from __future__ import annotations

from collections.abc import Iterable

from dedup.store.lookups import Lookups
from dedup.store.rows import Stat


class Directories(Lookups):
    """Changes of crawl directories; all of it is to be done within a transaction."""

    def move_directory(self, directory: int, path: bytes, path_text: str, identity: tuple[int, int] | None) -> None:
        """A crawl directory lies at another path now. Its files keep their relative paths. `identity`: its (st_dev, st_ino), or None where
        it is not there."""
        self._execute("UPDATE directories SET path = ?, path_text = ?, forgotten_at = NULL WHERE id = ?", path, path_text, directory)
        if identity is not None:
            self._execute("UPDATE directories SET device = ?, inode = ? WHERE id = ?", *identity, directory)

    def forget_directory(self, directory: int, at: str) -> int:
        """Mark all files of a crawl directory as gone, and the directory as retired; returns how many files went now."""
        self._execute("DELETE FROM faults WHERE directory_id = ?", directory)
        before = self._connection.total_changes
        self._execute("UPDATE files SET gone = 1, gone_at = ? WHERE directory_id = ? AND gone = 0", at, directory)
        number = self._connection.total_changes - before
        self._execute("UPDATE directories SET forgotten_at = ? WHERE id = ?", at, directory)
        return number

    def recall_directories(self, directories: Iterable[int]) -> None:
        """Crawl directories that were retired are scanned again."""
        self._connection.executemany(
            "UPDATE directories SET forgotten_at = NULL WHERE id = ? AND forgotten_at IS NOT NULL", ((d,) for d in directories)
        )

    def set_scanned(self, directories: Iterable[int], at: str) -> None:
        """All of these crawl directories was scanned, until then."""
        self._connection.executemany("UPDATE directories SET scanned_at = ? WHERE id = ?", ((at, d) for d in directories))

    def sample_of_directory(self, directory: int, most: int) -> list[tuple[bytes, bytes, Stat]]:
        """(folder, name, recorded state) of files of a crawl directory that are there, at most so many, from all over it."""
        row = self._one("SELECT min(id), max(id) FROM files WHERE directory_id = ?", directory)
        if row is None or row[0] is None:
            return []
        first, last = row
        step = max(1, (last - first) // most)
        found = {}
        for start in range(first, last + 1, step):
            near = self._one(
                "SELECT id, folder, name, size, mtime_ns, inode, ctime_ns FROM files WHERE id >= ? AND id < ? AND directory_id = ?"
                " AND gone = 0 ORDER BY id LIMIT 1",
                start, start + step, directory,
            )  # fmt: skip
            if near is not None:
                found[near[0]] = (bytes(near[1]), bytes(near[2]), Stat(*near[3:]))
        return list(found.values())[:most]
