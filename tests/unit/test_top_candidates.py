"""Which candidates are chosen: those that a few lines over dictionaries choose."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.index.passages import MAX_BUCKET
from dedup.matching.top_candidates import MAX_CANDIDATES, MAX_PROPOSED, choose_candidates

Buckets = list[list[int]]
"""What stands under each key of a text."""

BUCKETS: st.SearchStrategy[Buckets] = st.lists(st.lists(st.integers(1, 40), max_size=MAX_BUCKET + 1, unique=True), max_size=40)


def chosen(texts: list[Buckets]) -> list[list[int]]:
    numbers = [len(there) for buckets in texts for there in buckets]
    found = [text for buckets in texts for there in buckets for text in there]
    ends = np.cumsum([len(buckets) for buckets in texts])
    return choose_candidates(ends, np.array(numbers, np.int64), np.array(found, np.int64))


def expected(buckets: Buckets) -> list[int]:
    met: dict[int, list[Fraction]] = {}
    for there in buckets:
        if len(there) <= MAX_BUCKET:
            for other in there[:MAX_PROPOSED]:
                met.setdefault(other, []).append(Fraction(1, len(there)))
    enough = [other for other, said in met.items() if sum(said) >= Fraction(49, 100)]
    return sorted(enough, key=lambda other: (-len(met[other]), other))[:MAX_CANDIDATES]


@given(st.lists(BUCKETS, min_size=1, max_size=5))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_candidates_are_those_that_dictionaries_choose(either: str, texts: list[Buckets]) -> None:
    assert chosen(texts) == [expected(buckets) for buckets in texts]


def test_those_of_most_keys_come_first_and_the_earliest_of_equal_ones(either: str) -> None:
    assert chosen([[[7], [5], [9, 7], [3]]]) == [[7, 3, 5, 9]]


@pytest.mark.parametrize(
    ("stories_there", "keys", "enough"), [(1, 1, True), (2, 1, True), (3, 1, False), (3, 2, True), (6, 2, False), (6, 3, True)]
)
def test_a_key_of_many_stories_says_little(either: str, stories_there: int, keys: int, enough: bool) -> None:
    (found,) = chosen([[list(range(1, stories_there + 1))] * keys])
    assert found == (list(range(1, min(stories_there, MAX_PROPOSED) + 1)) if enough else [])


def test_a_key_of_more_stories_than_count_proposes_nothing(either: str) -> None:
    full, over = list(range(1, MAX_BUCKET + 1)), list(range(1, MAX_BUCKET + 2))
    assert chosen([[full] * MAX_BUCKET, [over] * MAX_BUCKET]) == [full[:MAX_PROPOSED], []]


def test_so_many_candidates_are_chosen_and_no_more(either: str) -> None:
    alone = [[number] for number in range(100, 100 + 3 * MAX_CANDIDATES)]
    assert chosen([[*alone, alone[-1]], alone[:3]]) == [
        [alone[-1][0], *(there[0] for there in alone[: MAX_CANDIDATES - 1])],
        [there[0] for there in alone[:3]],
    ]


def test_texts_under_whose_keys_nothing_stands_have_no_candidates(either: str) -> None:
    assert chosen([[], [[], []], [[4]]]) == [[], [], [4]]
