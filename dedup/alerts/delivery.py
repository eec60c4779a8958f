"""From the outbox to the channels: what is due is taken, sent, and marked as sent after the channel has accepted it.

The one who writes to the database takes and marks, between pieces of other work; a thread for each channel sends, and never sees the
database. So a channel that hangs holds up neither the others nor the work, and what a process sent when it was killed is sent again,
under the same id.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from dedup import store
from dedup.alerts.channels import placed, send
from dedup.alerts.content import Style
from dedup.alerts.messages import Message, message
from dedup.config import Delivery, Settings
from dedup.errors import ChannelError
from dedup.files.protected import Protected
from dedup.rules import Alerting, Rhythm, due, hour_of
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import Ahead, AlertRow, DeliveryRow
from dedup.text import times

EVERY = 0.5
"""Seconds between two looks into the outbox."""
TOGETHER = 500
"""Deliveries of a channel that are taken at once, and told in one message at most."""
LATE, FEW = timedelta(minutes=10), 3
"""What should have been sent so long ago is told in one message, if it is more than a few."""
FAILING = 3
"""Attempts in a row that a channel has not taken, from which it counts as failing: it is tried with one message at a time."""
HANGING = 2
"""Times that a channel may take its time, beside once for each message, until it counts as failing."""
SLACK = 60
"""Seconds by which an attempt may be late. What the clock says beyond that has passed between two attempts does not count as trying: the
clock leapt, or no process ran."""
PATIENCE = 3.0
"""Seconds that are left to channels when leaving."""

_BY_ITSELF = (None, "incident")

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Parcel:
    """Deliveries of one channel that are told in one message; `digest` tells why, None: it is one by itself."""

    channel: str
    deliveries: tuple[int, ...]
    alerts: tuple[AlertRow, ...]
    digest: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a parcel: the `message` that it went in, or why it was not taken; neither: it was not tried."""

    parcel: Parcel
    at: str
    message: str | None
    error: str | None


@dataclass(slots=True)
class _State:
    """One channel: what has been handed over to it and not come back, failures in a row and since when."""

    out: int = 0
    handed: tuple[float, str] = (0.0, "")
    failures: int = 0
    since: str | None = None
    error: str = ""
    inbox: queue.SimpleQueue[Parcel | None] = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class Post:
    """Sends what is due. Everything but the sending is done by whoever calls `exchange`, who holds the database for writing."""

    def __init__(self, settings: Settings, protected: Protected | None = None, *, rng: random.Random | None = None) -> None:
        """`protected`: where channels must not write; what the settings name by default."""
        self._settings: Delivery = settings.delivery
        self._protected = protected or settings.protected()
        self._alerting: Alerting = settings.alerting()
        self._channels = settings.channels
        self._style = Style(settings.delivery.language, ZoneInfo(settings.delivery.zone))
        self._rng = rng or random.SystemRandom()
        self._step = round(settings.delivery.most_retry_seconds + settings.delivery.timeout_seconds) + SLACK
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._unmarked: list[Outcome] = []
        self._states: dict[str, _State] = {}
        self._next = 0.0
        self._leaving = threading.Event()
        self.sent = self.failed = 0

    @property
    def busy(self) -> bool:
        """Whether something is being sent, or not yet marked."""
        return bool(self._unmarked) or any(s.out for s in self._states.values())

    def exchange(self, database: WritableDatabase, *, at_once: bool = False, taking: bool = True) -> int:
        """Mark what was sent, and hand over what is due; nothing more often than EVERY, unless `at_once`. To be called outside of a
        transaction; raises what SQLite raises, and then marks it the next time. Returns the number of messages handed over."""
        if not at_once and time.monotonic() < self._next:
            return 0
        self._next = time.monotonic() + EVERY
        self._collect()
        if self._unmarked:
            with database.transaction() as transaction:
                for outcome in self._unmarked:
                    self._mark(transaction, outcome)
            self._unmarked.clear()
        return self._take(database) if taking else 0

    def _collect(self) -> None:
        while not self._outcomes.empty():
            outcome = self._outcomes.get()
            state = self._states[outcome.parcel.channel]
            state.out -= 1
            if outcome.error is not None:
                self.failed += 1
                state.failures += 1
                state.since, state.error = state.since or outcome.at, outcome.error
                if state.failures in (1, FAILING):
                    _log.warning("%s; it is tried again", outcome.error)
            elif outcome.message is not None:
                self.sent += 1
                if state.failures >= FAILING:
                    _log.info("channel %s takes alerts again", outcome.parcel.channel)
                state.failures, state.since, state.error = 0, None, ""
            else:
                continue
            self._unmarked.append(outcome)

    # Marks

    def _mark(self, transaction: Transaction, outcome: Outcome) -> None:
        parcel = outcome.parcel
        if outcome.error is None:
            assert outcome.message is not None
            store.alerts.mark_sent(transaction, parcel.deliveries, outcome.at, outcome.message)
            return
        failures = self._states[parcel.channel].failures
        now = datetime.fromisoformat(outcome.at)
        again = _later(now, self._pause(max(parcel.attempts, failures - 1)))
        give_up = round(self._settings.give_up_hours * 3600)
        store.alerts.mark_failed(transaction, parcel.deliveries, outcome.at, outcome.error, again, self._step, give_up)
        if failures >= FAILING:
            store.alerts.postpone_channel(transaction, parcel.channel, outcome.at, f"not tried: {outcome.error}", again, self._step, give_up)

    def _pause(self, attempts: int) -> float:
        """Seconds until the next attempt: any time within what doubles with each, so that not all come back together."""
        most = min(self._settings.retry_seconds * 2.0 ** min(attempts, 40), self._settings.most_retry_seconds)
        return self._rng.uniform(0.0, most)

    # Taking

    def _take(self, database: WritableDatabase) -> int:
        now = times.now()
        self._reschedule(database, now)
        number = 0
        for channel in store.alerts.channels_with_due_deliveries(database, now):
            state = self._states.setdefault(channel, _State())
            if state.out:
                continue
            parcels = list(self._parcels(database, channel, now))
            if state.failures >= FAILING:
                parcels = parcels[:1]
            for parcel in parcels:
                self._hand_over(state, parcel)
            number += len(parcels)
        return number

    def _reschedule(self, database: WritableDatabase, now: str) -> None:
        """Due times that were set by a clock that was ahead are set again."""
        while ahead := store.alerts.deliveries_scheduled_after(database, now, TOGETHER):
            with database.transaction() as transaction:
                for delivery in ahead:
                    store.alerts.reschedule(
                        transaction, delivery.id, delivery.alert, self._due_again(delivery, datetime.fromisoformat(now)), now
                    )

    def _due_again(self, delivery: Ahead, now: datetime) -> str:
        """What waited for a time of the clock waits for the next such time. What waited for so many seconds waits for as many from now."""
        rule = self._alerting.rule(delivery.rule)
        rhythm = rule.rhythm if rule else Rhythm()
        planned = max(0.0, times.seconds_between(delivery.scheduled_at, delivery.due_at))
        if delivery.failed:
            return _later(now, min(planned, self._settings.most_retry_seconds))
        if delivery.digest in ("backlog", "incident"):
            gather = self._settings.gather_seconds
            longest = gather if delivery.digest == "backlog" else gather + 3600 * (24 + self._alerting.incident_hours)
            return _later(now, min(planned, longest))
        if delivery.digest == "rhythm":
            return due(now, rhythm).at.isoformat()
        return due(now, Rhythm(zone=rhythm.zone, quiet=rhythm.quiet)).at.isoformat()  # a cap is looked at when it is sent

    def _parcels(self, database: WritableDatabase, channel: str, now: str) -> Iterator[Parcel]:
        """What is to be sent now; what is not, though it is due, is put off."""
        found = store.alerts.due_deliveries(database, channel, now, TOGETHER)
        holds = list(_holds(database, found, self._alerting, datetime.fromisoformat(now)))
        if holds:
            with database.transaction() as transaction:
                for deliveries, due_at, why in holds:
                    store.alerts.postpone(transaction, deliveries, due_at, why, now, self._step)
            held = {d: (due_at, why) for deliveries, due_at, why in holds for d in deliveries}
            found = [replace(d, due_at=held[d.id][0], digest=held[d.id][1]) if d.id in held else d for d in found]
            found = [d for d in found if d.due_at <= now]
        alerts = store.alerts.get(database, [d.alert for d in found])
        together = groupby(
            sorted(found, key=lambda d: (d.due_at, d.rule, d.digest or "", d.id)),
            key=lambda d: (d.due_at, d.rule, d.digest, d.id if d.digest in _BY_ITSELF else 0),
        )
        for (_, _, digest, _), rows in together:
            of_one = list(rows)
            yield Parcel(
                channel,
                tuple(d.id for d in of_one),
                tuple(alerts[d.alert] for d in of_one),
                None if digest in _BY_ITSELF else digest,
                max(d.attempts for d in of_one),
            )

    def _hand_over(self, state: _State, parcel: Parcel) -> None:
        if state.thread is None:
            name = f"alerts to {parcel.channel}"
            state.thread = threading.Thread(target=self._serve, args=(parcel.channel, state.inbox), name=name, daemon=True)
            state.thread.start()
        state.out += 1
        state.handed = time.monotonic(), times.now()
        state.inbox.put(parcel)

    # Sending: the rest runs in the thread of a channel

    def _serve(self, channel: str, inbox: queue.SimpleQueue[Parcel | None]) -> None:
        while (parcel := inbox.get()) is not None:
            outcome = self._outcome(channel, parcel)
            while outcome.message is None and not inbox.empty():  # what follows is not tried now
                rest = inbox.get()
                if rest is None:
                    break
                self._outcomes.put(Outcome(rest, outcome.at, None, None))
            self._outcomes.put(outcome)

    def _outcome(self, channel: str, parcel: Parcel) -> Outcome:
        at = times.now()
        if self._leaving.is_set():
            return Outcome(parcel, at, None, None)
        try:
            told = message(parcel.alerts, self._style, parcel.digest)
            self._send(channel, told)
        except ChannelError as refused:
            return Outcome(parcel, at, None, str(refused))
        except Exception as wrong:  # one message must not end the channel
            _log.exception("an error of the program kept a message from channel %s", channel)
            return Outcome(parcel, at, None, f"Channel {channel}: an error of the program ({type(wrong).__name__})")
        return Outcome(parcel, times.now(), told.id, None)

    def _send(self, name: str, told: Message) -> None:
        channel = self._channels.get(name)
        if channel is None:
            raise ChannelError(channel=name, problem="the configuration has no channel of that name")
        send(name, placed(name, channel, self._protected), told, self._settings.timeout_seconds)

    # How it is

    def failing(self) -> list[str]:
        """A sentence for each channel that takes nothing."""
        told = [f"{s.error} (since {s.since})" for s in self._states.values() if s.failures >= FAILING]
        for name, s in self._states.items():
            if s.out and time.monotonic() - s.handed[0] > self._settings.timeout_seconds * (HANGING + s.out):
                told.append(f"Channel {name}: it does not answer (since {s.handed[1]})")
        return told

    def finish(self, database: WritableDatabase, seconds: float = PATIENCE) -> None:
        """Leave: take nothing more, give channels a while to end what they are at, and mark it."""
        self._leaving.set()
        deadline = time.monotonic() + seconds
        for state in self._states.values():
            state.inbox.put(None)
        while any(s.out for s in self._states.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
            self._collect()
        self.exchange(database, at_once=True, taking=False)


def _later(now: datetime, seconds: float) -> str:
    """A time so much later, in whole seconds, at least one."""
    return (now + timedelta(seconds=max(1, round(seconds)))).isoformat()


def _holds(
    database: Database, found: Sequence[DeliveryRow], alerting: Alerting, now: datetime
) -> Iterator[tuple[list[int], str, str]]:
    """(deliveries, when they are due instead, why) of what is due and must not be sent now, or not by itself."""
    by_rule: dict[str, list[DeliveryRow]] = {}
    for d in found:
        by_rule.setdefault(d.rule, []).append(d)
    for name, rows in by_rule.items():
        rule = alerting.rule(name)
        rhythm = rule.rhythm if rule else Rhythm()
        quiet = due(now, Rhythm(zone=rhythm.zone, quiet=rhythm.quiet))
        if quiet.digest is not None:
            for digest, of_digest in groupby(sorted(rows, key=lambda d: d.digest or ""), key=lambda d: d.digest):
                yield [d.id for d in of_digest], quiet.at.isoformat(), "quiet" if digest in _BY_ITSELF else str(digest)
            continue
        single = [d for d in rows if d.digest in _BY_ITSELF]
        late = [d for d in single if not d.attempts and now - datetime.fromisoformat(d.due_at) > LATE]
        if len(late) > FEW:
            yield [d.id for d in late], now.isoformat(), "late"
            gathered = {d.id for d in late}
            single = [d for d in single if d.id not in gathered]
        if rhythm.most_per_hour and single:
            sent = store.alerts.count_sent_since(database, name, single[0].channel, hour_of(now, rhythm.zone).isoformat(), now.isoformat())
            over = single[max(0, rhythm.most_per_hour - sent) :]
            if over:
                then = due(now, rhythm, sent_this_hour=rhythm.most_per_hour)
                yield [d.id for d in over], then.at.isoformat(), "cap"
