"""Alerts between the rounds of the loop: mark what was sent, hand over what is due, and report the backlog."""

from __future__ import annotations

import logging
import time

from dedup import store
from dedup.alerts import DeliveryService
from dedup.config import Settings
from dedup.daemon import health_file
from dedup.daemon.health_file import Degradation, DeliveryBacklog
from dedup.daemon.health_reporter import HealthReporter
from dedup.errors import DedupError
from dedup.pipeline.events import Policy
from dedup.pipeline.isolation import is_file_error, log_error_once, summarise_error
from dedup.rules import Event
from dedup.store import WritableDatabase, outbox
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.text import times

RETRY_SECONDS = 60.0
"""Seconds until handing over is retried after an internal error."""

_log = logging.getLogger("dedup")


class AlertPump:
    """Exchanges alerts with the delivery service. Only the loop calls it, outside of transactions."""

    def __init__(self, settings: Settings, database: WritableDatabase, policy: Policy, health_reporter: HealthReporter) -> None:
        self._delivery_service = DeliveryService(settings, settings.protected_paths(store.directories.paths(database)))
        self._database, self._policy, self._health_reporter = database, policy, health_reporter
        self._next_count_at = self._retry_at = 0.0
        self._dead_count = sum(o.dead for o in store.alerts.outstanding(database).values())

    def run_once(self) -> None:
        """Mark what was sent and hand over what is due.

        An internal error is reported and retried after a pause, so that files are still recorded. Raises errors of SQLite; the next call
        marks what was sent before."""
        if time.monotonic() < self._retry_at:
            return
        try:
            self._run_once()
        except Exception as error:
            if not is_file_error(error):
                raise
            if isinstance(error, SUSPICIOUS_ERRORS):
                self._database.require_sound(error)
            log_error_once(error, "handing over alerts")
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._health_reporter.degrade("alerts", f"alerts cannot be handed to their channels: {summarise_error(error)}")

    def _run_once(self) -> None:
        self._write_degradation_alerts()
        self._delivery_service.exchange(self._database)
        if time.monotonic() >= self._next_count_at:
            self._next_count_at = time.monotonic() + health_file.REPORT_INTERVAL_SECONDS
            self._count_deliveries()
        problems = self._delivery_service.describe_failures()
        if problems:
            self._health_reporter.degrade("alerts", "; ".join(problems))
        else:
            self._health_reporter.recover("alerts")

    def _write_degradation_alerts(self) -> None:
        """Write an alert for each new degradation, including those that occurred while the database could not be written."""
        degradations = list(self._health_reporter.new_degradations)
        if degradations and self._policy.has_rule_for("daemon"):
            with self._database.transaction() as transaction:
                outbox.write(transaction, map(_degradation_event, degradations), self._policy.alerting, times.now())
        del self._health_reporter.new_degradations[: len(degradations)]

    def _count_deliveries(self) -> None:
        outstanding = store.alerts.outstanding(self._database)
        pending, dead = sum(o.pending for o in outstanding.values()), sum(o.dead for o in outstanding.values())
        first_due_at = min((o.first_due_at for o in outstanding.values() if o.first_due_at is not None), default=None)
        overdue_seconds = max(0.0, times.seconds_between(first_due_at, times.now())) if first_due_at is not None else 0.0
        if dead > self._dead_count:
            _log.error("%d alerts were given up; list them with 'dedup alerts list --status dead'", dead - self._dead_count)
        self._dead_count = dead
        self._health_reporter.delivery_backlog = DeliveryBacklog(pending, overdue_seconds, dead)

    def finish(self) -> None:
        """Stop. Channels may finish their current message if that is soon. The next start sends again what could not be marked."""
        try:
            with self._database.translate_errors():
                self._delivery_service.finish(self._database)
        except DedupError as error:
            _log.error("%s The last alerts were sent but could not be marked; the next start sends them again.", error)


def _degradation_event(degradation: Degradation) -> Event:
    return Event(
        topic="daemon",
        key=f"daemon:{degradation.reason}:{degradation.since}",
        at=degradation.since,
        kind=degradation.reason,
        severity="major",
        payload={"message": degradation.message},
    )
