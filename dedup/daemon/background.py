"""What the daemon does while nothing waits: sum up what was recorded, then let search reach further."""

from __future__ import annotations

import time
from collections.abc import Callable

from dedup.maintenance import summaries
from dedup.scan.isolation import is_of_file, log_once, summary
from dedup.scan.session import Session
from dedup.search import Search
from dedup.store.corruption import UNEXPECTED

MOMENT = 0.2
"""Seconds of a round that go to it."""
SUMMED = 500
"""Pages that are summed up at once, with all that chains of matches connect with them."""
LONG = 1.0
"""Seconds of one piece of summing up from which it rests afterwards: what is connected can be a series of a hundred thousand."""
REST = 9
"""So many times as long as that piece took."""
PAUSES = (60.0, 3600.0)
"""Seconds until work that failed is tried again: at first, and at most, doubling."""


class _Retry:
    """When one kind of work is tried again after it failed."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self.what, self._clock = what, clock
        self._pause = PAUSES[0]
        self._not_before = float("-inf")
        self.problem = ""

    def is_due(self) -> bool:
        return self._clock() >= self._not_before

    def failed(self, error: Exception) -> None:
        log_once(error, self.what)
        self.problem = f"{self.what} failed: {summary(error)}"
        self._not_before = self._clock() + self._pause
        self._pause = min(2 * self._pause, PAUSES[1])

    def succeeded(self) -> None:
        self._pause, self.problem = PAUSES[0], ""


class Idle:
    """The idle work of a daemon. `busy`: files wait, or it is to leave; `leave`: it is to leave. A file that comes meanwhile waits until
    the piece in hand is done, and summing up has no more than a tenth of the time where its pieces are long.

    Work that the program fails at is tried again after a pause: `report` gets what fails, and an empty text once nothing does any more.
    Only trouble of the database and the system is raised.
    """

    def __init__(
        self,
        session: Session,
        busy: Callable[[], bool],
        leave: Callable[[], bool],
        report: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._busy, self._leave, self._report, self._clock = session, busy, leave, report, clock
        self._summing = _Retry("summing up what was recorded", clock)
        self._entering = _Retry("filling the search index", clock)
        self._search = Search(session.database) if session.settings.search.index else None
        self._rests_until = float("-inf")
        self._failed = summaries.Failed()

    def work(self) -> bool:
        """For a moment; whether there is more to do at once."""
        until = self._clock() + MOMENT
        if not self._session.database.is_free():  # it can wait; nobody is told that it does
            return False
        while not self._busy():
            left = until - self._clock()
            if left <= 0:
                return True
            if not self._tried(self._summing, self._summed_up):
                return self._tried(self._entering, lambda left=left: self._entered(left)) > 0  # type: ignore[misc]
        return False

    def _tried(self, retry: _Retry, work: Callable[[], int]) -> int:
        """What `work` returns; 0 if it fails, or failed lately."""
        if not retry.is_due():
            return 0
        before = retry.problem
        try:
            number = work()
        except Exception as error:
            if not is_of_file(error):
                raise
            if isinstance(error, UNEXPECTED):
                self._session.database.require_sound(error)
            retry.failed(error)
        else:
            retry.succeeded()
            if not before:
                return number
        self._report("; ".join(r.problem for r in (self._summing, self._entering) if r.problem))
        return 0

    def _entered(self, seconds: float) -> int:
        return self._search.fill(seconds, stop=self._busy).left if self._search is not None else 0

    def _summed_up(self) -> int:
        begun = self._clock()
        if begun < self._rests_until:
            return 0
        number = summaries.work_off(self._session.database, self._session.settings, SUMMED, self._leave, self._failed)
        now = self._clock()
        if now - begun > LONG:
            self._rests_until = now + REST * (now - begun)
        if not number and self._failed.error is not None:  # the rest is done
            error, self._failed = self._failed.error, summaries.Failed()
            raise error
        return number

    def close(self) -> None:
        if self._search is not None:
            self._search.close()
