"""Scans within the test process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dedup import reports, store
from dedup.config import CrawlConfig, DatabaseConfig, DuplicatesConfig, Settings
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session, open_session
from dedup.runtime import process
from dedup.store import open_database


def settings(
    crawl: Path, db: Path, *, settle: float = 0.0, patterns: tuple[str, ...] = ("*.md",), workers: int = 1, **duplicates: Any
) -> Settings:
    return Settings(
        crawl=CrawlConfig(directories=(str(crawl),), settle_seconds=settle, patterns=patterns, workers=workers),
        database=DatabaseConfig(path=str(db)),
        duplicates=DuplicatesConfig(**duplicates),
    )


@contextmanager
def session(crawl: Path, db: Path, **kw: Any) -> Iterator[Session]:
    process.prepare_for_scanning()
    with open_session(settings(crawl, db, **kw), "test") as opened:
        yield opened


def scan(crawl: Path, db: Path, **kw: Any) -> ScanCounts:
    """Scan once, as `dedup scan` does."""
    with session(crawl, db, **kw) as opened:
        return Scan(opened).run()


def dump(db: Path, *tables: str) -> list[dict[str, Any]]:
    """Return the logical dump of these tables, or of all."""
    with open_database(str(db)) as database:
        return [row for row in reports.dump_rows(database) if not tables or row["table"] in tables]


def history(db: Path, url: str) -> dict[str, Any]:
    with open_database(str(db)) as database:
        page = store.pages.get_by_url(database, url)
        assert page is not None, url
        return reports.page_history(database, page)
