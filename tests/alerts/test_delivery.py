"""Delivery: every due alert is sent at least once, always with the same id, whatever channels and the clock do."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dedup import store
from dedup.alerts import DeliveryService, delivery
from dedup.alerts.messages import Message
from dedup.config import AlertRuleConfig, ChannelConfig, Settings
from dedup.errors import ChannelError
from dedup.rules import Event
from dedup.store import WritableDatabase, outbox
from dedup.text import times
from tests.builders.alerts import event, open_with_outbox, receiver, rows, settings
from tests.builders.processes import wait_until
from tests.builders.smtp import parse_feed

pytestmark = pytest.mark.slow

LOG = ChannelConfig(kind="log")


class FakeClock:
    """The current time during a test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 5, 1, 15, tzinfo=UTC)

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)

    def __call__(self) -> str:
        return self.now.isoformat()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(times, "now", fake)
    return fake


@dataclass
class FakeSender:
    """Records messages in place of sending them. `refuse` returns why a channel rejects a message, or None."""

    messages: list[tuple[str, Message]] = field(default_factory=list)
    attempts: int = 0
    refuse: Callable[[str, Message], str | None] = lambda _, __: None

    def __call__(self, name: str, _: ChannelConfig, message: Message, __: float) -> None:
        self.attempts += 1
        problem = self.refuse(name, message)
        if problem:
            raise ChannelError(channel=name, problem=problem)
        self.messages.append((name, message))

    def events(self, channel: str | None = None) -> list[list[str]]:
        """Return the event keys of each message."""
        return [[a["event_key"] for a in m.json_body["alerts"]] for name, m in self.messages if channel in (None, name)]


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> FakeSender:
    fake = FakeSender()
    monkeypatch.setattr(delivery, "send_message", fake)
    return fake


def hang_while(hang: threading.Event, channel: str) -> Callable[[str, Message], None]:
    """Return a `refuse` function whose channel hangs until the event is set."""

    def wait(name: str, _: Message) -> None:
        if name == channel:
            hang.wait(60)

    return wait


class MaximumDelay(random.Random):
    """Always draws the longest delay."""

    def uniform(self, a: float, b: float) -> float:
        return b


def delivery_service(configured: Settings) -> DeliveryService:
    return DeliveryService(configured, rng=MaximumDelay())


def deliver_due(service: DeliveryService, database: WritableDatabase) -> None:
    """Send what is due and store the results."""
    service.exchange(database, immediately=True)
    wait_for_results(service)
    service.exchange(database, immediately=True, take_new=False)


def wait_for_results(service: DeliveryService) -> None:
    """Wait until every message in flight has a result."""
    wait_until(lambda: service._results.qsize() >= sum(s.in_flight for s in service._channel_states.values()))


def deliver_all(service: DeliveryService, database: WritableDatabase) -> None:
    """Repeat until nothing is due."""
    for _ in range(50):
        deliver_due(service, database)
        if not store.alerts.channels_with_due_deliveries(database, times.now()):
            return
    raise AssertionError(rows(database, "public_id", "status", "due_at"))


@contextmanager
def open_service(db: Path, configured: Settings, *events: Event) -> Iterator[tuple[WritableDatabase, DeliveryService]]:
    with open_with_outbox(db, configured, events, times.now()) as database:
        service = delivery_service(configured)
        try:
            yield database, service
        finally:
            service.finish(database, 0.0)


def test_an_alert_is_marked_as_sent_after_its_channel_has_accepted_it(db: Path) -> None:
    with receiver() as hook:
        hook.hold.clear()
        configured = settings({"hook": ChannelConfig(kind="webhook", url=hook.url)})
        with open_service(db, configured, event()) as (database, service):
            service.exchange(database, immediately=True)
            hook.wait_for(1)
            service.exchange(database, immediately=True)
            assert rows(database, "status", "attempts") == [("pending", 0)]
            assert service.is_busy
            hook.hold.set()
            wait_until(lambda: (service.exchange(database, immediately=True), not service.is_busy)[1])
            assert rows(database, "status", "attempts", "last_error") == [("sent", 1, None)]
        assert len(hook.received) == 1


def test_a_delivery_is_sent_when_it_is_due_and_not_before(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = AlertRuleConfig(name="hourly", on=("change",), to=("log",), schedule="hourly")
    with open_service(db, settings({"log": LOG}, rule), event(1), event(2)) as (database, service):
        deliver_due(service, database)
        assert sender.messages == []
        clock.advance(minutes=44, seconds=59)
        deliver_due(service, database)
        assert sender.messages == []
        clock.advance(seconds=1)
        deliver_due(service, database)
        assert sender.events() == [["change:1", "change:2"]]
        assert sender.messages[0][1].json_body["digest_reason"] == "schedule"


def test_retry_delays_double_up_to_the_maximum_and_every_attempt_has_the_same_id(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    ids: list[str] = []

    def refuse(_: str, message: Message) -> str:
        ids.append(message.id)
        return "no"

    sender.refuse = refuse
    pauses = []
    with open_service(db, settings({"log": LOG}, retry_seconds=30, max_retry_seconds=200), event()) as (database, service):
        for _ in range(6):
            deliver_due(service, database)
            (due,) = {row[0] for row in rows(database, "due_at")}
            pauses.append(times.seconds_between(times.now(), due))
            clock.now = datetime.fromisoformat(due)
    assert pauses == [30, 60, 120, 200, 200, 200]
    assert len(set(ids)) == 1


def test_retry_delays_are_spread_over_the_whole_range(db: Path) -> None:
    service = DeliveryService(settings({"log": LOG}, retry_seconds=64, max_retry_seconds=3600), rng=random.Random(1))
    delays = sorted(service._retry_delay_seconds(3) for _ in range(1000))
    assert delays[0] < 8
    assert delays[-1] > 504
    assert abs(sum(delays) / 1000 - 256) < 16


def test_a_delivery_is_dead_after_the_configured_age_and_can_be_retried(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda *_: "no"
    with open_service(db, settings({"log": LOG}, give_up_hours=1), event()) as (database, service):
        for _ in range(100):
            deliver_due(service, database)
            if rows(database, "status") == [("dead",)]:
                break
            clock.advance(minutes=5)
        assert clock.now - datetime(2026, 3, 5, 1, 15, tzinfo=UTC) > timedelta(hours=1)
        ((attempts, error),) = rows(database, "attempts", "last_error")
        assert attempts > 1
        assert error == "Channel log: no"
        clock.advance(hours=99)
        attempts_before = sender.attempts
        deliver_due(service, database)
        assert sender.attempts == attempts_before
        with database.transaction() as transaction:
            assert store.alerts.retry(transaction, times.now()) == 1
        sender.refuse = lambda *_: None
        deliver_due(service, database)
        assert sender.events() == [["change:1"]]
        assert rows(database, "status") == [("sent",)]


def test_a_failing_channel_does_not_delay_others(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda name, _: "no" if name == "bad" else None
    with open_service(db, settings({"bad": LOG, "good": LOG}), *(event(n) for n in range(20))) as (database, service):
        deliver_all(service, database)
        assert len(sender.events("good")) == 20
        assert store.alerts.outstanding(database)["bad"].pending == 20


def test_a_hanging_channel_delays_neither_other_channels_nor_shutdown(db: Path, sender: FakeSender) -> None:
    hang = threading.Event()
    sender.refuse = hang_while(hang, "bad")
    configured = settings({"bad": LOG, "good": LOG}, timeout_seconds=1)
    with open_with_outbox(db, configured, [event(n) for n in range(5)], times.now()) as database:
        service = delivery_service(configured)
        started = time.monotonic()
        service.exchange(database, immediately=True)
        wait_until(lambda: (service.exchange(database, immediately=True), len(sender.events("good")) == 5)[1])
        assert len(sender.events("good")) == 5
        started = time.monotonic()
        service.finish(database, 0.3)
        assert time.monotonic() - started < 20  # the channel hangs for a minute
        assert store.alerts.outstanding(database)["bad"].pending == 5
        hang.set()


def test_a_channel_that_does_not_answer_is_reported(db: Path, sender: FakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    hang = threading.Event()
    sender.refuse = hang_while(hang, "bad")
    with open_service(db, settings({"bad": LOG}, timeout_seconds=1), event()) as (database, service):
        service.exchange(database, immediately=True)
        assert service.describe_failures() == []
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 100)
        (failure,) = service.describe_failures()
        assert failure.startswith("Channel bad: no answer")
        monkeypatch.undo()
        hang.set()


def test_a_failing_channel_is_tried_with_one_message_at_a_time_and_reported(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda *_: "no"
    with open_service(db, settings({"log": LOG}), *(event(n) for n in range(50))) as (database, service):
        deliver_all(service, database)
        assert sender.attempts <= delivery.FAILURES_UNTIL_FAILING
        assert service.describe_failures() == [f"Channel log: no (since {times.now()})"]
        clock.advance(hours=2)
        before = sender.attempts
        deliver_all(service, database)
        assert sender.attempts == before + 1
        sender.refuse = lambda *_: None
        clock.advance(hours=2)
        deliver_all(service, database)
        assert service.describe_failures() == []
        assert sorted(e for m in sender.events() for e in m) == sorted(f"change:{n}" for n in range(50))


def test_deliveries_that_wait_for_a_failing_channel_expire_with_the_reason(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda *_: "no"
    with open_service(db, settings({"log": LOG}, give_up_hours=3), *(event(n) for n in range(10))) as (database, service):
        for _ in range(8):
            deliver_all(service, database)
            clock.advance(hours=1)
        assert {row[0] for row in rows(database, "status")} == {"dead"}
        assert any("not tried: Channel log: no" in str(row[0]) for row in rows(database, "last_error"))


def test_a_message_that_is_always_rejected_does_not_delay_others(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda _, m: "poison" if "change:3" in str(m.json_body) else None
    with open_service(db, settings({"log": LOG}), *(event(n) for n in range(10))) as (database, service):
        deliver_all(service, database)
        assert len(sender.events()) == 9
        assert store.alerts.outstanding(database)["log"].pending == 1


def test_an_internal_error_in_one_message_does_not_stop_the_channel(
    db: Path, clock: FakeClock, sender: FakeSender, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(db, settings({"log": LOG}), event(1, payload={**event().payload, "evidence": "nonsense"}), event(2)) as (
        database,
        service,
    ):
        deliver_all(service, database)
        assert sender.events() == [["change:2"]]
        assert ("pending", "Channel log: internal error (TypeError)") in rows(database, "status", "last_error")
    assert "internal error while sending to channel log" in caplog.text


def test_a_channel_that_is_no_longer_configured_keeps_its_deliveries(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    with open_with_outbox(db, settings({"old": LOG}), [event()], times.now()) as database:
        service = delivery_service(settings({"new": LOG}))
        deliver_due(service, database)
        assert rows(database, "status", "last_error") == [("pending", "Channel old: the configuration has no channel of that name")]


def test_a_result_that_could_not_be_stored_is_stored_later_without_sending_again(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    with open_service(db, settings({"log": LOG}), event()) as (database, service):
        service.exchange(database, immediately=True)
        wait_until(lambda: len(sender.messages) == 1)
        wait_until(lambda: not service._results.empty())
        database.connection.execute("PRAGMA query_only=ON")
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                service.exchange(database, immediately=True)
        database.connection.execute("PRAGMA query_only=OFF")
        deliver_due(service, database)
        assert rows(database, "status", "attempts") == [("sent", 1)]
        assert len(sender.messages) == 1


# Schedules, caps and quiet hours


def test_alerts_over_the_hourly_cap_are_sent_as_one_digest(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = AlertRuleConfig(name="capped", on=("change",), to=("log",), max_per_hour=3)
    with open_service(db, settings({"log": LOG}, rule), *(event(n) for n in range(10))) as (database, service):
        deliver_all(service, database)
        assert sender.events() == [["change:0"], ["change:1"], ["change:2"]]
        with database.transaction() as transaction:
            outbox.write(transaction, [event(10)], settings({"log": LOG}, rule).alert_policy(), times.now())
        deliver_all(service, database)
        assert len(sender.messages) == 3
        clock.advance(minutes=45)
        deliver_all(service, database)
        assert sender.events()[3:] == [[f"change:{n}" for n in range(3, 11)]]
        assert sender.messages[3][1].json_body["digest_reason"] == "rate_limit"
        with database.transaction() as transaction:
            outbox.write(transaction, [event(11)], settings({"log": LOG}, rule).alert_policy(), times.now())
        deliver_all(service, database)
        assert sender.events()[4:] == [["change:11"]]


def test_the_hourly_cap_holds_for_any_number_of_due_alerts(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = AlertRuleConfig(name="capped", on=("change",), to=("log",), max_per_hour=3)
    with open_service(db, settings({"log": LOG}, rule), *(event(n) for n in range(2 * delivery.MAX_BATCH + 50))) as (database, service):
        deliver_all(service, database)
        assert sender.events() == [["change:0"], ["change:1"], ["change:2"]]
        clock.advance(minutes=45)
        deliver_all(service, database)
        assert sorted(map(len, sender.events()[3:])) == [47, 500, 500]


def test_each_rule_and_channel_has_its_own_cap(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rules = [AlertRuleConfig(name=n, on=("change",), to=(to,), max_per_hour=2) for n, to in (("a", "x"), ("b", "x"), ("c", "y"))]
    rules[0] = rules[0].model_copy(update={"publishers": ("한빛일보",)})
    events = [event(n, publisher="한빛일보" if n < 5 else "물결방송") for n in range(10)]
    with open_service(db, settings({"x": LOG, "y": LOG}, *rules), *events) as (database, service):
        deliver_all(service, database)
        assert sender.events("x") == [["change:0"], ["change:1"], ["change:5"], ["change:6"]]
        assert sender.events("y") == [["change:0"], ["change:1"]]


def test_nothing_is_sent_or_retried_in_quiet_hours(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = AlertRuleConfig(name="quiet", on=("change",), to=("log",), zone="UTC", quiet_hours=("01:20", "07:00"))
    sender.refuse = lambda *_: "no"
    with open_service(db, settings({"log": LOG}, rule, retry_seconds=600), event(1)) as (database, service):
        deliver_due(service, database)
        sender.refuse = lambda *_: None
        clock.advance(minutes=10)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(2), event(3)], settings({"log": LOG}, rule).alert_policy(), times.now())
        deliver_all(service, database)
        assert sender.messages == []
        clock.now = datetime(2026, 3, 5, 7, tzinfo=UTC)
        deliver_all(service, database)
        assert sender.events() == [["change:1", "change:2", "change:3"]]
        assert sender.messages[0][1].json_body["digest_reason"] == "quiet_hours"


def test_alerts_delayed_by_an_outage_are_sent_as_one_late_digest(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    with open_service(db, settings({"log": LOG}), *(event(n) for n in range(6))) as (database, service):
        clock.advance(hours=5)
        deliver_all(service, database)
        assert sender.events() == [[f"change:{n}" for n in range(6)]]
        assert sender.messages[0][1].json_body["digest_reason"] == "late"


def test_a_few_delayed_alerts_are_sent_separately(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    with open_service(db, settings({"log": LOG}), *(event(n) for n in range(3))) as (database, service):
        clock.advance(hours=5)
        deliver_all(service, database)
        assert len(sender.messages) == 3


def test_a_backlog_is_sent_in_full_batches(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    configured = settings({"log": LOG}, gather_seconds=60)
    with open_service(db, configured, *(event(n, backlog=True) for n in range(600))) as (database, service):
        clock.advance(seconds=60)
        deliver_all(service, database)
        assert [len(m) for m in sender.events()] == [delivery.MAX_BATCH, 100]
        assert {m.json_body["digest_reason"] for _, m in sender.messages} == {"backlog"}


def test_an_incident_is_sent_as_one_message_after_gathering(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    configured = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    with open_service(db, configured, *(event(n, incident="ab") for n in range(5)), event(9)) as (database, service):
        deliver_all(service, database)
        assert sender.events() == [["change:9"]]
        clock.advance(seconds=60)
        deliver_all(service, database)
        assert sender.events() == [["change:9"], ["incident:ab:1"]]
        assert sender.messages[1][1].json_body["alerts"][0]["page_count"] == 5


def test_a_repeated_digest_has_the_same_id_and_content(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    """A process that was killed before it stored the result causes the repetition."""
    rule = AlertRuleConfig(name="hourly", on=("change",), to=("log",), schedule="hourly")
    configured = settings({"log": LOG}, rule)
    with open_with_outbox(db, configured, [event(n) for n in range(5)], times.now()) as database:
        clock.advance(hours=1)
        killed = delivery_service(configured)
        killed.exchange(database, immediately=True)
        wait_until(lambda: len(sender.messages) == 1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(9)], configured.alert_policy(), times.now())
        clock.advance(hours=2)
        deliver_all(delivery_service(configured), database)
    first, repeated, rest = (m for _, m in sender.messages)
    assert first.id == repeated.id
    assert [len(m) for m in sender.events()] == [5, 5, 1]
    assert rest.id != first.id


@pytest.mark.system
@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from(["at once", "hourly", "daily"]))
@hypothesis_settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_alert_is_sent_despite_failing_channels_and_killed_processes(
    tmp_path_factory: Any, seed: int, number: int, schedule: Any
) -> None:
    rng = random.Random(seed)
    clock, sender = FakeClock(), FakeSender()
    sender.refuse = lambda *_: "no" if rng.random() < 0.4 else None
    rule = AlertRuleConfig(
        name="r",
        on=("change",),
        to=("x", "y"),
        schedule=schedule,
        quiet_hours=("02:00", "05:00"),
        zone="UTC",
        max_per_hour=rng.randint(0, 3),
    )
    configured = settings({"x": LOG, "y": LOG}, rule, give_up_hours=8000, max_retry_seconds=600)
    db = tmp_path_factory.mktemp("delivery") / "dedup.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", clock)
        patch.setattr(delivery, "send_message", sender)
        with open_with_outbox(db, configured, [event(n, backlog=rng.random() < 0.2) for n in range(number)], times.now()) as database:
            service = DeliveryService(configured, rng=rng)
            for _ in range(400):
                if rng.random() < 0.2:
                    service.exchange(database, immediately=True)
                    wait_for_results(service)
                    service = DeliveryService(configured, rng=rng)  # killed: no result was stored
                else:
                    deliver_due(service, database)
                if not store.alerts.outstanding(database):
                    break
                clock.advance(seconds=rng.choice([1, 60, 600, 7200]))
            assert store.alerts.outstanding(database) == {}
    for channel in "xy":
        ids = [a["id"] for name, m in sender.messages if name == channel for a in m.json_body["alerts"]]
        assert len(set(ids)) == number


# Clock jumps

DAY = 86_400


def hourly(**overrides: Any) -> AlertRuleConfig:
    return AlertRuleConfig(**{"name": "r", "on": ("change",), "to": ("log",), "schedule": "hourly", "zone": "UTC", **overrides})


def test_a_retry_scheduled_while_the_clock_was_ahead_is_made_after_the_normal_delay(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    sender.refuse = lambda *_: "no"
    clock.advance(days=1)
    with open_service(db, settings({"log": LOG}, retry_seconds=60), event()) as (database, service):
        deliver_due(service, database)
        sender.refuse = lambda *_: None
        clock.advance(days=-1)
        deliver_all(service, database)
        clock.advance(seconds=60)
        deliver_all(service, database)
        assert sender.events() == [["change:1"]]


@pytest.mark.parametrize("rhythm", ["hourly", "daily"])
def test_a_digest_scheduled_while_the_clock_was_ahead_is_sent_at_the_next_regular_time(
    db: Path, clock: FakeClock, sender: FakeSender, rhythm: Any
) -> None:
    clock.advance(days=3)
    with open_service(db, settings({"log": LOG}, hourly(schedule=rhythm, at="02:00")), event()) as (database, service):
        clock.advance(days=-3)
        deliver_all(service, database)
        assert (sender.events(), rows(database, "due_at")) == ([], [("2026-03-05T02:00:00+00:00",)])
        clock.advance(minutes=45)
        deliver_all(service, database)
        assert sender.events() == [["change:1"]]


def test_alerts_sent_while_the_clock_was_ahead_do_not_count_against_the_cap(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = hourly(schedule="at once", max_per_hour=1)
    clock.advance(days=1)
    with open_service(db, settings({"log": LOG}, rule), event(1)) as (database, service):
        deliver_all(service, database)
        clock.advance(days=-1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(2)], settings({"log": LOG}, rule).alert_policy(), times.now())
        deliver_all(service, database)
        assert sender.events() == [["change:1"], ["change:2"]]


def test_quiet_hours_entered_while_the_clock_was_ahead_hold_nothing_back(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    rule = hourly(schedule="at once", quiet_hours=("22:00", "23:00"))
    clock.advance(days=1, hours=21)
    with open_service(db, settings({"log": LOG}, rule), event(1)) as (database, service):
        deliver_all(service, database)
        assert sender.events() == []
        clock.advance(days=-1, hours=-21)
        deliver_all(service, database)
        assert sender.events() == [["change:1"]]


@pytest.mark.parametrize("leap", [4, 4000])
def test_a_clock_jump_expires_no_delivery(db: Path, clock: FakeClock, sender: FakeSender, leap: int) -> None:
    """Only time in which the delivery was tried counts towards its age."""
    sender.refuse = lambda *_: "no"
    with open_service(db, settings({"log": LOG}), *(event(n) for n in range(5))) as (database, service):
        for _ in range(3):
            deliver_all(service, database)
            clock.advance(days=leap)
        deliver_all(service, database)
        assert {row[0] for row in rows(database, "status")} == {"pending"}
        sender.refuse = lambda *_: None
        clock.advance(days=-3 * leap, hours=2)
        for _ in range(3):
            deliver_all(service, database)
            clock.advance(hours=2)
        assert sorted(e for m in sender.events() for e in m) == sorted(f"change:{n}" for n in range(5))


def test_pages_do_not_join_an_incident_sent_while_the_clock_was_ahead(db: Path, clock: FakeClock, sender: FakeSender) -> None:
    configured = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    clock.advance(days=1)
    with open_service(db, configured, *(event(n, incident="ab") for n in range(3))) as (database, service):
        clock.advance(seconds=60)
        deliver_all(service, database)
        assert sender.events() == [["incident:ab:1"]]
        clock.advance(days=-1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(n, incident="ab") for n in range(3, 5)], configured.alert_policy(), times.now())
        clock.advance(hours=24, seconds=60)
        deliver_all(service, database)
        assert sender.events() == [["incident:ab:1"], ["incident:ab:2"]]
        assert sender.messages[1][1].json_body["alerts"][0]["page_count"] == 2


def test_an_incident_that_gathers_while_the_clock_is_set_back_is_sent_with_all_pages(
    db: Path, clock: FakeClock, sender: FakeSender
) -> None:
    configured = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    clock.advance(days=1)
    with open_service(db, configured, *(event(n, incident="ab") for n in range(3))) as (database, service):
        clock.advance(days=-1)
        deliver_all(service, database)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(3, incident="ab")], configured.alert_policy(), times.now())
        clock.advance(seconds=60)
        deliver_all(service, database)
        assert sender.events() == [["incident:ab:1"]]
        assert sender.messages[0][1].json_body["alerts"][0]["page_count"] == 4


LONGEST = timedelta(hours=48)
"""Longest wait: a day until the next daily digest, and less than a day of quiet hours."""


@pytest.mark.system
@given(
    st.lists(st.tuples(st.sampled_from([-4000 * DAY, -30 * DAY, -DAY, -3600, -90, 0, 90, 3600, DAY, 30 * DAY]), st.booleans()), max_size=8),
    st.sampled_from(["at once", "hourly", "daily"]),
    st.sampled_from([(), ("22:00", "07:00"), ("01:00", "00:30")]),
    st.integers(0, 2),
)
@hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_alert_is_sent_once_within_two_days_after_clock_and_channel_work_again(
    tmp_path_factory: Any, steps: list[tuple[int, bool]], schedule: Any, quiet_hours: tuple[str, ...], max_per_hour: int
) -> None:
    clock, sender = FakeClock(), FakeSender()
    configured = settings(
        {"log": LOG}, hourly(schedule=schedule, quiet_hours=quiet_hours, max_per_hour=max_per_hour), gather_seconds=60, incident_pages=2
    )
    db = tmp_path_factory.mktemp("clock") / "dedup.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", clock)
        patch.setattr(delivery, "send_message", sender)
        with open_with_outbox(db, configured, [event(1)], times.now()) as database:
            service = delivery_service(configured)
            for n, (seconds, is_refused) in enumerate(steps, 2):
                clock.advance(seconds=seconds)
                sender.refuse = (lambda *_: "no") if is_refused else (lambda *_: None)
                with database.transaction() as transaction:
                    outbox.write(transaction, [event(n, backlog=n % 2 == 0)], configured.alert_policy(), times.now())
                deliver_due(service, database)
            sender.refuse = lambda *_: None
            corrected_at = clock.now
            while store.alerts.outstanding(database):
                deliver_all(service, database)
                assert {row[0] for row in rows(database, "status")} <= {"pending", "sent"}
                pending = [datetime.fromisoformat(due) for due, state in rows(database, "due_at", "status") if state == "pending"]
                assert all(due - clock.now <= LONGEST for due in pending)
                assert clock.now - corrected_at <= LONGEST + timedelta(hours=3)
                clock.advance(minutes=20)
    event_keys = [e for m in sender.events() for e in m]
    assert sorted(event_keys) == sorted(f"change:{n}" for n in range(1, len(steps) + 2))


# Feeds


def feed_titles(path: Path) -> list[str]:
    return [e.title.rpartition(" ")[2] for e in parse_feed(path).entries]


def feed_channel(path: Path, entries: int = 200) -> dict[str, ChannelConfig]:
    return {"feed": ChannelConfig(kind="atom", path=str(path), entries=entries)}


def deliver(database: WritableDatabase, configured: Settings, *events: Event) -> None:
    """Write these events to the outbox and send their alerts with a new service."""
    with database.transaction() as transaction:
        outbox.write(transaction, events, configured.alert_policy(), times.now())
    service = delivery_service(configured)
    deliver_all(service, database)
    service.finish(database, 0.0)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-40]), lambda p: p.write_bytes(b"")])
def test_a_lost_or_damaged_feed_is_complete_after_the_next_delivery(
    db: Path, tmp_path: Path, clock: FakeClock, damage: Callable[[Path], Any]
) -> None:
    path = tmp_path / "a.atom"
    configured = settings(feed_channel(path))
    with open_with_outbox(db, configured, [], times.now()) as database:
        deliver(database, configured, *(event(n) for n in range(3)))
        assert feed_titles(path) == ["2", "1", "0"]
        damage(path)
        deliver(database, configured, event(3))
        assert feed_titles(path) == ["3", "2", "1", "0"]


def test_a_feed_has_the_latest_accepted_alerts_of_the_database(db: Path, tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "a.atom"
    configured = settings(feed_channel(path, entries=4) | {"other": LOG})
    with open_with_outbox(db, configured, [], times.now()) as database:
        deliver(database, configured, *(event(n) for n in range(6)))
        assert feed_titles(path) == ["5", "4", "3", "2"]
        clock.advance(hours=-3)  # the clock was ahead
        deliver(database, configured, event(6))
        assert feed_titles(path) == ["6", "5", "4", "3"]
        before = path.read_bytes()
        with database.transaction() as transaction:
            transaction.execute("UPDATE deliveries SET status = 'pending', due_at = ? WHERE alert_id = 7", times.now())
        deliver(database, configured)
        assert path.read_bytes() == before


def test_a_feed_has_no_pending_alerts(db: Path, tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "a.atom"
    rule = AlertRuleConfig(name="all", on=("change",), to=("feed",), max_per_hour=2)
    configured = settings(feed_channel(path), rule)
    with open_with_outbox(db, configured, [], times.now()) as database:
        deliver(database, configured, *(event(n) for n in range(5)))
        assert sorted(feed_titles(path)) == ["0", "1"]
        clock.advance(hours=1)
        deliver(database, configured)
        assert sorted(feed_titles(path)) == ["0", "1", "2", "3", "4"]
