"""The next start finds what happened to files while no daemon ran, whatever their mtimes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.oracle import assert_holds, caught_up, recorded, walk
from tests.builders.privileges import as_service

pytestmark = pytest.mark.system

_LATER = "2026-03-05 00:30:00"


def _overwrite_unnoticed(path: Path, text: str) -> os.stat_result:
    """Overwrite a file with content of the same size and restore its mtime, so that only ctime changes. Returns the stat before."""
    before = path.stat()
    raw = text.encode()
    assert len(raw) == before.st_size
    assert raw != path.read_bytes()
    with open(path, "r+b") as file:
        file.write(raw)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    return before


def _start(crawl: Path, db: Path, start: str) -> None:
    """Scan once, or run a daemon until it has caught up."""
    if start == "scan":
        result = run(crawl.parent, "-d", db, "scan", crawl)
        assert result.code == 0, result.err
        return
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert (report.scans, report.degraded) == (1, ())
        assert daemon.leave() == 0


def _record_and_stop(crawl: Path, db: Path, stop: str) -> None:
    """Run a daemon until it has caught up, then stop or kill it."""
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        if stop == "killed":
            daemon.process.kill()
            assert daemon.wait() == -signal.SIGKILL
        else:
            assert daemon.leave() == 0


@as_service
@pytest.mark.parametrize("start", ["watch", "scan"])
@pytest.mark.parametrize("stop", ["stopped", "killed"])
def test_a_start_finds_every_kind_of_change_made_while_no_daemon_ran(crawl: Path, db: Path, stop: str, start: str) -> None:
    unchanged, recrawled, reverted, deleted, moved, touched, replaced, completed_article, garbled = (
        ArticleFile(aid=f"{n:010d}", title=f"기사 {n}", body=f"본문 {n} 이 한 문단으로 길게 이어진다.") for n in range(9)
    )
    paths = {
        m.aid: m.write(crawl / f"{n % 3}")
        for n, m in enumerate((unchanged, recrawled, reverted, deleted, moved, touched, replaced, garbled))
    }
    bad = crawl / "healed.md"
    bad.write_text("no article")
    _record_and_stop(crawl, db, stop)

    new = ArticleFile(aid="0000000100", body="아무도 보지 않을 때 왔다.")
    new.write(crawl / "deep" / "er", age=0)
    old = ArticleFile(aid="0000000101", body="오래된 시각으로 왔다.")
    old.write(crawl, age=10 * 365 * 86_400)
    crawled_again = replace(recrawled, body="본문 1 이 두 문단으로 짧게 이어진다.", crawled_at=_LATER)
    _overwrite_unnoticed(paths[recrawled.aid], crawled_again.render())
    unseen = replace(reverted, body=reverted.body.replace("길", "깊"))
    _overwrite_unnoticed(paths[reverted.aid], unseen.render())
    _overwrite_unnoticed(paths[reverted.aid], reverted.render())  # restore the first content
    paths[deleted.aid].unlink()
    paths[moved.aid].rename(crawl / "moved.md")
    os.utime(paths[touched.aid])
    other = replace(replaced, body="본문 6 이 두 문단으로 짧게 이어진다.", crawled_at=_LATER)
    stat = paths[replaced.aid].stat()
    part = crawl / "put.part"
    part.write_text(other.render(), encoding="utf-8")
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert part.stat().st_size == stat.st_size
    part.rename(paths[replaced.aid])
    bad.write_text(completed_article.render(), encoding="utf-8")
    _overwrite_unnoticed(paths[garbled.aid], "x" * len(garbled.render().encode()))

    _start(crawl, db, start)
    articles = (
        unchanged,
        recrawled,
        reverted,
        deleted,
        moved,
        touched,
        replaced,
        completed_article,
        garbled,
        new,
        old,
        crawled_again,
        other,
    )
    assert_holds(crawl, db, {m.body for m in articles})
    for earlier, later in ((recrawled, crawled_again), (replaced, other)):
        history = running.history(db, earlier.address)
        assert [(s["revision"], s["status"]) for s in history["timeline"]] == [(1, "counted"), (2, "counted")], later
        assert [(c["from_revision"], c["to_revision"]) for c in history["changes"]] == [(1, 2)]
    for earlier, is_gone in ((deleted, True), (garbled, False), (reverted, False)):
        assert [s["gone"] for s in running.history(db, earlier.address)["timeline"]] == [is_gone]
    status = run(crawl.parent, "-d", db, "status", "-f", "json").json()
    assert (status["gone"], status["pages"], status["changes"], status["faults"]) == (2, 11, 2, {"not_an_article": 1})


def test_a_start_finds_replaced_trees(crawl: Path, db: Path) -> None:
    for n in range(30):
        ArticleFile(aid=f"{n:010d}", body=f"본문 {n} 이 이어진다.").write(crawl / f"{n % 3}" / "deep")
    _record_and_stop(crawl, db, "stopped")
    (crawl / "0").rename(crawl / "2" / "zero")
    (crawl / "1").rename(crawl.with_name("away"))
    for n in range(30, 40):
        ArticleFile(aid=f"{n:010d}", body=f"본문 {n} 이 이어진다.").write(crawl / "1" / "deep")
    _start(crawl, db, "watch")
    assert_holds(crawl, db)
    assert len(recorded(db)) == 30
    crawl.with_name("away").rename(crawl / "back")
    _start(crawl, db, "scan")
    assert_holds(crawl, db)
    status = run(crawl.parent, "-d", db, "status", "-f", "json").json()
    assert (status["pages"], status["sightings"]) == (40, 40)


_CHANGES: list[Callable[[Path, str], object]] = [
    lambda path, text: path.write_text(text, encoding="utf-8"),
    lambda path, _: path.unlink(),
]


@pytest.mark.parametrize("change", _CHANGES)
def test_a_start_that_is_killed_before_its_scan_leaves_everything_to_the_next(
    crawl: Path, db: Path, change: Callable[[Path, str], object]
) -> None:
    path = ArticleFile().write(crawl)
    running.scan(crawl, db)
    change(path, ArticleFile(body="다른 본문이 한 문단으로 이어진다.", crawled_at=_LATER).render())
    with watching(crawl, db, until=None) as daemon:
        daemon.process.kill()
        daemon.wait()
    _start(crawl, db, "watch")
    assert_holds(crawl, db)
    assert (os.fsencode(path.name) in walk(crawl)) == path.exists()
