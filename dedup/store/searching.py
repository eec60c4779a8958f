"""What the search index asks of the database: what there is to be entered, and what its hits show."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from dedup.store.asking import Asking, marks
from dedup.store.rows import FoundRow, WordsRow

MOST_CHARACTERS = 4_000_000
"""Characters of bodies after which no further revision is read for one step of filling the index."""
STATE_BYTES = 8
"""Bytes of a state's digest by which one revision is told from another that got its key."""


class Searchable(Asking):
    """Questions about the words of revisions. Every revision is entered, and whether a crawl of it counts is looked at when it is
    found: that may change."""

    def words_beyond(self, revision: int, most: int, characters: float = math.inf) -> list[WordsRow]:
        """The next `most` revisions after a key, in order of their keys; fewer where their bodies come to so many characters."""
        return self._words(self._until(characters, f"{_WORDS} WHERE r.id > ? ORDER BY r.id LIMIT ?", revision, most))

    def words_of(self, revisions: Collection[int], characters: float = math.inf) -> list[WordsRow]:
        """Those of these revisions that are there, in order of their keys; fewer where their bodies come to so many characters."""
        return self._words(self._until(characters, f"{_WORDS} WHERE r.id IN ({marks(revisions)}) ORDER BY r.id", *revisions))

    def _until(self, characters: float, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with closing(self._connection.execute(sql, values)) as cursor:
            for row in cursor:
                rows.append(row)
                characters -= len(row[3] or "")
                if characters <= 0:
                    break
        return rows

    def _words(self, rows: Collection[tuple[Any, ...]]) -> list[WordsRow]:
        sql = "SELECT DISTINCT s.revision_id, m.publisher, m.oid FROM sightings s JOIN metadata m ON m.id = s.metadata_id"
        publishers: dict[int, list[tuple[str, str]]] = {r[0]: [] for r in rows}
        for revision, name, oid in self._all(f"{sql} WHERE s.revision_id IN ({marks(rows)}) ORDER BY 1, 2, 3", *publishers):
            publishers[revision].append((name, oid))
        return [WordsRow(r[0], r[1], r[2], r[3], r[4], tuple(publishers[r[0]])) for r in rows]

    def last_revision(self) -> int:
        """The greatest key of a revision; 0 where there is none."""
        return int(self._value("SELECT coalesce(max(id), 0) FROM revisions"))

    def revisions_beyond(self, revision: int) -> int:
        """How many revisions have a greater key."""
        return int(self._value("SELECT count(*) FROM revisions WHERE id > ?", revision))

    def last_altered(self) -> int:
        """The place in `altered` up to which all is written down now."""
        return int(self._value("SELECT coalesce(max(id), 0) FROM altered"))

    def altered_beyond(self, place: int, most: int) -> list[tuple[int, int]] | None:
        """The next (place, revision) that went or changed; None where what came after `place` is not known any more, or `place` is not
        of this database's past."""
        first, last = self._one("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM altered") or (1, 0)
        if not first - 1 <= place <= last:
            return None
        return [(r[0], r[1]) for r in self._all("SELECT id, revision_id FROM altered WHERE id > ? ORDER BY id LIMIT ?", place, most)]

    def state_digests(self) -> Iterator[tuple[int, bytes]]:
        """(revision, the first `STATE_BYTES` of its state's digest) of all revisions, in no order; bodies are not read."""
        yield from self._connection.execute(f"SELECT id, substr(digest, 1, {STATE_BYTES}) FROM revisions INDEXED BY {_BY_STATE}")

    def state_digests_of(self, revisions: Collection[int]) -> dict[int, bytes]:
        """The same of those of these revisions that are there."""
        return dict(self._all(f"SELECT id, substr(digest, 1, {STATE_BYTES}) FROM revisions WHERE id IN ({marks(revisions)})", *revisions))

    def with_pruned_body(self) -> set[int]:
        """Revisions whose body was pruned."""
        return {r[0] for r in self._all("SELECT id FROM revisions INDEXED BY revisions_pruned WHERE pruned_at IS NOT NULL")}

    def found(self, revisions: Collection[int]) -> list[FoundRow]:
        """Those of these revisions that a counted crawl shows, the greatest key first."""
        rows = self._all(f"{_FOUND} WHERE r.id IN ({marks(revisions)}) ORDER BY r.id DESC", *revisions)
        return [FoundRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], bool(r[9])) for r in rows]


_BY_STATE = "sqlite_autoindex_revisions_1"
_WORDS = (
    "SELECT r.id, r.digest, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
)
_FOUND = (
    "SELECT r.id, p.url, r.digest, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, r.pruned_at, m.publisher, m.oid,"
    " s.crawled_at, r.id IS (SELECT c.revision_id FROM sightings c WHERE c.id = p.current_sighting_id)"
    " FROM revisions r JOIN pages p ON p.id = r.page_id JOIN sightings s ON s.id = (SELECT x.id FROM sightings x"
    " WHERE x.revision_id = r.id AND x.standing = 'counted' ORDER BY x.crawled_at DESC LIMIT 1) JOIN metadata m ON m.id = s.metadata_id"
)
