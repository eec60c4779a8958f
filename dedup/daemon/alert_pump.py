"""Alerts, between the rounds of the loop: what was sent is marked, what is due is handed over, and how that stands is told."""

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
from dedup.rules import Event
from dedup.scan.events import Policy
from dedup.scan.isolation import is_file_error, log_error_once, summarise_error
from dedup.store import WritableDatabase, outbox
from dedup.store.corruption import SUSPICIOUS_ERRORS
from dedup.text import times

RETRY_SECONDS = 60.0
"""Seconds until handing over is tried again after the program failed at it."""

_log = logging.getLogger("dedup")


class AlertPump:
    """The daemon's post. Called by the loop alone, outside of transactions."""

    def __init__(self, settings: Settings, database: WritableDatabase, policy: Policy, health_reporter: HealthReporter) -> None:
        self._delivery_service = DeliveryService(settings, settings.protected_paths(store.directories.paths(database)))
        self._database, self._policy, self._health_reporter = database, policy, health_reporter
        self._next_count_at = self._retry_at = 0.0
        self._dead_count = sum(o.dead for o in store.alerts.outstanding(database).values())

    def run_once(self) -> None:
        """Mark and hand over, if it is time to. Raises what SQLite raises; what was sent is marked the next time then. Where the program
        itself fails at it, files go on being recorded, and it is tried again after a pause."""
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
            self._health_reporter.degrade("alerts", f"alerts cannot be handed over: {summarise_error(error)}")

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
        """Write the alerts of what the daemon could not do; what could not be written then is by now."""
        degradations = list(self._health_reporter.new_degradations)
        if degradations and self._policy.has_rule_for("daemon"):
            with self._database.transaction() as transaction:
                outbox.write(transaction, map(_degradation_event, degradations), self._policy.alerting, times.now())
        del self._health_reporter.new_degradations[: len(degradations)]

    def _count_deliveries(self) -> None:
        outstanding = store.alerts.outstanding(self._database)
        pending, dead = (sum(getattr(o, what) for o in outstanding.values()) for what in ("pending", "dead"))
        first_due_at = min((o.first_due_at for o in outstanding.values() if o.first_due_at is not None), default=None)
        overdue_seconds = max(0.0, times.seconds_between(first_due_at, times.now())) if first_due_at is not None else 0.0
        if dead > self._dead_count:
            _log.error("%d alerts were given up; 'dedup alerts list --state dead' shows them", dead - self._dead_count)
        self._dead_count = dead
        self._health_reporter.delivery_backlog = DeliveryBacklog(pending, overdue_seconds, dead)

    def finish(self) -> None:
        """Leave: channels may end what they are at, if that is soon. What is not marked then is sent again by the next start."""
        try:
            with self._database.translate_errors():
                self._delivery_service.finish(self._database)
        except DedupError as error:
            _log.error("%s Alerts that were sent last could not be marked; the next start sends them again.", error)


def _degradation_event(degradation: Degradation) -> Event:
    return Event(
        topic="daemon",
        key=f"daemon:{degradation.reason}:{degradation.since}",
        at=degradation.since,
        kind=degradation.reason,
        severity="major",
        payload={"message": degradation.message},
    )
