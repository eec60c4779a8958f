"""A progress bar on standard error: how many, how fast, how long still."""

from __future__ import annotations

import time
from typing import Any, Self


class Progress:
    """A bar while somebody watches; nothing at all where nobody does."""

    def __init__(self, what: str, unit: str, *, shown: bool) -> None:
        self.shown = shown
        self._what, self._unit = what, unit
        self._begun = time.monotonic()
        self._done = 0
        self._beside: dict[str, int] = {}
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self.shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            told = TextColumn("{task.fields[told]}", markup=False)
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                told,
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(self._what, total=None, told="")
            self._bar.start()
        return self

    def expect(self, total: int) -> None:
        """How many there will be, for the time left."""
        if self._bar is not None:
            self._bar.update(self._task, total=total)

    def update(self, done: int, beside: str = "") -> None:
        """So many are done."""
        self._done = done
        if self._bar is not None:
            rate = done / max(1e-9, time.monotonic() - self._begun)
            told = f"{done:,} {self._unit}  {rate:,.0f}/s" + (f"  {beside}" if beside else "")
            self._bar.update(self._task, completed=done, told=told)

    def stage(self, what: str) -> None:
        """Something else is done from now on, and there is no telling how much of it there is."""
        if self._bar is not None:
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(what, total=None, told="")

    def advance(self, by: int) -> None:
        """So many more are done."""
        self.update(self._done + by)

    def beside(self, what: str, by: int) -> None:
        """So many more of something else are done, which the bar does not count."""
        self._beside[what] = self._beside.get(what, 0) + by
        if self._bar is not None:
            self._bar.update(self._task, told=f"{self._beside[what]:,} {what}")

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
