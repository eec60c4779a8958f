"""Delivery: what is due is sent, at least once and under one id, however channels and the clock behave."""

from __future__ import annotations

import random
import sqlite3
import threading
import time as clocks
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
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
from tests.builders.processes import until
from tests.builders.smtp import parse_feed

LOG = ChannelConfig(kind="log")


class Clock:
    """The time, as long as a test goes."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 5, 1, 15, tzinfo=UTC)

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)

    def __call__(self) -> str:
        return self.now.isoformat()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(times, "now", found)
    return found


@dataclass
class Sent:
    """What channels were given, in place of sending it; `refusing` says why one does not take a message, or None."""

    messages: list[tuple[str, Message]] = field(default_factory=list)
    tried: int = 0
    refusing: Callable[[str, Message], str | None] = lambda _, __: None

    def __call__(self, name: str, _: ChannelConfig, message: Message, __: float) -> None:
        self.tried += 1
        why = self.refusing(name, message)
        if why:
            raise ChannelError(channel=name, problem=why)
        self.messages.append((name, message))

    def events(self, channel: str | None = None) -> list[list[str]]:
        """For each message the events that it tells of."""
        return [[a["event_key"] for a in m.json_body["alerts"]] for name, m in self.messages if channel in (None, name)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    found = Sent()
    monkeypatch.setattr(delivery, "send_message", found)
    return found


def hanging(held: threading.Event, channel: str) -> Callable[[str, Message], None]:
    """A channel that hangs as long as it is held."""

    def wait(name: str, _: Message) -> None:
        if name == channel:
            held.wait(60)

    return wait


class Longest(random.Random):
    """Draws the longest pause there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def post_of(chosen: Settings) -> DeliveryService:
    return DeliveryService(chosen, rng=Longest())


def round_(post: DeliveryService, database: WritableDatabase) -> None:
    """Hand over what is due, and mark what became of it."""
    post.exchange(database, immediately=True)
    came_back(post)
    post.exchange(database, immediately=True, take_new=False)


def came_back(post: DeliveryService) -> None:
    """Wait until every message has been tried."""
    until(lambda: post._results.qsize() >= sum(s.in_flight for s in post._channel_states.values()))


def rounds(post: DeliveryService, database: WritableDatabase) -> None:
    """Until nothing is due any more."""
    for _ in range(50):
        round_(post, database)
        if not store.alerts.channels_with_due_deliveries(database, times.now()):
            return
    raise AssertionError(rows(database, "public_id", "status", "due_at"))


@contextmanager
def posting(db: Path, chosen: Settings, *events: Event) -> Iterator[tuple[WritableDatabase, DeliveryService]]:
    with open_with_outbox(db, chosen, events, times.now()) as database:
        post = post_of(chosen)
        try:
            yield database, post
        finally:
            post.finish(database, 0.0)


def test_an_alert_is_marked_as_sent_after_its_channel_has_accepted_it(db: Path) -> None:
    with receiver() as hook:
        hook.hold.clear()
        chosen = settings({"hook": ChannelConfig(kind="webhook", url=hook.url)})
        with posting(db, chosen, event()) as (database, post):
            post.exchange(database, immediately=True)
            hook.wait_for(1)
            post.exchange(database, immediately=True)
            assert rows(database, "status", "attempts") == [("pending", 0)]
            assert post.is_busy
            hook.hold.set()
            until(lambda: (post.exchange(database, immediately=True), not post.is_busy)[1])
            assert rows(database, "status", "attempts", "last_error") == [("sent", 1, None)]
        assert len(hook.received) == 1


def test_what_is_not_due_is_not_sent(db: Path, clock: Clock, sent: Sent) -> None:
    rule = AlertRuleConfig(name="hourly", on=("change",), to=("log",), schedule="hourly")
    with posting(db, settings({"log": LOG}, rule), event(1), event(2)) as (database, post):
        round_(post, database)
        assert sent.messages == []
        clock.pass_(minutes=44, seconds=59)
        round_(post, database)
        assert sent.messages == []
        clock.pass_(seconds=1)
        round_(post, database)
        assert sent.events() == [["change:1", "change:2"]]
        assert sent.messages[0][1].json_body["digest_reason"] == "schedule"


def test_pauses_double_up_to_the_most_and_every_attempt_has_the_same_id(db: Path, clock: Clock, sent: Sent) -> None:
    ids: list[str] = []

    def refuse(_: str, message: Message) -> str:
        ids.append(message.id)
        return "no"

    sent.refusing = refuse
    pauses = []
    with posting(db, settings({"log": LOG}, retry_seconds=30, max_retry_seconds=200), event()) as (database, post):
        for _ in range(6):
            round_(post, database)
            (due,) = {row[0] for row in rows(database, "due_at")}
            pauses.append(times.seconds_between(times.now(), due))
            clock.now = datetime.fromisoformat(due)
    assert pauses == [30, 60, 120, 200, 200, 200]
    assert len(set(ids)) == 1


def test_pauses_are_drawn_from_all_there_are_so_that_not_all_come_back_together(db: Path) -> None:
    post = DeliveryService(settings({"log": LOG}, retry_seconds=64, max_retry_seconds=3600), rng=random.Random(1))
    drawn = sorted(post._retry_delay_seconds(3) for _ in range(1000))
    assert drawn[0] < 8
    assert drawn[-1] > 504
    assert abs(sum(drawn) / 1000 - 256) < 16


def test_after_the_configured_age_it_is_dead_and_can_be_sent_again(db: Path, clock: Clock, sent: Sent) -> None:
    sent.refusing = lambda *_: "no"
    with posting(db, settings({"log": LOG}, give_up_hours=1), event()) as (database, post):
        for _ in range(100):
            round_(post, database)
            if rows(database, "status") == [("dead",)]:
                break
            clock.pass_(minutes=5)
        assert clock.now - datetime(2026, 3, 5, 1, 15, tzinfo=UTC) > timedelta(hours=1)
        ((attempts, error),) = rows(database, "attempts", "last_error")
        assert attempts > 1
        assert error == "Channel log: no"
        clock.pass_(hours=99)
        tried = sent.tried
        round_(post, database)
        assert sent.tried == tried
        with database.transaction() as transaction:
            assert store.alerts.retry(transaction, times.now()) == 1
        sent.refusing = lambda *_: None
        round_(post, database)
        assert sent.events() == [["change:1"]]
        assert rows(database, "status") == [("sent",)]


def test_one_channel_that_fails_delays_no_other(db: Path, clock: Clock, sent: Sent) -> None:
    sent.refusing = lambda name, _: "no" if name == "bad" else None
    with posting(db, settings({"bad": LOG, "good": LOG}), *(event(n) for n in range(20))) as (database, post):
        rounds(post, database)
        assert len(sent.events("good")) == 20
        assert store.alerts.outstanding(database)["bad"].pending == 20


def test_a_channel_that_hangs_delays_neither_the_others_nor_the_work_nor_leaving(db: Path, sent: Sent) -> None:
    held = threading.Event()
    sent.refusing = hanging(held, "bad")
    chosen = settings({"bad": LOG, "good": LOG}, timeout_seconds=1)
    with open_with_outbox(db, chosen, [event(n) for n in range(5)], times.now()) as database:
        post = post_of(chosen)
        begun = clocks.monotonic()
        post.exchange(database, immediately=True)
        until(lambda: (post.exchange(database, immediately=True), len(sent.events("good")) == 5)[1])
        assert len(sent.events("good")) == 5
        begun = clocks.monotonic()
        post.finish(database, 0.3)
        assert clocks.monotonic() - begun < 20  # and not the minute that it hangs
        assert store.alerts.outstanding(database)["bad"].pending == 5
        held.set()


def test_a_channel_that_does_not_answer_is_told_of(db: Path, sent: Sent, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    sent.refusing = hanging(held, "bad")
    with posting(db, settings({"bad": LOG}, timeout_seconds=1), event()) as (database, post):
        post.exchange(database, immediately=True)
        assert post.describe_failures() == []
        now = clocks.monotonic()
        monkeypatch.setattr(clocks, "monotonic", lambda: now + 100)
        (told,) = post.describe_failures()
        assert told.startswith("Channel bad: no answer")
        monkeypatch.undo()
        held.set()


def test_a_channel_that_fails_is_tried_with_one_message_at_a_time_and_told_of(db: Path, clock: Clock, sent: Sent) -> None:
    sent.refusing = lambda *_: "no"
    with posting(db, settings({"log": LOG}), *(event(n) for n in range(50))) as (database, post):
        rounds(post, database)
        assert sent.tried <= delivery.FAILURES_UNTIL_FAILING
        assert post.describe_failures() == [f"Channel log: no (since {times.now()})"]
        clock.pass_(hours=2)
        before = sent.tried
        rounds(post, database)
        assert sent.tried == before + 1
        sent.refusing = lambda *_: None
        clock.pass_(hours=2)
        rounds(post, database)
        assert post.describe_failures() == []
        assert sorted(e for m in sent.events() for e in m) == sorted(f"change:{n}" for n in range(50))


def test_what_waits_for_a_channel_that_fails_dies_of_age_with_the_reason(db: Path, clock: Clock, sent: Sent) -> None:
    sent.refusing = lambda *_: "no"
    with posting(db, settings({"log": LOG}, give_up_hours=3), *(event(n) for n in range(10))) as (database, post):
        for _ in range(8):
            rounds(post, database)
            clock.pass_(hours=1)
        assert {row[0] for row in rows(database, "status")} == {"dead"}
        assert any("not tried: Channel log: no" in str(row[0]) for row in rows(database, "last_error"))


def test_one_message_that_is_never_taken_holds_up_no_other(db: Path, clock: Clock, sent: Sent) -> None:
    sent.refusing = lambda _, m: "poison" if "change:3" in str(m.json_body) else None
    with posting(db, settings({"log": LOG}), *(event(n) for n in range(10))) as (database, post):
        rounds(post, database)
        assert len(sent.events()) == 9
        assert store.alerts.outstanding(database)["log"].pending == 1


def test_an_error_of_the_program_in_one_message_ends_no_channel(
    db: Path, clock: Clock, sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    with posting(db, settings({"log": LOG}), event(1, payload={**event().payload, "evidence": "nonsense"}), event(2)) as (database, post):
        rounds(post, database)
        assert sent.events() == [["change:2"]]
        assert ("pending", "Channel log: internal error (TypeError)") in rows(database, "status", "last_error")
    assert "internal error while sending to channel log" in caplog.text


def test_a_channel_that_is_configured_no_more_keeps_what_it_had(db: Path, clock: Clock, sent: Sent) -> None:
    with open_with_outbox(db, settings({"old": LOG}), [event()], times.now()) as database:
        post = post_of(settings({"new": LOG}))
        round_(post, database)
        assert rows(database, "status", "last_error") == [("pending", "Channel old: the configuration has no channel of that name")]


def test_what_could_not_be_marked_is_not_sent_again_but_marked_the_next_time(db: Path, clock: Clock, sent: Sent) -> None:
    with posting(db, settings({"log": LOG}), event()) as (database, post):
        post.exchange(database, immediately=True)
        until(lambda: len(sent.messages) == 1)
        until(lambda: not post._results.empty())
        database.connection.execute("PRAGMA query_only=ON")
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError):
                post.exchange(database, immediately=True)
        database.connection.execute("PRAGMA query_only=OFF")
        round_(post, database)
        assert rows(database, "status", "attempts") == [("sent", 1)]
        assert len(sent.messages) == 1


# Rhythms


def test_over_the_cap_the_rest_of_the_hour_is_one_digest_that_says_so(db: Path, clock: Clock, sent: Sent) -> None:
    rule = AlertRuleConfig(name="capped", on=("change",), to=("log",), max_per_hour=3)
    with posting(db, settings({"log": LOG}, rule), *(event(n) for n in range(10))) as (database, post):
        rounds(post, database)
        assert sent.events() == [["change:0"], ["change:1"], ["change:2"]]
        with database.transaction() as transaction:
            outbox.write(transaction, [event(10)], settings({"log": LOG}, rule).alert_policy(), times.now())
        rounds(post, database)
        assert len(sent.messages) == 3
        clock.pass_(minutes=45)
        rounds(post, database)
        assert sent.events()[3:] == [[f"change:{n}" for n in range(3, 11)]]
        assert sent.messages[3][1].json_body["digest_reason"] == "rate_limit"
        with database.transaction() as transaction:
            outbox.write(transaction, [event(11)], settings({"log": LOG}, rule).alert_policy(), times.now())
        rounds(post, database)
        assert sent.events()[4:] == [["change:11"]]


def test_the_cap_holds_however_much_is_due(db: Path, clock: Clock, sent: Sent) -> None:
    rule = AlertRuleConfig(name="capped", on=("change",), to=("log",), max_per_hour=3)
    with posting(db, settings({"log": LOG}, rule), *(event(n) for n in range(2 * delivery.MAX_BATCH + 50))) as (database, post):
        rounds(post, database)
        assert sent.events() == [["change:0"], ["change:1"], ["change:2"]]
        clock.pass_(minutes=45)
        rounds(post, database)
        assert sorted(map(len, sent.events()[3:])) == [47, 500, 500]


def test_each_rule_and_channel_has_a_cap_of_its_own(db: Path, clock: Clock, sent: Sent) -> None:
    rules = [AlertRuleConfig(name=n, on=("change",), to=(to,), max_per_hour=2) for n, to in (("a", "x"), ("b", "x"), ("c", "y"))]
    rules[0] = rules[0].model_copy(update={"publishers": ("한빛일보",)})
    happened = [event(n, publisher="한빛일보" if n < 5 else "물결방송") for n in range(10)]
    with posting(db, settings({"x": LOG, "y": LOG}, *rules), *happened) as (database, post):
        rounds(post, database)
        assert sent.events("x") == [["change:0"], ["change:1"], ["change:5"], ["change:6"]]
        assert sent.events("y") == [["change:0"], ["change:1"]]


def test_nothing_is_sent_in_quiet_hours_not_even_what_is_tried_again(db: Path, clock: Clock, sent: Sent) -> None:
    rule = AlertRuleConfig(name="quiet", on=("change",), to=("log",), zone="UTC", quiet_hours=("01:20", "07:00"))
    sent.refusing = lambda *_: "no"
    with posting(db, settings({"log": LOG}, rule, retry_seconds=600), event(1)) as (database, post):
        round_(post, database)
        sent.refusing = lambda *_: None
        clock.pass_(minutes=10)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(2), event(3)], settings({"log": LOG}, rule).alert_policy(), times.now())
        rounds(post, database)
        assert sent.messages == []
        clock.now = datetime(2026, 3, 5, 7, tzinfo=UTC)
        rounds(post, database)
        assert sent.events() == [["change:1", "change:2", "change:3"]]
        assert sent.messages[0][1].json_body["digest_reason"] == "quiet_hours"


def test_what_was_left_by_a_daemon_that_was_down_is_one_message_that_says_so(db: Path, clock: Clock, sent: Sent) -> None:
    with posting(db, settings({"log": LOG}), *(event(n) for n in range(6))) as (database, post):
        clock.pass_(hours=5)
        rounds(post, database)
        assert sent.events() == [[f"change:{n}" for n in range(6)]]
        assert sent.messages[0][1].json_body["digest_reason"] == "late"


def test_what_was_left_is_told_by_itself_if_it_is_only_a_few(db: Path, clock: Clock, sent: Sent) -> None:
    with posting(db, settings({"log": LOG}), *(event(n) for n in range(3))) as (database, post):
        clock.pass_(hours=5)
        rounds(post, database)
        assert len(sent.messages) == 3


def test_a_backlog_is_told_in_one_message_for_each_rule(db: Path, clock: Clock, sent: Sent) -> None:
    chosen = settings({"log": LOG}, gather_seconds=60)
    with posting(db, chosen, *(event(n, backlog=True) for n in range(600))) as (database, post):
        clock.pass_(seconds=60)
        rounds(post, database)
        assert [len(m) for m in sent.events()] == [delivery.MAX_BATCH, 100]
        assert {m.json_body["digest_reason"] for _, m in sent.messages} == {"backlog"}


def test_an_incident_is_a_message_of_its_own_once_its_pages_are_gathered(db: Path, clock: Clock, sent: Sent) -> None:
    chosen = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    with posting(db, chosen, *(event(n, incident="ab") for n in range(5)), event(9)) as (database, post):
        rounds(post, database)
        assert sent.events() == [["change:9"]]
        clock.pass_(seconds=60)
        rounds(post, database)
        assert sent.events() == [["change:9"], ["incident:ab:1"]]
        assert sent.messages[1][1].json_body["alerts"][0]["page_count"] == 5


def test_a_digest_that_is_sent_again_has_the_same_id_whatever_came_meanwhile(db: Path, clock: Clock, sent: Sent) -> None:
    """As after a process that was killed before it could mark it."""
    rule = AlertRuleConfig(name="hourly", on=("change",), to=("log",), schedule="hourly")
    chosen = settings({"log": LOG}, rule)
    with open_with_outbox(db, chosen, [event(n) for n in range(5)], times.now()) as database:
        clock.pass_(hours=1)
        killed = post_of(chosen)
        killed.exchange(database, immediately=True)
        until(lambda: len(sent.messages) == 1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(9)], chosen.alert_policy(), times.now())
        clock.pass_(hours=2)
        rounds(post_of(chosen), database)
    first, again, rest = (m for _, m in sent.messages)
    assert first.id == again.id
    assert [len(m) for m in sent.events()] == [5, 5, 1]
    assert rest.id != first.id


@given(st.integers(0, 2**32), st.integers(1, 12), st.sampled_from(["at once", "hourly", "daily"]))
@trying(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_channels_that_fail_at_random_and_processes_that_end_each_alert_is_told_and_after_dropping_repeats_once(
    tmp_path_factory: Any, seed: int, number: int, every: Any
) -> None:
    rng = random.Random(seed)
    clock, sent = Clock(), Sent()
    sent.refusing = lambda *_: "no" if rng.random() < 0.4 else None
    rule = AlertRuleConfig(
        name="r", on=("change",), to=("x", "y"), schedule=every, quiet_hours=("02:00", "05:00"), zone="UTC", max_per_hour=rng.randint(0, 3)
    )
    chosen = settings({"x": LOG, "y": LOG}, rule, give_up_hours=8000, max_retry_seconds=600)
    db = tmp_path_factory.mktemp("delivery") / "dedup.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", clock)
        patch.setattr(delivery, "send_message", sent)
        with open_with_outbox(db, chosen, [event(n, backlog=rng.random() < 0.2) for n in range(number)], times.now()) as database:
            post = DeliveryService(chosen, rng=rng)
            for _ in range(400):
                if rng.random() < 0.2:
                    post.exchange(database, immediately=True)
                    came_back(post)
                    post = DeliveryService(chosen, rng=rng)  # killed: nothing was marked
                else:
                    round_(post, database)
                if not store.alerts.outstanding(database):
                    break
                clock.pass_(seconds=rng.choice([1, 60, 600, 7200]))
            assert store.alerts.outstanding(database) == {}
    for channel in "xy":
        ids = [a["id"] for name, m in sent.messages if name == channel for a in m.json_body["alerts"]]
        assert len(set(ids)) == number


# A clock that is set

DAY = 86_400


def hourly(**given: Any) -> AlertRuleConfig:
    return AlertRuleConfig(**{"name": "r", "on": ("change",), "to": ("log",), "schedule": "hourly", "zone": "UTC", **given})


def test_an_attempt_that_was_put_off_while_the_clock_was_ahead_is_made_as_soon_as_it_would_have_been(
    db: Path, clock: Clock, sent: Sent
) -> None:
    sent.refusing = lambda *_: "no"
    clock.pass_(days=1)
    with posting(db, settings({"log": LOG}, retry_seconds=60), event()) as (database, post):
        round_(post, database)
        sent.refusing = lambda *_: None
        clock.pass_(days=-1)
        rounds(post, database)
        clock.pass_(seconds=60)
        rounds(post, database)
        assert sent.events() == [["change:1"]]


@pytest.mark.parametrize("rhythm", ["hourly", "daily"])
def test_a_digest_that_was_planned_while_the_clock_was_ahead_is_sent_at_the_next_such_time(
    db: Path, clock: Clock, sent: Sent, rhythm: Any
) -> None:
    clock.pass_(days=3)
    with posting(db, settings({"log": LOG}, hourly(schedule=rhythm, at="02:00")), event()) as (database, post):
        clock.pass_(days=-3)
        rounds(post, database)
        assert (sent.events(), rows(database, "due_at")) == ([], [("2026-03-05T02:00:00+00:00",)])
        clock.pass_(minutes=45)
        rounds(post, database)
        assert sent.events() == [["change:1"]]


def test_what_was_sent_tomorrow_does_not_count_as_sent_in_this_hour(db: Path, clock: Clock, sent: Sent) -> None:
    rule = hourly(schedule="at once", max_per_hour=1)
    clock.pass_(days=1)
    with posting(db, settings({"log": LOG}, rule), event(1)) as (database, post):
        rounds(post, database)
        clock.pass_(days=-1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(2)], settings({"log": LOG}, rule).alert_policy(), times.now())
        rounds(post, database)
        assert sent.events() == [["change:1"], ["change:2"]]


def test_quiet_hours_of_tomorrow_hold_nothing_today(db: Path, clock: Clock, sent: Sent) -> None:
    rule = hourly(schedule="at once", quiet_hours=("22:00", "23:00"))
    clock.pass_(days=1, hours=21)
    with posting(db, settings({"log": LOG}, rule), event(1)) as (database, post):
        rounds(post, database)
        assert sent.events() == []
        clock.pass_(days=-1, hours=-21)
        rounds(post, database)
        assert sent.events() == [["change:1"]]


@pytest.mark.parametrize("leap", [4, 4000])
def test_a_clock_that_leaps_gives_nothing_up(db: Path, clock: Clock, sent: Sent, leap: int) -> None:
    """Nor does a time in which nothing ran: only time in which it was tried counts."""
    sent.refusing = lambda *_: "no"
    with posting(db, settings({"log": LOG}), *(event(n) for n in range(5))) as (database, post):
        for _ in range(3):
            rounds(post, database)
            clock.pass_(days=leap)
        rounds(post, database)
        assert {row[0] for row in rows(database, "status")} == {"pending"}
        sent.refusing = lambda *_: None
        clock.pass_(days=-3 * leap, hours=2)
        for _ in range(3):
            rounds(post, database)
            clock.pass_(hours=2)
        assert sorted(e for m in sent.events() for e in m) == sorted(f"change:{n}" for n in range(5))


def test_pages_join_no_incident_that_was_sent_while_the_clock_was_ahead(db: Path, clock: Clock, sent: Sent) -> None:
    chosen = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    clock.pass_(days=1)
    with posting(db, chosen, *(event(n, incident="ab") for n in range(3))) as (database, post):
        clock.pass_(seconds=60)
        rounds(post, database)
        assert sent.events() == [["incident:ab:1"]]
        clock.pass_(days=-1)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(n, incident="ab") for n in range(3, 5)], chosen.alert_policy(), times.now())
        clock.pass_(hours=24, seconds=60)
        rounds(post, database)
        assert sent.events() == [["incident:ab:1"], ["incident:ab:2"]]
        assert sent.messages[1][1].json_body["alerts"][0]["page_count"] == 2


def test_an_incident_that_gathers_while_the_clock_is_set_back_takes_its_pages_and_no_longer(db: Path, clock: Clock, sent: Sent) -> None:
    chosen = settings({"log": LOG}, gather_seconds=60, incident_pages=3)
    clock.pass_(days=1)
    with posting(db, chosen, *(event(n, incident="ab") for n in range(3))) as (database, post):
        clock.pass_(days=-1)
        rounds(post, database)
        with database.transaction() as transaction:
            outbox.write(transaction, [event(3, incident="ab")], chosen.alert_policy(), times.now())
        clock.pass_(seconds=60)
        rounds(post, database)
        assert sent.events() == [["incident:ab:1"]]
        assert sent.messages[0][1].json_body["alerts"][0]["page_count"] == 4


LONGEST = timedelta(hours=48)
"""From any time: a day until the next daily digest, and less than another of quiet hours."""


@given(
    st.lists(st.tuples(st.sampled_from([-4000 * DAY, -30 * DAY, -DAY, -3600, -90, 0, 90, 3600, DAY, 30 * DAY]), st.booleans()), max_size=8),
    st.sampled_from(["at once", "hourly", "daily"]),
    st.sampled_from([(), ("22:00", "07:00"), ("01:00", "00:30")]),
    st.integers(0, 2),
)
@trying(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_clock_did_each_alert_is_sent_once_within_two_days_from_when_it_is_right_and_taken(
    tmp_path_factory: Any, steps: list[tuple[int, bool]], every: Any, quiet: tuple[str, ...], most: int
) -> None:
    clock, sent = Clock(), Sent()
    chosen = settings({"log": LOG}, hourly(schedule=every, quiet_hours=quiet, max_per_hour=most), gather_seconds=60, incident_pages=2)
    db = tmp_path_factory.mktemp("clock") / "dedup.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(times, "now", clock)
        patch.setattr(delivery, "send_message", sent)
        with open_with_outbox(db, chosen, [event(1)], times.now()) as database:
            post = post_of(chosen)
            for n, (seconds, refused) in enumerate(steps, 2):
                clock.pass_(seconds=seconds)
                sent.refusing = (lambda *_: "no") if refused else (lambda *_: None)
                with database.transaction() as transaction:
                    outbox.write(transaction, [event(n, backlog=n % 2 == 0)], chosen.alert_policy(), times.now())
                round_(post, database)
            sent.refusing = lambda *_: None
            right = clock.now
            while store.alerts.outstanding(database):
                rounds(post, database)
                assert {row[0] for row in rows(database, "status")} <= {"pending", "sent"}
                pending = [datetime.fromisoformat(due) for due, state in rows(database, "due_at", "status") if state == "pending"]
                assert all(due - clock.now <= LONGEST for due in pending)
                assert clock.now - right <= LONGEST + timedelta(hours=3)
                clock.pass_(minutes=20)
    told = [e for m in sent.events() for e in m]
    assert sorted(told) == sorted(f"change:{n}" for n in range(1, len(steps) + 2))


# Feeds


def feed_titles(path: Path) -> list[str]:
    return [e.title.rpartition(" ")[2] for e in parse_feed(path).entries]


def feed_channel(path: Path, entries: int = 200) -> dict[str, ChannelConfig]:
    return {"feed": ChannelConfig(kind="atom", path=str(path), entries=entries)}


def deliver(database: WritableDatabase, chosen: Settings, *events: Event) -> None:
    """Write these events to the outbox, and send what they ask for, as a new process."""
    with database.transaction() as transaction:
        outbox.write(transaction, events, chosen.alert_policy(), times.now())
    post = post_of(chosen)
    rounds(post, database)
    post.finish(database, 0.0)


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-40]), lambda p: p.write_bytes(b"")])
def test_a_feed_that_was_lost_or_damaged_is_whole_after_the_next_delivery(
    db: Path, tmp_path: Path, clock: Clock, damage: Callable[[Path], Any]
) -> None:
    path = tmp_path / "a.atom"
    chosen = settings(feed_channel(path))
    with open_with_outbox(db, chosen, [], times.now()) as database:
        deliver(database, chosen, *(event(n) for n in range(3)))
        assert feed_titles(path) == ["2", "1", "0"]
        damage(path)
        deliver(database, chosen, event(3))
        assert feed_titles(path) == ["3", "2", "1", "0"]


def test_a_feed_holds_the_newest_that_its_channel_accepted_and_depends_on_the_database_alone(
    db: Path, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "a.atom"
    chosen = settings(feed_channel(path, entries=4) | {"other": LOG})
    with open_with_outbox(db, chosen, [], times.now()) as database:
        deliver(database, chosen, *(event(n) for n in range(6)))
        assert feed_titles(path) == ["5", "4", "3", "2"]
        clock.pass_(hours=-3)  # the clock was ahead
        deliver(database, chosen, event(6))
        assert feed_titles(path) == ["6", "5", "4", "3"]
        before = path.read_bytes()
        with database.transaction() as transaction:
            transaction.execute("UPDATE deliveries SET status = 'pending', due_at = ? WHERE alert_id = 7", times.now())
        deliver(database, chosen)
        assert path.read_bytes() == before


def test_a_feed_has_nothing_that_waits(db: Path, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.atom"
    rule = AlertRuleConfig(name="all", on=("change",), to=("feed",), max_per_hour=2)
    chosen = settings(feed_channel(path), rule)
    with open_with_outbox(db, chosen, [], times.now()) as database:
        deliver(database, chosen, *(event(n) for n in range(5)))
        assert sorted(feed_titles(path)) == ["0", "1"]
        clock.pass_(hours=1)
        deliver(database, chosen)
        assert sorted(feed_titles(path)) == ["0", "1", "2", "3", "4"]
