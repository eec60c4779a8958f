"""The daemon as a process on a real directory with real inotify: it records new files, and ends with the same database as a scan."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from dedup import store
from dedup.daemon.watch import MAX_PATHS, ChangeQueue, Watcher
from dedup.daemon.watch.change_queue import topmost_folders
from dedup.pipeline.crawl_directories import CrawlDirectory
from dedup.store import open_database
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.daemon import assert_equals_scan, watching
from tests.builders.oracle import caught_up

pytestmark = pytest.mark.slow

_RNG = random.Random(17)


def _articles(number: int) -> list[ArticleFile]:
    return [ArticleFile(body=" ".join(words(_RNG, 40)), aid=f"{n:010d}", title=f"기사 {n}") for n in range(number)]


def test_old_and_new_files_give_the_same_database_as_a_scan(crawl: Path, db: Path) -> None:
    rng = random.Random(2)
    before, after = _articles(20), [replace(a, oid="902", body=" ".join(edit_words(rng, a.body.split(), 0.02))) for a in _articles(20)]
    for article in before:
        article.write(crawl)
    with watching(crawl, db) as daemon:
        assert daemon.recorded() == 20
        for n, article in enumerate(after):
            article.write(crawl / ["", "new", "new/deep", "다른"][n % 4], age=0)
        daemon.wait_until(lambda: daemon.recorded() == 40)
        assert daemon.leave() == 0
    assert_equals_scan(crawl, db)


@pytest.mark.system
def test_a_tree_that_is_moved_in_around_and_out_is_followed(crawl: Path, db: Path) -> None:
    outside = crawl.with_name("outside")
    for article in _articles(10):
        article.write(outside / "a" / "b")
    with watching(crawl, db) as daemon:
        outside.rename(crawl / "in")
        daemon.wait_until(lambda: daemon.recorded() == 10)
        (crawl / "in" / "a").rename(crawl / "moved")
        daemon.wait_until(lambda: {r["path"][:8] for r in running.dump(db, "files") if not r["gone"]} == {"moved/b/"})
        assert daemon.recorded() == 10
        (crawl / "moved").rename(outside)
        daemon.wait_until(lambda: daemon.recorded() == 0)
        assert daemon.leave() == 0
    with open_database(str(db)) as database:
        assert (store.statistics.count(database, "sightings"), store.statistics.count(database, "files", "gone = 1")) == (10, 20)


@pytest.mark.system
def test_overwriting_deleting_and_restoring_a_file_is_followed(crawl: Path, db: Path) -> None:
    article = _articles(1)[0]
    later = replace(article, body=article.body + " 덧붙임", crawled_at="2026-03-03 00:00:00")
    with watching(crawl, db) as daemon:
        path = article.write(crawl, "a.md", age=0)
        daemon.wait_until(lambda: daemon.recorded() == 1)
        later.write(crawl, "a.md", age=0)
        daemon.wait_until(lambda: len(running.dump(db, "revisions")) == 2)
        path.unlink()
        daemon.wait_until(lambda: daemon.recorded() == 0)
        later.write(crawl, "a.md", age=0)
        daemon.wait_until(lambda: daemon.recorded() == 1)
        daemon.leave()
    assert [c["to_revision"] for c in running.history(db, article.address)["changes"]] == [2]


@pytest.mark.system
def test_a_file_that_is_still_open_for_writing_is_not_recorded(crawl: Path, db: Path) -> None:
    article, other_article = _articles(2)
    text = article.render()
    with watching(crawl, db, settle=0.1) as daemon:
        with (crawl / "slow.md").open("w", encoding="utf-8") as writer:
            writer.write(text[:400])
            writer.flush()
            # The daemon records another file meanwhile, so it had the chance to record this one.
            other_article.write(crawl, age=0)
            daemon.wait_until(lambda: daemon.recorded() == 1)
            other_article.write(crawl, "again.md", age=0)
            daemon.wait_until(lambda: daemon.recorded() == 2)
            assert [r for r in running.dump(db, "files") if r["path"] == "slow.md"] == []
            writer.write(text[400:])
        daemon.wait_until(lambda: daemon.recorded() == 3)
        daemon.leave()
    assert {r["check_status"] for r in running.dump(db, "readings")} == {"verified"}


@pytest.mark.system
def test_a_crawl_directory_that_disappears_and_returns_loses_nothing(crawl: Path, db: Path) -> None:
    for article in _articles(5):
        article.write(crawl)
    with watching(crawl, db) as daemon:
        crawl.rename(crawl.with_name("away"))
        daemon.wait_for_log("nothing there was marked as gone")
        crawl.with_name("away").rename(crawl)
        late = replace(_articles(1)[0], aid="0000000099")
        late.write(crawl, age=0)
        daemon.wait_until(lambda: daemon.recorded() == 6)
        assert daemon.leave() == 0
    assert_equals_scan(crawl, db)


def test_sigint_exits_with_130_and_keeps_what_was_recorded(crawl: Path, db: Path) -> None:
    _articles(1)[0].write(crawl)
    with watching(crawl, db) as daemon:
        assert daemon.leave(signal.SIGINT) == 130
    assert len(running.dump(db, "files")) == 1


def test_each_line_of_the_json_log_is_an_object(crawl: Path, db: Path) -> None:
    with watching(crawl, db, "--format", "json") as daemon:
        (crawl / "\x1b[31m.md").write_text("no article", encoding="utf-8")
        daemon.wait_for_log("fault: ")
        assert daemon.leave() == 0
    lines = [json.loads(line) for line in daemon.log.decode().splitlines()]
    assert all(line.keys() == {"time", "level", "message"} for line in lines)
    assert [line["message"] for line in lines if "not_an_article" in line["message"] or "fault:" in line["message"]] == [
        f"fault: {crawl}/\\x1b[31m.md: the file does not begin with an article's header"
    ]
    assert b"\x1b" not in daemon.log


@pytest.mark.system
def test_a_daemon_killed_repeatedly_ends_with_the_same_database_as_a_scan(crawl: Path, db: Path) -> None:
    articles = _articles(60)
    for n in range(3):
        with watching(crawl, db) as daemon:
            for article in articles[n * 20 : n * 20 + 20]:
                article.write(crawl, age=0)
            daemon.wait_until(lambda before=n * 20: daemon.recorded() > before)  # type: ignore[misc]
            daemon.process.kill()
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.recorded() == 60)
        daemon.leave()
    assert_equals_scan(crawl, db)


@pytest.mark.system
def test_a_replaced_folder_and_its_replacement_are_both_followed(crawl: Path, db: Path) -> None:
    (crawl / "a" / "b").mkdir(parents=True)
    articles, away = iter(_articles(9)), crawl.with_name("away")
    with watching(crawl, db) as daemon:
        for n in range(3):
            daemon.process.send_signal(signal.SIGSTOP)  # the daemon receives the events after the folders exist
            (crawl / "a").rename(away)
            if n == 2:  # events of the folder outside must not be taken for events of the one inside
                (away / "b").rename(away / "c")
            (away / "b" / "d").mkdir(parents=n == 2)
            if n == 1:
                (crawl.with_name("fresh") / "b").mkdir(parents=True)
                crawl.with_name("fresh").rename(crawl / "a")
            else:
                (crawl / "a" / "b").mkdir(parents=True)
            daemon.process.send_signal(signal.SIGCONT)
            for _ in range(2):
                next(articles).write(crawl / "a" / "b", age=0)
                daemon.wait_until(lambda: caught_up(crawl, db))
            away.rename(crawl / f"back {n}")
            next(articles).write(crawl / f"back {n}" / "b" / "d", age=0)
            daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.scans, report.restarts, report.unwatched) == (1, 0, 0)


def test_pending_paths_collapse_to_folders_and_then_to_a_full_scan() -> None:
    book = ChangeQueue()
    for n in range(MAX_PATHS + 1):
        book.add_file(1, b"%d/%d.md" % (n % 7, n))
    notes = book.take_all()
    assert (notes.files, notes.full_scan_reason) == ({}, None)
    assert notes.folders == {1: {b"%d" % n for n in range(7)}}
    for n in range(MAX_PATHS + 1):
        book.add_file(1, b"%d/a.md" % n)
    assert book.take_all().full_scan_reason
    assert not book.take_all()


def test_only_the_topmost_pending_folders_are_scanned() -> None:
    assert topmost_folders({b"a/b/c", b"a", b"a/b", b"a-b", b"ab", b"c/d", b"c-d/e"}) == [b"a-b", b"a", b"ab", b"c-d/e", b"c/d"]
    assert topmost_folders({b"", b"a", b"\xff"}) == [b""]
    assert topmost_folders(set()) == []


def test_a_dead_observer_is_replaced_and_everything_is_scanned(tmp_path: Path) -> None:
    watcher = Watcher([CrawlDirectory(1, os.fsencode(tmp_path))])
    watcher.start()
    try:
        watcher.check()
        assert (watcher.restarts, bool(watcher.change_queue.take_all())) == (0, False)
        assert watcher._observation.observer is not None
        for emitter in watcher._observation.observer.emitters:
            emitter.stop()
            emitter.join()
        watcher.check()
        assert watcher.restarts == 1
        assert watcher.change_queue.take_all().full_scan_reason
        (tmp_path / "a.md").write_text("x")
        assert watcher.change_queue.wakeup.wait(10)
        shutil.rmtree(tmp_path)
    finally:
        watcher.close()
