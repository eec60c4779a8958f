"""The outbox: alerts are written once, in the transaction of their event; unsent ones can be withdrawn or folded into an incident."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dedup import store
from dedup.config import AlertRuleConfig, ChannelConfig
from dedup.rules import AlertPolicy, alert_id
from dedup.store import WritableDatabase, open_database, open_writable, outbox
from tests.builders.alerts import AT, event, rows, settings

pytestmark = pytest.mark.slow

LOG = ChannelConfig(kind="log")
TWO = {"a": LOG, "b": LOG}


def after(seconds: float) -> str:
    return (datetime.fromisoformat(AT) + timedelta(seconds=seconds)).isoformat()


ONE = settings({"a": LOG}).alert_policy()
BOTH = settings(TWO).alert_policy()
INCIDENTS = settings(TWO, incident_pages=3, gather_seconds=60).alert_policy()


@pytest.fixture
def database(db: Path) -> Iterator[WritableDatabase]:
    with open_writable(str(db), "test") as opened:
        yield opened


def write(database: WritableDatabase, policy: AlertPolicy, *events: Any, now: str = AT) -> int:
    with database.transaction() as transaction:
        return outbox.write(transaction, events, policy, now)


def withdraw(database: WritableDatabase, *keys: str, now: str = AT) -> int:
    with database.transaction() as transaction:
        return outbox.withdraw(transaction, keys, now)


def test_an_alert_stores_a_copy_of_the_event_and_is_due_at_each_channel(database: WritableDatabase) -> None:
    change = event(silent=True, similarity=0.5)
    assert write(database, BOTH, change) == 1
    assert rows(database, "public_id", "rule", "channel", "status", "due_at", "attempts") == [
        (alert_id("all", "change:1"), "all", channel, "pending", AT, 0) for channel in ("a", "b")
    ]
    (stored,) = store.alerts.list_latest(database, 9)
    assert stored.payload == change.payload
    assert stored.details == change.details()
    assert (stored.url, stored.title, stored.publisher, stored.at) == (change.url, change.title, change.publisher, change.at)


def test_without_a_matching_rule_nothing_is_written_or_queried(database: WritableDatabase) -> None:
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    with database.transaction() as transaction:
        first = len(statements)
        assert outbox.write(transaction, [event(n) for n in range(100)], AlertPolicy(), AT) == 0
        assert outbox.write(transaction, [event(severity="trivial")], ONE, AT) == 0
        assert statements[first:] == []
    database.connection.set_trace_callback(None)
    assert rows(database, "public_id") == []


def test_a_rollback_leaves_no_alert(database: WritableDatabase) -> None:
    def fail() -> None:
        with database.transaction() as transaction:
            outbox.write(transaction, [event()], ONE, AT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert rows(database, "public_id") == []


def test_the_same_event_is_written_once_in_any_delivery_status(database: WritableDatabase) -> None:
    assert write(database, BOTH, event(), event()) == 1
    with database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], AT, "m")
    before = rows(database, "public_id", "channel", "status", "due_at", "payload")
    assert write(database, BOTH, event(at=after(5), payload={**event().payload, "published_at": AT}), now=after(9)) == 0
    assert rows(database, "public_id", "channel", "status", "due_at", "payload") == before


def test_an_event_goes_to_a_channel_once_by_the_first_matching_rule(database: WritableDatabase) -> None:
    first = AlertRuleConfig(name="first", on=("change",), to=("a",))
    second = AlertRuleConfig(name="second", on=("change",), to=("a", "b"))
    third = AlertRuleConfig(name="third", on=("change",), to=("b", "a"))
    write(database, settings(TWO, first, second, third).alert_policy(), event())
    assert rows(database, "rule", "channel") == [("first", "a"), ("second", "b")]
    renamed = AlertRuleConfig(name="renamed", on=("change",), to=("a", "b"))
    assert write(database, settings(TWO, renamed).alert_policy(), event()) == 0


def test_withdrawal_cancels_pending_deliveries_and_keeps_sent_ones(database: WritableDatabase) -> None:
    write(database, BOTH, event(1), event(2))
    with database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], AT, "m")
    assert withdraw(database, "change:1", "change:9") == 1
    assert rows(database, "url", "channel", "status") == [
        ("https://paper.example/1", "a", "sent"),
        ("https://paper.example/1", "b", "withdrawn"),
        ("https://paper.example/2", "a", "pending"),
        ("https://paper.example/2", "b", "pending"),
    ]
    assert withdraw(database, "change:1") == 0


def test_a_withdrawn_change_that_holds_again_is_sent_where_it_was_not_sent(database: WritableDatabase) -> None:
    write(database, BOTH, event())
    with database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], AT, "m")
    withdraw(database, "change:1")
    payload = {**event().payload, "published_at": AT}
    write(database, BOTH, event(payload=payload), now=after(5))
    assert rows(database, "channel", "status", "due_at", "withdrawn_at") == [("a", "sent", AT, None), ("b", "pending", after(5), None)]
    assert json.loads(rows(database, "payload")[0][0]) == payload


def test_backlog_alerts_are_due_later_and_at_the_same_time(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *(event(n, backlog=n > 1) for n in range(1, 4)))
    assert {row[1:] for row in rows(database, "url", "due_at")[:2]} == {(AT,)}
    assert {row[1] for row in rows(database, "url", "due_at")[2:]} == {after(60)}


def test_a_lone_surrogate_is_replaced(database: WritableDatabase) -> None:
    write(database, ONE, event(payload={**event().payload, "path": "\ud800"}))
    assert json.loads(rows(database, "payload")[0][0])["path"] == "?"


# Incidents


def edits(*numbers: int, **overrides: Any) -> list[Any]:
    return [event(n, incident="ab", **overrides) for n in numbers]


def deliveries_of_a(database: WritableDatabase) -> list[tuple[Any, ...]]:
    """Return (event key, pages, status) of deliveries of channel `a` that are not withdrawn."""
    return database.rows(
        "SELECT a.event_key, a.page_count, d.status FROM alerts a JOIN deliveries d ON d.alert_id = a.id"
        " WHERE d.channel = 'a' AND d.status <> 'withdrawn'"
    )


def send_due(database: WritableDatabase, now: str) -> list[str]:
    """Mark all due deliveries of channel `a` as sent. Returns their event keys."""
    with database.transaction() as transaction:
        due = store.alerts.due_deliveries(transaction, "a", now, 1000)
        store.alerts.mark_sent(transaction, [d.id for d in due], now, "m")
    alerts = store.alerts.get(database, [d.alert_id for d in due])
    return [alerts[d.alert_id].event_key for d in due]


def test_the_same_edit_on_few_pages_is_sent_for_each_page(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2), event(3, incident="cd"), event(4))
    assert [row[0] for row in deliveries_of_a(database)] == ["change:1", "change:2", "change:3", "change:4"]


def test_the_same_edit_on_many_pages_is_one_incident(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3, 4), event(9))
    assert deliveries_of_a(database) == [("change:9", None, "pending"), ("incident:ab:1", 4, "pending")]
    incident = next(a for a in store.alerts.list_latest(database, 9) if a.page_count)
    assert incident.payload["pages"] == 4
    assert [e["url"] for e in incident.payload["examples"]] == [f"https://paper.example/{n}" for n in (1, 2, 3, 4)]
    assert incident.payload["diff"] == event().payload["diff"]
    assert incident.severity == "major"


def test_repeated_edits_of_one_page_are_no_incident(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *(event(1, key=f"change:{n}", incident="ab") for n in range(5)))
    assert len(deliveries_of_a(database)) == 5


def test_pages_of_later_batches_join_an_unsent_incident(database: WritableDatabase) -> None:
    for n in range(1, 6):
        write(database, INCIDENTS, *edits(n), now=after(n))
    assert deliveries_of_a(database) == [("incident:ab:1", 5, "pending")]
    assert (5, after(63)) in rows(database, "page_count", "due_at")


def test_an_incident_includes_pages_that_were_sent_separately(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2))
    assert send_due(database, AT) == ["change:1", "change:2"]
    write(database, INCIDENTS, *edits(3), now=after(5))
    assert deliveries_of_a(database) == [("change:1", None, "sent"), ("change:2", None, "sent"), ("incident:ab:1", 3, "pending")]


def test_an_incident_does_not_change_once_it_is_due(database: WritableDatabase) -> None:
    """A due incident may be sent already but not yet marked as sent."""
    write(database, INCIDENTS, *edits(1, 2, 3))
    before = rows(database, "page_count", "payload")[-1]
    write(database, INCIDENTS, *edits(4), now=after(60))
    assert before in rows(database, "page_count", "payload")
    assert deliveries_of_a(database) == [("incident:ab:1", 3, "pending"), ("incident:ab:2", 1, "pending")]


def test_growth_of_an_incident_is_sent_at_most_once_a_day(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    for n, hours in ((4, 1), (5, 9), (6, 23)):
        write(database, INCIDENTS, *edits(n), now=after(hours * 3600))
        assert send_due(database, after(hours * 3600)) == []
    assert deliveries_of_a(database)[-1] == ("incident:ab:2", 3, "pending")
    assert send_due(database, after(86_400 + 120)) == ["incident:ab:2"]
    write(database, INCIDENTS, *edits(7), now=after(30 * 86_400))
    assert send_due(database, after(30 * 86_400 + 60)) == ["incident:ab:3"]


def test_edits_days_apart_are_no_incident(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2))
    write(database, INCIDENTS, *edits(3), now=after(90_000))
    assert [row[0] for row in deliveries_of_a(database)] == ["change:1", "change:2", "change:3"]


def test_withdrawn_pages_leave_the_incident_and_the_last_withdraws_it(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    withdraw(database, "change:2", now=after(1))
    assert deliveries_of_a(database) == [("incident:ab:1", 2, "pending")]
    withdraw(database, "change:1", "change:3", now=after(2))
    assert deliveries_of_a(database) == []
    write(database, INCIDENTS, *edits(1, 4), now=after(3))
    assert deliveries_of_a(database) == [("incident:ab:1", 2, "pending")]


def test_a_page_withdrawn_before_the_incident_was_sent_is_sent_when_it_holds_again(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3, 4))
    withdraw(database, "change:2", now=after(1))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    write(database, INCIDENTS, *edits(2), now=after(100))
    assert deliveries_of_a(database)[-1] == ("incident:ab:2", 1, "pending")


def test_a_page_withdrawn_after_the_incident_was_sent_is_not_sent_again(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    withdraw(database, "change:2", now=after(70))
    write(database, INCIDENTS, *edits(2), now=after(80))
    assert deliveries_of_a(database) == [("incident:ab:1", 3, "sent")]


_steps = st.lists(
    st.tuples(st.sampled_from(["write", "withdraw", "send"]), st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 90)),
    max_size=12,
)


@given(_steps)
@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_current_change_is_sent_once_in_any_order_of_events(tmp_path_factory: Any, steps: Any) -> None:
    """Each current change is sent or pending, either alone or in an incident. No other change is pending."""
    db = tmp_path_factory.mktemp("outbox") / "dedup.db"
    current: set[str] = set()
    now = 0.0
    with open_writable(str(db), "test") as database:
        for action, numbers, seconds in steps:
            now += seconds
            if action == "write":
                write(database, INCIDENTS, *edits(*numbers), now=after(now))
                current |= {f"change:{n}" for n in numbers}
            elif action == "withdraw":
                withdraw(database, *(f"change:{n}" for n in numbers), now=after(now))
                current -= {f"change:{n}" for n in numbers}
            else:
                send_due(database, after(now))
        delivery_exists = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = {} AND d.channel = 'a' AND d.status {})"
        is_pending, folded = (
            delivery_exists.format("a.id", "= 'pending'"),
            delivery_exists.format("a.folded_into_id", "IN ('pending', 'sent')"),
        )
        is_sent = delivery_exists.format("a.id", "= 'sent'")
        for key, is_current, pending, is_folded, was_sent in database.rows(
            f"SELECT a.event_key, a.withdrawn_at IS NULL, {is_pending}, coalesce({folded}, 0), {is_sent}"
            " FROM alerts a WHERE a.page_count IS NULL"
        ):
            assert is_current == (key in current)
            assert not (pending and (is_folded or was_sent))
            assert pending or is_folded or was_sent or not is_current
            assert is_current or not pending
        for pages, members in database.rows(
            "SELECT a.page_count, (SELECT count(DISTINCT m.url) FROM alerts m WHERE m.folded_into_id = a.id AND m.withdrawn_at IS NULL)"
            " FROM alerts a JOIN deliveries d ON d.alert_id = a.id AND d.channel = 'a' AND d.status = 'pending'"
            " WHERE a.page_count IS NOT NULL AND a.open_until > ?",
            after(now),
        ):
            assert pages == members > 0


# Reading


def test_the_outbox_can_be_filtered_by_status_and_rule(db: Path) -> None:
    rules = (
        AlertRuleConfig(name="major", on=("change",), to=("a",), min_severity="major"),
        AlertRuleConfig(name="rest", on=("change",), to=("b",)),
    )
    with open_writable(str(db), "test") as database:
        write(database, settings(TWO, *rules).alert_policy(), event(1), event(2, severity="minor"))
        with database.transaction() as transaction:
            store.alerts.mark_sent(transaction, [1], AT, "m")
            store.alerts.mark_failed(transaction, [2], AT, "no", after(60), 60, -1)
    with open_database(str(db)) as reader:
        assert [a.event_key for a in store.alerts.list_latest(reader, 9, status="sent")] == ["change:1"]
        assert [a.event_key for a in store.alerts.list_latest(reader, 9, rule="rest")] == ["change:2", "change:1"]
        assert [a.event_key for a in store.alerts.list_latest(reader, 1)] == ["change:2"]
        assert store.alerts.outstanding(reader)["b"].dead == 1
        name = alert_id("major", "change:1")
        assert [a.public_id for a in store.alerts.find_by_prefix(reader, name[:10])] == [name]
        assert len(store.alerts.find_by_prefix(reader, "")) == 2
        assert store.alerts.count_sent_since(reader, "major", "a", AT, AT) == 1
        assert store.alerts.count_sent_since(reader, "major", "a", after(1), after(9)) == 0


def test_rule_names_and_texts_are_bound_in_sql(database: WritableDatabase) -> None:
    attack = "x'); DROP TABLE alerts; --"
    write(database, ONE, replace(event(), key=attack, title=attack, url=attack, publisher=attack))
    assert withdraw(database, attack) == 1
    assert store.alerts.list_latest(database, 9, rule=attack) == []
    assert rows(database, "title", "status") == [(attack, "withdrawn")]
