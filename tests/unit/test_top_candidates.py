"""The choice of candidates, compared with a few lines over dictionaries."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.index.passages import MAX_BUCKET
from dedup.matching.top_candidates import MAX_CANDIDATES, MAX_PROPOSED, choose_candidates

pytestmark = pytest.mark.slow

Buckets = list[list[int]]
"""The texts in the bucket of each fingerprint of a text."""

BUCKETS: st.SearchStrategy[Buckets] = st.lists(st.lists(st.integers(1, 40), max_size=MAX_BUCKET + 1, unique=True), max_size=40)


def choose(texts: list[Buckets]) -> list[list[int]]:
    numbers = [len(bucket) for buckets in texts for bucket in buckets]
    text_ids = [text for buckets in texts for bucket in buckets for text in bucket]
    ends = np.cumsum([len(buckets) for buckets in texts])
    return choose_candidates(ends, np.array(numbers, np.int64), np.array(text_ids, np.int64))


def choose_by_dictionaries(buckets: Buckets) -> list[int]:
    shares: dict[int, list[Fraction]] = {}
    for bucket in buckets:
        if len(bucket) <= MAX_BUCKET:
            for candidate in bucket[:MAX_PROPOSED]:
                shares.setdefault(candidate, []).append(Fraction(1, len(bucket)))
    chosen = [candidate for candidate, text_shares in shares.items() if sum(text_shares) >= Fraction(49, 100)]
    return sorted(chosen, key=lambda candidate: (-len(shares[candidate]), candidate))[:MAX_CANDIDATES]


@given(st.lists(BUCKETS, min_size=1, max_size=5))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_candidates_are_the_ones_that_dictionaries_choose(either: str, texts: list[Buckets]) -> None:
    assert choose(texts) == [choose_by_dictionaries(buckets) for buckets in texts]


def test_candidates_with_most_fingerprints_come_first_then_the_earliest(either: str) -> None:
    assert choose([[[7], [5], [9, 7], [3]]]) == [[7, 3, 5, 9]]


@pytest.mark.parametrize(
    ("texts_in_bucket", "fingerprints", "is_candidate"),
    [(1, 1, True), (2, 1, True), (3, 1, False), (3, 2, True), (6, 2, False), (6, 3, True)],
)
def test_a_fingerprint_of_many_texts_has_little_weight(either: str, texts_in_bucket: int, fingerprints: int, is_candidate: bool) -> None:
    (candidates,) = choose([[list(range(1, texts_in_bucket + 1))] * fingerprints])
    assert candidates == (list(range(1, min(texts_in_bucket, MAX_PROPOSED) + 1)) if is_candidate else [])


def test_a_bucket_over_the_limit_proposes_nothing(either: str) -> None:
    full, over = list(range(1, MAX_BUCKET + 1)), list(range(1, MAX_BUCKET + 2))
    assert choose([[full] * MAX_BUCKET, [over] * MAX_BUCKET]) == [full[:MAX_PROPOSED], []]


def test_the_number_of_candidates_is_limited(either: str) -> None:
    buckets = [[number] for number in range(100, 100 + 3 * MAX_CANDIDATES)]
    assert choose([[*buckets, buckets[-1]], buckets[:3]]) == [
        [buckets[-1][0], *(bucket[0] for bucket in buckets[: MAX_CANDIDATES - 1])],
        [bucket[0] for bucket in buckets[:3]],
    ]


def test_texts_with_empty_buckets_have_no_candidates(either: str) -> None:
    assert choose([[], [[], []], [[4]]]) == [[], [], [4]]
