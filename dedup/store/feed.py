"""Changes of all pages, as a feed tells them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from dedup.store.reading import Reader
from dedup.store.rows import JudgedChange


class Incident(NamedTuple):
    """One edit made to many pages: from the first to the last crawl that showed it."""

    edit: bytes
    begin: str
    end: str
    pages: int


class Feed(Reader):
    """Questions about changes, whatever page they are of."""

    def judged(self, *, since: str | None = None, until: str | None = None, page: int | None = None) -> Iterator[JudgedChange]:
        """Changes, the latest first; of one page only where it is named. Times are ISO 8601 in UTC, `until` is not included."""
        sql = f"{_JUDGED} WHERE (?1 IS NULL OR c.at >= ?1) AND (?2 IS NULL OR c.at < ?2) AND (?3 IS NULL OR c.page_id = ?3)"
        sql += " ORDER BY c.at DESC, p.url, b.digest"
        for r in self._connection.execute(sql, (since, until, page)):
            yield JudgedChange(*r)

    def incidents(self, pages: int, hours: float) -> list[Incident]:
        """Every edit that was made to so many pages at least, no more than so many hours lying between one and the next."""
        often = "SELECT edit FROM changes WHERE edit IS NOT NULL GROUP BY edit HAVING count(DISTINCT page_id) >= ?"
        rows = self._connection.execute(f"SELECT edit, at, page_id FROM changes WHERE edit IN ({often}) ORDER BY edit, at", (pages,))
        found: list[Incident] = []
        for edit, of_edit in groupby(rows, key=lambda r: bytes(r[0])):
            for run in _runs([(at, page) for _, at, page in of_edit], timedelta(hours=hours)):
                number = len({page for _, page in run})
                if number >= pages:
                    found.append(Incident(edit, run[0][0], run[-1][0], number))
        return found

    def unjudged(self) -> int:
        """Changes from before there were judgements."""
        return self.count("changes", "judged_by IS NULL")


def _runs(crawls: list[tuple[str, int]], most: timedelta) -> Iterator[list[tuple[str, int]]]:
    run: list[tuple[str, int]] = []
    for at, page in crawls:
        if run and datetime.fromisoformat(at) - datetime.fromisoformat(run[-1][0]) > most:
            yield run
            run = []
        run.append((at, page))
    if run:
        yield run


_JUDGED = (
    "SELECT c.sighting_id, c.page_id, p.url, m.publisher, m.oid, c.at, x.crawled_at, a.title, b.title, a.digest, b.digest, c.kind,"
    " c.severity, c.channels, c.evidence, c.stealth, c.corrected, c.edit, c.fields, c.body_similarity"
    " FROM changes c JOIN pages p ON p.id = c.page_id JOIN sightings x ON x.id = c.previous_id JOIN sightings y ON y.id = c.sighting_id"
    " JOIN revisions a ON a.id = x.revision_id JOIN revisions b ON b.id = y.revision_id JOIN metadata m ON m.id = y.metadata_id"
)
