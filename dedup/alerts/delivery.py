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
from dedup.alerts.channels import resolve_path, send_message
from dedup.alerts.content import MessageStyle
from dedup.alerts.messages import Message, build_message
from dedup.config import DeliveryConfig, Settings
from dedup.errors import ChannelError
from dedup.files.protected import ProtectedFiles
from dedup.rules import AlertPolicy, Schedule, delivery_time, start_of_hour
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import AlertRow, DeliveryRow, MistimedDelivery
from dedup.text import times

POLL_SECONDS = 0.5
"""Seconds between two looks into the outbox."""
MAX_BATCH = 500
"""Deliveries of a channel that are taken at once, and told in one message at most."""
LATE_AFTER, MAX_SINGLE_LATE = timedelta(minutes=10), 3
"""What should have been sent so long ago is told in one message, if it is more than a few."""
FAILURES_UNTIL_FAILING = 3
"""Attempts in a row that a channel has not taken, from which it counts as failing: it is tried with one message at a time."""
TIMEOUTS_UNTIL_HANGING = 2
"""Times that a channel may take its time, beside once for each message, until it counts as failing."""
SLACK_SECONDS = 60
"""Seconds by which an attempt may be late. What the clock says beyond that has passed between two attempts does not count as trying: the
clock leapt, or no process ran."""
FINISH_SECONDS = 3.0
"""Seconds that are left to channels when leaving."""

_SINGLE_DIGESTS = (None, "incident")

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Deliveries of one channel that are told in one message; `digest_reason` tells why, None: it is one by itself."""

    channel: str
    delivery_ids: tuple[int, ...]
    alerts: tuple[AlertRow, ...]
    digest_reason: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a parcel: the `message_id` that it went in, or why it was not taken; neither: it was not tried."""

    outgoing: OutgoingMessage
    at: str
    message_id: str | None
    error: str | None


@dataclass(slots=True)
class _ChannelState:
    """One channel: what has been handed over to it and not come back, failures in a row and since when."""

    in_flight: int = 0
    last_handover: tuple[float, str] = (0.0, "")
    failures: int = 0
    failing_since: str | None = None
    last_error: str = ""
    inbox: queue.SimpleQueue[OutgoingMessage | None] = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class DeliveryService:
    """Sends what is due. Everything but the sending is done by whoever calls `exchange`, who holds the database for writing."""

    def __init__(self, settings: Settings, protected: ProtectedFiles | None = None, *, rng: random.Random | None = None) -> None:
        """`protected`: where channels must not write; what the settings name by default."""
        self._settings: DeliveryConfig = settings.delivery
        self._protected = protected or settings.protected_paths()
        self._policy: AlertPolicy = settings.alert_policy()
        self._channels = settings.channels
        self._style = MessageStyle(settings.delivery.language, ZoneInfo(settings.delivery.zone))
        self._rng = rng or random.SystemRandom()
        self._max_step_seconds = round(settings.delivery.max_retry_seconds + settings.delivery.timeout_seconds) + SLACK_SECONDS
        self._results: queue.SimpleQueue[SendResult] = queue.SimpleQueue()
        self._unmarked_results: list[SendResult] = []
        self._channel_states: dict[str, _ChannelState] = {}
        self._next_exchange = 0.0
        self._should_stop = threading.Event()
        self.sent_count = self.failed_count = 0

    @property
    def is_busy(self) -> bool:
        """Whether something is being sent, or not yet marked."""
        return bool(self._unmarked_results) or any(s.in_flight for s in self._channel_states.values())

    def exchange(self, database: WritableDatabase, *, immediately: bool = False, take_new: bool = True) -> int:
        """Mark what was sent, and hand over what is due; nothing more often than EVERY, unless `immediately`. To be called outside of a
        transaction; raises what SQLite raises, and then marks it the next time. Returns the number of messages handed over."""
        if not immediately and time.monotonic() < self._next_exchange:
            return 0
        self._next_exchange = time.monotonic() + POLL_SECONDS
        self._collect_results()
        if self._unmarked_results:
            with database.transaction() as transaction:
                for result in self._unmarked_results:
                    self._record_result(transaction, result)
            self._unmarked_results.clear()
        return self._hand_over_due(database) if take_new else 0

    def _collect_results(self) -> None:
        while not self._results.empty():
            result = self._results.get()
            state = self._channel_states[result.outgoing.channel]
            state.in_flight -= 1
            if result.error is not None:
                self.failed_count += 1
                state.failures += 1
                state.failing_since, state.last_error = state.failing_since or result.at, result.error
                if state.failures in (1, FAILURES_UNTIL_FAILING):
                    _log.warning("%s; it is tried again", result.error)
            elif result.message_id is not None:
                self.sent_count += 1
                if state.failures >= FAILURES_UNTIL_FAILING:
                    _log.info("channel %s takes alerts again", result.outgoing.channel)
                state.failures, state.failing_since, state.last_error = 0, None, ""
            else:
                continue
            self._unmarked_results.append(result)

    # Marks

    def _record_result(self, transaction: Transaction, result: SendResult) -> None:
        outgoing = result.outgoing
        if result.error is None:
            assert result.message_id is not None
            store.alerts.mark_sent(transaction, outgoing.delivery_ids, result.at, result.message_id)
            return
        failures = self._channel_states[outgoing.channel].failures
        now = datetime.fromisoformat(result.at)
        retry_at = _add_seconds(now, self._retry_delay_seconds(max(outgoing.attempts, failures - 1)))
        give_up_seconds = round(self._settings.give_up_hours * 3600)
        store.alerts.mark_failed(
            transaction, outgoing.delivery_ids, result.at, result.error, retry_at, self._max_step_seconds, give_up_seconds
        )
        if failures >= FAILURES_UNTIL_FAILING:
            store.alerts.postpone_channel(
                transaction, outgoing.channel, result.at, f"not tried: {result.error}", retry_at, self._max_step_seconds, give_up_seconds
            )

    def _retry_delay_seconds(self, attempts: int) -> float:
        """Seconds until the next attempt: any time within what doubles with each, so that not all come back together."""
        longest = min(self._settings.retry_seconds * 2.0 ** min(attempts, 40), self._settings.max_retry_seconds)
        return self._rng.uniform(0.0, longest)

    # Taking

    def _hand_over_due(self, database: WritableDatabase) -> int:
        now = times.now()
        self._reschedule_early(database, now)
        count = 0
        for channel in store.alerts.channels_with_due_deliveries(database, now):
            state = self._channel_states.setdefault(channel, _ChannelState())
            if state.in_flight:
                continue
            messages = list(self._group_due(database, channel, now))
            if state.failures >= FAILURES_UNTIL_FAILING:
                messages = messages[:1]
            for outgoing in messages:
                self._hand_over(state, outgoing)
            count += len(messages)
        return count

    def _reschedule_early(self, database: WritableDatabase, now: str) -> None:
        """Due times that were set by a clock that was ahead are set again."""
        while early_deliveries := store.alerts.deliveries_scheduled_after(database, now, MAX_BATCH):
            with database.transaction() as transaction:
                for delivery in early_deliveries:
                    store.alerts.reschedule(
                        transaction, delivery.id, delivery.alert_id, self._new_due_at(delivery, datetime.fromisoformat(now)), now
                    )

    def _new_due_at(self, delivery: MistimedDelivery, now: datetime) -> str:
        """What waited for a time of the clock waits for the next such time. What waited for so many seconds waits for as many from now."""
        rule = self._policy.find_rule(delivery.rule)
        schedule = rule.schedule if rule else Schedule()
        planned_seconds = max(0.0, times.seconds_between(delivery.scheduled_at, delivery.due_at))
        if delivery.is_retry:
            return _add_seconds(now, min(planned_seconds, self._settings.max_retry_seconds))
        if delivery.digest_reason in ("backlog", "incident"):
            gather_seconds = self._settings.gather_seconds
            longest = gather_seconds if delivery.digest_reason == "backlog" else gather_seconds + 3600 * (24 + self._policy.incident_hours)
            return _add_seconds(now, min(planned_seconds, longest))
        if delivery.digest_reason == "schedule":
            return delivery_time(now, schedule).at.isoformat()
        return delivery_time(
            now, Schedule(zone=schedule.zone, quiet_hours=schedule.quiet_hours)
        ).at.isoformat()  # a cap is looked at when it is sent

    def _group_due(self, database: WritableDatabase, channel: str, now: str) -> Iterator[OutgoingMessage]:
        """What is to be sent now; what is not, though it is due, is put off."""
        due_rows = store.alerts.due_deliveries(database, channel, now, MAX_BATCH)
        holds = list(_find_holds(database, due_rows, self._policy, datetime.fromisoformat(now)))
        if holds:
            with database.transaction() as transaction:
                for deliveries, due_at, reason in holds:
                    store.alerts.postpone(transaction, deliveries, due_at, reason, now, self._max_step_seconds)
            postponed = {d: (due_at, reason) for deliveries, due_at, reason in holds for d in deliveries}
            due_rows = [
                replace(d, due_at=postponed[d.id][0], digest_reason=postponed[d.id][1]) if d.id in postponed else d for d in due_rows
            ]
            due_rows = [d for d in due_rows if d.due_at <= now]
        alerts = store.alerts.get(database, [d.alert_id for d in due_rows])
        groups = groupby(
            sorted(due_rows, key=lambda d: (d.due_at, d.rule, d.digest_reason or "", d.id)),
            key=lambda d: (d.due_at, d.rule, d.digest_reason, d.id if d.digest_reason in _SINGLE_DIGESTS else 0),
        )
        for (_, _, digest, _), rows in groups:
            group = list(rows)
            yield OutgoingMessage(
                channel,
                tuple(d.id for d in group),
                tuple(alerts[d.alert_id] for d in group),
                None if digest in _SINGLE_DIGESTS else digest,
                max(d.attempts for d in group),
            )

    def _hand_over(self, state: _ChannelState, outgoing: OutgoingMessage) -> None:
        if state.thread is None:
            name = f"alerts to {outgoing.channel}"
            state.thread = threading.Thread(target=self._run_channel, args=(outgoing.channel, state.inbox), name=name, daemon=True)
            state.thread.start()
        state.in_flight += 1
        state.last_handover = time.monotonic(), times.now()
        state.inbox.put(outgoing)

    # Sending: the rest runs in the thread of a channel

    def _run_channel(self, channel: str, inbox: queue.SimpleQueue[OutgoingMessage | None]) -> None:
        while (outgoing := inbox.get()) is not None:
            result = self._try_send(channel, outgoing)
            while result.message_id is None and not inbox.empty():  # what follows is not tried now
                skipped = inbox.get()
                if skipped is None:
                    break
                self._results.put(SendResult(skipped, result.at, None, None))
            self._results.put(result)

    def _try_send(self, channel: str, outgoing: OutgoingMessage) -> SendResult:
        at = times.now()
        if self._should_stop.is_set():
            return SendResult(outgoing, at, None, None)
        try:
            content = build_message(outgoing.alerts, self._style, outgoing.digest_reason)
            self._send(channel, content)
        except ChannelError as refused:
            return SendResult(outgoing, at, None, str(refused))
        except Exception as wrong:  # one message must not end the channel
            _log.exception("an error of the program kept a message from channel %s", channel)
            return SendResult(outgoing, at, None, f"Channel {channel}: an error of the program ({type(wrong).__name__})")
        return SendResult(outgoing, times.now(), content.id, None)

    def _send(self, name: str, content: Message) -> None:
        channel = self._channels.get(name)
        if channel is None:
            raise ChannelError(channel=name, problem="the configuration has no channel of that name")
        send_message(name, resolve_path(name, channel, self._protected), content, self._settings.timeout_seconds)

    # How it is

    def describe_failures(self) -> list[str]:
        """A sentence for each channel that takes nothing."""
        problems = [
            f"{s.last_error} (since {s.failing_since})" for s in self._channel_states.values() if s.failures >= FAILURES_UNTIL_FAILING
        ]
        for name, s in self._channel_states.items():
            if s.in_flight and time.monotonic() - s.last_handover[0] > self._settings.timeout_seconds * (
                TIMEOUTS_UNTIL_HANGING + s.in_flight
            ):
                problems.append(f"Channel {name}: it does not answer (since {s.last_handover[1]})")
        return problems

    def finish(self, database: WritableDatabase, seconds: float = FINISH_SECONDS) -> None:
        """Leave: take nothing more, give channels a while to end what they are at, and mark it."""
        self._should_stop.set()
        deadline = time.monotonic() + seconds
        for state in self._channel_states.values():
            state.inbox.put(None)
        while any(s.in_flight for s in self._channel_states.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
            self._collect_results()
        self.exchange(database, immediately=True, take_new=False)


def _add_seconds(now: datetime, seconds: float) -> str:
    """A time so much later, in whole seconds, at least one."""
    return (now + timedelta(seconds=max(1, round(seconds)))).isoformat()


def _find_holds(
    database: Database, deliveries: Sequence[DeliveryRow], policy: AlertPolicy, now: datetime
) -> Iterator[tuple[list[int], str, str]]:
    """(deliveries, when they are due instead, why) of what is due and must not be sent now, or not by itself."""
    by_rule: dict[str, list[DeliveryRow]] = {}
    for d in deliveries:
        by_rule.setdefault(d.rule, []).append(d)
    for name, rows in by_rule.items():
        rule = policy.find_rule(name)
        schedule = rule.schedule if rule else Schedule()
        after_quiet = delivery_time(now, Schedule(zone=schedule.zone, quiet_hours=schedule.quiet_hours))
        if after_quiet.digest_reason is not None:
            for digest, group in groupby(sorted(rows, key=lambda d: d.digest_reason or ""), key=lambda d: d.digest_reason):
                yield [d.id for d in group], after_quiet.at.isoformat(), "quiet_hours" if digest in _SINGLE_DIGESTS else str(digest)
            continue
        single = [d for d in rows if d.digest_reason in _SINGLE_DIGESTS]
        late_deliveries = [d for d in single if not d.attempts and now - datetime.fromisoformat(d.due_at) > LATE_AFTER]
        if len(late_deliveries) > MAX_SINGLE_LATE:
            yield [d.id for d in late_deliveries], now.isoformat(), "late"
            late_ids = {d.id for d in late_deliveries}
            single = [d for d in single if d.id not in late_ids]
        if schedule.max_per_hour and single:
            sent_count = store.alerts.count_sent_since(
                database, name, single[0].channel, start_of_hour(now, schedule.zone).isoformat(), now.isoformat()
            )
            excess = single[max(0, schedule.max_per_hour - sent_count) :]
            if excess:
                next_slot = delivery_time(now, schedule, sent_this_hour=schedule.max_per_hour)
                yield [d.id for d in excess], next_slot.at.isoformat(), "rate_limit"
