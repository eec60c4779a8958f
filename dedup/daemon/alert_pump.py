"""Alerts, between the rounds of the loop: what was sent is marked, what is due is handed over, and how that stands is told."""

from __future__ import annotations

import logging
import time

from dedup import store
from dedup.alerts import Post
from dedup.config import Settings
from dedup.daemon import health_file
from dedup.daemon.health_file import Alerts, Degraded
from dedup.daemon.health_reporter import Vitals
from dedup.errors import DedupError
from dedup.rules import Event
from dedup.scan.events import Policy
from dedup.scan.isolation import is_of_file, log_once, summary
from dedup.store import WritableDatabase, outbox
from dedup.store.corruption import UNEXPECTED
from dedup.text import times

PAUSE = 60.0
"""Seconds until handing over is tried again after the program failed at it."""

_log = logging.getLogger("dedup")


class Posting:
    """The daemon's post. Called by the loop alone, outside of transactions."""

    def __init__(self, settings: Settings, database: WritableDatabase, policy: Policy, vitals: Vitals) -> None:
        self._post = Post(settings, settings.protected(store.directories.paths(database)))
        self._database, self._policy, self._vitals = database, policy, vitals
        self._next_count = self._not_before = 0.0
        self._dead = sum(o.dead for o in store.alerts.outstanding(database).values())

    def exchange(self) -> None:
        """Mark and hand over, if it is time to. Raises what SQLite raises; what was sent is marked the next time then. Where the program
        itself fails at it, files go on being recorded, and it is tried again after a pause."""
        if time.monotonic() < self._not_before:
            return
        try:
            self._exchange()
        except Exception as error:
            if not is_of_file(error):
                raise
            if isinstance(error, UNEXPECTED):
                self._database.require_sound(error)
            log_once(error, "handing over alerts")
            self._not_before = time.monotonic() + PAUSE
            self._vitals.degrade("alerts", f"alerts cannot be handed over: {summary(error)}")

    def _exchange(self) -> None:
        self._announce()
        self._post.exchange(self._database)
        if time.monotonic() >= self._next_count:
            self._next_count = time.monotonic() + health_file.EVERY
            self._count()
        failing = self._post.failing()
        if failing:
            self._vitals.degrade("alerts", "; ".join(failing))
        else:
            self._vitals.recover("alerts")

    def _announce(self) -> None:
        """Write the alerts of what the daemon could not do; what could not be written then is by now."""
        news = list(self._vitals.news)
        if news and self._policy.asks("daemon"):
            with self._database.transaction() as transaction:
                outbox.write(transaction, map(_degraded, news), self._policy.alerting, times.now())
        del self._vitals.news[: len(news)]

    def _count(self) -> None:
        outstanding = store.alerts.outstanding(self._database)
        pending, dead = (sum(getattr(o, what) for o in outstanding.values()) for what in ("pending", "dead"))
        first = min((o.first_due for o in outstanding.values() if o.first_due is not None), default=None)
        overdue = max(0.0, times.seconds_between(first, times.now())) if first is not None else 0.0
        if dead > self._dead:
            _log.error("%d alerts were given up; 'dedup alerts list --state dead' shows them", dead - self._dead)
        self._dead = dead
        self._vitals.alerts = Alerts(pending, overdue, dead)

    def finish(self) -> None:
        """Leave: channels may end what they are at, if that is soon. What is not marked then is sent again by the next start."""
        try:
            with self._database.work():
                self._post.finish(self._database)
        except DedupError as error:
            _log.error("%s Alerts that were sent last could not be marked; the next start sends them again.", error)


def _degraded(d: Degraded) -> Event:
    return Event(
        topic="daemon", key=f"daemon:{d.reason}:{d.since}", at=d.since, kind=d.reason, severity="major", told={"message": d.message}
    )
