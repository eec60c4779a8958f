"""Which rule matches which event, and when a matching alert is due."""

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


def matches(event_: Event, **conditions: Any) -> bool:
    return matching_rules(event_, [replace(ANY, **conditions)]) != []


def test_matching_rules_keep_their_order() -> None:
    rules = [replace(ANY, name="b"), replace(ANY, name="a", on=("mismatch",)), replace(ANY, name="c")]
    assert [r.name for r in matching_rules(event(), rules)] == ["b", "c"]


CONDITIONS = [
    ("kinds", ("removed", "substantive"), ("removed",)),
    ("min_severity", "major", None),
    ("parts", ("title", "body"), ("title", "author")),
    ("publishers", ("다른신문", "한빛일보"), ("한빛",)),
    ("urls", ("https://other.example/*", "https://paper.example/*"), ("https://paper.example/",)),
    ("silent", False, True),
]


@pytest.mark.parametrize(("key", "match", "mismatch"), CONDITIONS)
def test_a_rule_matches_on_each_condition(key: str, match: object, mismatch: object) -> None:
    assert matches(event(), **{key: match})
    if mismatch is not None:
        assert not matches(event(), **{key: mismatch})


@given(st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_a_minimum_severity_matches_it_and_above(minimum: Any, severity: Any) -> None:
    assert matches(event(severity=severity), min_severity=minimum) == (SEVERITIES.index(severity) >= SEVERITIES.index(minimum))


def test_publishers_match_in_any_unicode_form_and_case() -> None:
    import unicodedata

    decomposed = unicodedata.normalize("NFD", "한빛일보")
    assert matches(event(publisher=decomposed), publishers=("한빛일보",))
    assert matches(event(publisher="Bellmoor COURIER "), publishers=("bellmoor courier",))


@pytest.mark.parametrize("topic", ["mismatch", "duplicate", "cluster", "faults", "daemon"])
def test_conditions_on_changes_do_not_apply_to_other_topics(topic: Any) -> None:
    event_ = event(topic=topic, kind=EVENT_KINDS[topic][0], parts=(), similarity=0.9, across_publishers=True, size=9)
    assert matches(event_, parts=("title",), silent=True)


def test_similarity_applies_to_duplicates_and_size_to_clusters_and_faults() -> None:
    duplicate = event(topic="duplicate", kind="near", similarity=0.8, across_publishers=False)
    assert matches(duplicate, min_similarity=0.8, min_size=7)
    assert not matches(duplicate, min_similarity=0.81)
    assert not matches(duplicate, across_publishers=True)
    assert matches(replace(duplicate, across_publishers=True), across_publishers=True)
    assert matches(event(), min_similarity=1.0, across_publishers=True, min_size=100)
    for topic, kind in (("cluster", "growing"), ("faults", "rate")):
        assert matches(event(topic=topic, kind=kind, size=5), min_size=5)
        assert not matches(event(topic=topic, kind=kind, size=4), min_size=5)


EMPTY_PAYLOADS: list[dict[str, Any]] = [
    {},
    {"diff": {}},
    {"diff": {"title": [], "body": [{"kind": "same", "text": "가"}]}},
    {"diff": {"body": [{"kind": "added", "text": ""}]}},
    {"fields": [["author", "가", "가"]]},
]


@pytest.mark.parametrize("payload", EMPTY_PAYLOADS)
def test_a_change_with_an_empty_payload_matches_no_rule(payload: dict[str, Any]) -> None:
    assert not matches(event(payload=payload))
    assert matches(event(topic="mismatch", kind="altered", payload=payload))


def test_a_change_of_metadata_alone_matches() -> None:
    assert matches(event(kind="metadata", payload={"fields": [["author", "하늘봄", "강물결"]]}))


def test_the_daemons_event_kinds_are_the_reasons_of_its_report() -> None:
    assert EVENT_KINDS["daemon"] == get_args(health_file.DegradationReason)


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), min_size=2, max_size=6, unique=True))
def test_the_id_of_an_alert_depends_on_rule_and_event_only(pairs: list[tuple[str, str]]) -> None:
    ids = {alert_id(rule, key) for rule, key in pairs if "\0" not in rule + key}
    assert len(ids) == len({pair for pair in pairs if "\0" not in "".join(pair)})
    assert alert_id("edits", "change:1") == "ebf201699f2bcecf3ad9c4f59608f64f"


# Delivery times

ZONES = ["UTC", "Asia/Seoul", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"]
zones = st.sampled_from(ZONES).map(ZoneInfo)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)).map(lambda m: m.replace(microsecond=0))
clocks = st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0))  # a configured time of day has no `fold`


@given(moments, zones)
def test_at_once_is_due_now(now: datetime, zone: ZoneInfo) -> None:
    delivery = delivery_time(now, Schedule(zone=zone))
    assert (delivery.at, delivery.digest_reason) == (now, None)


@given(moments, zones)
def test_hourly_is_due_at_the_next_full_hour_of_the_zone(now: datetime, zone: ZoneInfo) -> None:
    delivery = delivery_time(now, Schedule("hourly", zone=zone))
    assert timedelta(0) < delivery.at - now <= timedelta(hours=1)
    assert delivery.at.astimezone(zone).minute == 0
    assert delivery.digest_reason == "schedule"


@given(moments, zones, clocks)
def test_daily_is_due_when_clocks_show_the_time_next(now: datetime, zone: ZoneInfo, at: time) -> None:
    delivery = delivery_time(now, Schedule("daily", at, zone))
    assert timedelta(0) < delivery.at - now <= timedelta(hours=26)
    local = delivery.at.astimezone(zone)
    is_skipped = local.utcoffset() != (delivery.at - timedelta(hours=3)).astimezone(zone).utcoffset()
    assert (local.hour, local.minute) == (at.hour, at.minute) or is_skipped
    assert delivery.digest_reason == "schedule"


def test_daily_follows_clock_changes() -> None:
    berlin = Schedule("daily", time(8), ZoneInfo("Europe/Berlin"))
    assert delivery_time(datetime(2026, 3, 28, 7, tzinfo=UTC), berlin).at == datetime(2026, 3, 29, 6, tzinfo=UTC)
    assert delivery_time(datetime(2026, 3, 27, 8, tzinfo=UTC), berlin).at == datetime(2026, 3, 28, 7, tzinfo=UTC)
    skipped_time = Schedule("daily", time(2, 30), ZoneInfo("Europe/Berlin"))  # clocks skip from 2:00 to 3:00
    assert delivery_time(datetime(2026, 3, 28, 23, tzinfo=UTC), skipped_time).at == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def is_quiet(moment: datetime, zone: ZoneInfo, begin: time, end: time) -> bool:
    """Whether a wall clock shows a quiet hour."""
    local_time = moment.astimezone(zone).time()
    return begin <= local_time < end if begin < end else not end <= local_time < begin


def first_not_quiet(moment: datetime, zone: ZoneInfo, begin: time, end: time) -> datetime:
    """The first moment that is not quiet, found minute by minute."""
    while is_quiet(moment, zone, begin, end):
        moment = moment.replace(second=0) + timedelta(minutes=1)
    return moment


CLOCK_CHANGES = [  # (zone, UTC time of a clock change)
    ("Europe/Berlin", datetime(2025, 10, 26, 1)),
    ("Europe/Berlin", datetime(2026, 3, 29, 1)),
    ("America/New_York", datetime(2026, 11, 1, 6)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15)),  # by half an hour
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30)),
    ("Pacific/Apia", datetime(2011, 12, 30, 10)),  # skips a whole day
    ("Pacific/Kwajalein", datetime(1993, 8, 21, 12)),
    ("America/Scoresbysund", datetime(2025, 3, 30, 1)),  # skips the last hour of a day
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3)),  # skips the first hour of a day
    ("America/Havana", datetime(2025, 11, 2, 5)),
    ("Antarctica/Troll", datetime(2026, 3, 29, 1)),  # by two hours
    ("Africa/Casablanca", datetime(2026, 2, 15, 2)),
    ("Asia/Pyongyang", datetime(2018, 5, 4, 15)),
    ("America/Caracas", datetime(2007, 12, 9, 7)),
]
near_a_change = st.tuples(st.sampled_from(CLOCK_CHANGES), st.integers(-36 * 60, 36 * 60), st.integers(0, 59)).map(
    lambda found: (ZoneInfo(found[0][0]), found[0][1].replace(tzinfo=UTC) + timedelta(minutes=found[1], seconds=found[2]))
)
anywhere = st.tuples(st.sampled_from(sorted(available_timezones())).map(ZoneInfo), moments)
begins_and_ends = st.lists(clocks | st.sampled_from([time(1, 30), time(2, 30), time(0), time(23, 30)]), min_size=2, max_size=2, unique=True)


@example((ZoneInfo("Europe/Berlin"), datetime(2025, 10, 26, 1, 10, tzinfo=UTC)), [time(1, 30), time(2, 30)])
@example((ZoneInfo("Europe/Berlin"), datetime(2025, 10, 25, 23, 45, tzinfo=UTC)), [time(1, 30), time(2, 30)])
@example((ZoneInfo("Europe/Berlin"), datetime(2026, 3, 29, 0, 10, tzinfo=UTC)), [time(1), time(2, 30)])
@example((ZoneInfo("Pacific/Apia"), datetime(2011, 12, 30, 9, 10, tzinfo=UTC)), [time(22), time(7)])
@given(near_a_change | anywhere, begins_and_ends)
def test_an_alert_in_quiet_hours_is_due_when_they_end(where: tuple[ZoneInfo, datetime], quiet: list[time]) -> None:
    (zone, now), (begin, end) = where, quiet
    delivery = delivery_time(now, Schedule(zone=zone, quiet_hours=(begin, end)))
    assert delivery.at == first_not_quiet(now, zone, begin, end)
    assert (delivery.digest_reason == "quiet_hours") == (delivery.at != now)


@pytest.mark.slow
@given(near_a_change | anywhere, begins_and_ends, st.sampled_from(["at once", "hourly", "daily"]), clocks, st.integers(0, 2) | st.none())
def test_nothing_is_due_in_quiet_hours_or_before_now(
    where: tuple[ZoneInfo, datetime], quiet: list[time], every: Any, at: time, gather: int | None
) -> None:
    (zone, now), (begin, end) = where, quiet
    options = {"sent_this_hour": 5, "gather_time": None if gather is None else timedelta(minutes=gather)}
    without_quiet_hours = delivery_time(now, Schedule(every, at, zone, max_per_hour=5), **options)  # type: ignore[arg-type]
    delivery = delivery_time(now, Schedule(every, at, zone, (begin, end), max_per_hour=5), **options)  # type: ignore[arg-type]
    assert delivery.at == first_not_quiet(without_quiet_hours.at, zone, begin, end) >= now
    assert delivery.digest_reason == without_quiet_hours.digest_reason


@given(near_a_change, clocks)
def test_daily_is_due_once_for_each_date(where: tuple[ZoneInfo, datetime], at: time) -> None:
    """Due at `at`: the first time if clocks show it twice, and as long after midnight as usual if clocks skip it."""
    zone, now = where
    daily = Schedule("daily", at, zone)
    moments_due, until = [], now + timedelta(days=5)
    moment = now - timedelta(days=5)
    while (moment := delivery_time(moment, daily).at) < until:
        moments_due.append(moment)
    for before, after in pairwise(moments_due):
        local = after.astimezone(zone)
        if local.time() != at:  # clocks skipped it
            assert (after - timedelta(hours=3)).astimezone(zone).utcoffset() != local.utcoffset()
        assert before < after <= before + timedelta(hours=26)
    dates, day = [m.astimezone(zone).date() for m in moments_due], timedelta(days=1)
    local_dates = {(now - timedelta(days=5) + timedelta(hours=n)).astimezone(zone).date() for n in range(24 * 10)}
    skipped_dates = {m.astimezone(zone).date() - day for m in moments_due if m.astimezone(zone).time() < at} & local_dates  # over midnight
    assert len(set(dates)) == len(dates) or skipped_dates
    assert {d for d in local_dates if min(local_dates) + day < d < max(local_dates) - day} <= set(dates) | skipped_dates


@given(near_a_change | anywhere)
@example((ZoneInfo("Asia/Pyongyang"), datetime(2018, 5, 4, 14, 59, tzinfo=UTC)))  # half an hour forward, to midnight
def test_hourly_is_due_at_the_first_full_hour_on_the_clock(where: tuple[ZoneInfo, datetime]) -> None:
    zone, now = where
    expected = now.replace(second=0) + timedelta(minutes=1)
    while expected.astimezone(zone).minute:
        expected += timedelta(minutes=1)
    assert delivery_time(now, Schedule("hourly", zone=zone)).at == expected


def test_a_delivery_held_by_quiet_hours_has_that_reason() -> None:
    seoul = Schedule(zone=ZoneInfo("Asia/Seoul"), quiet_hours=(time(22), time(7)))
    night = delivery_time(datetime(2026, 3, 5, 14, tzinfo=UTC), seoul)  # 23:00 in Seoul
    assert (night.at, night.digest_reason) == (datetime(2026, 3, 5, 22, tzinfo=UTC), "quiet_hours")
    assert delivery_time(datetime(2026, 3, 5, 22, tzinfo=UTC), seoul).digest_reason is None


@given(moments, zones, st.integers(1, 50), st.integers(0, 100))
def test_a_delivery_over_the_limit_is_due_in_the_next_hour_with_that_reason(
    now: datetime, zone: ZoneInfo, limit: int, sent_count: int
) -> None:
    delivery = delivery_time(now, Schedule(zone=zone, max_per_hour=limit), sent_this_hour=sent_count)
    if sent_count < limit:
        assert (delivery.at, delivery.digest_reason) == (now, None)
    else:
        assert delivery.digest_reason == "rate_limit"
        assert delivery.at == start_of_hour(now, zone) + timedelta(hours=1) > now


def test_without_a_limit_everything_is_due_now() -> None:
    now = datetime(2026, 3, 5, tzinfo=UTC)
    assert delivery_time(now, Schedule(max_per_hour=0), sent_this_hour=10_000).digest_reason is None


@pytest.mark.parametrize(("every", "reason"), [("at once", "backlog"), ("hourly", "schedule"), ("daily", "schedule")])
def test_a_delivery_of_a_backlog_waits_for_more(every: Any, reason: str) -> None:
    now = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
    delivery = delivery_time(now, Schedule(every), gather_time=timedelta(seconds=90))
    assert delivery.digest_reason == reason
    assert every != "at once" or delivery.at == now + timedelta(seconds=90)


def test_the_kinds_of_topics_are_distinct() -> None:
    shared = [k for a, b in itertools.combinations(EVENT_KINDS.values(), 2) for k in set(a) & set(b)]
    assert shared == []
