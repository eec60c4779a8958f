"""Signatures are datasketch's, and bands lose next to no pair at the threshold."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup import minhash

SHINGLES = st.frozensets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5), max_size=40)


def by_hand(shingles: frozenset[str], num_perm: int) -> MinHash:
    sketch = MinHash(num_perm=num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    for shingle in shingles:
        sketch.update(shingle.encode())
    return sketch


@given(SHINGLES, st.sampled_from([16, 128, 200]))
@settings(deadline=None, max_examples=60)
def test_a_signature_is_datasketchs_bit_by_bit(shingles: frozenset[str], num_perm: int) -> None:
    assert minhash.signature(shingles, num_perm) == by_hand(shingles, num_perm).hashvalues.astype("<u4").tobytes()


def test_a_signature_of_more_shingles_than_fit_one_batch_is_the_same() -> None:
    shingles = frozenset(f"{n:05}" for n in range(3 * minhash.BATCH + 1))
    assert minhash.signature(shingles, 64) == by_hand(shingles, 64).hashvalues.astype("<u4").tobytes()


def test_the_order_of_the_shingles_makes_no_difference() -> None:
    shingles = [f"{n:05}" for n in range(2 * minhash.BATCH)]
    shuffled = random.Random(7).sample(shingles, len(shingles))
    assert minhash.signature(shingles, 128) == minhash.signature(shuffled, 128)


def test_memory_for_a_signature_does_not_grow_with_the_text() -> None:
    minhash.signature(["warm"], 128)
    tracemalloc.start()
    try:
        minhash.signature((str(n) for n in range(50_000)), 128)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50_000 * 128 * 4  # the whole table of shingles × permutations


@given(SHINGLES, SHINGLES)
@settings(deadline=None, max_examples=60)
def test_a_stored_signature_loads_into_datasketch(a: frozenset[str], b: frozenset[str]) -> None:
    loaded = minhash.load(minhash.signature(a, 128))
    assert isinstance(loaded, MinHash)
    assert np.array_equal(loaded.hashvalues, by_hand(a, 128).hashvalues)
    assert loaded.jaccard(by_hand(b, 128)) == by_hand(a, 128).jaccard(by_hand(b, 128))
    loaded.update_batch([s.encode() for s in b])
    assert np.array_equal(loaded.hashvalues, by_hand(a | b, 128).hashvalues)


def test_the_recipe_names_all_that_a_signature_depends_on() -> None:
    assert minhash.recipe(128) == "minhash/affine32/xxh32/char5/128/seed1/text1"
    assert minhash.recipe(64) != minhash.recipe(128)


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, (25, 5)), (0.5, (42, 3))])
def test_the_bands_are_those_of_the_design(threshold: float, expected: tuple[int, int]) -> None:
    assert minhash.bands(threshold, 128) == expected


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    return 1 - (1 - jaccard**rows) ** bands


@given(st.floats(0.3, 1), st.integers(16, 1024))
@settings(deadline=None)
def test_a_pair_at_the_threshold_is_a_candidate_and_one_more_row_would_lose_it(threshold: float, num_perm: int) -> None:
    bands, rows = minhash.bands(threshold, num_perm)
    assert bands >= 2
    assert rows >= 1
    assert bands == num_perm // rows
    assert candidate_probability(threshold, bands, rows) >= 0.985
    if num_perm // (rows + 1) >= 2:
        assert candidate_probability(threshold, num_perm // (rows + 1), rows + 1) < 0.985


def test_pairs_at_the_threshold_do_share_a_band() -> None:
    rng = random.Random(11)
    bands, rows = minhash.bands(0.7, 128)
    met = 0
    for _ in range(300):
        pool = [f"{rng.getrandbits(40):010x}" for _ in range(200)]
        a, b = minhash.signature(pool[:170], 128), minhash.signature(pool[30:], 128)  # 140 of 200 in common
        met += any(a[i : i + 4 * rows] == b[i : i + 4 * rows] for i in range(0, 4 * rows * bands, 4 * rows))
    assert met >= 290  # 297 expected
