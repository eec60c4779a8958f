"""The lock beside a database: it admits one writer, names its holder, and keeps the activity of a holder that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.errors import DatabaseBusyError, DatabaseUnreadableError
from dedup.store.lock import Lock, LockHolder, crashed_holder, current_holder

pytestmark = pytest.mark.slow

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


def hold_lock(db: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_and_its_activity_are_reported(db: Path) -> None:
    assert current_holder(str(db)) is None
    with hold_lock(db) as process:
        holder = current_holder(str(db))
        assert holder is not None
        assert f"'dedup watch' (process {process.pid}, since 20" in holder.description
        assert (holder.health_path, holder.activity) == ("/run/dedup/\udcff.health", "reading 기사\\ud800 of a batch")
        with pytest.raises(DatabaseBusyError, match=f"process {process.pid}"):
            Lock(str(db), "scan")
        assert crashed_holder(str(db)) is None
        process.communicate("")
    assert (current_holder(str(db)), crashed_holder(str(db))) == (None, None)
    lock = Lock(str(db), "scan")
    assert lock.previous_holder is None
    lock.release()


def test_a_killed_holder_is_remembered_until_the_next_one(db: Path) -> None:
    with hold_lock(db) as process:
        process.send_signal(signal.SIGKILL)
    assert current_holder(str(db)) is None
    crashed = crashed_holder(str(db))
    assert crashed is not None
    assert crashed.activity == "reading 기사\\ud800 of a batch"
    lock = Lock(str(db), "scan")
    assert lock.previous_holder == crashed
    lock.release()
    assert crashed_holder(str(db)) is None


_LOOK = """
import sys
from dedup.store.lock import crashed_holder, current_holder
print("looking", flush=True)
while True:
    current_holder(sys.argv[1]), crashed_holder(sys.argv[1])
"""


def test_reading_the_holder_does_not_block_a_writer(db: Path) -> None:
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


def test_a_database_has_one_lock_for_all_its_links(db: Path, tmp_path: Path) -> None:
    db.touch()
    (tmp_path / "link.db").symlink_to(db)
    (tmp_path / "linked").symlink_to(tmp_path)
    with hold_lock(db):
        for path in (tmp_path / "link.db", tmp_path / "linked" / db.name):
            assert current_holder(str(path)) == current_holder(str(db))
            with pytest.raises(DatabaseBusyError):
                Lock(str(path), "scan")


def test_a_long_activity_is_cut_and_a_shorter_one_replaces_it_fully(db: Path) -> None:
    lock = Lock(str(db), "scan")
    lock.set_activity("가" * 5000)
    holder = current_holder(str(db))
    assert holder is not None
    assert holder.activity.startswith("가가가")
    lock.set_activity("")
    assert current_holder(str(db)) == LockHolder(holder.description)
    lock.release()


def test_a_link_in_place_of_the_lock_is_not_followed(db: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    os.symlink(tmp_path / "mine", f"{db}.lock")
    with pytest.raises(DatabaseUnreadableError):
        Lock(str(db), "scan")
    assert (tmp_path / "mine").read_text() == "precious"
