"""What the daemon does while nothing waits: sum up what was recorded, then let search reach further."""

from __future__ import annotations

import time
from collections.abc import Callable

from dedup.maintenance import summaries
from dedup.scan.isolation import is_file_error, log_error_once, summarise_error
from dedup.scan.session import Session
from dedup.search import SearchIndexer
from dedup.store.corruption import SUSPICIOUS_ERRORS

SLICE_SECONDS = 0.2
"""Seconds of a round that go to it."""
SUMMARY_BATCH = 500
"""Pages that are summed up at once, with all that chains of matches connect with them."""
SLOW_BATCH_SECONDS = 1.0
"""Seconds of one piece of summing up from which it rests afterwards: what is connected can be a series of a hundred thousand."""
REST_FACTOR = 9
"""So many times as long as that piece took."""
RETRY_SECONDS = (60.0, 3600.0)
"""Seconds until work that failed is tried again: at first, and at most, doubling."""


class _RetryState:
    """When one kind of work is tried again after it failed."""

    def __init__(self, task: str, clock: Callable[[], float]) -> None:
        self.task, self._clock = task, clock
        self._retry_seconds = RETRY_SECONDS[0]
        self._retry_at = float("-inf")
        self.problem = ""

    def can_run(self) -> bool:
        return self._clock() >= self._retry_at

    def record_failure(self, error: Exception) -> None:
        log_error_once(error, self.task)
        self.problem = f"{self.task} failed: {summarise_error(error)}"
        self._retry_at = self._clock() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS[1])

    def record_success(self) -> None:
        self._retry_seconds, self.problem = RETRY_SECONDS[0], ""


class BackgroundWorker:
    """The idle work of a daemon. `is_busy`: files wait, or it is to leave; `should_stop`: it is to leave. A file that comes meanwhile waits
    until the piece in hand is done, and summing up has no more than a tenth of the time where its pieces are long.

    Work that the program fails at is tried again after a pause: `report_problem` gets what fails, and an empty text once nothing does any
    more. Only trouble of the database and the system is raised.
    """

    def __init__(
        self,
        session: Session,
        is_busy: Callable[[], bool],
        should_stop: Callable[[], bool],
        report_problem: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._is_busy, self._should_stop, self._report_problem, self._clock = (
            session,
            is_busy,
            should_stop,
            report_problem,
            clock,
        )
        self._summaries_retry = _RetryState("summing up what was recorded", clock)
        self._search_retry = _RetryState("filling the search index", clock)
        self._search = SearchIndexer(session.database) if session.settings.search.index else None
        self._rest_until = float("-inf")
        self._failures = summaries.SummaryFailures()

    def run_slice(self) -> bool:
        """For a moment; whether there is more to do at once."""
        deadline = self._clock() + SLICE_SECONDS
        if not self._session.database.is_free():  # it can wait; nobody is told that it does
            return False
        while not self._is_busy():
            seconds = deadline - self._clock()
            if seconds <= 0:
                return True
            if not self._try_task(self._summaries_retry, self._update_summaries):
                return self._try_task(self._search_retry, lambda left=seconds: self._update_search(left)) > 0  # type: ignore[misc]
        return False

    def _try_task(self, retry: _RetryState, task: Callable[[], int]) -> int:
        """What `task` returns; 0 if it fails, or failed lately."""
        if not retry.can_run():
            return 0
        previous_problem = retry.problem
        try:
            count = task()
        except Exception as error:
            if not is_file_error(error):
                raise
            if isinstance(error, SUSPICIOUS_ERRORS):
                self._session.database.require_sound(error)
            retry.record_failure(error)
        else:
            retry.record_success()
            if not previous_problem:
                return count
        self._report_problem("; ".join(r.problem for r in (self._summaries_retry, self._search_retry) if r.problem))
        return 0

    def _update_search(self, seconds: float) -> int:
        return self._search.update(seconds, should_stop=self._is_busy).remaining if self._search is not None else 0

    def _update_summaries(self) -> int:
        started_at = self._clock()
        if started_at < self._rest_until:
            return 0
        count = summaries.update_summaries(self._session.database, self._session.settings, SUMMARY_BATCH, self._should_stop, self._failures)
        now = self._clock()
        if now - started_at > SLOW_BATCH_SECONDS:
            self._rest_until = now + REST_FACTOR * (now - started_at)
        if not count and self._failures.last_error is not None:  # the rest is done
            error, self._failures = self._failures.last_error, summaries.SummaryFailures()
            raise error
        return count

    def close(self) -> None:
        if self._search is not None:
            self._search.close()
