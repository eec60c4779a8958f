"""Processes under test: their state, their children, and a way to run one with parts replaced."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from dedup.store.lock import crashed_holder, current_holder

_PATCHED = """
import sys
exec(sys.argv[1])
sys.argv = ["dedup", *sys.argv[5:]]
from dedup.cli import main
main()
"""


def patched_command(program: str) -> tuple[str, ...]:
    """Return a command prefix for `python -m dedup …` that executes these lines of Python first, in the same process."""
    return sys.executable, "-c", _PATCHED, program


def children(process: int) -> list[int]:
    """Return the living child processes."""
    processes: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            processes += map(int, task.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(p for p in processes if alive(p))


def alive(process: int) -> bool:
    """Whether a process exists and is not a zombie."""
    return state(process) not in ("", "Z", "X")


def state(process: int) -> str:
    """Return the state letter of proc(5), or an empty string if there is no such process."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def current_activity(db: Path) -> str:
    """Return the current activity of the process that holds the database, or the last one of a killed holder."""
    holder = current_holder(str(db)) or crashed_holder(str(db))
    return holder.activity if holder else ""
