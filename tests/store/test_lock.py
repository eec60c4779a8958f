"""The lock beside a database: one writer, who says what they do, and of whom something is left when they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.errors import DatabaseBusyError, DatabaseUnreadableError
from dedup.store.lock import Lock, LockHolder, crashed_holder, current_holder

_HOLD = """
import sys
from dedup.store.lock import Lock
lock = Lock(sys.argv[1], "watch")
lock.set_health_path("/run/dedup/\\udcff.health")
lock.set_activity("reading 기사\\ud800 of a batch")
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


def _holding(db: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_who_holds_it_is_told_with_what_they_do(db: Path) -> None:
    assert current_holder(str(db)) is None
    with _holding(db) as process:
        found = current_holder(str(db))
        assert found is not None
        assert f"'dedup watch' (process {process.pid}, since 20" in found.description
        assert (found.health_path, found.activity) == ("/run/dedup/\udcff.health", "reading 기사\\ud800 of a batch")
        with pytest.raises(DatabaseBusyError, match=f"process {process.pid}"):
            Lock(str(db), "scan")
        assert crashed_holder(str(db)) is None
        process.communicate("")
    assert (current_holder(str(db)), crashed_holder(str(db))) == (None, None)
    lock = Lock(str(db), "scan")
    assert lock.previous_holder is None
    lock.release()


def test_of_one_who_was_killed_word_is_left_until_the_next_comes(db: Path) -> None:
    with _holding(db) as process:
        process.send_signal(signal.SIGKILL)
    assert current_holder(str(db)) is None
    left = crashed_holder(str(db))
    assert left is not None
    assert left.activity == "reading 기사\\ud800 of a batch"
    lock = Lock(str(db), "scan")
    assert lock.previous_holder == left
    lock.release()
    assert crashed_holder(str(db)) is None


_LOOK = """
import sys
from dedup.store.lock import crashed_holder, current_holder
print("looking", flush=True)
while True:
    current_holder(sys.argv[1]), crashed_holder(sys.argv[1])
"""


def test_whoever_looks_who_holds_it_keeps_nobody_from_taking_it(db: Path) -> None:
    Lock(str(db), "scan").release()
    with subprocess.Popen([sys.executable, "-c", _LOOK, str(db)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            for _ in range(5_000):
                Lock(str(db), "scan").release()
            assert process.poll() is None
        finally:
            process.kill()


def test_it_is_one_lock_by_whatever_link_the_database_is_reached(db: Path, tmp_path: Path) -> None:
    db.touch()
    (tmp_path / "link.db").symlink_to(db)
    (tmp_path / "linked").symlink_to(tmp_path)
    with _holding(db):
        for other in (tmp_path / "link.db", tmp_path / "linked" / db.name):
            assert current_holder(str(other)) == current_holder(str(db))
            with pytest.raises(DatabaseBusyError):
                Lock(str(other), "scan")


def test_long_words_are_cut_and_short_ones_leave_nothing_of_them(db: Path) -> None:
    lock = Lock(str(db), "scan")
    lock.set_activity("가" * 5000)
    found = current_holder(str(db))
    assert found is not None
    assert found.activity.startswith("가가가")
    lock.set_activity("")
    assert current_holder(str(db)) == LockHolder(found.description)
    lock.release()


def test_a_link_planted_in_its_place_is_not_followed(db: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    os.symlink(tmp_path / "mine", f"{db}.lock")
    with pytest.raises(DatabaseUnreadableError):
        Lock(str(db), "scan")
    assert (tmp_path / "mine").read_text() == "precious"
