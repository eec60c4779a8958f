"""The daemon's messages to systemd, the journal and monitors, and its knowledge of a killed predecessor."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.daemon.systemd import notify_systemd
from dedup.reports import status
from dedup.store import open_writable
from tests.builders.command import command, run
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching

pytestmark = pytest.mark.slow


def receive_states(sock: socket.socket) -> set[str]:
    states = set()
    while True:
        try:
            states |= set(sock.recv(65536, socket.MSG_DONTWAIT).decode().split("\n"))
        except BlockingIOError:
            return states


@pytest.mark.system
@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_receives_ready_then_watchdog_then_stopping(crawl: Path, db: Path, abstract: bool) -> None:
    for n in range(1500):
        ArticleFile(aid=f"{n:010d}").write(crawl)
    address = f"\0dedup-test-{os.getpid()}" if abstract else str(db.with_name("notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        with watching(crawl, db, env={"NOTIFY_SOCKET": address.replace("\0", "@")}, until=None) as daemon:
            daemon.wait_until(lambda: "READY=1" in receive_states(sock))
            assert daemon.recorded() == 1500
            daemon.wait_until(lambda: "WATCHDOG=1" in receive_states(sock))
            assert daemon.leave() == 0
        assert "STOPPING=1" in receive_states(sock)


def test_without_systemd_nothing_is_sent_and_a_missing_socket_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    notify_systemd("READY=1")


_AS_IN_THE_JOURNAL = """
import os, sys
found = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{found.st_dev}:{found.st_ino}"
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_log_lines_for_the_journal_have_priorities_and_no_times(crawl: Path, db: Path) -> None:
    with watching(crawl, db, under=(sys.executable, "-c", _AS_IN_THE_JOURNAL)) as daemon:
        (crawl / "torn.md").write_text("no article")
        daemon.wait_for_log("fault: ")
        assert daemon.leave() == 0
    lines = daemon.log.decode().splitlines()
    assert all(re.match(r"<[2-7]>[a-z]", line) for line in lines), lines
    assert not any(re.search(r"\d\d:\d\d:\d\d", line) for line in lines), lines


def test_log_lines_for_a_terminal_or_a_file_have_times(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        assert daemon.leave() == 0
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [A-Z]+ ", line) for line in daemon.log.decode().splitlines())


_KILLED_AT_WORK = """
import os, signal, sys
from pathlib import Path
from dedup.pipeline import scanner
from tests.builders import scans as running
scanner.record_extractions = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
running.scan(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_the_activity_of_a_killed_process_is_reported(crawl: Path, db: Path, tmp_path: Path) -> None:
    path = ArticleFile().write(crawl)
    with open_writable(str(db), "scan"):
        pass
    process = subprocess.run([sys.executable, "-c", _KILLED_AT_WORK, str(crawl), str(db)], check=False, timeout=60)
    assert process.returncode == -signal.SIGKILL
    writer = run(tmp_path, "-d", db, "status", "-f", "json").json()["killed_writer"]
    assert "'dedup test' (process" in writer["holder"]
    assert str(path) in writer["activity"]
    result = run(tmp_path, "-d", db, "scan", str(crawl))
    assert result.code == 0
    assert f"was killed while recording 1 files, starting with {path}" in result.err
    assert run(tmp_path, "-d", db, "status", "-f", "json").json()["killed_writer"] is None


@pytest.mark.system
def test_the_exit_code_of_status_check_reports_whether_the_daemon_is_healthy(crawl: Path, db: Path, tmp_path: Path) -> None:
    ArticleFile().write(crawl)
    assert run(tmp_path, "-d", db, "status", "--check").code == 3  # no database
    assert run(tmp_path, "-d", db, "scan", str(crawl)).code == 0
    without_daemon = run(tmp_path, "-d", db, "status", "--check")
    assert (without_daemon.code, without_daemon.out) == (1, "no daemon is running\n")
    with open_writable(str(db), "scan"):
        busy = run(tmp_path, "-d", db, "status", "--check")
        assert (busy.code, "no daemon is running; 'dedup scan'" in busy.out) == (1, True)
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.problems() == [])
        well = run(tmp_path, "-d", db, "status", "--check")
        assert (well.code, well.out) == (0, "healthy\n")
        assert run(tmp_path, "-d", db, "status", "--check", "-f", "json").json() == {"healthy": True, "problems": []}
        crawl.rename(crawl.with_name("away"))
        daemon.wait_until(lambda: daemon.degraded("absent"))
        ill = run(tmp_path, "-d", db, "status", "--check")
        assert (ill.code, "degraded since" in ill.out, str(crawl) in ill.out) == (1, True, True)
        daemon.process.kill()
    dead = run(tmp_path, "-d", db, "status", "--check")
    assert (dead.code, "was killed" in dead.out) == (1, True)


def test_an_old_or_missing_health_report_is_a_problem(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.problems() == [])
        daemon.process.send_signal(signal.SIGSTOP)  # the daemon hangs
        current = status.daemon_status(str(db))
        assert current.writer is not None
        assert current.health is not None
        late = status.DaemonStatus(current.writer, None, current.health, 61.0)
        assert status.find_problems(late) == [f"{current.writer.description} has not reported for 61 seconds"]
        Path(current.writer.health_path).unlink()
        assert "has not reported in" in daemon.problems()[0]


@pytest.mark.system
def test_a_file_unsettled_at_the_first_scan_is_counted_later(crawl: Path, db: Path, tmp_path: Path) -> None:
    path = ArticleFile().write(crawl)
    with open(path, "ab") as file, watching(crawl, db) as daemon:
        last = run(tmp_path, "-d", db, "status", "-f", "json").json()["last_scan"]
        file.close()
        daemon.wait_until(lambda: daemon.recorded() == 1)
        daemon.wait_until(lambda: daemon.report().counts["new"] == 1)
        counts = daemon.report().counts
        assert counts["files"] == counts["new"] + counts["unchanged"], "closing the file is an event too"
        assert daemon.leave() == 0
    assert (last["files"], last["unsettled"]) == (1, 1)


@pytest.mark.system
def test_the_counts_of_status_add_up_and_can_be_followed(crawl: Path, db: Path, tmp_path: Path) -> None:
    for n in range(3):
        ArticleFile(aid=f"{n:010d}").write(crawl)
    (crawl / "torn.md").write_text("no article")
    (crawl / "empty.md").write_text("")
    (crawl / "notes.txt").write_text("")
    ArticleFile(aid="0000000008", published_at="gestern").write(crawl)  # an article that also has a fault
    for path in crawl.iterdir():
        os.utime(path, (1, 1))
    with watching(crawl, db, settle=0.0) as daemon:
        ArticleFile(aid="0000000009").write(crawl, age=0)
        daemon.wait_until(lambda: daemon.recorded() == 5)
        daemon.wait_until(lambda: daemon.report().counts["new"] == 5)
        output = run(tmp_path, "-d", db, "status", "-f", "json").json()
        with subprocess.Popen(
            command("-d", db, "status", "--follow", "--interval", "0.2"), stdout=subprocess.PIPE, text=True, cwd=tmp_path
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(3)]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
        assert daemon.leave() == 0
    counts, last = output["daemon"]["counts"], output["last_scan"]
    assert (
        counts["files"]
        == counts["new"]
        + counts["changed"]
        + counts["moved"]
        + counts["unchanged"]
        + counts["ignored"]
        + counts["faults"]
        + counts["unsettled"]
    )
    assert (counts["new"], counts["faults"], counts["ignored_by"]) == (5, 2, {"pattern": 1})
    assert last["faults_by"] == {"empty": 1, "not_an_article": 1}
    assert sum(last["faults_by"].values()) == last["faults"]
    assert all(line.startswith("watching: ") and "= 5 recorded" in line for line in lines), lines
