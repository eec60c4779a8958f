"""What happens to files while nobody looks is found by the next start, whatever their times say."""

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


def _like(path: Path, text: str) -> os.stat_result:
    """Write other content into a file, of the same size, and set its modification time back: only ctime tells."""
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


def _start_again(crawl: Path, db: Path, start: str) -> None:
    """The next start, until it has caught up."""
    if start == "scan":
        done = run(crawl.parent, "-d", db, "scan", crawl)
        assert done.code == 0, done.err
        return
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert (report.scans, report.degraded) == (1, ())
        assert daemon.leave() == 0


def _stop(crawl: Path, db: Path, stop: str) -> None:
    """A daemon that has taken everything in, and ends."""
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db))
        if stop == "killed":
            daemon.process.kill()
            assert daemon.wait() == -signal.SIGKILL
        else:
            assert daemon.leave() == 0


@as_service
@pytest.mark.parametrize("start", ["watch", "scan"])
@pytest.mark.parametrize("stop", ["left", "killed"])
def test_created_overwritten_moved_touched_and_deleted_while_it_was_down(crawl: Path, db: Path, stop: str, start: str) -> None:
    stays, again, back, goes, moves, touched, replaced, healed, torn = (
        ArticleFile(aid=f"{n:010d}", title=f"기사 {n}", body=f"본문 {n} 이 한 문단으로 길게 이어진다.") for n in range(9)
    )
    paths = {m.aid: m.write(crawl / f"{n % 3}") for n, m in enumerate((stays, again, back, goes, moves, touched, replaced, torn))}
    bad = crawl / "healed.md"
    bad.write_text("no article")
    _stop(crawl, db, stop)

    new = ArticleFile(aid="0000000100", body="아무도 보지 않을 때 왔다.")
    new.write(crawl / "deep" / "er", age=0)
    old = ArticleFile(aid="0000000101", body="오래된 시각으로 왔다.")
    old.write(crawl, age=10 * 365 * 86_400)
    crawled_again = replace(again, body="본문 1 이 두 문단으로 짧게 이어진다.", crawled_at=_LATER)
    _like(paths[again.aid], crawled_again.render())
    lost = replace(back, body=back.body.replace("길", "깊"))
    _like(paths[back.aid], lost.render())
    _like(paths[back.aid], back.render())  # and as it was again
    paths[goes.aid].unlink()
    paths[moves.aid].rename(crawl / "moved.md")
    os.utime(paths[touched.aid])
    other = replace(replaced, body="본문 6 이 두 문단으로 짧게 이어진다.", crawled_at=_LATER)
    there = paths[replaced.aid].stat()
    put = crawl / "put.part"
    put.write_text(other.render(), encoding="utf-8")
    os.utime(put, ns=(there.st_atime_ns, there.st_mtime_ns))
    assert put.stat().st_size == there.st_size
    put.rename(paths[replaced.aid])
    bad.write_text(healed.render(), encoding="utf-8")
    _like(paths[torn.aid], "x" * len(torn.render().encode()))

    _start_again(crawl, db, start)
    completed = (stays, again, back, goes, moves, touched, replaced, healed, torn, new, old, crawled_again, other)
    assert_holds(crawl, db, {m.body for m in completed})
    for made, then in ((again, crawled_again), (replaced, other)):
        told = running.history(db, made.address)
        assert [(s["revision"], s["status"]) for s in told["timeline"]] == [(1, "counted"), (2, "counted")], then
        assert [(c["from_revision"], c["to_revision"]) for c in told["changes"]] == [(1, 2)]
    for made, gone in ((goes, True), (torn, False), (back, False)):
        assert [s["gone"] for s in running.history(db, made.address)["timeline"]] == [gone]
    status = run(crawl.parent, "-d", db, "status", "-f", "json").json()
    assert (status["gone"], status["pages"], status["changes"], status["faults"]) == (2, 11, 2, {"not_an_article": 1})


def test_a_tree_moved_away_and_another_put_in_its_place_while_it_was_down(crawl: Path, db: Path) -> None:
    for n in range(30):
        ArticleFile(aid=f"{n:010d}", body=f"본문 {n} 이 이어진다.").write(crawl / f"{n % 3}" / "deep")
    _stop(crawl, db, "left")
    (crawl / "0").rename(crawl / "2" / "zero")
    (crawl / "1").rename(crawl.with_name("away"))
    for n in range(30, 40):
        ArticleFile(aid=f"{n:010d}", body=f"본문 {n} 이 이어진다.").write(crawl / "1" / "deep")
    _start_again(crawl, db, "watch")
    assert_holds(crawl, db)
    assert len(recorded(db)) == 30
    crawl.with_name("away").rename(crawl / "back")
    _start_again(crawl, db, "scan")
    assert_holds(crawl, db)
    status = run(crawl.parent, "-d", db, "status", "-f", "json").json()
    assert (status["pages"], status["sightings"]) == (40, 40)


_CHANGES: list[Callable[[Path, str], object]] = [
    lambda path, text: path.write_text(text, encoding="utf-8"),
    lambda path, _: path.unlink(),
]


@pytest.mark.parametrize("change", _CHANGES)
def test_a_start_that_is_killed_before_it_has_scanned_leaves_everything_to_the_next(
    crawl: Path, db: Path, change: Callable[[Path, str], object]
) -> None:
    path = ArticleFile().write(crawl)
    running.scan(crawl, db)
    change(path, ArticleFile(body="다른 본문이 한 문단으로 이어진다.", crawled_at=_LATER).render())
    with watching(crawl, db, until=None) as daemon:
        daemon.process.kill()
        daemon.wait()
    _start_again(crawl, db, "watch")
    assert_holds(crawl, db)
    assert (os.fsencode(path.name) in walk(crawl)) == path.exists()
