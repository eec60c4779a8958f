"""Delivery of alerts: due rows of the outbox become messages, and are marked as sent once their channel has accepted them.

The writer of the database takes and marks deliveries between its other work. Each channel has a thread that sends and does not touch the
database, so a channel that hangs delays neither other channels nor the writer. A message that was sent but not marked when the process
was killed is sent again under the same id.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dedup import store
from dedup.alerts.channels import resolve_path, send_message
from dedup.alerts.content import MessageStyle
from dedup.alerts.messages import FeedSnapshot, Message, build_message
from dedup.config import DeliveryConfig, Settings
from dedup.errors import ChannelError
from dedup.files.protected import ProtectedFiles
from dedup.rules import AlertPolicy, Schedule, delivery_time, start_of_hour
from dedup.store import Database, Transaction, WritableDatabase
from dedup.store.rows import AlertRow, DeliveryRow, MistimedDelivery
from dedup.text import times

POLL_SECONDS = 0.5
"""Seconds between two queries of the outbox."""
MAX_BATCH = 500
"""Largest number of deliveries of a channel that are taken at once, and the largest digest."""
LATE_AFTER, MAX_SINGLE_LATE = timedelta(minutes=10), 3
"""Deliveries that are overdue by LATE_AFTER become one digest if there are more than MAX_SINGLE_LATE of them."""
FAILURES_UNTIL_FAILING = 3
"""Failures in a row after which a channel counts as failing. It is then tried with one message at a time."""
TIMEOUTS_UNTIL_HANGING = 2
"""A channel counts as hanging after this many time limits, plus one for each message handed over to it."""
SLACK_SECONDS = 60
"""Seconds by which an attempt may be late. Longer gaps between attempts do not count towards `give_up_hours`: the clock jumped, or no
process was running."""
FINISH_SECONDS = 3.0
"""Seconds that channels get to finish at shutdown."""

_SINGLE_DIGESTS = (None, "incident")
"""Digest reasons whose deliveries are sent one by one."""

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Deliveries of one channel that are sent in one message.

    `digest_reason` is None for a message of a single alert. `attempts` counts the earlier attempts. `feed` is set for channels of kind
    `atom`.
    """

    channel: str
    delivery_ids: tuple[int, ...]
    alerts: tuple[AlertRow, ...]
    digest_reason: str | None
    attempts: int
    feed: FeedSnapshot | None = None


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of an attempt: the `message_id` if the channel accepted it, the `error` if not, neither if it was not attempted."""

    outgoing: OutgoingMessage
    at: str
    message_id: str | None
    error: str | None


@dataclass(slots=True)
class _ChannelState:
    """State of one channel: `in_flight` messages have no result yet, `failures` are in a row, since `failing_since`."""

    in_flight: int = 0
    last_handover: tuple[float, str] = (0.0, "")
    failures: int = 0
    failing_since: str | None = None
    last_error: str = ""
    inbox: queue.SimpleQueue[OutgoingMessage | None] = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class DeliveryService:
    """Sends due deliveries. The caller of `exchange` owns the writable database; threads of the service only send."""

    def __init__(self, settings: Settings, protected: ProtectedFiles | None = None, *, rng: random.Random | None = None) -> None:
        """`protected` are the files that channels must not write, by default those that the settings name. `rng` draws retry delays."""
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
        """Whether a message is being sent, or its result is not yet recorded."""
        return bool(self._unmarked_results) or any(s.in_flight for s in self._channel_states.values())

    def exchange(self, database: WritableDatabase, *, immediately: bool = False, take_new: bool = True) -> int:
        """Record results, then hand over due deliveries to their channels. Returns the number of messages handed over.

        Does nothing within POLL_SECONDS of the last call, unless `immediately`. Call it outside a transaction. If SQLite raises an error,
        the next call records the results.
        """
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
                    _log.warning("%s; will retry", result.error)
            elif result.message_id is not None:
                self.sent_count += 1
                if state.failures >= FAILURES_UNTIL_FAILING:
                    _log.info("channel %s accepts alerts again", result.outgoing.channel)
                state.failures, state.failing_since, state.last_error = 0, None, ""
            else:
                continue
            self._unmarked_results.append(result)

    # Recording results

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
        """Return the seconds until the next attempt: exponential backoff with full jitter, so that retries spread out."""
        longest = min(self._settings.retry_seconds * 2.0 ** min(attempts, 40), self._settings.max_retry_seconds)
        return self._rng.uniform(0.0, longest)

    # Handing over

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
            feed = self._read_feed(database, channel, messages)
            for outgoing in messages:
                self._hand_over(state, replace(outgoing, feed=feed))
            count += len(messages)
        return count

    def _read_feed(self, database: Database, name: str, messages: Sequence[OutgoingMessage]) -> FeedSnapshot | None:
        """Return the feed of a channel of kind `atom` as it is once these messages are sent, None for other kinds."""
        channel = self._channels.get(name)
        if channel is None or channel.kind != "atom" or not messages:
            return None
        in_flight = [delivery for outgoing in messages for delivery in outgoing.delivery_ids]
        alerts = store.alerts.newest_of_channel(database, name, channel.entries, in_flight)
        return FeedSnapshot(tuple(alerts), self._style)

    def _reschedule_early(self, database: WritableDatabase, now: str) -> None:
        """Set due times again that were set by a clock that was ahead."""
        while early_deliveries := store.alerts.deliveries_scheduled_after(database, now, MAX_BATCH):
            with database.transaction() as transaction:
                for delivery in early_deliveries:
                    store.alerts.reschedule(
                        transaction, delivery.id, delivery.alert_id, self._new_due_at(delivery, datetime.fromisoformat(now)), now
                    )

    def _new_due_at(self, delivery: MistimedDelivery, now: datetime) -> str:
        """Return the due time in place of one set by a clock that was ahead.

        A delivery that waited for a time of day waits for the next one. A delivery that waited for a number of seconds waits for as many
        from now.
        """
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
        # the hourly limit is applied when it is sent
        return delivery_time(now, Schedule(zone=schedule.zone, quiet_hours=schedule.quiet_hours)).at.isoformat()

    def _group_due(self, database: WritableDatabase, channel: str, now: str) -> Iterator[OutgoingMessage]:
        """Group due deliveries into messages; postpone those that quiet hours or the hourly limit hold back."""
        due_rows = store.alerts.due_deliveries(database, channel, now, MAX_BATCH)
        holds = list(_find_holds(database, due_rows, self._policy, datetime.fromisoformat(now)))
        if holds:
            with database.transaction() as transaction:
                for hold in holds:
                    store.alerts.postpone(transaction, hold.delivery_ids, hold.due_at, hold.digest_reason, now, self._max_step_seconds)
            due_rows = [d for d in _apply_holds(due_rows, holds) if d.due_at <= now]
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
            name = f"alerts-{outgoing.channel}"
            state.thread = threading.Thread(target=self._run_channel, args=(outgoing.channel, state.inbox), name=name, daemon=True)
            state.thread.start()
        state.in_flight += 1
        state.last_handover = time.monotonic(), times.now()
        state.inbox.put(outgoing)

    # Sending, in the thread of a channel

    def _run_channel(self, channel: str, inbox: queue.SimpleQueue[OutgoingMessage | None]) -> None:
        while (outgoing := inbox.get()) is not None:
            result = self._try_send(channel, outgoing)
            while result.message_id is None and not inbox.empty():  # a failure: the messages behind it wait too
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
            message = build_message(outgoing.alerts, self._style, outgoing.digest_reason)
            if outgoing.feed is not None:
                message = replace(message, feed=outgoing.feed.entries)
            self._send(channel, message)
        except ChannelError as error:
            return SendResult(outgoing, at, None, str(error))
        except Exception as error:  # one message must not end the thread
            _log.exception("internal error while sending to channel %s", channel)
            return SendResult(outgoing, at, None, f"Channel {channel}: internal error ({type(error).__name__})")
        return SendResult(outgoing, times.now(), message.id, None)

    def _send(self, name: str, message: Message) -> None:
        channel = self._channels.get(name)
        if channel is None:
            raise ChannelError(channel=name, problem="the configuration has no channel of that name")
        send_message(name, resolve_path(name, channel, self._protected), message, self._settings.timeout_seconds)

    # State

    def describe_failures(self) -> list[str]:
        """Return a sentence for each channel that is failing or hanging."""
        problems = [
            f"{s.last_error} (since {s.failing_since})" for s in self._channel_states.values() if s.failures >= FAILURES_UNTIL_FAILING
        ]
        for name, s in self._channel_states.items():
            if s.in_flight and time.monotonic() - s.last_handover[0] > self._settings.timeout_seconds * (
                TIMEOUTS_UNTIL_HANGING + s.in_flight
            ):
                problems.append(f"Channel {name}: no answer (since {s.last_handover[1]})")
        return problems

    def finish(self, database: WritableDatabase, seconds: float = FINISH_SECONDS) -> None:
        """Shut down: hand over nothing more, wait up to `seconds` for messages in flight, and record their results."""
        self._should_stop.set()
        deadline = time.monotonic() + seconds
        for state in self._channel_states.values():
            state.inbox.put(None)
        while any(s.in_flight for s in self._channel_states.values()) and time.monotonic() < deadline:
            time.sleep(0.02)
            self._collect_results()
        self.exchange(database, immediately=True, take_new=False)


def _add_seconds(now: datetime, seconds: float) -> str:
    """Return the time `seconds` later as ISO 8601, in whole seconds, at least one."""
    return (now + timedelta(seconds=max(1, round(seconds)))).isoformat()


class _Hold(NamedTuple):
    """Due deliveries that must not be sent now, or not by themselves, with their new due time and digest reason."""

    delivery_ids: list[int]
    due_at: str
    digest_reason: str


def _apply_holds(deliveries: Iterable[DeliveryRow], holds: Iterable[_Hold]) -> Iterator[DeliveryRow]:
    hold_by_delivery = {delivery: hold for hold in holds for delivery in hold.delivery_ids}
    for delivery in deliveries:
        hold = hold_by_delivery.get(delivery.id)
        yield delivery if hold is None else replace(delivery, due_at=hold.due_at, digest_reason=hold.digest_reason)


def _find_holds(database: Database, deliveries: Sequence[DeliveryRow], policy: AlertPolicy, now: datetime) -> Iterator[_Hold]:
    """Yield the holds that quiet hours, lateness and the hourly limit of each rule require."""
    by_rule: dict[str, list[DeliveryRow]] = {}
    for d in deliveries:
        by_rule.setdefault(d.rule, []).append(d)
    for name, rows in by_rule.items():
        rule = policy.find_rule(name)
        schedule = rule.schedule if rule else Schedule()
        after_quiet = delivery_time(now, Schedule(zone=schedule.zone, quiet_hours=schedule.quiet_hours))
        if after_quiet.digest_reason is not None:
            for digest, group in groupby(sorted(rows, key=lambda d: d.digest_reason or ""), key=lambda d: d.digest_reason):
                reason = "quiet_hours" if digest in _SINGLE_DIGESTS else str(digest)
                yield _Hold([d.id for d in group], after_quiet.at.isoformat(), reason)
            continue
        single = [d for d in rows if d.digest_reason in _SINGLE_DIGESTS]
        late_deliveries = [d for d in single if not d.attempts and now - datetime.fromisoformat(d.due_at) > LATE_AFTER]
        if len(late_deliveries) > MAX_SINGLE_LATE:
            yield _Hold([d.id for d in late_deliveries], now.isoformat(), "late")
            late_ids = {d.id for d in late_deliveries}
            single = [d for d in single if d.id not in late_ids]
        if schedule.max_per_hour and single:
            sent_count = store.alerts.count_sent_since(
                database, name, single[0].channel, start_of_hour(now, schedule.zone).isoformat(), now.isoformat()
            )
            excess = single[max(0, schedule.max_per_hour - sent_count) :]
            if excess:
                next_slot = delivery_time(now, schedule, sent_this_hour=schedule.max_per_hour)
                yield _Hold([d.id for d in excess], next_slot.at.isoformat(), "rate_limit")
