"""Times as printed in files and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.text import times

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-03-02 09:00", SEOUL, "2026-03-02T00:00:00+00:00"),
        ("2026-03-02 00:30:15", UTC, "2026-03-02T00:30:15+00:00"),
        ("2026-01-01 00:00", SEOUL, "2025-12-31T15:00:00+00:00"),
        ("2026-03-02T09:00:00+02:00", SEOUL, "2026-03-02T07:00:00+00:00"),
        ("2026-03-02T09:00:00Z", SEOUL, "2026-03-02T09:00:00+00:00"),
        ("2026-03-02", SEOUL, "2026-03-01T15:00:00+00:00"),
        ("2026-10-25 02:30", ZoneInfo("Europe/Berlin"), "2026-10-25T00:30:00+00:00"),
    ],
)
def test_a_time_without_an_offset_is_in_the_configured_zone(text: str, zone: ZoneInfo, expected: str) -> None:
    assert times.to_utc(text, zone) == expected


@pytest.mark.parametrize("text", ["", "어제", "2026-02-30 10:00", "2026-03-02 25:00", "0001-01-01 00:00", "10000-01-01", "2026.03.02"])
def test_an_invalid_time_is_none(text: str) -> None:
    assert times.to_utc(text, SEOUL) is None


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_utc_time_or_none(text: str) -> None:
    utc = times.to_utc(text, SEOUL)
    assert utc is None or datetime.fromisoformat(utc).utcoffset() == timedelta(0)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)).map(lambda t: t.replace(microsecond=0)))
@settings(deadline=None)
def test_a_korean_wall_clock_time_is_converted_to_utc(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).astimezone(SEOUL).strftime("%Y-%m-%d %H:%M:%S")
    utc = times.to_utc(text, SEOUL)
    earlier = moment.replace(tzinfo=UTC) - timedelta(hours=1)  # the earlier of two hours if a clock change repeats it
    assert utc in {moment.replace(tzinfo=UTC).isoformat(), earlier.isoformat()}


@given(st.integers())
@settings(deadline=None)
def test_any_timestamp_has_a_valid_text(nanoseconds: int) -> None:
    assert datetime.fromisoformat(times.from_ns(nanoseconds)).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (1_772_411_400_999_999_999, "2026-03-02T00:30:00+00:00"),
        (-1, "1969-12-31T23:59:59+00:00"),
        (10**30, "9999-01-01T00:00:00+00:00"),
        (-(10**30), "0001-01-01T00:00:00+00:00"),
    ],
)
def test_the_text_of_a_timestamp_has_whole_seconds_and_is_clamped(nanoseconds: int, expected: str) -> None:
    assert times.from_ns(nanoseconds) == expected


def test_now_is_the_current_time_in_whole_seconds() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    now = datetime.fromisoformat(times.now())
    assert before <= now <= datetime.now(UTC)
    assert now.microsecond == 0


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
@settings(deadline=None)
def test_seconds_between_two_times_have_a_sign(a: datetime, b: datetime) -> None:
    assert times.seconds_between(a.isoformat(), b.isoformat()) == (b - a).total_seconds()
    assert times.seconds_between(b.isoformat(), a.isoformat()) == -(b - a).total_seconds()
