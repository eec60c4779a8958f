"""Times: as printed in the files, and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.text import times

SEOUL = ZoneInfo("Asia/Seoul")


@pytest.mark.parametrize(
    ("printed", "zone", "expected"),
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
def test_a_printed_time_counts_in_its_zone_unless_it_names_an_offset(printed: str, zone: ZoneInfo, expected: str) -> None:
    assert times.to_utc(printed, zone) == expected


@pytest.mark.parametrize("printed", ["", "어제", "2026-02-30 10:00", "2026-03-02 25:00", "0001-01-01 00:00", "10000-01-01", "2026.03.02"])
def test_what_is_no_time_is_none(printed: str) -> None:
    assert times.to_utc(printed, SEOUL) is None


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_utc_time_or_none(printed: str) -> None:
    found = times.to_utc(printed, SEOUL)
    assert found is None or datetime.fromisoformat(found).utcoffset() == timedelta(0)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)).map(lambda t: t.replace(microsecond=0)))
@settings(deadline=None)
def test_korean_wall_clock_is_read_as_the_moment_it_shows(moment: datetime) -> None:
    printed = moment.replace(tzinfo=UTC).astimezone(SEOUL).strftime("%Y-%m-%d %H:%M:%S")
    found = times.to_utc(printed, SEOUL)
    repeated = moment.replace(tzinfo=UTC) - timedelta(hours=1)  # of an hour that a clock change repeats the earlier one
    assert found in {moment.replace(tzinfo=UTC).isoformat(), repeated.isoformat()}


@given(st.integers())
@settings(deadline=None)
def test_any_time_stamp_has_a_text_that_can_be_read_back(nanoseconds: int) -> None:
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
def test_a_time_stamp_is_told_in_whole_seconds_and_clamped(nanoseconds: int, expected: str) -> None:
    assert times.from_ns(nanoseconds) == expected


def test_now_lies_between_two_readings_of_the_clock() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    told = datetime.fromisoformat(times.now())
    assert before <= told <= datetime.now(UTC)
    assert told.microsecond == 0


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
@settings(deadline=None)
def test_seconds_between_two_times_have_a_sign(a: datetime, b: datetime) -> None:
    assert times.seconds_between(a.isoformat(), b.isoformat()) == (b - a).total_seconds()
    assert times.seconds_between(b.isoformat(), a.isoformat()) == -(b - a).total_seconds()
