"""Winnowed keys against the paper's definition spelt out, in either form; and that stored keys stay what they are."""

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

MOD = (1 << 64) - 1
FULL, WINDOW, WIDER, EXPECTED, PER_KEY, EXPECTED_EVER, KEY_BITS = 160, 40, 63, 40, 32, 1000, 35


def fmix64(h: int) -> int:
    """The 64-bit finaliser of MurmurHash3, as published."""
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & MOD
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & MOD
    return h ^ (h >> 33)


def run_at(normalised: str, at: int) -> str:
    """The run that begins there; empty where the rest of the text is too light for one."""
    wide = normalise.wide_mask()
    weight, end = 0, at
    while weight < FULL and end < len(normalised):
        weight += 8 if wide[ord(normalised[end])] else 5
        end += 1
    return normalised[at:end] if weight >= FULL else ""


def runs(normalised: str) -> list[str]:
    return [run for at in range(len(normalised)) if (run := run_at(normalised, at))]


def window(characters: int) -> int:
    """A window of w chooses 2 of w + 1 hashes: so many hashes that there are 40 keys, one for every 32 characters, or 1000."""
    expected = max(EXPECTED, min(characters / PER_KEY, EXPECTED_EVER))
    return max(WINDOW, math.ceil(2 * characters / expected) - 1)


def minima(normalised: str) -> set[int]:
    """The smallest hash of every window, or of all there are where they are fewer than a window."""
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
def naive(body: str, least: int) -> list[int] | None:
    normalised = normalise.normalise(body)
    if not normalised or len(normalised) < least:
        return None
    most = 2 * min(max(EXPECTED, len(normalised) // PER_KEY), EXPECTED_EVER)
    return sorted({fmix64(h ^ 0xC2B2AE3D27D4EB4F) >> 64 - KEY_BITS for h in sorted(minima(normalised))[:most]})


def arrays(bodies: list[str], least: int = 1) -> list[NDArray[np.int64] | None]:
    return [k for folded in normalise.fold_batches(bodies) for k in winnowing.fingerprint_texts(folded, least)]


def keys(bodies: list[str], least: int = 1) -> list[list[int] | None]:
    return [None if k is None else k.tolist() for k in arrays(bodies, least)]


def packed(bodies: list[str], least: int = 1) -> list[bytes | None]:
    return [p for folded in normalise.fold_batches(bodies) for p in winnowing.fingerprint_texts_packed(folded, least)]


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
def test_the_keys_are_those_of_the_definition(either: str, bodies: list[str], least: int) -> None:
    assert keys(bodies, least) == [naive(body, least) for body in bodies]


def of_length(n: int, *, korean: bool = True) -> str:
    return "".join(words(random.Random(n), n // 2 + 1, korean=korean))[:n]


@pytest.mark.parametrize("korean", [True, False])
def test_longer_texts_have_wider_windows_and_about_as_many_keys_as_are_expected(either: str, korean: bool) -> None:
    bodies = [of_length(n, korean=korean) for n in (700, 820, 821, 840, 841, 1279, 1280, 1281, 2500, 33_000)]
    found = keys(bodies)
    assert found == [naive(body, 1) for body in bodies]
    for body, own in zip(bodies, found, strict=True):
        expected = 2 * len(body) / (window(len(body)) + 1)
        assert abs(len(own or ()) - expected) <= 4 * math.sqrt(expected)


@pytest.mark.parametrize("korean", [True, False])
def test_texts_about_as_long_as_a_run_or_a_window(either: str, korean: bool) -> None:
    bodies = [of_length(n, korean=korean) for n in (1, 19, 20, 21, 31, 32, 33, 58, 59, 60, 61, 70, 71, 72, 73)]
    found = keys(bodies)
    assert found == [naive(body, 1) for body in bodies]
    k = 20 if korean else 32
    for body, own in zip(bodies, found, strict=True):
        if len(body) < k + WINDOW:
            assert len(own or ()) == (len(body) >= k)


@pytest.mark.parametrize(("wide", "narrow"), [(20, 0), (0, 32), (19, 2), (10, 16), (5, 24), (1, 31), (2, 29)])
def test_a_run_ends_where_it_is_heavy_enough(either: str, wide: int, narrow: int) -> None:
    """So many wide characters and so many narrow ones are one run; without the last there is none."""
    body = of_length(wide) + of_length(narrow, korean=False)
    assert runs(body) == [body]
    assert keys([body]) == [naive(body, 1)]
    assert len(keys([body])[0] or ()) == 1
    assert keys([body[:-1]]) == [[]]


def test_runs_of_both_forms_are_those_of_the_definition() -> None:
    body = normalise.normalise(
        " ".join([*words(RNG, 30), *words(RNG, 20, korean=False), *words(RNG, 9), "2026", "漢字カナ", *words(RNG, 4)])
    )
    points = normalise.to_points(body)
    own = numpy_kernel.measure_runs(points).tolist()
    assert [body[at : at + n] for at, n in enumerate(own)] == runs(body)
    assert {20, 32} < set(own)
    assert len(numpy_kernel.hash_runs(points)) == len(own)


def falling(number: int) -> str:
    """So many runs of which each has a smaller hash than the one before it."""
    body = [ord(c) for c in of_length(19)]
    for n in range(number):
        h = 0
        for code in body[-19:]:
            h = h * 0x9E3779B97F4A7C15 + code & MOD
        h = h * 0x9E3779B97F4A7C15 + 20 * 0xD6E8FEB86659FD93
        body.append(next(c for c in range(0xAC00, 0xD7A4) if fmix64(h + c & MOD) * number >> 64 == number - 1 - n))
    return "".join(map(chr, body))


def test_a_text_that_is_made_to_have_too_many_keys_keeps_the_smallest_hashes(either: str) -> None:
    body = falling(200)
    assert len(minima(body)) == 200 - WINDOW + 1
    assert keys([body]) == [naive(body, 1)]
    assert len(keys([body])[0] or ()) == 2 * EXPECTED


@pytest.mark.parametrize("period", ["가", "ab", "가나다라"])
def test_a_text_that_repeats_itself_has_no_more_keys_than_its_period(either: str, period: str) -> None:
    (found,) = keys([period * (300_000 // len(period))])
    assert found == naive(period * 100, 1)
    assert found is not None
    assert len(found) <= len(period)


def test_a_text_of_a_million_characters_has_about_a_thousand_keys_and_the_same_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    body = of_length(600_000) + of_length(400_000, korean=False)
    found = []
    for engaged in (True, False):
        monkeypatch.setattr(jit._JitState, "enabled", engaged)
        monkeypatch.setattr(jit._JitState, "unavailable", not engaged)
        found += keys([body])
    assert found[0] == found[1]
    assert len(found[0] or ()) == pytest.approx(EXPECTED_EVER, abs=100)


def test_two_hashes_that_make_one_key_are_one(either: str) -> None:
    """Found by trial: five hashes are chosen of it, two of which agree in the bits that a key keeps."""
    body = (
        "다라가다카가다가나아나나하하라차자타다다바타아자차하아파파파라아파다차타자마가파파카마"
        "차카라다하자차아다다가자라차카파나하바라가바라바다하라하라라하"
    )
    assert len(minima(body)) == 5
    assert keys([body]) == [naive(body, 1)] == [[3518894311, 5031831379, 5368375917, 12949501998]]


# The guarantee of the paper

SCRIPTS = ("가나다라마바사아자차카타파하", "abcdefghijklmnopqrstuvwxyz", "0123456789", "漢字文書新聞", "かなカナ", "абвгдежз", "𠮷𠮟𝔸𐍈")


def written(rng: random.Random, number: int, shares: Sequence[int]) -> str:
    """So many letters and digits, words of these scripts in these proportions."""
    found = ""
    while len(found) < number and any(shares):
        (script,) = rng.choices(SCRIPTS, shares)
        found += "".join(rng.choices(script, k=rng.randint(1, 12)))
    return found[:number]


SHARES = st.lists(st.integers(0, 3), min_size=len(SCRIPTS), max_size=len(SCRIPTS)).filter(any) | st.sampled_from(
    [(1, *[0] * 6), (0, 1, *[0] * 5), (1, 1, *[0] * 5), (0, 0, 1, 1, 0, 0, 0)]
)
LENGTHS = st.integers(0, 300) | st.integers(0, 3_000)


@given(st.integers(0, 10_000), *[SHARES] * 3, *[LENGTHS] * 4)
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_of_whatever_scripts_and_lengths_that_share_a_passage_share_a_key(
    either: str, seed: int, shared: Sequence[int], mine: Sequence[int], theirs: Sequence[int], a: int, b: int, c: int, d: int
) -> None:
    """A passage with as many runs as the wider window; whatever else the two texts are made of."""
    rng = random.Random(seed)
    around = [written(rng, n, shares) for n, shares in ((a, mine), (b, mine), (c, theirs), (d, theirs))]
    longest = max(a + b, c + d) + WIDER + 31
    passage = written(rng, window(longest) + 31, shared)
    while len(runs(passage[:-1])) >= window(longest):
        passage = passage[:-1]
    one, other = around[0] + passage + around[1], around[2] + passage + around[3]
    x, y = keys([one, other])
    assert set(x or ()) & set(y or ())


@given(st.integers(0, 10_000), SHARES, st.sampled_from([WINDOW, WIDER]))
@settings(deadline=None, max_examples=100)
def test_how_many_characters_a_passage_needs_at_most(seed: int, shares: Sequence[int], w: int) -> None:
    """71 and 59 in texts of up to 820 characters, 94 and 82 in those of up to 32,000."""
    rng = random.Random(seed)
    passage = written(rng, w + 31, shares)
    assert len(runs(passage)) >= w
    wide = written(rng, 20, [1, 0, 0, 1, 1, 0, 0])
    assert len(runs(passage[: w - 1] + wide)) == w


def test_up_to_which_length_a_window_serves() -> None:
    assert [recipe.window_size(n) for n in (0, 820, 821, 1280, 32_000, 32_001, 64_000)] == [40, 40, 41, 63, 63, 64, 127]
    assert [recipe.window_size(n) for n in range(40_000)] == sorted(recipe.window_size(n) for n in range(40_000))
    assert [recipe.window_size(n) for n in range(1, 40_000, 7)] == [window(n) for n in range(1, 40_000, 7)]


def test_unlike_texts_share_none(either: str) -> None:
    rng = random.Random(5)
    found = keys([" ".join(words(rng, 150)) for _ in range(100)])
    every = [k for f in found for k in f or ()]
    assert len(every) == len(set(every))


# Batches, short texts, and what is stored


@given(st.lists(TEXTS, min_size=1, max_size=6), st.sampled_from([1, 20, 80]), st.sampled_from([1, 100, 1_000_000]))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_keys_do_not_depend_on_the_batch(either: str, bodies: list[str], least: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalise, "MAX_BATCH_CHARACTERS", size)
        together = keys(bodies, least)
    assert together == [k for body in bodies for k in keys([body], least)]


@given(st.lists(TEXTS, min_size=1, max_size=5), st.sampled_from([1, 80]))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_packed_keys_are_the_keys_packed(either: str, bodies: list[str], least: int) -> None:
    assert packed(bodies, least) == [None if k is None else winnowing.pack(k) for k in arrays(bodies, least)]


@given(st.lists(st.integers(0, (1 << KEY_BITS) - 1), max_size=50))
@settings(deadline=None)
def test_what_is_packed_is_unpacked(numbers: list[int]) -> None:
    stored = winnowing.pack(np.array(numbers, np.int64))
    assert stored == b"".join(n.to_bytes(5, "little") for n in numbers)
    found = winnowing.unpack(stored)
    assert found.dtype == np.int64
    assert found.tolist() == numbers


def test_a_text_that_is_too_short_has_none(either: str) -> None:
    bodies = ["", " — ", "\ud800", of_length(79), of_length(79) + "!?", of_length(80)]
    assert [k is None for k in keys(bodies, 80)] == [True] * 5 + [False]
    assert [p is None for p in packed(bodies, 80)] == [True] * 5 + [False]
    assert [k is None for k in keys(bodies, 0)] == [True] * 3 + [False] * 3
    assert keys(["짧은 글"], 1) == [[]]
    assert packed(["짧은 글"], 1) == [b""]


@given(TEXTS, st.sampled_from([" ", "\n\n", "…", "”"]))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_spacing_and_punctuation_make_no_difference(either: str, body: str, mark: str) -> None:
    body = normalise.to_nfc(body)
    assert keys([mark.join(["", *normalise.normalise(body), ""])]) == keys([body])


def test_the_recipe_names_all_that_a_key_depends_on() -> None:
    assert winnowing.RECIPE == "winnow/poly64/160by8-5/40to63/40-32-1000/35bits/text1"
    assert (recipe.RUN_WEIGHT, recipe.WIDE_WEIGHT, recipe.NARROW_WEIGHT, recipe.WINDOW, recipe.MAX_SHORT_TEXT_WINDOW) == (160, 8, 5, 40, 63)
    assert (recipe.EXPECTED_FINGERPRINTS, recipe.CHARACTERS_PER_FINGERPRINT, recipe.MAX_EXPECTED_FINGERPRINTS, recipe.FINGERPRINT_BITS) == (
        40,
        32,
        1000,
        35,
    )
    assert (recipe.BASE, recipe.LENGTH_FACTOR, recipe.FINGERPRINT_SALT) == (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F)


@pytest.mark.parametrize(("characters", "keys"), [(0, 80), (1311, 80), (1312, 82), (31_999, 1998), (32_000, 2000), (10**9, 2000)])
def test_how_many_keys_a_text_has_at_most(characters: int, keys: int) -> None:
    assert recipe.max_fingerprints(characters) == keys


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
def test_keys_that_are_stored_never_change(either: str, body: str, pinned: list[int]) -> None:
    assert keys([body]) == [pinned]
