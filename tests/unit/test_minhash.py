"""Signatures are bit-identical to datasketch's in both kernels, and bands lose almost no pair at the threshold."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.similarity import minhash
from dedup.similarity.minhash import SignedText, numpy_kernel
from dedup.text import normalise
from tests.builders.crawl import words

pytestmark = pytest.mark.slow

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(st.sampled_from("가각힣ㅎaZ1𝔸𐍈𠮷 .\u0301é"), max_size=60)
"""Any text, and texts of few distinct characters of one to four bytes, which give repeated shingles of 5 to 20 bytes."""


def to_minhash(normalised: str, num_perm: int = 128) -> MinHash:
    sketch = MinHash(num_perm=num_perm, seed=1, scheme="affine32", hashfunc=xxhash.xxh32_intdigest)
    for shingle in normalise.shingles(normalised):
        sketch.update(shingle.encode())
    return sketch


def expected(body: str, num_perm: int, min_characters: int) -> SignedText:
    n = normalise.normalise(body)
    signature = to_minhash(n, num_perm).hashvalues.astype("<u4").tobytes() if n and len(n) >= min_characters else None
    return SignedText(xxhash.xxh3_128_digest(n.encode()) if n else None, len(n), signature)


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from([16, 128, 200]), st.sampled_from([0, 1, 5, 20]))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_signature_is_bit_identical_to_datasketchs(either: str, bodies: list[str], num_perm: int, min_characters: int) -> None:
    assert minhash.sign_texts(bodies, num_perm, min_characters) == [expected(body, num_perm, min_characters) for body in bodies]


@pytest.mark.parametrize(
    "body", ["", " .", "가", "ab", "abcd", "abcde", "abcdef", "𝔸𝔸𝔸𝔸𝔸𝔸", "𠮷" * 4 + "가", "가나다라마바", "a\u0301" * 9], ids=ascii
)
def test_the_shortest_texts_and_the_widest_characters_are_signed(either: str, body: str) -> None:
    assert minhash.sign_texts([body], 128, 0) == [expected(body, 128, 0)]


def test_a_batch_has_the_signatures_of_its_texts(either: str) -> None:
    rng = random.Random(3)
    bodies = [" ".join(words(rng, rng.randint(0, 120), korean=n % 3 > 0)) for n in range(1000)]
    together = minhash.sign_texts(bodies, 128, 80)
    assert together == [s for body in bodies for s in minhash.sign_texts([body], 128, 80)]
    assert together[::50] == [expected(body, 128, 80) for body in bodies[::50]]


def test_a_text_of_a_megabyte_is_signed(either: str) -> None:
    rng = random.Random(4)
    body = " ".join(words(rng, 130_000))
    assert len(body.encode()) > 1_000_000
    (result,) = minhash.sign_texts([body], 128, 80)
    sketch = to_minhash("")
    sketch.update_batch([s.encode() for s in normalise.shingles(normalise.normalise(body))])
    assert result.signature == sketch.hashvalues.astype("<u4").tobytes()


def test_the_batch_size_does_not_change_signatures(monkeypatch: pytest.MonkeyPatch, either: str) -> None:
    bodies = [" ".join(words(random.Random(n), 40)) for n in range(7)]
    expected = minhash.sign_texts(bodies, 128, 80)
    monkeypatch.setattr(normalise, "MAX_BATCH_CHARACTERS", 300)
    assert minhash.sign_texts(bodies, 128, 80) == expected


@given(st.lists(st.binary(max_size=31), min_size=1, max_size=20))
@settings(deadline=None)
def test_xxh32_is_the_hash_of_xxhash(stretches: list[bytes]) -> None:
    at = np.concatenate(([0], np.cumsum([len(s) for s in stretches])))
    utf8 = np.frombuffer(b"".join(stretches), np.uint8)
    assert numpy_kernel.xxh32(utf8, at[:-1], at[1:]).tolist() == [xxhash.xxh32_intdigest(s) for s in stretches]


def test_memory_does_not_grow_with_shingles_times_permutations(plain: None) -> None:
    body = "".join(chr(0xAC00 + n * 7919 % 11172) for n in range(100_000))
    minhash.sign_texts(["warm " * 30], 128, 0)
    tracemalloc.start()
    try:
        minhash.sign_texts([body], 128, 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000 * 128 * 4 / 2  # half the table of shingles × permutations


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=60)
def test_a_stored_signature_loads_into_datasketch(a: str, b: str) -> None:
    (result,) = minhash.sign_texts(["x" + a], 128, 0)
    a, b = normalise.normalise("x" + a), normalise.normalise(b)
    assert result.signature is not None
    sketch = minhash.to_datasketch(result.signature)
    assert isinstance(sketch, MinHash)
    assert np.array_equal(sketch.hashvalues, to_minhash(a).hashvalues)
    assert sketch.jaccard(to_minhash(b)) == to_minhash(a).jaccard(to_minhash(b))
    sketch.update_batch([s.encode() for s in normalise.shingles(b)])
    oracle = to_minhash(a)
    oracle.merge(to_minhash(b))
    assert np.array_equal(sketch.hashvalues, oracle.hashvalues)


def test_the_recipe_names_everything_that_a_signature_depends_on() -> None:
    assert minhash.recipe(128) == "minhash/affine32/xxh32/char5/128/seed1/text1"
    assert minhash.recipe(64) != minhash.recipe(128)


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, (25, 5)), (0.5, (42, 3))])
def test_the_numbers_of_bands_and_rows_stay_the_same(threshold: float, expected: tuple[int, int]) -> None:
    assert minhash.choose_bands(threshold, 128) == expected


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    return 1 - (1 - jaccard**rows) ** bands


@given(st.floats(0.3, 1), st.integers(16, 1024))
@settings(deadline=None)
def test_bands_have_the_most_rows_that_keep_pairs_at_the_threshold(threshold: float, num_perm: int) -> None:
    bands, rows = minhash.choose_bands(threshold, num_perm)
    assert bands >= 2
    assert rows >= 1
    assert bands == num_perm // rows
    assert candidate_probability(threshold, bands, rows) >= 0.985
    if num_perm // (rows + 1) >= 2:
        assert candidate_probability(threshold, num_perm // (rows + 1), rows + 1) < 0.985


def test_pairs_at_the_threshold_share_a_band() -> None:
    rng = random.Random(11)
    bands, rows = minhash.choose_bands(0.7, 128)
    candidates = 0
    for _ in range(300):
        pool = [f"{rng.getrandbits(40):010x}" for _ in range(200)]
        a, b = (hash_values(shingles) for shingles in (pool[:170], pool[30:]))  # 140 of 200 in common
        candidates += any(np.array_equal(a[i : i + rows], b[i : i + rows]) for i in range(0, rows * bands, rows))
    assert candidates >= 290  # 297 expected


def hash_values(shingles: list[str]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    sketch = to_minhash("")
    sketch.update_batch([s.encode() for s in shingles])
    values: np.ndarray[tuple[int], np.dtype[np.uint32]] = sketch.hashvalues
    return values
