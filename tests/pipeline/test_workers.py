"""Examining in other processes: the same results, whatever their number, and nothing lost when one dies or hangs."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dedup.config import Settings
from dedup.scan import workers
from dedup.scan.extract import CrawlFile, extract_files
from dedup.scan.session import build_extract_options
from dedup.scan.workers import WorkerPool
from dedup.store.rows import FileStamp
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edited, words

OPTIONS = build_extract_options(Settings())


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_FILES_FOR_PROCESSES", 0)


def founds(folder: Path, number: int) -> list[CrawlFile]:
    rng = __import__("random").Random(2)
    story = words(rng, 60)
    made = [ArticleFile(body=" ".join(edited(rng, story, 0.05)), aid=f"{n:010}").write(folder) for n in range(number)]
    (folder / "bad.md").write_bytes(b"\xff\xfe\xff")
    return [
        CrawlFile(1, os.fsencode(folder), b"", os.fsencode(p.name), FileStamp(0, 0, 0, 0))
        for p in (*made, folder / "bad.md", folder / "none.md")
    ]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_results_are_the_same_and_in_order_however_many_there_are(crawl: Path, number: int) -> None:
    those = founds(crawl, 40)
    examiners = WorkerPool(OPTIONS, number)
    for start in range(0, len(those), 5):
        examiners.submit(those[start : start + 5])
    found = [e for _ in range(len(examiners)) for e in examiners.take_oldest(threading.Event())]
    assert len(examiners._processes) == (number if number > 1 else 0)
    examiners.close()
    assert found == extract_files(those, OPTIONS)
    assert [e.outcome for e in found][-3:] == ["article", "fault", "vanished"]


def test_a_process_is_not_started_for_few_files(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "MIN_FILES_FOR_PROCESSES", 1000)
    examiners = WorkerPool(OPTIONS, 2)
    examiners.submit(founds(crawl, 3))
    assert len(examiners.take_oldest(threading.Event())) == 5
    assert examiners._processes == []


def test_what_a_process_that_died_was_reading_is_read_again(crawl: Path, caplog: pytest.LogCaptureFixture) -> None:
    those = founds(crawl, 10)
    examiners = WorkerPool(OPTIONS, 2)
    for _ in range(2):
        examiners.submit(those)
        assert len(examiners.take_oldest(threading.Event())) == len(those)
    for process in examiners._processes:
        process.kill()
        process.wait()
    for _ in range(4):
        examiners.submit(those)
    with caplog.at_level(logging.WARNING, "dedup"):
        found = [examiners.take_oldest(threading.Event()) for _ in range(4)]
    assert found == [extract_files(those, OPTIONS)] * 4
    assert "a process that reads files died" in caplog.text
    examiners.close()


def test_one_that_hangs_does_not_keep_the_program_from_stopping(crawl: Path) -> None:
    those = founds(crawl, 10)
    examiners = WorkerPool(OPTIONS, 2)
    for _ in range(4):
        examiners.submit(those)
    for _ in range(4):
        examiners.take_oldest(threading.Event())
    for process in examiners._processes:
        process.send_signal(signal.SIGSTOP)
    for _ in range(4):
        examiners.submit(those)
    stop = threading.Event()
    stop.set()
    assert examiners.take_oldest(stop, patience_seconds=0.2) == []
    assert len(examiners) == 0
    processes = list(examiners._processes)
    examiners.close()
    assert all(p.returncode is not None for p in processes)


def test_a_file_that_the_program_fails_on_is_a_fault_and_its_traceback_is_logged_here(
    crawl: Path, caplog: pytest.LogCaptureFixture
) -> None:
    those = [CrawlFile(1, b"a\0b", b"", b"null.md", FileStamp(0, 0, 0, 0)), *founds(crawl, 3)]
    examiners = WorkerPool(OPTIONS, 2)
    examiners.submit(those)
    try:
        with caplog.at_level(logging.ERROR, "dedup"):
            found = examiners.take_oldest(threading.Event())
    finally:
        examiners.close()
    assert [e.outcome for e in found] == ["fault", "article", "article", "article", "fault", "vanished"]
    assert [f.kind for f in found[0].faults] == ["internal"]
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


def test_a_file_that_ends_every_process_is_a_fault_and_the_others_are_read(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes run code that dies of it, as a library written in C may."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(_DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    those = founds(crawl, 6)
    ArticleFile(body="deadly").write(crawl, "deadly.md")
    those.insert(3, CrawlFile(1, os.fsencode(crawl), b"", b"deadly.md", FileStamp(0, 0, 0, 0)))
    examiners = WorkerPool(OPTIONS, 2)
    examiners.submit(those)
    try:
        found = examiners.take_oldest(threading.Event())
    finally:
        examiners.close()
    assert [e.file.name for e in found] == [f.name for f in those]
    assert [e for e in found if e.file.name != b"deadly.md"] == extract_files([f for f in those if f.name != b"deadly.md"], OPTIONS)
    (fault,) = found[3].faults
    assert fault.kind == "internal"
    assert "signal 11" in fault.message


def test_processes_end_when_their_parent_is_killed(crawl: Path) -> None:
    founds(crawl, 10)
    program = f"""
import os, threading, time
from dedup.scan import workers
from tests.pipeline.test_workers import OPTIONS, founds
from pathlib import Path
workers.MIN_FILES_FOR_PROCESSES = 0
examiners = workers.WorkerPool(OPTIONS, 2)
those = founds(Path({str(crawl)!r}), 3)
for _ in range(4):
    examiners.submit(those)
for _ in range(4):
    examiners.take_oldest(threading.Event())
print(*(p.pid for p in examiners._processes), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(p) for p in parent.stdout.readline().split()]
        assert len(pids) == 2
        parent.kill()
    deadline = time.monotonic() + 30
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "an orphan is left"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_scan_gives_the_same_database_with_any_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.scan.scanner.BATCH_FILES", 7)
    founds(tmp_path / "crawl", 60)
    dumps = []
    for number in (1, 2, 5):
        running.scan(tmp_path / "crawl", tmp_path / f"{number}.db", workers=number)
        dumps.append(running.dump(tmp_path / f"{number}.db"))
    assert dumps[0] == dumps[1] == dumps[2]
    assert len(dumps[0]) > 200
