"""Jumps of the system clock, times of files in the future, and several crawls at the same time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dedup.pipeline.scanner import Scan
from tests.builders import scans as running
from tests.builders.command import spawn
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, assert_equals_scan, watching
from tests.builders.oracle import assert_holds, caught_up, recorded

pytestmark = pytest.mark.system

HOUR, YEARS = 3600, 10 * 365 * 86_400

_SHIFTED_CLOCK = """
import datetime, os, time

true, true_ns = time.time, time.time_ns

def shift():
    with open(os.environ["CLOCK"]) as file:
        return int(file.read())

time.time = lambda: true() + shift()
time.time_ns = lambda: true_ns() + shift() * 1_000_000_000

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

datetime.datetime = Shifted
"""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that shifts the clock of processes started after this fixture, by a number of seconds. Times of files stay true."""
    (tmp_path / "shifted").mkdir()
    (tmp_path / "shifted" / "sitecustomize.py").write_text(_SHIFTED_CLOCK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shifted"))
    monkeypatch.setenv("CLOCK", str(tmp_path / "clock"))

    def set_(seconds: int) -> None:
        (tmp_path / "clock.new").write_text(str(seconds))
        (tmp_path / "clock.new").rename(tmp_path / "clock")

    set_(0)
    return set_


@pytest.mark.parametrize("shift", [-YEARS, -HOUR, HOUR])
def test_a_scan_records_files_with_times_in_the_future(crawl: Path, db: Path, clock: Callable[[int], None], shift: int) -> None:
    for n in range(3):
        ArticleFile(aid=f"{n:010d}").write(crawl, age=0)
    clock(shift)
    counts = spawn(crawl.parent, "-d", db, "scan", crawl, "-f", "json").json()
    assert (counts["new"], counts["unsettled"]) == (3, 0)
    assert_holds(crawl, db)
    assert spawn(crawl.parent, "-d", db, "scan", crawl, "-f", "json").json()["unchanged"] == 3


def test_mtimes_in_the_future_are_accepted(crawl: Path, db: Path) -> None:
    path = ArticleFile().write(crawl, age=-YEARS)
    assert running.scan(crawl, db, settle=0.2).new == 1
    ArticleFile(body="다른 본문이 이어진다.", crawled_at="2026-03-03 00:30:00").write(crawl, path.name, age=-YEARS // 2)
    assert running.scan(crawl, db, settle=0.2).changed == 1
    assert_holds(crawl, db)
    with watching(crawl, db) as daemon:
        ArticleFile(body="이것도 이어진다.", crawled_at="2026-03-04 00:30:00").write(crawl, path.name, age=-YEARS)
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert len(running.history(db, ArticleFile().address)["revisions"]) == 3


def test_a_file_with_a_time_in_the_future_settles_by_the_monotonic_clock(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change restarts the time to settle."""
    now = 1000.0
    monkeypatch.setattr("dedup.pipeline.scanner.time", SimpleNamespace(monotonic=lambda: now, time_ns=lambda: 0))
    path = ArticleFile().write(crawl, age=0)
    with running.session(crawl, db, settle=10.0) as session:
        scan = Scan(session)
        scan.reconcile()

        def is_waiting() -> bool:
            scan.queue_settled()
            scan.flush()
            return scan.count_waiting() == 1 and recorded(db) == {}

        for size in (1, 2, 3):
            now += 9.0
            assert is_waiting()
            os.truncate(path, size)
            assert is_waiting()
        now += 9.0
        assert is_waiting()
        now += 1.1
        assert not is_waiting()
    assert_holds(crawl, db)


def _wait_until_healthy(daemon: Daemon, db: Path) -> None:
    """The check succeeds once the daemon has reported with the new clock."""
    daemon.wait_until(lambda: spawn(db.parent, "-d", db, "status", "--check").out == "healthy\n", every=0.2)


def test_a_daemon_follows_files_while_the_clock_jumps(crawl: Path, db: Path, clock: Callable[[int], None]) -> None:
    bodies = set()

    def write(article: ArticleFile) -> Path:
        bodies.add(article.body)
        return article.write(crawl / article.aid[-1], article.aid + ".md", age=0)

    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.report().scans == 1)
        for round_, shift in enumerate((0, -HOUR, HOUR, -YEARS, 0, YEARS, -86_400)):
            clock(shift)
            time = f"2026-03-{round_ + 2:02d} 00:30:00"
            for n in range(3):
                write(ArticleFile(aid=f"{n:010d}", body=f"본문 {n} 이 {round_} 번째로 이어진다.", crawled_at=time))
            deleted = write(ArticleFile(aid=f"{10 + round_:010d}", body=f"새 본문 {round_} 이 이어진다.", crawled_at=time))
            daemon.wait_until(lambda: caught_up(crawl, db))
            deleted.unlink()
            daemon.wait_until(lambda: caught_up(crawl, db))
            _wait_until_healthy(daemon, db)
        report = daemon.report()
        assert (report.scans, report.restarts, report.overflows, report.degraded, report.unwatched) == (1, 0, 0, (), 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db, bodies)
    for n in range(3):
        history = running.history(db, ArticleFile(aid=f"{n:010d}").address)
        assert [r["revision"] for r in history["timeline"]] == [1, 2, 3, 4, 5, 6, 7]


def test_timed_scans_do_not_depend_on_the_wall_clock(crawl: Path, db: Path, clock: Callable[[int], None]) -> None:
    with watching(crawl, db, interval=0.2) as daemon:
        for shift in (0, -YEARS, HOUR, -HOUR):
            clock(shift)
            before = daemon.report().scans
            daemon.wait_until(lambda: daemon.report().scans > before + 2)  # noqa: B023
        assert daemon.leave() == 0


# Crawls at one time

_CUT_OFF = " Hier reißt es ab."


def _crawls_at_one_time() -> dict[str, list[ArticleFile]]:
    first = ArticleFile(body="본문이 한 문단으로 길게 이어진다. 그리고 더 이어진다.")
    second = replace(first, body="본문이 두 문단으로 길게 이어진다. 그리고 더 이어진다.")
    return {
        "other contents": [first, second, replace(first, title="다른 제목")],
        "the same content": [first, first, first],
        "the same content, other metadata": [first, replace(first, author="홍길동"), replace(first, publisher="새벽신문", category="사회")],
        "one has a wrong claim": [first, replace(second, claim="0" * 64), replace(first, claim="")],
        "one is truncated": [first, second, replace(second, body=second.body + _CUT_OFF)],
        "between others": [
            first,
            second,
            replace(first, body="앞의 본문이다.", crawled_at="2026-03-01 00:30:00"),
            replace(first, body="뒤의 본문이다.", crawled_at="2026-03-09 00:30:00"),
        ],
        "without crawl times": [replace(first, crawled_at=""), replace(second, crawled_at="")],
    }  # fmt: skip


@pytest.mark.parametrize("case", _crawls_at_one_time())
def test_crawls_of_one_page_at_one_time_give_one_history_in_any_order(tmp_path: Path, case: str) -> None:
    articles = _crawls_at_one_time()[case]
    dumps = []
    for order in (*itertools.permutations(range(len(articles))), None):
        folder = tmp_path / ("".join(map(str, order)) if order else "at once")
        for n in order or range(len(articles)):
            path = articles[n].write(folder / "crawl", f"{n}.md")
            if _CUT_OFF in articles[n].body:
                os.truncate(path, path.read_bytes().index(_CUT_OFF.encode()) + 5)
            os.utime(path, (1_772_000_000, 1_772_000_000))
            if order:
                running.scan(folder / "crawl", folder / "dedup.db")
        running.scan(folder / "crawl", folder / "dedup.db")
        assert_holds(folder / "crawl", folder / "dedup.db", {m.body.replace(_CUT_OFF, _CUT_OFF[:5]) for m in articles})
        dumps.append(running.dump(folder / "dedup.db"))
    assert all(dump == dumps[0] for dump in dumps)
    sightings = [row for row in dumps[0] if row["table"] == "sightings"]
    assert len(sightings) == len({(m.title, m.body, m.crawled_at) for m in articles})


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_daemon_gives_crawls_at_one_time_the_history_of_a_scan(crawl: Path, db: Path, order: Sequence[int]) -> None:
    articles = _crawls_at_one_time()["other contents"]
    with watching(crawl, db) as daemon:
        for n in order:
            articles[n].write(crawl, f"{n}.md", age=0)
            daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)
