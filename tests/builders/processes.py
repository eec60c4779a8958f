"""Processes under test: their children, their last word, and running one with part of it replaced."""

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


def patched(program: str) -> tuple[str, ...]:
    """What runs a `python -m dedup …` in one process with these lines of Python, which come first."""
    return sys.executable, "-c", _PATCHED, program


def children(process: int) -> list[int]:
    """The processes that it has started and that are there."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(p for p in found if alive(p))


def alive(process: int) -> bool:
    """Whether it is there, and not only its exit code."""
    return state(process) not in ("", "Z", "X")


def state(process: int) -> str:
    """The letter that proc(5) has for what it does; empty: it is not there."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def until(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Look again and again."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def doing(db: Path) -> str:
    """What the process that holds the database says that it does; or said last, if it was killed."""
    found = current_holder(str(db)) or crashed_holder(str(db))
    return found.activity if found else ""
