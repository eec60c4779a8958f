"""Changes of all pages, as a feed tells them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

from dedup.store.asking import Where, marks
from dedup.store.reading import Reader
from dedup.store.rows import JudgedChange

_numbers = count()


class Incident(NamedTuple):
    """One edit made to many pages: from the first to the last crawl that showed it."""

    edit: bytes
    begin: str
    end: str
    pages: int


class Spot(NamedTuple):
    """Where a change stands in the feed: the latest first, then by URL and state."""

    at: str
    url: str
    state: bytes


class Feed(Reader):
    """Questions about changes, whatever page they are of."""

    def judged(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        page: int | None = None,
        kinds: Collection[str] = (),
        severities: Collection[str] = (),
        stealth: bool = False,
        edit: bytes | None = None,
        after: Spot | None = None,
        upto: Spot | None = None,
        without: Collection[Incident] = (),
        takes: Callable[[str, str, str], bool] | None = None,
    ) -> Iterator[JudgedChange]:
        """Changes, the latest first: of one page, of these kinds or severities (those that were not judged among them), stealthy ones,
        of one edit; those that come after a spot, or up to it; none that is part of some incidents; those that `takes` says yes to, by
        publisher as printed, oid and URL, before more of them is read. Times are ISO 8601 in UTC, `until` is not included."""
        index = "changes_edit" if edit is not None else "changes_page" if page is not None else "changes_at"
        where = Where()
        if since is not None:
            where.add("c.at >= ?", since)
        if until is not None:
            where.add("c.at < ?", until)
        if page is not None:
            where.add("c.page_id = ?", page)
        if edit is not None:
            where.add("c.edit = ?", edit)
        if stealth:
            where.add("c.stealth = 1")
        if kinds:
            where.add(f"c.kind IN ({marks(kinds)})", *kinds)
        if severities:
            where.add(f"(c.severity IS NULL OR c.severity IN ({marks(severities)}))", *severities)
        if after is not None:
            where.add("c.at <= ? AND (c.at < ? OR (p.url, b.digest) > (?, ?))", after.at, after.at, after.url, after.state)
        if upto is not None:
            where.add("c.at >= ? AND (c.at > ? OR (p.url, b.digest) <= (?, ?))", upto.at, upto.at, upto.url, upto.state)
        for i in without:
            where.add("NOT (c.edit IS ? AND c.at BETWEEN ? AND ?)", i.edit, i.begin, i.end)
        if takes is not None:
            name = f"takes_{next(_numbers)}"  # one cannot be put in another's place while that is asked
            self._connection.create_function(name, 3, takes)
            where.add(f"{name}(m.publisher, m.oid, p.url)")
        sql = f"{_JUDGED.format(index=index)} WHERE {where} ORDER BY c.at DESC, p.url, b.digest"
        for row in self._connection.execute(sql, where.values):
            yield JudgedChange(*row)

    def incidents_of(self, edit: bytes, pages: int, hours: float) -> list[Incident]:
        """When an edit was made to so many pages at least, no more than so many hours lying between one and the next."""
        found: list[Incident] = []
        rows = self._all("SELECT at, page_id FROM changes WHERE edit = ? ORDER BY at", edit)
        for run in _runs(rows, timedelta(hours=hours)) if len(rows) >= pages else ():
            number = len({page for _, page in run})
            if number >= pages:
                found.append(Incident(edit, run[0][0], run[-1][0], number))
        return found

    def unjudged(self) -> int:
        """Changes from before there were judgements."""
        return self.count("changes", "judged_by IS NULL")


def _runs(crawls: list[tuple[Any, ...]], most: timedelta) -> Iterator[list[tuple[Any, ...]]]:
    run: list[tuple[Any, ...]] = []
    last: datetime | None = None
    for at, page in crawls:
        time = datetime.fromisoformat(at)
        if last is not None and time - last > most:
            yield run
            run = []
        run.append((at, page))
        last = time
    if run:
        yield run


_JUDGED = (
    "SELECT c.sighting_id, c.page_id, p.url, m.publisher, m.oid, c.at, x.crawled_at, a.title, b.title, a.digest, b.digest, c.kind,"
    " c.severity, c.channels, c.evidence, c.stealth, c.corrected, c.edit, c.fields, c.body_similarity"
    " FROM changes c INDEXED BY {index} CROSS JOIN pages p ON p.id = c.page_id CROSS JOIN sightings y ON y.id = c.sighting_id"
    " CROSS JOIN metadata m ON m.id = y.metadata_id CROSS JOIN revisions b ON b.id = y.revision_id"
    " CROSS JOIN sightings x ON x.id = c.previous_id CROSS JOIN revisions a ON a.id = x.revision_id"
)
"""From the changes on, in the order of an index: who wants the first few reads no more than those."""
