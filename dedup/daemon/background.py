"""Background work of the daemon: update summaries, then the search index, while no file waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from dedup.daemon.backoff import Backoff
from dedup.maintenance import summaries
from dedup.pipeline.isolation import is_file_error, log_error_once, summarise_error
from dedup.pipeline.session import Session
from dedup.search import SearchIndexer
from dedup.store.corruption import SUSPICIOUS_ERRORS

SLICE_SECONDS = 0.2
"""Seconds of background work in one round."""
SUMMARY_BATCH = 500
"""Pages whose summaries are updated at once, with all pages that chains of matches connect to them."""
SLOW_BATCH_SECONDS = 1.0
"""Seconds after which a batch of summaries is slow: chains of matches can connect a hundred thousand pages. A rest follows a slow batch."""
REST_FACTOR = 9
"""The rest is this many times as long as the slow batch."""
RETRY_SECONDS = (60.0, 3600.0)
"""Seconds before failed work is retried: at first, and at most."""


class _Task:
    """One kind of background work, with its `problem` (empty if it succeeds) and the backoff after failures."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.backoff = Backoff(*RETRY_SECONDS, clock)
        self.problem = ""
        self._name = name

    def record_failure(self, error: Exception) -> None:
        log_error_once(error, self._name)
        self.problem = f"{self._name} failed: {summarise_error(error)}"
        self.backoff.record_failure()

    def record_success(self) -> None:
        self.problem = ""
        self.backoff.record_success()


class BackgroundWorker:
    """Does background work in slices. `is_busy`: files wait, or the daemon is stopping; `should_stop`: the daemon is stopping.

    A file that arrives during a batch waits until the batch is done. Slow batches of summaries take at most a tenth of the time.
    Work that fails because of an internal error is retried after a pause: `report_problem` receives the problems, and an empty text once
    there are none. Errors of the database and the system are raised.
    """

    def __init__(
        self,
        session: Session,
        is_busy: Callable[[], bool],
        should_stop: Callable[[], bool],
        report_problem: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._clock = session, clock
        self._is_busy, self._should_stop, self._report_problem = is_busy, should_stop, report_problem
        self._summaries_task = _Task("updating the summaries", clock)
        self._search_task = _Task("updating the search index", clock)
        self._search = SearchIndexer(session.database) if session.settings.search.index else None
        self._rest_until = float("-inf")
        self._failures = summaries.SummaryFailures()

    def run_slice(self) -> bool:
        """Work for SLICE_SECONDS at most. Returns whether more work is ready."""
        deadline = self._clock() + SLICE_SECONDS
        if not self._session.database.is_free():  # another process is writing; this can wait
            return False
        while not self._is_busy():
            seconds = deadline - self._clock()
            if seconds <= 0:
                return True
            if not self._run_task(self._summaries_task, self._update_summaries):
                return self._run_task(self._search_task, partial(self._update_search, seconds)) > 0
        return False

    def _run_task(self, task: _Task, function: Callable[[], int]) -> int:
        """Return the result of `function`; 0 if it fails, or is waiting for its retry."""
        if task.backoff.is_waiting():
            return 0
        previous_problem = task.problem
        try:
            count = function()
        except Exception as error:
            if not is_file_error(error):
                raise
            if isinstance(error, SUSPICIOUS_ERRORS):
                self._session.database.require_sound(error)
            task.record_failure(error)
        else:
            task.record_success()
            if not previous_problem:
                return count
        self._report_problem("; ".join(t.problem for t in (self._summaries_task, self._search_task) if t.problem))
        return 0

    def _update_search(self, seconds: float) -> int:
        """Update the search index for `seconds`. Returns the number of revisions that it still lacks."""
        return self._search.update(seconds, should_stop=self._is_busy).remaining if self._search is not None else 0

    def _update_summaries(self) -> int:
        """Update a batch of summaries. Returns the number of pages; 0 if nothing is dirty, or during a rest."""
        started_at = self._clock()
        if started_at < self._rest_until:
            return 0
        count = summaries.update_summaries(self._session.database, self._session.settings, SUMMARY_BATCH, self._should_stop, self._failures)
        now = self._clock()
        if now - started_at > SLOW_BATCH_SECONDS:
            self._rest_until = now + REST_FACTOR * (now - started_at)
        if not count and self._failures.last_error is not None:  # everything else is up to date
            error, self._failures = self._failures.last_error, summaries.SummaryFailures()
            raise error
        return count

    def close(self) -> None:
        if self._search is not None:
            self._search.close()
