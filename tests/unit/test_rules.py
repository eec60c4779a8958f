"""Which event meets which rule, and when it is told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Any, get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup.daemon import health_file
from dedup.model import SEVERITIES
from dedup.rules import EVENT_KINDS, AlertRule, Event, Schedule, alert_id, delivery_time, matching_rules, start_of_hour
from tests.builders.alerts import event

ANY = AlertRule("any", tuple(EVENT_KINDS), ("mail",), min_severity="trivial")


def meets(happened: Event, **asked: Any) -> bool:
    return matching_rules(happened, [replace(ANY, **asked)]) != []


def test_an_event_meets_the_rules_in_their_order_that_ask_for_nothing_else() -> None:
    rules = [replace(ANY, name="b"), replace(ANY, name="a", on=("mismatch",)), replace(ANY, name="c")]
    assert [r.name for r in matching_rules(event(), rules)] == ["b", "c"]


ASKED = [
    ("kinds", ("removed", "substantive"), ("removed",)),
    ("min_severity", "major", None),
    ("parts", ("title", "body"), ("title", "author")),
    ("publishers", ("다른신문", "한빛일보"), ("한빛",)),
    ("urls", ("https://other.example/*", "https://paper.example/*"), ("https://paper.example/",)),
    ("silent", False, True),
]


@pytest.mark.parametrize(("key", "met", "missed"), ASKED)
def test_what_a_rule_asks_for_is_met_or_not(key: str, met: object, missed: object) -> None:
    assert meets(event(), **{key: met})
    if missed is not None:
        assert not meets(event(), **{key: missed})


@given(st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_a_severity_is_met_from_it_on(asked: Any, happened: Any) -> None:
    assert meets(event(severity=happened), min_severity=asked) == (SEVERITIES.index(happened) >= SEVERITIES.index(asked))


def test_publishers_are_met_whatever_the_unicode_form_or_case() -> None:
    import unicodedata

    decomposed = unicodedata.normalize("NFD", "한빛일보")
    assert meets(event(publisher=decomposed), publishers=("한빛일보",))
    assert meets(event(publisher="Bellmoor COURIER "), publishers=("bellmoor courier",))


@pytest.mark.parametrize("topic", ["mismatch", "duplicate", "cluster", "faults", "daemon"])
def test_what_is_asked_of_changes_keeps_no_other_topic_away(topic: Any) -> None:
    happened = event(topic=topic, kind=EVENT_KINDS[topic][0], parts=(), similarity=0.9, across_publishers=True, size=9)
    assert meets(happened, parts=("title",), silent=True)


def test_similarity_and_across_are_asked_of_duplicates_and_sizes_of_clusters_and_faults() -> None:
    duplicate = event(topic="duplicate", kind="near", similarity=0.8, across_publishers=False)
    assert meets(duplicate, min_similarity=0.8, min_size=7)
    assert not meets(duplicate, min_similarity=0.81)
    assert not meets(duplicate, across_publishers=True)
    assert meets(replace(duplicate, across_publishers=True), across_publishers=True)
    assert meets(event(), min_similarity=1.0, across_publishers=True, min_size=100)
    for topic, kind in (("cluster", "growing"), ("faults", "rate")):
        assert meets(event(topic=topic, kind=kind, size=5), min_size=5)
        assert not meets(event(topic=topic, kind=kind, size=4), min_size=5)


NOTHING: list[dict[str, Any]] = [
    {},
    {"diff": {}},
    {"diff": {"title": [], "body": [{"kind": "same", "text": "가"}]}},
    {"diff": {"body": [{"kind": "added", "text": ""}]}},
    {"fields": [["author", "가", "가"]]},
]


@pytest.mark.parametrize("told", NOTHING)
def test_a_change_that_has_nothing_to_show_meets_no_rule(told: dict[str, Any]) -> None:
    assert not meets(event(payload=told))
    assert meets(event(topic="mismatch", kind="altered", payload=told))


def test_a_change_of_metadata_alone_has_something_to_show() -> None:
    assert meets(event(kind="metadata", payload={"fields": [["author", "하늘봄", "강물결"]]}))


def test_the_daemon_s_kinds_are_the_reasons_of_its_report() -> None:
    assert EVENT_KINDS["daemon"] == get_args(health_file.DegradationReason)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), min_size=2, max_size=6, unique=True))
def test_an_alert_is_known_by_its_rule_and_event_and_by_nothing_else(pairs: list[tuple[str, str]]) -> None:
    ids = {alert_id(rule, key) for rule, key in pairs if "\0" not in rule + key}
    assert len(ids) == len({pair for pair in pairs if "\0" not in "".join(pair)})
    assert alert_id("edits", "change:1") == "ebf201699f2bcecf3ad9c4f59608f64f"


# Rhythm

ZONES = ["UTC", "Asia/Seoul", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)).map(lambda m: m.replace(microsecond=0))
clocks = st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0))  # a setting is a time of day: it has no `fold`


@given(moments, zones)
def test_at_once_is_now(now: datetime, zone: ZoneInfo) -> None:
    found = delivery_time(now, Schedule(zone=zone))
    assert (found.at, found.digest_reason) == (now, None)


@given(moments, zones)
def test_hourly_is_the_next_full_hour_of_the_zone(now: datetime, zone: ZoneInfo) -> None:
    found = delivery_time(now, Schedule("hourly", zone=zone))
    assert timedelta(0) < found.at - now <= timedelta(hours=1)
    assert found.at.astimezone(zone).minute == 0
    assert found.digest_reason == "schedule"


@given(moments, zones, clocks)
def test_daily_is_the_next_time_that_clocks_show_it(now: datetime, zone: ZoneInfo, at: time) -> None:
    found = delivery_time(now, Schedule("daily", at, zone))
    assert timedelta(0) < found.at - now <= timedelta(hours=26)
    local = found.at.astimezone(zone)
    leapt = local.utcoffset() != (found.at - timedelta(hours=3)).astimezone(zone).utcoffset()
    assert (local.hour, local.minute) == (at.hour, at.minute) or leapt
    assert found.digest_reason == "schedule"


def test_daily_keeps_to_the_clocks_when_they_are_changed() -> None:
    berlin = Schedule("daily", time(8), ZoneInfo("Europe/Berlin"))
    assert delivery_time(datetime(2026, 3, 28, 7, tzinfo=UTC), berlin).at == datetime(2026, 3, 29, 6, tzinfo=UTC)
    assert delivery_time(datetime(2026, 3, 27, 8, tzinfo=UTC), berlin).at == datetime(2026, 3, 28, 7, tzinfo=UTC)
    leapt = Schedule("daily", time(2, 30), ZoneInfo("Europe/Berlin"))  # clocks go from 2:00 to 3:00
    assert delivery_time(datetime(2026, 3, 28, 23, tzinfo=UTC), leapt).at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def is_quiet(moment: datetime, zone: ZoneInfo, begin: time, end: time) -> bool:
    """What the clock on the wall says, and nothing else."""
    shown = moment.astimezone(zone).time()
    return begin <= shown < end if begin < end else not end <= shown < begin


def first_loud(moment: datetime, zone: ZoneInfo, begin: time, end: time) -> datetime:
    """By going on minute by minute."""
    while is_quiet(moment, zone, begin, end):
        moment = moment.replace(second=0) + timedelta(minutes=1)
    return moment


CHANGED = [  # (zone, when its clocks were changed, in UTC)
    ("Europe/Berlin", datetime(2025, 10, 26, 1)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1)),
    ("America/New_York", datetime(2026, 11, 1, 6)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10)),  # a whole day is left out
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12)),
    ("America/Scoresbysund", datetime(2025, 3, 30, 1)),  # the last hour of a day is left out
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3)),  # the first one
    ("America/Havana", datetime(2025, 11, 2, 5)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1)),  # by two hours
    ("Africa/Casablanca", datetime(2026, 2, 15, 2)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15)),
    ("America/Caracas", datetime(2007, 12, 9, 7)),
]
near_a_change = st.tuples(st.sampled_from(CHANGED), st.integers(-36 * 60, 36 * 60), st.integers(0, 59)).map(
    lambda found: (ZoneInfo(found[0][0]), found[0][1].replace(tzinfo=UTC) + timedelta(minutes=found[1], seconds=found[2]))
)
anywhere = st.tuples(st.sampled_from(sorted(available_timezones())).map(ZoneInfo), moments)
begins_and_ends = st.lists(clocks | st.sampled_from([time(1, 30), time(2, 30), time(0), time(23, 30)]), min_size=2, max_size=2, unique=True)


@example((ZoneInfo("Europe/Berlin"), datetime(2025, 10, 26, 1, 10, tzinfo=UTC)), [time(1, 30), time(2, 30)])
@example((ZoneInfo("Europe/Berlin"), datetime(2025, 10, 25, 23, 45, tzinfo=UTC)), [time(1, 30), time(2, 30)])
@example((ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 0, 10, tzinfo=UTC)), [time(1), time(2, 30)])
@example((ZoneInfo("Pacific/Apia"), datetime(2011, 12, 30, 9, 10, tzinfo=UTC)), [time(22), time(7)])
@given(near_a_change | anywhere, begins_and_ends)
def test_what_falls_into_quiet_hours_is_due_in_the_first_moment_after_them(where: tuple[ZoneInfo, datetime], quiet: list[time]) -> None:
    (zone, now), (begin, end) = where, quiet
    found = delivery_time(now, Schedule(zone=zone, quiet_hours=(begin, end)))
    assert found.at == first_loud(now, zone, begin, end)
    assert (found.digest_reason == "quiet_hours") == (found.at != now)


@given(near_a_change | anywhere, begins_and_ends, st.sampled_from(["at once", "hourly", "daily"]), clocks, st.integers(0, 2) | st.none())
def test_nothing_is_due_in_quiet_hours_nor_before_now(
    where: tuple[ZoneInfo, datetime], quiet: list[time], every: Any, at: time, gather: int | None
) -> None:
    (zone, now), (begin, end) = where, quiet
    given = {"sent_this_hour": 5, "gather_time": None if gather is None else timedelta(minutes=gather)}
    loud = delivery_time(now, Schedule(every, at, zone, max_per_hour=5), **given)  # type: ignore[arg-type]
    found = delivery_time(now, Schedule(every, at, zone, (begin, end), max_per_hour=5), **given)  # type: ignore[arg-type]
    assert found.at == first_loud(loud.at, zone, begin, end) >= now
    assert found.digest_reason == loud.digest_reason


@given(near_a_change, clocks)
def test_daily_is_due_once_for_every_date_that_clocks_show(where: tuple[ZoneInfo, datetime], at: time) -> None:
    """At `at`, the first time where clocks show it twice; as long after midnight as on other days where they leap over it."""
    zone, now = where
    daily = Schedule("daily", at, zone)
    found, until = [], now + timedelta(days=5)
    moment = now - timedelta(days=5)
    while (moment := delivery_time(moment, daily).at) < until:
        found.append(moment)
    for before, after in pairwise(found):
        local = after.astimezone(zone)
        if local.time() != at:  # clocks leapt over it
            assert (after - timedelta(hours=3)).astimezone(zone).utcoffset() != local.utcoffset()
        assert before < after <= before + timedelta(hours=26)
    dates, day = [m.astimezone(zone).date() for m in found], timedelta(days=1)
    shown = {(now - timedelta(days=5) + timedelta(hours=n)).astimezone(zone).date() for n in range(24 * 10)}
    leapt = {m.astimezone(zone).date() - day for m in found if m.astimezone(zone).time() < at} & shown  # over midnight
    assert len(set(dates)) == len(dates) or leapt
    assert {d for d in shown if min(shown) + day < d < max(shown) - day} <= set(dates) | leapt


@given(near_a_change | anywhere)
def test_hourly_is_the_first_moment_at_which_clocks_show_a_full_hour(where: tuple[ZoneInfo, datetime]) -> None:
    zone, now = where
    expected = now.replace(second=0) + timedelta(minutes=1)
    while expected.astimezone(zone).minute:
        expected += timedelta(minutes=1)
    assert delivery_time(now, Schedule("hourly", zone=zone)).at == expected


def test_what_falls_into_quiet_hours_waits_for_their_end_and_says_so() -> None:
    seoul = Schedule(zone=ZoneInfo("Asia/Seoul"), quiet_hours=(time(22), time(7)))
    night = delivery_time(datetime(2026, 3, 5, 14, tzinfo=UTC), seoul)  # 23:00 in Seoul
    assert (night.at, night.digest_reason) == (datetime(2026, 3, 5, 22, tzinfo=UTC), "quiet_hours")
    assert delivery_time(datetime(2026, 3, 5, 22, tzinfo=UTC), seoul).digest_reason is None


@given(moments, zones, st.integers(1, 50), st.integers(0, 100))
def test_over_the_cap_it_is_the_next_hour_and_says_so(now: datetime, zone: ZoneInfo, most: int, sent: int) -> None:
    found = delivery_time(now, Schedule(zone=zone, max_per_hour=most), sent_this_hour=sent)
    if sent < most:
        assert (found.at, found.digest_reason) == (now, None)
    else:
        assert found.digest_reason == "rate_limit"
        assert found.at == start_of_hour(now, zone) + timedelta(hours=1) > now


def test_without_a_cap_there_is_none() -> None:
    now = datetime(2026, 3, 5, tzinfo=UTC)
    assert delivery_time(now, Schedule(max_per_hour=0), sent_this_hour=10_000).digest_reason is None


@pytest.mark.parametrize(("every", "why"), [("at once", "backlog"), ("hourly", "schedule"), ("daily", "schedule")])
def test_what_comes_of_a_backlog_waits_for_more_of_it(every: Any, why: str) -> None:
    now = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
    found = delivery_time(now, Schedule(every), gather_time=timedelta(seconds=90))
    assert found.digest_reason == why
    assert every != "at once" or found.at == now + timedelta(seconds=90)


def test_the_kinds_of_topics_are_distinct_from_one_another_but_for_what_is_meant() -> None:
    twice = [k for a, b in itertools.combinations(EVENT_KINDS.values(), 2) for k in set(a) & set(b)]
    assert twice == []
