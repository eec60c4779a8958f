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

from dedup.config import AlertRule, Channel
from dedup.rules import Alerting, alert_id
from dedup.store import Writer, open_reader, open_writer, outbox
from tests.alerting import AT, event, rows, settings

LOG = Channel(kind="log")
TWO = {"a": LOG, "b": LOG}


def after(seconds: float) -> str:
    return (datetime.fromisoformat(AT) + timedelta(seconds=seconds)).isoformat()


ONE = settings({"a": LOG}).alerting()
BOTH = settings(TWO).alerting()
INCIDENTS = settings(TWO, incident_pages=3, gather_seconds=60).alerting()


@pytest.fixture
def store(db: Path) -> Iterator[Writer]:
    with open_writer(str(db), "test") as opened:
        yield opened


def write(store: Writer, alerting: Alerting, *events: Any, now: str = AT) -> int:
    with store.transaction():
        return outbox.write(store, events, alerting, now)


def withdraw(store: Writer, *keys: str, now: str = AT) -> int:
    with store.transaction():
        return outbox.withdraw(store, keys, now)


def test_an_alert_keeps_its_own_copy_of_what_it_tells_and_is_due_at_each_channel(store: Writer) -> None:
    happened = event(stealth=True, similarity=0.5)
    assert write(store, BOTH, happened) == 1
    assert rows(store, "name", "rule", "channel", "state", "due_at", "attempts") == [
        (alert_id("all", "change:1"), "all", channel, "pending", AT, 0) for channel in ("a", "b")
    ]
    (kept,) = store.latest_alerts(9)
    assert kept.told == happened.told
    assert kept.details == happened.details()
    assert (kept.url, kept.title, kept.publisher, kept.at) == (happened.url, happened.title, happened.publisher, happened.at)


def test_without_a_rule_that_it_meets_nothing_is_written_or_asked(store: Writer) -> None:
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    with store.transaction():
        begun = len(asked)
        assert outbox.write(store, [event(n) for n in range(100)], Alerting(), AT) == 0
        assert outbox.write(store, [event(severity="trivial")], ONE, AT) == 0
        assert asked[begun:] == []
    store._connection.set_trace_callback(None)
    assert rows(store, "name") == []


def test_what_is_rolled_back_tells_nothing(store: Writer) -> None:
    def fail() -> None:
        with store.transaction():
            outbox.write(store, [event()], ONE, AT)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert rows(store, "name") == []


def test_the_same_event_again_writes_nothing_whatever_became_of_it(store: Writer) -> None:
    assert write(store, BOTH, event(), event()) == 1
    with store.transaction():
        store.mark_sent([1], AT, "m")
    before = rows(store, "name", "channel", "state", "due_at", "told")
    assert write(store, BOTH, event(at=after(5), told={**event().told, "published_at": AT}), now=after(9)) == 0
    assert rows(store, "name", "channel", "state", "due_at", "told") == before


def test_what_several_rules_send_to_one_channel_goes_there_by_the_first(store: Writer) -> None:
    first = AlertRule(name="first", on=("change",), to=("a",))
    second = AlertRule(name="second", on=("change",), to=("a", "b"))
    third = AlertRule(name="third", on=("change",), to=("b", "a"))
    write(store, settings(TWO, first, second, third).alerting(), event())
    assert rows(store, "rule", "channel") == [("first", "a"), ("second", "b")]
    renamed = AlertRule(name="renamed", on=("change",), to=("a", "b"))
    assert write(store, settings(TWO, renamed).alerting(), event()) == 0


def test_what_is_withdrawn_before_it_is_sent_is_not_sent_and_what_was_sent_stays(store: Writer) -> None:
    write(store, BOTH, event(1), event(2))
    with store.transaction():
        store.mark_sent([1], AT, "m")
    assert withdraw(store, "change:1", "change:9") == 1
    assert rows(store, "url", "channel", "state") == [
        ("https://paper.example/1", "a", "sent"),
        ("https://paper.example/1", "b", "withdrawn"),
        ("https://paper.example/2", "a", "pending"),
        ("https://paper.example/2", "b", "pending"),
    ]
    assert withdraw(store, "change:1") == 0


def test_what_was_withdrawn_and_is_so_again_is_sent_where_it_was_not(store: Writer) -> None:
    write(store, BOTH, event())
    with store.transaction():
        store.mark_sent([1], AT, "m")
    withdraw(store, "change:1")
    told = {**event().told, "published_at": AT}
    write(store, BOTH, event(told=told), now=after(5))
    assert rows(store, "channel", "state", "due_at", "withdrawn_at") == [("a", "sent", AT, None), ("b", "pending", after(5), None)]
    assert json.loads(rows(store, "told")[0][0]) == told


def test_a_backlog_is_due_later_and_all_of_it_at_once(store: Writer) -> None:
    write(store, INCIDENTS, *(event(n, backlog=n > 1) for n in range(1, 4)))
    assert {row[1:] for row in rows(store, "url", "due_at")[:2]} == {(AT,)}
    assert {row[1] for row in rows(store, "url", "due_at")[2:]} == {after(60)}


def test_text_that_no_encoding_has_does_not_stop_the_work(store: Writer) -> None:
    write(store, ONE, event(told={**event().told, "path": "\ud800"}))
    assert json.loads(rows(store, "told")[0][0])["path"] == "?"


# Incidents


def edits(*numbers: int, **given: Any) -> list[Any]:
    return [event(n, incident="ab", **given) for n in numbers]


def told(store: Writer) -> list[tuple[Any, ...]]:
    """(pages, state) of what is told of the incident, at channel `a`; and of pages by themselves."""
    return store._all(
        "SELECT a.event, a.pages, d.state FROM alerts a JOIN deliveries d ON d.alert_id = a.id"
        " WHERE d.channel = 'a' AND d.state <> 'withdrawn'"
    )


def send_due(store: Writer, now: str) -> list[str]:
    """Send all that is due at channel `a`; the events."""
    with store.transaction():
        due = store.due("a", now, 1000)
        store.mark_sent([d.id for d in due], now, "m")
    alerts = store.alerts([d.alert for d in due])
    return [alerts[d.alert].event for d in due]


def test_the_same_edit_on_few_pages_is_told_of_each(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2), event(3, incident="cd"), event(4))
    assert [row[0] for row in told(store)] == ["change:1", "change:2", "change:3", "change:4"]


def test_the_same_edit_on_many_pages_is_told_once_with_its_pages(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2, 3, 4), event(9))
    assert told(store) == [("change:9", None, "pending"), ("incident:ab:1", 4, "pending")]
    incident = next(a for a in store.latest_alerts(9) if a.pages)
    assert incident.told["pages"] == 4
    assert [e["url"] for e in incident.told["examples"]] == [f"https://paper.example/{n}" for n in (1, 2, 3, 4)]
    assert incident.told["diff"] == event().told["diff"]
    assert incident.severity == "major"


def test_the_same_page_edited_again_and_again_is_no_incident(store: Writer) -> None:
    write(store, INCIDENTS, *(event(1, key=f"change:{n}", incident="ab") for n in range(5)))
    assert len(told(store)) == 5


def test_pages_join_until_the_incident_is_told_whatever_batch_they_come_in(store: Writer) -> None:
    for n in range(1, 6):
        write(store, INCIDENTS, *edits(n), now=after(n))
    assert told(store) == [("incident:ab:1", 5, "pending")]
    assert (5, after(63)) in rows(store, "pages", "due_at")


def test_pages_that_were_told_of_by_themselves_are_among_the_incident_s_and_stay_sent(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2))
    assert send_due(store, AT) == ["change:1", "change:2"]
    write(store, INCIDENTS, *edits(3), now=after(5))
    assert told(store) == [("change:1", None, "sent"), ("change:2", None, "sent"), ("incident:ab:1", 3, "pending")]


def test_what_an_incident_tells_never_changes_once_it_is_due(store: Writer) -> None:
    """It may have been sent, and not be marked yet."""
    write(store, INCIDENTS, *edits(1, 2, 3))
    before = rows(store, "pages", "told")[-1]
    write(store, INCIDENTS, *edits(4), now=after(60))
    assert before in rows(store, "pages", "told")
    assert told(store) == [("incident:ab:1", 3, "pending"), ("incident:ab:2", 1, "pending")]


def test_the_growth_of_an_incident_is_told_once_a_day_at_most(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2, 3))
    assert send_due(store, after(60)) == ["incident:ab:1"]
    for n, hours in ((4, 1), (5, 9), (6, 23)):
        write(store, INCIDENTS, *edits(n), now=after(hours * 3600))
        assert send_due(store, after(hours * 3600)) == []
    assert told(store)[-1] == ("incident:ab:2", 3, "pending")
    assert send_due(store, after(86_400 + 120)) == ["incident:ab:2"]
    write(store, INCIDENTS, *edits(7), now=after(30 * 86_400))
    assert send_due(store, after(30 * 86_400 + 60)) == ["incident:ab:3"]


def test_edits_that_lie_days_apart_are_no_incident(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2))
    write(store, INCIDENTS, *edits(3), now=after(90_000))
    assert [row[0] for row in told(store)] == ["change:1", "change:2", "change:3"]


def test_pages_that_are_withdrawn_leave_the_incident_and_it_is_withdrawn_with_the_last(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2, 3))
    withdraw(store, "change:2", now=after(1))
    assert told(store) == [("incident:ab:1", 2, "pending")]
    withdraw(store, "change:1", "change:3", now=after(2))
    assert told(store) == []
    write(store, INCIDENTS, *edits(1, 4), now=after(3))
    assert told(store) == [("incident:ab:1", 2, "pending")]


def test_a_page_that_was_withdrawn_before_the_incident_was_told_and_is_so_again_is_told(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2, 3, 4))
    withdraw(store, "change:2", now=after(1))
    assert send_due(store, after(60)) == ["incident:ab:1"]
    write(store, INCIDENTS, *edits(2), now=after(100))
    assert told(store)[-1] == ("incident:ab:2", 1, "pending")


def test_a_page_that_was_withdrawn_after_the_incident_was_told_is_not_told_again(store: Writer) -> None:
    write(store, INCIDENTS, *edits(1, 2, 3))
    assert send_due(store, after(60)) == ["incident:ab:1"]
    withdraw(store, "change:2", now=after(70))
    write(store, INCIDENTS, *edits(2), now=after(80))
    assert told(store) == [("incident:ab:1", 3, "sent")]


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
    with open_writer(str(db), "test") as store:
        for what, numbers, seconds in steps:
            now += seconds
            if what == "write":
                write(store, INCIDENTS, *edits(*numbers), now=after(now))
                standing |= {f"change:{n}" for n in numbers}
            elif what == "withdraw":
                withdraw(store, *(f"change:{n}" for n in numbers), now=after(now))
                standing -= {f"change:{n}" for n in numbers}
            else:
                send_due(store, after(now))
        on_its_way = "EXISTS (SELECT 1 FROM deliveries d WHERE d.alert_id = {} AND d.channel = 'a' AND d.state {})"
        alone, folded = on_its_way.format("a.id", "= 'pending'"), on_its_way.format("a.folded_into", "IN ('pending', 'sent')")
        sent = on_its_way.format("a.id", "= 'sent'")
        for key, stands, pending, is_folded, was_sent in store._all(
            f"SELECT a.event, a.withdrawn_at IS NULL, {alone}, coalesce({folded}, 0), {sent} FROM alerts a WHERE a.pages IS NULL"
        ):
            assert stands == (key in standing)
            assert not (pending and (is_folded or was_sent))
            assert pending or is_folded or was_sent or not stands
            assert stands or not pending
        for pages, members in store._all(
            "SELECT a.pages, (SELECT count(DISTINCT m.url) FROM alerts m WHERE m.folded_into = a.id AND m.withdrawn_at IS NULL)"
            " FROM alerts a JOIN deliveries d ON d.alert_id = a.id AND d.channel = 'a' AND d.state = 'pending'"
            " WHERE a.pages IS NOT NULL AND a.open_until > ?",
            after(now),
        ):
            assert pages == members > 0


# Asking


def test_readers_see_the_outbox_by_state_and_rule(db: Path) -> None:
    rules = (AlertRule(name="grave", on=("change",), to=("a",), min_severity="major"), AlertRule(name="rest", on=("change",), to=("b",)))
    with open_writer(str(db), "test") as store:
        write(store, settings(TWO, *rules).alerting(), event(1), event(2, severity="minor"))
        with store.transaction():
            store.mark_sent([1], AT, "m")
            store.mark_failed([2], AT, "no", after(60), 60, -1)
    with open_reader(str(db)) as reader:
        assert [a.event for a in reader.latest_alerts(9, state="sent")] == ["change:1"]
        assert [a.event for a in reader.latest_alerts(9, rule="rest")] == ["change:2", "change:1"]
        assert [a.event for a in reader.latest_alerts(1)] == ["change:2"]
        assert reader.outstanding()["b"].dead == 1
        name = alert_id("grave", "change:1")
        assert [a.name for a in reader.alerts_named(name[:10])] == [name]
        assert len(reader.alerts_named("")) == 2
        assert reader.sent_since("grave", "a", AT, AT) == 1
        assert reader.sent_since("grave", "a", after(1), after(9)) == 0


def test_an_alert_s_rule_and_texts_are_bound_not_spliced(store: Writer) -> None:
    attack = "x'); DROP TABLE alerts; --"
    write(store, ONE, replace(event(), key=attack, title=attack, url=attack, publisher=attack))
    assert withdraw(store, attack) == 1
    assert store.latest_alerts(9, rule=attack) == []
    assert rows(store, "title", "state") == [(attack, "withdrawn")]
