"""Counts, durations and sizes as people read them."""

from __future__ import annotations

import pytest

from dedup.text.format import format_bytes, format_count, format_lag, format_megabytes


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [(0, ("page",), "0 pages"), (1, ("page",), "1 page"), (1234, ("page",), "1,234 pages"), (2, ("copy", "copies"), "2 copies")],
)
def test_a_count_has_its_noun(number: int, nouns: tuple[str, ...], expected: str) -> None:
    assert format_count(number, *nouns) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(59, "+0:00"), (11_700, "+3:15"), (-120, "-0:02"), (176_400, "+2 d 1:00"), (-90_000, "-1 d 1:00")],
)
def test_a_lag_has_a_sign_and_minutes(seconds: float, expected: str) -> None:
    assert format_lag(seconds) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_234_567, "1.2 MB"), (1_234_500_000_000, "1,234.5 GB")]
)
def test_a_size_has_the_largest_unit(size: float, expected: str) -> None:
    assert format_bytes(size) == expected


def test_sizes_shown_together_have_one_unit() -> None:
    assert (format_megabytes(716_800), format_megabytes(3_000_000_000, 0)) == ("0.7 MB", "3,000 MB")
