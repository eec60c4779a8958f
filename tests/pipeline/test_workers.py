"""Extraction in other processes gives the same results for any number of them, and loses nothing when one dies or hangs."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dedup.config import Settings
from dedup.pipeline import workers
from dedup.pipeline.extract import CrawlFile, extract_files
from dedup.pipeline.session import build_extract_options
from dedup.pipeline.workers import WorkerPool
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words

pytestmark = pytest.mark.slow

OPTIONS = build_extract_options(Settings())


@pytest.fixture(autouse=True)
def _always_use_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_FILES_FOR_PROCESSES", 0)


def files_in(folder: Path, number: int) -> list[CrawlFile]:
    rng = random.Random(2)
    story = words(rng, 60)
    paths = [ArticleFile(body=" ".join(edit_words(rng, story, 0.05)), aid=f"{n:010}").write(folder) for n in range(number)]
    (folder / "bad.md").write_bytes(b"\xff\xfe\xff")
    return [
        CrawlFile(1, os.fsencode(folder), b"", os.fsencode(p.name), FileStamp(0, 0, 0, 0))
        for p in (*paths, folder / "bad.md", folder / "none.md")
    ]


@pytest.mark.system
@pytest.mark.parametrize("number", [1, 2, 3])
def test_results_are_the_same_and_in_order_for_any_number_of_processes(crawl: Path, number: int) -> None:
    files = files_in(crawl, 40)
    pool = WorkerPool(OPTIONS, number)
    for start in range(0, len(files), 5):
        pool.submit(files[start : start + 5])
    extractions = [e for _ in range(len(pool)) for e in pool.take_oldest(threading.Event())]
    assert len(pool._processes) == (number if number > 1 else 0)
    pool.close()
    assert extractions == extract_files(files, OPTIONS)
    assert [e.outcome for e in extractions][-3:] == ["article", "fault", "vanished"]


def test_no_process_is_started_for_a_few_files(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_FILES_FOR_PROCESSES", 1000)
    pool = WorkerPool(OPTIONS, 2)
    pool.submit(files_in(crawl, 3))
    assert len(pool.take_oldest(threading.Event())) == 5
    assert pool._processes == []


@pytest.mark.system
def test_files_of_a_process_that_died_are_read_again(crawl: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = files_in(crawl, 10)
    pool = WorkerPool(OPTIONS, 2)
    for _ in range(2):
        pool.submit(files)
        assert len(pool.take_oldest(threading.Event())) == len(files)
    for process in pool._processes:
        process.kill()
        process.wait()
    for _ in range(4):
        pool.submit(files)
    with caplog.at_level(logging.WARNING, "dedup"):
        extractions = [pool.take_oldest(threading.Event()) for _ in range(4)]
    assert extractions == [extract_files(files, OPTIONS)] * 4
    assert "a worker process died" in caplog.text
    pool.close()


def test_a_hanging_process_does_not_delay_a_stop(crawl: Path) -> None:
    files = files_in(crawl, 10)
    pool = WorkerPool(OPTIONS, 2)
    for _ in range(4):
        pool.submit(files)
    for _ in range(4):
        pool.take_oldest(threading.Event())
    for process in pool._processes:
        process.send_signal(signal.SIGSTOP)
    for _ in range(4):
        pool.submit(files)
    stop = threading.Event()
    stop.set()
    assert pool.take_oldest(stop, patience_seconds=0.2) == []
    assert len(pool) == 0
    processes = list(pool._processes)
    pool.close()
    assert all(p.returncode is not None for p in processes)


def test_a_file_that_the_program_fails_on_is_a_fault_with_a_logged_traceback(crawl: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = [CrawlFile(1, b"a\0b", b"", b"null.md", FileStamp(0, 0, 0, 0)), *files_in(crawl, 3)]
    pool = WorkerPool(OPTIONS, 2)
    pool.submit(files)
    try:
        with caplog.at_level(logging.ERROR, "dedup"):
            extractions = pool.take_oldest(threading.Event())
    finally:
        pool.close()
    assert [e.outcome for e in extractions] == ["fault", "article", "article", "article", "fault", "vanished"]
    assert [f.kind for f in extractions[0].faults] == ["internal"]
    assert "Traceback" in "".join(r.exc_text or r.getMessage() for r in caplog.records)


_DEADLY = """
import os, signal
from dedup import formats

read_article = formats.read_article

def deadly(name, raw, options):
    if b"deadly" in raw:
        os.kill(os.getpid(), signal.SIGSEGV)
    return read_article(name, raw, options)

formats.read_article = deadly
"""


@pytest.mark.system
def test_a_file_that_kills_every_process_is_a_fault_and_the_others_are_read(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a library written in C may kill a process like this."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    files = files_in(crawl, 6)
    ArticleFile(body="deadly").write(crawl, "deadly.md")
    files.insert(3, CrawlFile(1, os.fsencode(crawl), b"", b"deadly.md", FileStamp(0, 0, 0, 0)))
    pool = WorkerPool(OPTIONS, 2)
    pool.submit(files)
    try:
        extractions = pool.take_oldest(threading.Event())
    finally:
        pool.close()
    assert [e.file.name for e in extractions] == [f.name for f in files]
    assert [e for e in extractions if e.file.name != b"deadly.md"] == extract_files([f for f in files if f.name != b"deadly.md"], OPTIONS)
    (fault,) = extractions[3].faults
    assert fault.kind == "internal"
    assert "signal 11" in fault.message


@pytest.mark.system
def test_processes_end_when_their_parent_is_killed(crawl: Path) -> None:
    files_in(crawl, 10)
    program = f"""
import os, threading, time
from dedup.pipeline import workers
from tests.pipeline.test_workers import OPTIONS, files_in
from pathlib import Path
workers.MIN_FILES_FOR_PROCESSES = 0
pool = workers.WorkerPool(OPTIONS, 2)
files = files_in(Path({str(crawl)!r}), 3)
for _ in range(4):
    pool.submit(files)
for _ in range(4):
    pool.take_oldest(threading.Event())
print(*(p.pid for p in pool._processes), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(p) for p in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "an orphan is still running"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.system
def test_a_scan_gives_the_same_database_with_any_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.pipeline.scanner.BATCH_FILES", 7)
    files_in(tmp_path / "crawl", 60)
    dumps = []
    for number in (1, 2, 5):
        running.scan(tmp_path / "crawl", tmp_path / f"{number}.db", workers=number)
        dumps.append(running.dump(tmp_path / f"{number}.db"))
    assert dumps[0] == dumps[1] == dumps[2]
    assert len(dumps[0]) > 200
