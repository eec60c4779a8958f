"""`dedup.watch` yields what is recorded, in response to real events, and ends on request."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

import dedup
from dedup import library
from dedup.config import CrawlConfig, DatabaseConfig
from tests.builders.crawl import ArticleFile

pytestmark = pytest.mark.timeout(120)

FIRST = ArticleFile(aid="0000000001", body="The council voted to keep all six branch libraries open. " * 3 + "Nobody spoke against it.")
SECOND = ArticleFile(aid="0000000002", body="The harbour opens its automated berth in June, the port said. " * 3 + "Work goes on.")


@pytest.fixture
def settings(crawl: Path, db: Path) -> dedup.Settings:
    """Nothing but an event starts a scan after the first one."""
    own = CrawlConfig(directories=(str(crawl),), settle_seconds=0.0, scan_interval_seconds=86_400)
    return dedup.Settings(crawl=own, database=DatabaseConfig(path=str(db)))


def test_what_is_there_and_what_comes_is_handed_out(crawl: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        batch = next(batches)
        assert batch.new == batch.files
        assert [(f.path, f.url, f.outcome, f.check_status) for f in batch.files] == [
            (str(crawl / FIRST.name), FIRST.address, "new", "verified")
        ]
        assert (batch.sightings, batch.revisions, batch.faults, batch.changes) == (1, 1, (), ())

        copy = replace(FIRST, oid="902", publisher="새나루신문")
        copy.write(crawl / "new folder")
        batch = next(batches)
        assert [file.url for file in batch.new] == [copy.address]
        assert batch.matches == {"exact": 1, "near": 0, "copy": 0, "excerpt": 0, "quote": 0}


def test_an_edit_is_handed_out_as_the_command_lists_it(crawl: Path, settings: dedup.Settings) -> None:
    path = FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        next(batches)
        edited = replace(FIRST, body=FIRST.body.replace("six", "five"), crawled_at="2026-03-03 00:30:00")
        _replace(path, edited)
        batch = next(batches)
        assert [(file.path, file.outcome) for file in batch.changed] == [(str(path), "changed")]
        (change,) = batch.changes
        with dedup.open_database(settings=settings) as database:
            assert list(database.changes()) == [change]
        assert (change.url, change.kind, change.silent) == (FIRST.address, "substantive", True)


def test_faults_and_files_that_are_gone_are_handed_out(crawl: Path, settings: dedup.Settings) -> None:
    path = FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        next(batches)
        (crawl / "empty.md").touch()
        os.utime(crawl / "empty.md", (0, 0))
        batch = next(batches)
        assert [(fault.path, fault.kind) for fault in batch.faults] == [(str(crawl / "empty.md"), "empty")]
        path.unlink()
        batch = next(batches)
        assert (batch.gone, batch.files, batch.faults) == (1, (), ())


def test_batches_convert_to_json_and_back(crawl: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        batch = next(batches)
    assert library.WatchBatch.from_dict(batch.to_dict()) == batch


def test_closing_releases_the_database_and_ends_the_threads(crawl: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    threads = set(threading.enumerate())
    with dedup.watch(settings) as batches:
        next(batches)
        with pytest.raises(dedup.DatabaseBusyError, match="'dedup watch'"):
            dedup.scan(settings)
        with pytest.raises(dedup.DatabaseBusyError):
            dedup.watch(settings)
        SECOND.write(crawl)
        assert [file.url for file in next(batches).new] == [SECOND.address]
    assert list(batches) == []
    batches.close()
    assert {thread for thread in threading.enumerate() if thread.name == "dedup-watch"} <= threads
    assert dedup.scan(settings).unchanged == 2


def test_another_thread_can_end_the_loop(crawl: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    batches = dedup.watch(settings)
    received: list[library.WatchBatch] = []
    first_received = threading.Event()

    def read() -> None:
        for batch in batches:
            received.append(batch)
            first_received.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert first_received.wait(60)
    batches.stop()
    reader.join(60)
    assert not reader.is_alive()
    batches.close()
    assert len(received) == 1


def test_a_signal_handler_can_end_the_loop(crawl: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    batches = dedup.watch(settings)
    previous = signal.signal(signal.SIGUSR1, lambda *_: batches.stop())
    try:
        next(batches)
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start()
        assert list(batches) == []
    finally:
        signal.signal(signal.SIGUSR1, previous)
        batches.close()


def test_errors_of_opening_are_raised_by_the_call(crawl: Path, db: Path) -> None:
    with pytest.raises(dedup.errors.NoDirectoryError):
        dedup.watch(database=db)
    with pytest.raises(dedup.errors.DatabaseInsideError):
        dedup.watch(directories=[crawl], database=crawl / "dedup.db")


def test_a_slow_loop_loses_nothing(crawl: Path, settings: dedup.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Far more batches than may wait are made before the first is taken."""
    monkeypatch.setattr("dedup.library.watching.MAX_WAITING_BATCHES", 1)
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 1)
    articles = [replace(FIRST, aid=f"{number:010}") for number in range(8)]
    for article in articles:
        article.write(crawl)
    with dedup.watch(settings) as batches:
        urls = [file.url for _ in articles for file in next(batches).new]
    assert sorted(urls) == sorted(article.address for article in articles)


def test_closing_while_batches_wait_does_not_block(crawl: Path, settings: dedup.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.library.watching.MAX_WAITING_BATCHES", 1)
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 1)
    for number in range(4):
        replace(FIRST, aid=f"{number:010}").write(crawl)
    with dedup.watch(settings) as batches:
        next(batches)
    result = dedup.scan(settings)
    assert (result.files, result.faults) == (4, 0)


def test_the_loop_goes_on_when_the_log_of_the_database_was_removed(crawl: Path, db: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        next(batches)
        db.with_name("dedup.db-wal").unlink()
        SECOND.write(crawl)
        assert [file.url for file in next(batches).new] == [SECOND.address]
    assert dedup.scan(settings).unchanged == 2


def test_an_error_that_ends_the_work_is_raised_by_the_loop(crawl: Path, db: Path, settings: dedup.Settings) -> None:
    FIRST.write(crawl)
    with dedup.watch(settings) as batches:
        next(batches)
        shutil.copy(db, db.with_name("copy.db"))
        db.with_name("copy.db").rename(db)
        with pytest.raises(dedup.errors.DatabaseReplacedError):
            next(batches)
        assert list(batches) == []


def test_systemd_is_not_notified(crawl: Path, settings: dedup.Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket belongs to the program that imports dedup."""
    FIRST.write(crawl)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notified:
        notified.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with dedup.watch(settings) as batches:
            next(batches)
        with pytest.raises(BlockingIOError):
            notified.recv(4096)


def _replace(path: Path, article: ArticleFile) -> None:
    """Replace a file at once, as a careful crawler does."""
    article.write(path.parent.parent, "finished.tmp").rename(path)
