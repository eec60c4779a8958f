"""What a reader of pages asks: one page and what is around it, and long lists in pieces, each piece by where the one before ended."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from dedup.model import Match, Metadata
from dedup.store.feed import Feed
from dedup.store.reading import MATCH, match, timeline_row
from dedup.store.rows import TimelineRow


class Likeness(NamedTuple):
    """A state of one page that matches a state of another; `match` None: their texts are the same."""

    own: bytes
    page: int
    other: bytes
    match: Match | None


@dataclass(frozen=True, slots=True)
class Showing:
    """What a page shows now: by its current crawl, or where none counts, by its latest."""

    page: int
    url: str
    title: str
    publisher: str
    published_at: str | None
    crawled_at: str


class Around(Feed):
    """Questions about one page, and about lists too long to be shown at once."""

    def showing(self, pages: Collection[int]) -> dict[int, Showing]:
        """Page → what it shows now."""
        found: dict[int, Showing] = {}
        for page in pages:
            row = self._one(
                "SELECT p.id, p.url, r.title, m.publisher, m.published_at, s.crawled_at FROM pages p JOIN sightings s ON s.id = coalesce("
                "p.current_sighting_id, (SELECT id FROM sightings WHERE page_id = p.id ORDER BY crawled_at DESC LIMIT 1))"
                " JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id WHERE p.id = ?",
                page,
            )
            if row is not None:
                found[page] = Showing(*row)
        return found

    def current_metadata(self, page: int) -> Metadata | None:
        """What the page's current crawl says of the article beside its text; None where no crawl counts."""
        row = self._one(
            "SELECT m.publisher, m.author, m.category, m.published_at, m.published_printed, m.article_id, m.oid, m.aid FROM pages p"
            " JOIN sightings s ON s.id = p.current_sighting_id JOIN metadata m ON m.id = s.metadata_id WHERE p.id = ?",
            page,
        )
        return None if row is None else Metadata(*row)

    def sightings(self, page: int) -> int:
        """How many crawls of a page there are, of whatever standing."""
        return int(self._value("SELECT count(*) FROM sightings WHERE page_id = ?", page))

    def crawls(self, page: int, after: tuple[str, bytes] | None, most: int) -> list[TimelineRow]:
        """So many sightings of a page, the latest first, with a row for each path that showed them; from the one after that of a time
        and a state."""
        at, state = after or ("\x7f", b"")
        rows = self._all(
            "SELECT s.id, s.crawled_at, s.crawled_at_from, s.revision_id, s.digest, s.standing, d.check_status, d.check_cause,"
            " o.path_text || '/' || f.path_text, f.gone FROM (SELECT s.*, r.digest FROM sightings s"
            " JOIN revisions r ON r.id = s.revision_id WHERE s.page_id = ?1"
            " AND (s.crawled_at < ?2 OR (s.crawled_at = ?2 AND r.digest > ?3))"
            " ORDER BY s.crawled_at DESC, r.digest LIMIT ?4) s"
            " JOIN readings d ON d.sighting_id = s.id JOIN files f ON f.id = d.file_id JOIN directories o ON o.id = f.directory_id"
            " ORDER BY s.crawled_at DESC, s.digest, f.path_text",
            page, at, state, most,
        )  # fmt: skip
        return [timeline_row(r) for r in rows]

    def likenesses(self, page: int, most: int) -> list[Likeness]:
        """Matches of any state of a page with states of others: those of the same text first, then those with most in common."""
        same = self._all(
            "SELECT x.digest, y.page_id, y.digest FROM revisions x JOIN revisions y ON y.text_id = x.text_id AND y.page_id <> x.page_id"
            " WHERE x.page_id = ? LIMIT ?",
            page, most,
        )  # fmt: skip
        rows = self._all(
            f"SELECT x.digest, y.page_id, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.a = x.text_id JOIN revisions y"
            " ON y.text_id = m.b WHERE x.page_id = ?1 AND y.page_id <> ?1 UNION ALL"
            f" SELECT x.digest, y.page_id, y.digest, {MATCH} FROM revisions x JOIN matches m ON m.b = x.text_id JOIN revisions y"
            " ON y.text_id = m.a WHERE x.page_id = ?1 AND y.page_id <> ?1 ORDER BY coverage DESC, similarity DESC LIMIT ?2",
            page, most,
        )  # fmt: skip
        return [Likeness(r[0], r[1], r[2], None) for r in same] + [Likeness(r[0], r[1], r[2], match(r[3:])) for r in rows]

    def faults_after(self, after: tuple[str, str] | None, most: int, kind: str | None = None) -> list[tuple[Any, ...]]:
        """(path, kind, message, since) of what could not be read, by path and kind, from the one after `after` on."""
        path, last = after or ("", "")
        return self._all(
            "SELECT * FROM (SELECT o.path_text || '/' || t.path_text AS path, t.kind AS kind, t.message, t.since FROM faults t"
            " JOIN directories o ON o.id = t.directory_id WHERE ?4 IS NULL OR t.kind = ?4)"
            " WHERE (path, kind) > (?1, ?2) ORDER BY path, kind LIMIT ?3",
            path, last, most, kind,
        )  # fmt: skip
