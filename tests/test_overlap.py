"""Exact Jaccard and containment, in either form, against Python's own sets."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup import overlap, text
from tests.crawl import edited, words

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(st.sampled_from("가나ab1. 𝔸"), max_size=60)


def naive(a: str, b: str) -> overlap.Overlap:
    x, y = (text.shingles(text.normalise(body)) for body in (a, b))
    return overlap.Overlap(len(x), len(y), len(x & y))


SETS = st.frozensets(st.sampled_from([f"{n:05}" for n in range(12)]))


@given(SETS, SETS)
@settings(deadline=None)
def test_similarity_is_jaccard_and_the_share_of_the_smaller_set(a: frozenset[str], b: frozenset[str]) -> None:
    both = [s for s in a if s in b]
    expected = (len(both) / len({*a, *b}), len(both) / min(len(a), len(b))) if a and b else (0.0, 0.0)
    for x, y in ((a, b), (b, a)):
        found = overlap.Overlap(len(x), len(y), len(both))
        assert (found.jaccard, found.containment) == expected


@given(ANY, ANY)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sizes_are_those_of_the_sets(either: str, a: str, b: str) -> None:
    found = overlap.overlap(overlap.points(a), overlap.points(b))
    assert found == naive(a, b)
    assert overlap.body_similarity(a, a) == 1.0
    assert overlap.body_similarity(a, b) == (found.jaccard if found.a or found.b else 1.0)


def test_articles_edited_at_all_levels(either: str) -> None:
    rng = random.Random(8)
    for share in (0, 0.01, 0.1, 0.5, 1):
        story = words(rng, 300)
        a, b = " ".join(story), " ".join(edited(rng, story, share))
        assert overlap.overlap(overlap.points(a), overlap.points(b)) == naive(a, b)


def test_a_text_within_another_and_repetition(either: str) -> None:
    a, b = "가나다라마바사" * 50, "가나다라마바사" * 3
    assert overlap.overlap(overlap.points(a), overlap.points(b)) == overlap.Overlap(7, 7, 7)


@given(ANY)
@settings(deadline=None)
def test_points_are_the_normalised_text(body: str) -> None:
    found = overlap.points(body)
    assert found.dtype == np.dtype("<u4")
    assert found.tobytes().decode("utf-32-le") == text.normalise(body)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 3), (3, 0)])
def test_an_empty_set_is_like_nothing(a: int, b: int) -> None:
    found = overlap.Overlap(a, b, 0)
    assert (found.jaccard, found.containment) == (0.0, 0.0)
