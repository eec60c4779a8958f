"""What the daemon does while nothing waits: sum up what was recorded, then let search reach further."""

from __future__ import annotations

import time
from collections.abc import Callable

from dedup.ingest import Session, summaries
from dedup.search import Search

MOMENT = 0.2
"""Seconds of a round that go to it."""
SUMMED = 500
"""Pages that are summed up at once, with all that chains of matches connect with them."""
LONG = 1.0
"""Seconds of one piece of summing up from which it rests afterwards: what is connected can be a series of a hundred thousand."""
REST = 9
"""So many times as long as that piece took."""


class Idle:
    """The idle work of a daemon. `busy`: files wait, or it is to leave; `leave`: it is to leave. A file that comes meanwhile waits until
    the piece in hand is done, and summing up has no more than a tenth of the time where its pieces are long."""

    def __init__(
        self, session: Session, busy: Callable[[], bool], leave: Callable[[], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._busy, self._leave, self._clock = session, busy, leave, clock
        self._search = Search(session.store) if session.settings.search.index else None
        self._rests_until = float("-inf")

    def work(self) -> bool:
        """For a moment; whether there is more to do at once."""
        until = self._clock() + MOMENT
        if not self._session.store.is_free():  # it can wait; nobody is told that it does
            return False
        while not self._busy():
            left = until - self._clock()
            if left <= 0:
                return True
            if not self._summed_up():
                return self._search is not None and self._search.fill(left, stop=self._busy).left > 0
        return False

    def _summed_up(self) -> int:
        begun = self._clock()
        if begun < self._rests_until:
            return 0
        number = summaries.work_off(self._session.store, self._session.settings, SUMMED, self._leave)
        now = self._clock()
        if now - begun > LONG:
            self._rests_until = now + REST * (now - begun)
        return number

    def close(self) -> None:
        if self._search is not None:
            self._search.close()
