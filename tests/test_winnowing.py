"""Winnowed keys against the paper's definition spelt out, in either form; and that stored keys stay what they are."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup import compiled, text, winnowing
from dedup.winnowing import recipe
from tests.crawl import words

MOD = (1 << 64) - 1
WINDOW, MOST, PER_KEY, MOST_EVER, KEY_BITS = 40, 40, 32, 1000, 35


def fmix64(h: int) -> int:
    """The 64-bit finaliser of MurmurHash3, as published."""
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD & MOD
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 & MOD
    return h ^ (h >> 33)


def width(normalised: str) -> int:
    wide = text.wide_array()
    return 20 if 2 * sum(bool(wide[ord(c)]) for c in normalised) >= len(normalised) else 32


def minima(normalised: str) -> set[int]:
    """The smallest hash of every window, or of all there are where they are fewer than a window."""
    k = width(normalised)
    hashes = []
    for at in range(len(normalised) - k + 1):
        h = 0
        for c in normalised[at : at + k]:
            h = h * 0x9E3779B97F4A7C15 + ord(c) & MOD
        hashes.append(fmix64(h + k * 0xD6E8FEB86659FD93 & MOD))
    if not hashes:
        return set()
    return {min(hashes[at : at + WINDOW]) for at in range(max(1, len(hashes) - WINDOW + 1))}


def naive(body: str, least: int) -> list[int] | None:
    normalised = text.normalise(body)
    if not normalised or len(normalised) < least:
        return None
    most = min(max(MOST, len(normalised) // PER_KEY), MOST_EVER)
    return sorted({fmix64(h ^ 0xC2B2AE3D27D4EB4F) >> 64 - KEY_BITS for h in sorted(minima(normalised))[:most]})


def arrays(bodies: list[str], least: int = 1) -> list[NDArray[np.int64] | None]:
    return [k for folded in text.folded(bodies) for k in winnowing.keys(folded, least)]


def keys(bodies: list[str], least: int = 1) -> list[list[int] | None]:
    return [None if k is None else k.tolist() for k in arrays(bodies, least)]


def packed(bodies: list[str], least: int = 1) -> list[bytes | None]:
    return [p for folded in text.folded(bodies) for p in winnowing.packed(folded, least)]


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
def test_the_smallest_hashes_are_kept_of_a_long_text(either: str, korean: bool) -> None:
    bodies = [of_length(n, korean=korean) for n in (700, 1279, 1280, 1311, 1312, 2500, 31_999, 32_000, 40_000)]
    found = keys(bodies)
    assert found == [naive(body, 1) for body in bodies]
    assert [len(f or ()) for f in found[3:]] == [40, 41, 78, 999, 1000, 1000]


@pytest.mark.parametrize("korean", [True, False])
def test_texts_about_as_long_as_a_run_or_a_window(either: str, korean: bool) -> None:
    bodies = [of_length(n, korean=korean) for n in (1, 19, 20, 21, 31, 32, 33, 58, 59, 60, 61, 70, 71, 72, 73)]
    found = keys(bodies)
    assert found == [naive(body, 1) for body in bodies]
    k = 20 if korean else 32
    for body, own in zip(bodies, found, strict=True):
        if len(body) < k + WINDOW:
            assert len(own or ()) == (len(body) >= k)


@pytest.mark.parametrize(("wide", "narrow", "k"), [(30, 30, 20), (30, 31, 32), (60, 0, 20), (0, 60, 32)])
def test_a_text_is_taken_for_wide_if_half_of_it_is(either: str, wide: int, narrow: int, k: int) -> None:
    body = of_length(wide) + of_length(narrow, korean=False)
    assert width(body) == k
    assert keys([body]) == [naive(body, 1)]


@pytest.mark.parametrize("period", ["가", "ab", "가나다라"])
def test_a_text_that_repeats_itself_has_no_more_keys_than_its_period(either: str, period: str) -> None:
    (found,) = keys([period * (300_000 // len(period))])
    assert found == naive(period * 100, 1)
    assert found is not None
    assert len(found) <= len(period)


def test_a_text_of_a_million_characters_has_so_many_keys_at_most_and_the_same_in_both_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    body = of_length(600_000) + of_length(400_000, korean=False)
    found = []
    for engaged in (True, False):
        monkeypatch.setattr(compiled._State, "engaged", engaged)
        monkeypatch.setattr(compiled._State, "missing", not engaged)
        found += keys([body])
    assert found[0] == found[1]
    assert len(found[0] or ()) == MOST_EVER


def test_two_hashes_that_make_one_key_are_one(either: str) -> None:
    """Found by trial: five hashes are chosen of it, two of which agree in the bits that a key keeps."""
    body = (
        "다라가다카가다가나아나나하하라차자타다다바타아자차하아파파파라아파다차타자마가파파카마"
        "차카라다하자차아다다가자라차카파나하바라가바라바다하라하라라하"
    )
    assert len(minima(body)) == 5
    assert keys([body]) == [naive(body, 1)] == [[3518894311, 5031831379, 5368375917, 12949501998]]


# The guarantee of the paper


@given(st.booleans(), st.integers(0, 10_000), *[st.integers(0, 150)] * 4)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_that_share_a_passage_share_a_key(either: str, korean: bool, seed: int, a: int, b: int, c: int, d: int) -> None:
    """A passage of k + WINDOW - 1 characters within texts of one alphabet that are short enough to keep all their hashes."""
    rng = random.Random(seed)

    def new(n: int) -> str:
        return "".join(words(rng, n // 2 + 1, korean=korean))[:n]

    passage = new((20 if korean else 32) + WINDOW - 1)
    one, other = new(a) + passage + new(b), new(c) + passage + new(d)
    assume(max(len(minima(one)), len(minima(other))) <= MOST)
    x, y = keys([one, other])
    assert set(x or ()) & set(y or ())


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
        patch.setattr(text, "BATCH_CHARACTERS", size)
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
    body = text.nfc(body)
    assert keys([mark.join(["", *text.normalise(body), ""])]) == keys([body])


def test_the_recipe_names_all_that_a_key_depends_on() -> None:
    assert winnowing.RECIPE == "winnow/poly64/20-32/40/40-32-1000/35bits/text1"
    named = (recipe.WIDE, recipe.NARROW), (recipe.WINDOW,), (recipe.MOST, recipe.PER_KEY, recipe.MOST_EVER)
    assert winnowing.RECIPE.split("/")[2:5] == ["-".join(map(str, those)) for those in named]
    assert winnowing.RECIPE.split("/")[5] == f"{recipe.KEY_BITS}bits"
    assert (recipe.BASE, recipe.SPREAD, recipe.AGAIN) == (0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F)


@pytest.mark.parametrize(("characters", "keys"), [(0, 40), (1311, 40), (1312, 41), (31_999, 999), (32_000, 1000), (10**9, 1000)])
def test_how_many_keys_a_text_has_at_most(characters: int, keys: int) -> None:
    assert recipe.most(characters) == keys


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
