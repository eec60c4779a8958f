"""Heartbeats from long work.

Code that works for long calls `beat` between units of work: two files, two comparisons, two blocks of a long text. The code that is
responsible for the work listens: the daemon notifies systemd and refreshes its health file. A beat means that work advanced. No timer
sends one, so work that hangs stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)
"""Each thread has its own listener: a request to the dashboard is no sign that the daemon's loop advances."""


def beat() -> None:
    """Report that a unit of work is done. Takes well under a microsecond without a listener."""
    listener = _listener.get()
    if listener is not None:
        listener()


@contextmanager
def listen_to_beats(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` at every beat of this thread. It must be quick, and must not change what the work uses."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def with_beats(items: Iterable[_T], interval: int = 1) -> Iterator[_T]:
    """Yield the items, with a beat after every `interval` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % interval == 0:
            beat()
