"""Signs of life from within long work.

Whoever does a piece of work calls `beat` between its units: between two files, two comparisons, two blocks of a long text. Whoever is
responsible for the work listens: the daemon reports to systemd and refreshes its health file. A beat says that work advanced; no timer
sends one, so that a piece of work that hangs stays silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

_T = TypeVar("_T")

_listener: ContextVar[Callable[[], None] | None] = ContextVar("listener", default=None)
"""Each thread has its own: work of a request to the dashboard is no sign of life of the daemon's loop."""


def beat() -> None:
    """Report that a unit of work is done. Takes well under a microsecond where nobody listens."""
    listener = _listener.get()
    if listener is not None:
        listener()


@contextmanager
def listen_to_beats(listener: Callable[[], None]) -> Iterator[None]:
    """Call `listener` at every beat of this thread. It must be quick, and must not touch what the work is about."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def with_beats(items: Iterable[_T], interval: int = 1) -> Iterator[_T]:
    """The items, with a beat after each `interval` of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % interval == 0:
            beat()
