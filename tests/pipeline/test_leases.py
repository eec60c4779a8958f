"""What is read where writers of files cannot be detected."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.config import CrawlConfig, DatabaseConfig, Settings
from dedup.daemon.watch import ChangeQueue
from dedup.files import leases
from dedup.scan.scanner import Scan
from dedup.scan.session import open_session
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile

ARTICLE = ArticleFile(body=("The council met on Monday. " * 20).strip())


@pytest.fixture(autouse=True)
def _no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "probe_lease", lambda _: ("unknown", errno.EACCES))


def _settings(crawl: Path, db: Path, seconds: float) -> Settings:
    own = CrawlConfig(directories=(str(crawl),), settle_seconds=0.0, unprobed_settle_seconds=seconds, workers=1)
    return Settings(crawl=own, database=DatabaseConfig(path=str(db)))


def _cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _without_footer(raw: bytes) -> bytes:
    return raw[: raw.rindex(b"\n---")]


@pytest.mark.parametrize(
    ("article", "cut", "taken"),
    [
        (ARTICLE, bytes, 1),
        (ARTICLE, _without_footer, 1),
        (ARTICLE, _cut, 0),
        (replace(ARTICLE, claim=""), bytes, 1),
        (replace(ARTICLE, claim=""), _without_footer, 0),
        (replace(ARTICLE, claim=""), _cut, 0),
        (replace(ARTICLE, claim="0" * 64), bytes, 0),
        (ARTICLE, lambda _: b"", 0),
        (ARTICLE, lambda raw: raw[:20], 0),
    ],
)
def test_a_young_file_is_read_at_once_only_if_it_shows_that_it_is_complete(
    article: ArticleFile, cut: Callable[[bytes], bytes], taken: int, crawl: Path, db: Path
) -> None:
    (crawl / "a.md").write_bytes(cut(article.render().encode()))
    with open_session(_settings(crawl, db, 3600), "test") as session:
        scan = Scan(session)
        tally = scan.reconcile()
        assert (tally.new, tally.faults, scan.count_waiting()) == (taken, 0, 1 - taken)
        assert session.unprobed_owners == (set() if taken else {os.geteuid()})
        scan.close()


def test_an_incomplete_file_is_read_in_the_end_and_the_warning_is_logged_once(
    crawl: Path, db: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.md", "b.md"):
        (crawl / name).write_bytes(_without_footer(replace(ARTICLE, claim="").render().encode()))
    with open_session(_settings(crawl, db, 0.3), "test") as session:
        tally = Scan(session).run()
    assert (tally.new, tally.unsettled) == (2, 0)
    assert sum("cannot be detected" in r.message for r in caplog.records) == 1


def test_a_file_that_its_writer_was_seen_to_close_needs_no_other_sign(crawl: Path, db: Path) -> None:
    book = ChangeQueue()
    (crawl / "a.md").write_bytes(_without_footer(replace(ARTICLE, claim="").render().encode()))
    with open_session(_settings(crawl, db, 3600), "test") as session:
        root = session.directories[0]
        scan = Scan(session, was_closed=book.was_closed)
        assert (scan.reconcile().new, scan.count_waiting()) == (0, 1)
        book.record_closed(root.id, b"a.md")
        scan.queue_settled()
        scan.flush()
        assert (scan.counts.new, scan.count_waiting()) == (1, 0)
        (crawl / "a.md").write_bytes(_cut(ARTICLE.render().encode()))  # after it was closed: by a writer that nobody saw
        scan.check_paths(root, [b"a.md"])
        assert (scan.counts.changed, scan.count_waiting()) == (0, 1)
        scan.close()
    assert len(running.dump(db, "revisions")) == 1


def test_what_is_known_of_a_writer_goes_with_the_file() -> None:
    book, modified = ChangeQueue(), time.time_ns()
    assert book.was_closed(1, b"a", modified) is None
    book.record_opened(1, b"a.part")
    assert book.was_closed(1, b"a.part", modified) is False
    book.record_closed(1, b"a.part")
    book.record_renamed(1, b"a.part", b"a")
    assert (book.was_closed(1, b"a", modified), book.was_closed(1, b"a.part", modified)) == (True, None)
    assert book.was_closed(1, b"a", time.time_ns() + 1) is None
    assert book.was_closed(2, b"a", modified) is None


def test_the_rights_of_a_process_are_those_that_the_kernel_goes_by() -> None:
    rights = leases.read_rights()
    assert rights is not None
    assert rights.user_id == os.geteuid()
    assert rights.can_lease(rights.user_id)
    assert leases.read_rights(2**22) is None
