"""Fingerprints in both kernels, compared with the paper's definition, and the stability of stored fingerprints."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup.similarity import jit, winnowing
from dedup.similarity.winnowing import numpy_kernel, recipe
from dedup.text import normalise
from tests.builders.crawl import words

pytestmark = pytest.mark.slow

MOD = (1 << 64) - 1
FULL, WINDOW, WIDER, EXPECTED, PER_KEY, EXPECTED_EVER, KEY_BITS = 160, 40, 63, 40, 32, 1000, 35


def fmix64(h: int) -> int:
    """The 64-bit finaliser of MurmurHash3, as published."""
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & MOD
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & MOD
    return h ^ (h >> 33)


def run_from(normalised: str, at: int) -> str:
    """The run that begins at a position; empty if the rest of the text is too light for a run."""
    wide = normalise.wide_mask()
    weight, end = 0, at
    while weight < FULL and end < len(normalised):
        weight += 8 if wide[ord(normalised[end])] else 5
        end += 1
    return normalised[at:end] if weight >= FULL else ""


def runs(normalised: str) -> list[str]:
    return [run for at in range(len(normalised)) if (run := run_from(normalised, at))]


def window(characters: int) -> int:
    """A window of w hashes selects 2 of w + 1. It gives one fingerprint for every 32 characters, at least 40 and at most 1000."""
    expected = max(EXPECTED, min(characters / PER_KEY, EXPECTED_EVER))
    return max(WINDOW, math.ceil(2 * characters / expected) - 1)


def minima(normalised: str) -> set[int]:
    """The smallest hash of each window, or of all hashes if they are fewer than a window."""
    hashes = []
    for run in runs(normalised):
        h = 0
        for c in run:
            h = h * 0x9E3779B97F4A7C15 + ord(c) & MOD
        hashes.append(fmix64(h + len(run) * 0xD6E8FEB86659FD93 & MOD))
    if not hashes:
        return set()
    w = window(len(normalised))
    return {min(hashes[at : at + w]) for at in range(max(1, len(hashes) - w + 1))}


@cache
def naive(body: str, min_characters: int) -> list[int] | None:
    normalised = normalise.normalise(body)
    if not normalised or len(normalised) < min_characters:
        return None
    limit = 2 * min(max(EXPECTED, len(normalised) // PER_KEY), EXPECTED_EVER)
    return sorted({fmix64(h ^ 0xC2B2AE3D27D4EB4F) >> 64 - KEY_BITS for h in sorted(minima(normalised))[:limit]})


def arrays(bodies: list[str], min_characters: int = 1) -> list[NDArray[np.int64] | None]:
    return [k for batch in normalise.fold_batches(bodies) for k in winnowing.fingerprint_texts(batch, min_characters)]


def fingerprint(bodies: list[str], min_characters: int = 1) -> list[list[int] | None]:
    return [None if k is None else k.tolist() for k in arrays(bodies, min_characters)]


def pack_fingerprints(bodies: list[str], min_characters: int = 1) -> list[bytes | None]:
    return [p for batch in normalise.fold_batches(bodies) for p in winnowing.fingerprint_texts_packed(batch, min_characters)]


RNG = random.Random(12)
BLOCKS = [
    *(" ".join(words(RNG, n)) + ". " for n in (3, 8, 25)),
    *(" ".join(words(RNG, n, korean=False)) + ", " for n in (3, 8, 25)),
    "가나다라" * 12, "ab" * 40, "𠮷𠮟" * 15, "𝔸𐍈" * 30, "\ud800", "\udfff!",
    "ßİﬁ", "e\u0301", "\u1112\u1161\u11ab", "", "7", "ㅎ", "カナ漢字",
]  # fmt: skip
TEXTS = (
    st.lists(st.sampled_from(BLOCKS), max_size=7).map("".join) | st.text(max_size=90) | st.text(st.sampled_from("가나ab𝔸𠮷"), max_size=150)
)


@given(st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from([0, 1, 20, 80]))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_fingerprints_follow_the_definition(either: str, bodies: list[str], min_characters: int) -> None:
    assert fingerprint(bodies, min_characters) == [naive(body, min_characters) for body in bodies]


def random_text(n: int, *, korean: bool = True) -> str:
    return "".join(words(random.Random(n), n // 2 + 1, korean=korean))[:n]


@pytest.mark.parametrize("korean", [True, False])
def test_longer_texts_have_wider_windows_and_the_expected_number_of_fingerprints(either: str, korean: bool) -> None:
    bodies = [random_text(n, korean=korean) for n in (700, 820, 821, 840, 841, 1279, 1280, 1281, 2500, 33_000)]
    rows = fingerprint(bodies)
    assert rows == [naive(body, 1) for body in bodies]
    for body, row in zip(bodies, rows, strict=True):
        expected = 2 * len(body) / (window(len(body)) + 1)
        assert abs(len(row or ()) - expected) <= 4 * math.sqrt(expected)


@pytest.mark.parametrize("korean", [True, False])
def test_texts_about_as_long_as_a_run_or_a_window_follow_the_definition(either: str, korean: bool) -> None:
    bodies = [random_text(n, korean=korean) for n in (1, 19, 20, 21, 31, 32, 33, 58, 59, 60, 61, 70, 71, 72, 73)]
    rows = fingerprint(bodies)
    assert rows == [naive(body, 1) for body in bodies]
    k = 20 if korean else 32
    for body, row in zip(bodies, rows, strict=True):
        if len(body) < k + WINDOW:
            assert len(row or ()) == (len(body) >= k)


@pytest.mark.parametrize(("wide", "narrow"), [(20, 0), (0, 32), (19, 2), (10, 16), (5, 24), (1, 31), (2, 29)])
def test_a_run_ends_where_it_is_heavy_enough(either: str, wide: int, narrow: int) -> None:
    """These wide and narrow characters are exactly one run. Without the last of them they contain no run."""
    body = random_text(wide) + random_text(narrow, korean=False)
    assert runs(body) == [body]
    assert fingerprint([body]) == [naive(body, 1)]
    assert len(fingerprint([body])[0] or ()) == 1
    assert fingerprint([body[:-1]]) == [[]]


def test_runs_follow_the_definition() -> None:
    body = normalise.normalise(
        " ".join([*words(RNG, 30), *words(RNG, 20, korean=False), *words(RNG, 9), "2026", "漢字カナ", *words(RNG, 4)])
    )
    points = normalise.to_points(body)
    lengths = numpy_kernel.measure_runs(points).tolist()
    assert [body[at : at + n] for at, n in enumerate(lengths)] == runs(body)
    assert {20, 32} < set(lengths)
    assert len(numpy_kernel.hash_runs(points)) == len(lengths)


def text_with_falling_hashes(number: int) -> str:
    """Text of `number` runs, each with a smaller hash than the one before."""
    body = [ord(c) for c in random_text(19)]
    for n in range(number):
        h = 0
        for code in body[-19:]:
            h = h * 0x9E3779B97F4A7C15 + code & MOD
        h = h * 0x9E3779B97F4A7C15 + 20 * 0xD6E8FEB86659FD93
        body.append(next(c for c in range(0xAC00, 0xD7A4) if fmix64(h + c & MOD) * number >> 64 == number - 1 - n))
    return "".join(map(chr, body))


def test_a_text_with_too_many_fingerprints_keeps_the_smallest_hashes(either: str) -> None:
    body = text_with_falling_hashes(200)
    assert len(minima(body)) == 200 - WINDOW + 1
    assert fingerprint([body]) == [naive(body, 1)]
    assert len(fingerprint([body])[0] or ()) == 2 * EXPECTED


@pytest.mark.parametrize("period", ["가", "ab", "가나다라"])
def test_a_repetitive_text_has_no_more_fingerprints_than_its_period(either: str, period: str) -> None:
    (row,) = fingerprint([period * (300_000 // len(period))])
    assert row == naive(period * 100, 1)
    assert row is not None
    assert len(row) <= len(period)


def test_a_text_of_a_million_characters_has_about_1000_fingerprints_in_both_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    body = random_text(600_000) + random_text(400_000, korean=False)
    rows = []
    for enabled in (True, False):
        monkeypatch.setattr(jit._JitState, "enabled", enabled)
        monkeypatch.setattr(jit._JitState, "unavailable", not enabled)
        rows += fingerprint([body])
    assert rows[0] == rows[1]
    assert len(rows[0] or ()) == pytest.approx(EXPECTED_EVER, abs=100)


def test_two_hashes_with_the_same_fingerprint_count_once(either: str) -> None:
    """Found by search: two of the five selected hashes agree in the bits of a fingerprint."""
    body = (
        "다라가다카가다가나아나나하하라차자타다다바타아자차하아파파파라아파다차타자마가파파카마"
        "차카라다하자차아다다가자라차카파나하바라가바라바다하라하라라하"
    )
    assert len(minima(body)) == 5
    assert fingerprint([body]) == [naive(body, 1)] == [[3518894311, 5031831379, 5368375917, 12949501998]]


# The guarantee of the paper

SCRIPTS = ("가나다라마바사아자차카타파하", "abcdefghijklmnopqrstuvwxyz", "0123456789", "漢字文書新聞", "かなカナ", "абвгдежз", "𠮷𠮟𝔸𐍈")


def random_words(rng: random.Random, number: int, shares: Sequence[int]) -> str:
    """`number` letters and digits, in words of these scripts in these proportions."""
    text = ""
    while len(text) < number and any(shares):
        (script,) = rng.choices(SCRIPTS, shares)
        text += "".join(rng.choices(script, k=rng.randint(1, 12)))
    return text[:number]


SHARES = st.lists(st.integers(0, 3), min_size=len(SCRIPTS), max_size=len(SCRIPTS)).filter(any) | st.sampled_from(
    [(1, *[0] * 6), (0, 1, *[0] * 5), (1, 1, *[0] * 5), (0, 0, 1, 1, 0, 0, 0)]
)
LENGTHS = st.integers(0, 300) | st.integers(0, 3_000)


@given(st.integers(0, 10_000), *[SHARES] * 3, *[LENGTHS] * 4)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_that_share_a_passage_share_a_fingerprint(
    either: str, seed: int, shared: Sequence[int], shares_1: Sequence[int], shares_2: Sequence[int], a: int, b: int, c: int, d: int
) -> None:
    """The passage has as many runs as the wider window. The texts around it are of any script and length."""
    rng = random.Random(seed)
    around = [random_words(rng, n, shares) for n, shares in ((a, shares_1), (b, shares_1), (c, shares_2), (d, shares_2))]
    longest = max(a + b, c + d) + WIDER + 31
    passage = random_words(rng, window(longest) + 31, shared)
    while len(runs(passage[:-1])) >= window(longest):
        passage = passage[:-1]
    text_1, text_2 = around[0] + passage + around[1], around[2] + passage + around[3]
    x, y = fingerprint([text_1, text_2])
    assert set(x or ()) & set(y or ())


@given(st.integers(0, 10_000), SHARES, st.sampled_from([WINDOW, WIDER]))
@settings(deadline=None, max_examples=100)
def test_a_passage_of_window_plus_31_characters_fills_a_window(seed: int, shares: Sequence[int], w: int) -> None:
    """71 and 59 characters in texts of up to 820 characters, 94 and 82 in texts of up to 32,000."""
    rng = random.Random(seed)
    passage = random_words(rng, w + 31, shares)
    assert len(runs(passage)) >= w
    wide = random_words(rng, 20, [1, 0, 0, 1, 1, 0, 0])
    assert len(runs(passage[: w - 1] + wide)) == w


def test_the_window_grows_at_fixed_lengths() -> None:
    assert [recipe.window_size(n) for n in (0, 820, 821, 1280, 32_000, 32_001, 64_000)] == [40, 40, 41, 63, 63, 64, 127]
    assert [recipe.window_size(n) for n in range(40_000)] == sorted(recipe.window_size(n) for n in range(40_000))
    assert [recipe.window_size(n) for n in range(1, 40_000, 7)] == [window(n) for n in range(1, 40_000, 7)]


def test_unrelated_texts_share_no_fingerprint(either: str) -> None:
    rng = random.Random(5)
    rows = fingerprint([" ".join(words(rng, 150)) for _ in range(100)])
    every = [k for f in rows for k in f or ()]
    assert len(every) == len(set(every))


# Batches, short texts, and stored fingerprints


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from([1, 20, 80]), st.sampled_from([1, 100, 1_000_000]))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_fingerprints_do_not_depend_on_the_batch(either: str, bodies: list[str], min_characters: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalise, "MAX_BATCH_CHARACTERS", size)
        together = fingerprint(bodies, min_characters)
    assert together == [k for body in bodies for k in fingerprint([body], min_characters)]


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from([1, 80]))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_packed_fingerprints_are_the_packed_arrays(either: str, bodies: list[str], min_characters: int) -> None:
    assert pack_fingerprints(bodies, min_characters) == [None if k is None else winnowing.pack(k) for k in arrays(bodies, min_characters)]


@given(st.lists(st.integers(0, (1 << KEY_BITS) - 1), max_size=50))
@settings(deadline=None)
def test_packing_and_unpacking_round_trips(numbers: list[int]) -> None:
    data = winnowing.pack(np.array(numbers, np.int64))
    assert data == b"".join(n.to_bytes(5, "little") for n in numbers)
    unpacked = winnowing.unpack(data)
    assert unpacked.dtype == np.int64
    assert unpacked.tolist() == numbers


def test_a_text_that_is_too_short_has_no_fingerprints(either: str) -> None:
    bodies = ["", " — ", "\ud800", random_text(79), random_text(79) + "!?", random_text(80)]
    assert [k is None for k in fingerprint(bodies, 80)] == [True] * 5 + [False]
    assert [p is None for p in pack_fingerprints(bodies, 80)] == [True] * 5 + [False]
    assert [k is None for k in fingerprint(bodies, 0)] == [True] * 3 + [False] * 3
    assert fingerprint(["짧은 글"], 1) == [[]]
    assert pack_fingerprints(["짧은 글"], 1) == [b""]


@given(TEXTS, st.sampled_from([" ", "\n\n", "…", "”"]))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_spacing_and_punctuation_make_no_difference(either: str, body: str, mark: str) -> None:
    body = normalise.to_nfc(body)
    assert fingerprint([mark.join(["", *normalise.normalise(body), ""])]) == fingerprint([body])


def test_the_recipe_names_everything_that_a_fingerprint_depends_on() -> None:
    assert winnowing.RECIPE == "winnow/poly64/160by8-5/40to63/40-32-1000/35bits/text1"
    assert (recipe.RUN_WEIGHT, recipe.WIDE_WEIGHT, recipe.NARROW_WEIGHT, recipe.WINDOW, recipe.MAX_SHORT_TEXT_WINDOW) == (160, 8, 5, 40, 63)
    assert (recipe.EXPECTED_FINGERPRINTS, recipe.CHARACTERS_PER_FINGERPRINT, recipe.MAX_EXPECTED_FINGERPRINTS, recipe.FINGERPRINT_BITS) == (
        40,
        32,
        1000,
        35,
    )
    assert (recipe.BASE, recipe.LENGTH_FACTOR, recipe.FINGERPRINT_SALT) == (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F)


@pytest.mark.parametrize(("characters", "limit"), [(0, 80), (1311, 80), (1312, 82), (31_999, 1998), (32_000, 2000), (10**9, 2000)])
def test_the_number_of_fingerprints_of_a_text_is_limited(characters: int, limit: int) -> None:
    assert recipe.max_fingerprints(characters) == limit


KOREAN = (
    "달빛마을 주민들은 새로 놓인 돌다리를 건너며 강가의 등불을 하나씩 밝혔다. "
    "달빛마을 아이들은 새로 놓인 돌다리를 건너며 강가의 종이배를 하나씩 띄웠다. "
    "별빛마을 주민들도 다음 달에 놓일 나무다리를 기다리며 언덕의 등불을 모두 밝혔다."
)
ENGLISH = (
    "The lanterns of Moonvale were lit one by one as the villagers crossed the new stone bridge, "
    "and the children of Moonvale set their paper boats afloat one by one beneath it."
)


@pytest.mark.parametrize(
    ("body", "pinned"),
    [
        (KOREAN, [7123988061, 23041100797]),
        (ENGLISH, [340112434, 11225349528, 21709718260]),
    ],
    ids=["korean", "english"],
)
def test_stored_fingerprints_never_change(either: str, body: str, pinned: list[int]) -> None:
    assert fingerprint([body]) == [pinned]
