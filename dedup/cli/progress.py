"""A progress bar on standard error: count, rate and time left."""

from __future__ import annotations

import time
from typing import Any, Self


class ProgressBar:
    """A progress bar. With `is_shown=False` all methods do nothing."""

    def __init__(self, title: str, unit: str, *, is_shown: bool) -> None:
        self.is_shown = is_shown
        self._title, self._unit = title, unit
        self._started = time.monotonic()
        self._done = 0
        self._other_counts: dict[str, int] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self.is_shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            status_column = TextColumn("{task.fields[status]}", markup=False)
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                status_column,
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(self._title, total=None, status="")
            self._bar.start()
        return self

    def expect(self, total: int) -> None:
        """Set the total, from which the time left is estimated."""
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def update(self, done: int, note: str = "") -> None:
        """Set the number done, and show `note` next to it."""
        self._done = done
        if self._bar is not None:
            rate = done / max(1e-9, time.monotonic() - self._started)
            status = f"{done:,} {self._unit}  {rate:,.0f}/s" + (f"  {note}" if note else "")
            self._bar.update(self._task, completed=done, status=status)

    def stage(self, title: str) -> None:
        """Start another stage, of unknown length."""
        if self._bar is not None:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(title, total=None, status="")

    def advance(self, count: int) -> None:
        """Add `count` to the number done."""
        self.update(self._done + count)

    def count_other(self, label: str, count: int) -> None:
        """Add `count` to a secondary counter that is shown but does not move the bar."""
        self._other_counts[label] = self._other_counts.get(label, 0) + count
        if self._bar is not None:
            self._bar.update(self._task, status=f"{self._other_counts[label]:,} {label}")

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
