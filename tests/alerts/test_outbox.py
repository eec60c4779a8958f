"""The outbox: written with what it tells of, once, withdrawn before it is sent, folded where one edit is on many pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st

from dedup import store
from dedup.config import AlertRuleConfig, ChannelConfig
from dedup.rules import AlertPolicy, alert_id
from dedup.store import WritableDatabase, open_database, open_writable, outbox
from tests.builders.alerts import AT, event, rows, settings

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


def write(database: WritableDatabase, alerting: AlertPolicy, *events: Any, now: str = AT) -> int:
    with database.transaction() as transaction:
        return outbox.write(transaction, events, alerting, now)


def withdraw(database: WritableDatabase, *keys: str, now: str = AT) -> int:
    with database.transaction() as transaction:
        return outbox.withdraw(transaction, keys, now)


def test_an_alert_keeps_its_own_copy_of_what_it_tells_and_is_due_at_each_channel(database: WritableDatabase) -> None:
    happened = event(silent=True, similarity=0.5)
    assert write(database, BOTH, happened) == 1
    assert rows(database, "public_id", "rule", "channel", "status", "due_at", "attempts") == [
        (alert_id("all", "change:1"), "all", channel, "pending", AT, 0) for channel in ("a", "b")
    ]
    (kept,) = store.alerts.list_latest(database, 9)
    assert kept.payload == happened.payload
    assert kept.details == happened.details()
    assert (kept.url, kept.title, kept.publisher, kept.at) == (happened.url, happened.title, happened.publisher, happened.at)


def test_without_a_rule_that_it_meets_nothing_is_written_or_asked(database: WritableDatabase) -> None:
    asked: list[str] = []
    database.connection.set_trace_callback(asked.append)
    with database.transaction() as transaction:
        begun = len(asked)
        assert outbox.write(transaction, [event(n) for n in range(100)], AlertPolicy(), AT) == 0
        assert outbox.write(transaction, [event(severity="trivial")], ONE, AT) == 0
        assert asked[begun:] == []
    database.connection.set_trace_callback(None)
    assert rows(database, "public_id") == []


def test_what_is_rolled_back_tells_nothing(database: WritableDatabase) -> None:
    def fail() -> None:
        with database.transaction() as transaction:
            outbox.write(transaction, [event()], ONE, AT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert rows(database, "public_id") == []


def test_the_same_event_again_writes_nothing_whatever_became_of_it(database: WritableDatabase) -> None:
    assert write(database, BOTH, event(), event()) == 1
    with database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], AT, "m")
    before = rows(database, "public_id", "channel", "status", "due_at", "payload")
    assert write(database, BOTH, event(at=after(5), payload={**event().payload, "published_at": AT}), now=after(9)) == 0
    assert rows(database, "public_id", "channel", "status", "due_at", "payload") == before


def test_what_several_rules_send_to_one_channel_goes_there_by_the_first(database: WritableDatabase) -> None:
    first = AlertRuleConfig(name="first", on=("change",), to=("a",))
    second = AlertRuleConfig(name="second", on=("change",), to=("a", "b"))
    third = AlertRuleConfig(name="third", on=("change",), to=("b", "a"))
    write(database, settings(TWO, first, second, third).alert_policy(), event())
    assert rows(database, "rule", "channel") == [("first", "a"), ("second", "b")]
    renamed = AlertRuleConfig(name="renamed", on=("change",), to=("a", "b"))
    assert write(database, settings(TWO, renamed).alert_policy(), event()) == 0


def test_what_is_withdrawn_before_it_is_sent_is_not_sent_and_what_was_sent_stays(database: WritableDatabase) -> None:
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


def test_what_was_withdrawn_and_is_so_again_is_sent_where_it_was_not(database: WritableDatabase) -> None:
    write(database, BOTH, event())
    with database.transaction() as transaction:
        store.alerts.mark_sent(transaction, [1], AT, "m")
    withdraw(database, "change:1")
    told = {**event().payload, "published_at": AT}
    write(database, BOTH, event(payload=told), now=after(5))
    assert rows(database, "channel", "status", "due_at", "withdrawn_at") == [("a", "sent", AT, None), ("b", "pending", after(5), None)]
    assert json.loads(rows(database, "payload")[0][0]) == told


def test_a_backlog_is_due_later_and_all_of_it_at_once(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *(event(n, backlog=n > 1) for n in range(1, 4)))
    assert {row[1:] for row in rows(database, "url", "due_at")[:2]} == {(AT,)}
    assert {row[1] for row in rows(database, "url", "due_at")[2:]} == {after(60)}


def test_text_that_no_encoding_has_does_not_stop_the_work(database: WritableDatabase) -> None:
    write(database, ONE, event(payload={**event().payload, "path": "\ud800"}))
    assert json.loads(rows(database, "payload")[0][0])["path"] == "?"


# Incidents


def edits(*numbers: int, **given: Any) -> list[Any]:
    return [event(n, incident="ab", **given) for n in numbers]


def told(database: WritableDatabase) -> list[tuple[Any, ...]]:
    """(pages, state) of what is told of the incident, at channel `a`; and of pages by themselves."""
    return database.rows(
        "SELECT a.event_key, a.page_count, d.status FROM alerts a JOIN deliveries d ON d.alert_id = a.id"
        " WHERE d.channel = 'a' AND d.status <> 'withdrawn'"
    )


def send_due(database: WritableDatabase, now: str) -> list[str]:
    """Send all that is due at channel `a`; the events."""
    with database.transaction() as transaction:
        due = store.alerts.due_deliveries(transaction, "a", now, 1000)
        store.alerts.mark_sent(transaction, [d.id for d in due], now, "m")
    alerts = store.alerts.get(database, [d.alert_id for d in due])
    return [alerts[d.alert_id].event_key for d in due]


def test_the_same_edit_on_few_pages_is_told_of_each(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2), event(3, incident="cd"), event(4))
    assert [row[0] for row in told(database)] == ["change:1", "change:2", "change:3", "change:4"]


def test_the_same_edit_on_many_pages_is_told_once_with_its_pages(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3, 4), event(9))
    assert told(database) == [("change:9", None, "pending"), ("incident:ab:1", 4, "pending")]
    incident = next(a for a in store.alerts.list_latest(database, 9) if a.page_count)
    assert incident.payload["pages"] == 4
    assert [e["url"] for e in incident.payload["examples"]] == [f"https://paper.example/{n}" for n in (1, 2, 3, 4)]
    assert incident.payload["diff"] == event().payload["diff"]
    assert incident.severity == "major"


def test_the_same_page_edited_again_and_again_is_no_incident(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *(event(1, key=f"change:{n}", incident="ab") for n in range(5)))
    assert len(told(database)) == 5


def test_pages_join_until_the_incident_is_told_whatever_batch_they_come_in(database: WritableDatabase) -> None:
    for n in range(1, 6):
        write(database, INCIDENTS, *edits(n), now=after(n))
    assert told(database) == [("incident:ab:1", 5, "pending")]
    assert (5, after(63)) in rows(database, "page_count", "due_at")


def test_pages_that_were_told_of_by_themselves_are_among_the_incident_s_and_stay_sent(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2))
    assert send_due(database, AT) == ["change:1", "change:2"]
    write(database, INCIDENTS, *edits(3), now=after(5))
    assert told(database) == [("change:1", None, "sent"), ("change:2", None, "sent"), ("incident:ab:1", 3, "pending")]


def test_what_an_incident_tells_never_changes_once_it_is_due(database: WritableDatabase) -> None:
    """It may have been sent, and not be marked yet."""
    write(database, INCIDENTS, *edits(1, 2, 3))
    before = rows(database, "page_count", "payload")[-1]
    write(database, INCIDENTS, *edits(4), now=after(60))
    assert before in rows(database, "page_count", "payload")
    assert told(database) == [("incident:ab:1", 3, "pending"), ("incident:ab:2", 1, "pending")]


def test_the_growth_of_an_incident_is_told_once_a_day_at_most(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    for n, hours in ((4, 1), (5, 9), (6, 23)):
        write(database, INCIDENTS, *edits(n), now=after(hours * 3600))
        assert send_due(database, after(hours * 3600)) == []
    assert told(database)[-1] == ("incident:ab:2", 3, "pending")
    assert send_due(database, after(86_400 + 120)) == ["incident:ab:2"]
    write(database, INCIDENTS, *edits(7), now=after(30 * 86_400))
    assert send_due(database, after(30 * 86_400 + 60)) == ["incident:ab:3"]


def test_edits_that_lie_days_apart_are_no_incident(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2))
    write(database, INCIDENTS, *edits(3), now=after(90_000))
    assert [row[0] for row in told(database)] == ["change:1", "change:2", "change:3"]


def test_pages_that_are_withdrawn_leave_the_incident_and_it_is_withdrawn_with_the_last(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    withdraw(database, "change:2", now=after(1))
    assert told(database) == [("incident:ab:1", 2, "pending")]
    withdraw(database, "change:1", "change:3", now=after(2))
    assert told(database) == []
    write(database, INCIDENTS, *edits(1, 4), now=after(3))
    assert told(database) == [("incident:ab:1", 2, "pending")]


def test_a_page_that_was_withdrawn_before_the_incident_was_told_and_is_so_again_is_told(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3, 4))
    withdraw(database, "change:2", now=after(1))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    write(database, INCIDENTS, *edits(2), now=after(100))
    assert told(database)[-1] == ("incident:ab:2", 1, "pending")


def test_a_page_that_was_withdrawn_after_the_incident_was_told_is_not_told_again(database: WritableDatabase) -> None:
    write(database, INCIDENTS, *edits(1, 2, 3))
    assert send_due(database, after(60)) == ["incident:ab:1"]
    withdraw(database, "change:2", now=after(70))
    write(database, INCIDENTS, *edits(2), now=after(80))
    assert told(database) == [("incident:ab:1", 3, "sent")]


_steps = st.lists(
    st.tuples(st.sampled_from(["write", "withdraw", "send"]), st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 90)),
    max_size=12,
)


@given(_steps)
@trying(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_in_whatever_order_each_change_that_stands_is_told_once(tmp_path_factory: Any, steps: Any) -> None:
    """By itself or in an incident, sent or on its way; and none that does not stand is on its way."""
    db = tmp_path_factory.mktemp("outbox") / "dedup.db"
    standing: set[str] = set()
    now = 0.0
    with open_writable(str(db), "test") as database:
        for what, numbers, seconds in steps:
            now += seconds
            if what == "write":
                write(database, INCIDENTS, *edits(*numbers), now=after(now))
                standing |= {f"change:{n}" for n in numbers}
            elif what == "withdraw":
                withdraw(database, *(f"change:{n}" for n in numbers), now=after(now))
                standing -= {f"change:{n}" for n in numbers}
            else:
                send_due(database, after(now))
        on_its_way = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = {} AND d.channel = 'a' AND d.status {})"
        alone, folded = on_its_way.format("a.id", "= 'pending'"), on_its_way.format("a.folded_into_id", "IN ('pending', 'sent')")
        sent = on_its_way.format("a.id", "= 'sent'")
        for key, stands, pending, is_folded, was_sent in database.rows(
            f"SELECT a.event_key, a.withdrawn_at IS NULL, {alone}, coalesce({folded}, 0), {sent} FROM alerts a WHERE a.page_count IS NULL"
        ):
            assert stands == (key in standing)
            assert not (pending and (is_folded or was_sent))
            assert pending or is_folded or was_sent or not stands
            assert stands or not pending
        for pages, members in database.rows(
            "SELECT a.page_count, (SELECT count(DISTINCT m.url) FROM alerts m WHERE m.folded_into_id = a.id AND m.withdrawn_at IS NULL)"
            " FROM alerts a JOIN deliveries d ON d.alert_id = a.id AND d.channel = 'a' AND d.status = 'pending'"
            " WHERE a.page_count IS NOT NULL AND a.open_until > ?",
            after(now),
        ):
            assert pages == members > 0


# Asking


def test_readers_see_the_outbox_by_state_and_rule(db: Path) -> None:
    rules = (
        AlertRuleConfig(name="grave", on=("change",), to=("a",), min_severity="major"),
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
        name = alert_id("grave", "change:1")
        assert [a.public_id for a in store.alerts.find_by_prefix(reader, name[:10])] == [name]
        assert len(store.alerts.find_by_prefix(reader, "")) == 2
        assert store.alerts.count_sent_since(reader, "grave", "a", AT, AT) == 1
        assert store.alerts.count_sent_since(reader, "grave", "a", after(1), after(9)) == 0


def test_an_alert_s_rule_and_texts_are_bound_not_spliced(database: WritableDatabase) -> None:
    attack = "x'); DROP TABLE alerts; --"
    write(database, ONE, replace(event(), key=attack, title=attack, url=attack, publisher=attack))
    assert withdraw(database, attack) == 1
    assert store.alerts.list_latest(database, 9, rule=attack) == []
    assert rows(database, "title", "status") == [(attack, "withdrawn")]
