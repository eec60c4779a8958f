"""Reading files when their writers cannot be detected."""

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
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import open_session
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile

ARTICLE = ArticleFile(body=("The council met on Monday. " * 20).strip())


@pytest.fixture(autouse=True)
def _no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "probe_lease", lambda _: ("unknown", errno.EACCES))


def _settings(crawl: Path, db: Path, seconds: float) -> Settings:
    crawl_config = CrawlConfig(directories=(str(crawl),), settle_seconds=0.0, unprobed_settle_seconds=seconds, workers=1)
    return Settings(crawl=crawl_config, database=DatabaseConfig(path=str(db)))


def _first_half(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _without_footer(raw: bytes) -> bytes:
    return raw[: raw.rindex(b"\n---")]


@pytest.mark.parametrize(
    ("article", "cut", "recorded"),
    [
        (ARTICLE, bytes, 1),
        (ARTICLE, _without_footer, 1),
        (ARTICLE, _first_half, 0),
        (replace(ARTICLE, claim=""), bytes, 1),
        (replace(ARTICLE, claim=""), _without_footer, 0),
        (replace(ARTICLE, claim=""), _first_half, 0),
        (replace(ARTICLE, claim="0" * 64), bytes, 0),
        (ARTICLE, lambda _: b"", 0),
        (ARTICLE, lambda raw: raw[:20], 0),
    ],
)
def test_a_young_file_is_read_at_once_only_if_its_content_proves_it_complete(
    article: ArticleFile, cut: Callable[[bytes], bytes], recorded: int, crawl: Path, db: Path
) -> None:
    (crawl / "a.md").write_bytes(cut(article.render().encode()))
    with open_session(_settings(crawl, db, 3600), "test") as session:
        scan = Scan(session)
        tally = scan.reconcile()
        assert (tally.new, tally.faults, scan.count_waiting()) == (recorded, 0, 1 - recorded)
        assert session.unprobed_owners == (set() if recorded else {os.geteuid()})
        scan.close()


def test_an_incomplete_file_is_read_after_the_longer_wait_with_one_warning(crawl: Path, db: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.md", "b.md"):
        (crawl / name).write_bytes(_without_footer(replace(ARTICLE, claim="").render().encode()))
    with open_session(_settings(crawl, db, 0.3), "test") as session:
        tally = Scan(session).run()
    assert (tally.new, tally.unsettled) == (2, 0)
    assert sum("cannot be detected" in r.message for r in caplog.records) == 1


def test_a_file_whose_writer_was_seen_to_close_it_is_read_at_once(crawl: Path, db: Path) -> None:
    queue = ChangeQueue()
    (crawl / "a.md").write_bytes(_without_footer(replace(ARTICLE, claim="").render().encode()))
    with open_session(_settings(crawl, db, 3600), "test") as session:
        root = session.directories[0]
        scan = Scan(session, was_closed=queue.was_closed)
        assert (scan.reconcile().new, scan.count_waiting()) == (0, 1)
        queue.record_closed(root.id, b"a.md")
        scan.queue_settled()
        scan.flush()
        assert (scan.counts.new, scan.count_waiting()) == (1, 0)
        (crawl / "a.md").write_bytes(_first_half(ARTICLE.render().encode()))  # by an unseen writer, after the close
        scan.check_paths(root, [b"a.md"])
        assert (scan.counts.changed, scan.count_waiting()) == (0, 1)
        scan.close()
    assert len(running.dump(db, "revisions")) == 1


def test_knowledge_about_a_writer_follows_a_rename() -> None:
    queue, modified = ChangeQueue(), time.time_ns()
    assert queue.was_closed(1, b"a", modified) is None
    queue.record_opened(1, b"a.part")
    assert queue.was_closed(1, b"a.part", modified) is False
    queue.record_closed(1, b"a.part")
    queue.record_renamed(1, b"a.part", b"a")
    assert (queue.was_closed(1, b"a", modified), queue.was_closed(1, b"a.part", modified)) == (True, None)
    assert queue.was_closed(1, b"a", time.time_ns() + 1) is None
    assert queue.was_closed(2, b"a", modified) is None


def test_read_rights_reports_what_the_kernel_applies() -> None:
    rights = leases.read_rights()
    assert rights is not None
    assert rights.user_id == os.geteuid()
    assert rights.can_lease(rights.user_id)
    assert leases.read_rights(2**22) is None
