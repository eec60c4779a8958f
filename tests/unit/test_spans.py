"""Positions of shared passages in bodies: each normalised character maps to its origin, and each passage is reported once."""

from __future__ import annotations

import random
import tracemalloc
import unicodedata
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.similarity import overlap
from dedup.similarity.overlap import spans
from dedup.similarity.overlap.model import MAX_STEPS_PER_CHARACTER
from dedup.text import normalise
from tests.builders import relations
from tests.builders.crawl import edit_words, words

pytestmark = pytest.mark.slow

PIECES = [
    "가", "한글", "\u1112\u1161\u11ab", "\u1100\u1161", "\u11a8", "\u1161", "각\u11a8", "가\u11a8",
    "e\u0301", "e\u0323\u0301", "q\u0307\u0323", "\u0301", "\u0323", "\u0344", "\u0390\u0345",
    "ß", "İ", "i\u0307", "ﬁ", "ﬃ", "ΐ", "ŉ", "Σ", "½", "\u212b", "\u0958", "\u09c7\u09be", "\u09be", "か\u3099",
    "\uf900", "\U0002f800", "\U00011131\U00011127", "x", "7", " ", "…", "“", "”", "\u200d", "\n", "\ud800", "𝔸",
]  # fmt: skip
"""Characters that compose, decompose, are reordered, expand to several, or are removed."""
ODD = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)
ANY = (
    st.text(st.characters(exclude_characters="\u0f73\u0f75\u0f81"), max_size=30) | ODD | ODD.map(lambda s: unicodedata.normalize("NFD", s))
)


def check_origins(body: str) -> None:
    origins = spans.origins(body)
    normalised = normalise.normalise(body)
    assert len(origins) == len(normalised)
    previous_end = 0
    for (begin, end), group in groupby(zip(origins, normalised, strict=True), key=lambda pair: pair[0]):
        assert previous_end <= begin < end <= len(body)
        assert normalise.normalise(body[begin:end]) == "".join(character for _, character in group)
        previous_end = end


def check_parts(body: str) -> None:
    begins, ends = spans._nfc_parts(body)
    parts = list(zip(begins.tolist(), ends.tolist(), strict=True))
    assert [0, *(end for _, end in parts)] == [*(begin for begin, _ in parts), len(body)]
    assert "".join(normalise.to_nfc(body[begin:end]) for begin, end in parts) == normalise.to_nfc(body)


@given(ANY)
@settings(deadline=None, max_examples=500)
@example("")
@example("ﬁﬁ")
@example("\u1112\u1161\u11ab\u1100\u1161\u11a8")
@example("e\u0323\u0301\u0345가\u11a8\u11a8")
def test_each_normalised_character_maps_to_its_origin(body: str) -> None:
    check_origins(body)
    check_parts(body)


@pytest.mark.parametrize("mark", ["\u0f73", "\u0f75", "\u0f81"])
def test_vowel_signs_that_decompose_into_marks_belong_to_the_character_before(mark: str) -> None:
    check_parts("x\u0301" + mark)


def test_no_character_that_starts_a_part_joins_the_one_before() -> None:
    """The first character of a part's decomposition neither composes with nor is reordered with the character before."""
    joining_characters = spans._joining_characters()
    starting = [c for c in map(chr, range(0x110000)) if not unicodedata.combining(c) and c not in joining_characters]
    joining = [c for c in starting if unicodedata.combining(first := unicodedata.normalize("NFD", c)[0]) or first in joining_characters]
    assert ascii(joining) == "[]"


def test_characters_that_compose_are_in_one_part() -> None:
    joining_characters = spans._joining_characters()
    for code in range(0x110000):
        parts = unicodedata.normalize("NFD", composed := chr(code))
        if len(parts) > 1 and unicodedata.normalize("NFC", composed) == composed:
            assert all(unicodedata.combining(c) or c in joining_characters for c in parts[1:]), hex(code)


def test_origins_are_right_around_removed_and_expanding_characters() -> None:
    assert list(spans.origins("가 나")) == [(0, 1), (2, 3)]
    assert list(spans.origins("Straße!")) == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5), (5, 6)]
    assert list(spans.origins("(\u1112\u1161\u11ab)글")) == [(1, 4), (5, 6)]
    assert list(spans.origins("e\u0301x")) == [(0, 2), (2, 3)]
    assert list(spans.origins("ﬁ e\u0301")) == [(0, 1), (0, 1), (2, 4)]
    assert list(spans.origins("“…”")) == []


@pytest.mark.parametrize("marks", ["\u0301", "\u0323\u0301", "\u0301\u0323", "\u0f73", "\u0344\u0323"], ids=ascii)
def test_origins_of_many_combining_marks_are_found(marks: str) -> None:
    body = "가" + marks * (200_000 // len(marks))
    assert len(spans.origins(body)) == len(normalise.normalise(body))


# Passages

RNG = random.Random(21)
PLAIN_BLOCKS = [
    *("".join(words(RNG, n)) for n in (4, 8, 10, 16)),
    "가나다라마바사아자차카타파하거너더러머버",
    "바사아자차카타파하거너더러머버서어저처커터퍼허",
]
PLAIN = st.lists(st.sampled_from(PLAIN_BLOCKS) | st.sampled_from(["x", "7", "가", " ", ". ", "“", "\n"]), max_size=8).map("".join)
"""Bodies in which each character gives one normalised character or none."""
DECOMPOSED_BLOCKS = [
    unicodedata.normalize("NFD", PLAIN_BLOCKS[1]),
    "Straße İstanbul ﬁnal ﬃ ΐ Straße",
    "STRASSE I\u0307STANBUL FINAL FFI",
    *PLAIN_BLOCKS[1:3],
]
MIXED = st.lists(st.sampled_from(DECOMPOSED_BLOCKS) | st.sampled_from(PIECES), max_size=8).map("".join)


def positions_inside(passage: tuple[int, int], origins: Sequence[tuple[int, int]]) -> set[int]:
    """Positions of the normalised text whose origins lie in a range of the body."""
    return {p for p, (begin, end) in enumerate(origins) if passage[0] <= begin and end <= passage[1]}


@given(PLAIN, PLAIN)
@settings(deadline=None, max_examples=300)
def test_passages_are_equal_on_both_sides_and_maximal(a: str, b: str) -> None:
    na, nb = normalise.normalise(a), normalise.normalise(b)
    origins_a, origins_b = spans.origins(a), spans.origins(b)
    for p in spans.find_passages(a, b):
        text_a, text_b = normalise.normalise(a[p.a_begin : p.a_end]), normalise.normalise(b[p.b_begin : p.b_end])
        assert text_a == text_b
        assert len(text_a) == p.characters >= overlap.RUN_CHARACTERS
        i, j = origins_a.index((p.a_begin, p.a_begin + 1)), origins_b.index((p.b_begin, p.b_begin + 1))
        assert not i or not j or na[i - 1] != nb[j - 1]
        assert na[i + p.characters :][:1] != nb[j + p.characters :][:1] or i + p.characters == len(na)
        assert origins_a[i + p.characters - 1][1] == p.a_end
        assert origins_b[j + p.characters - 1][1] == p.b_end


@given(MIXED, MIXED)
@settings(deadline=None, max_examples=300)
def test_a_passage_includes_characters_at_its_edges_as_a_whole(a: str, b: str) -> None:
    """Both normalised texts have an equal run of that length between the edges of the passage."""
    na, nb = normalise.normalise(a), normalise.normalise(b)
    origins_a, origins_b = spans.origins(a), spans.origins(b)
    for p in spans.find_passages(a, b):
        n = p.characters
        texts_a = {na[i : i + n] for i in range(len(na) - n + 1) if (origins_a[i][0], origins_a[i + n - 1][1]) == (p.a_begin, p.a_end)}
        texts_b = {nb[j : j + n] for j in range(len(nb) - n + 1) if (origins_b[j][0], origins_b[j + n - 1][1]) == (p.b_begin, p.b_end)}
        assert texts_a & texts_b


@given(PLAIN | MIXED, PLAIN | MIXED)
@settings(deadline=None, max_examples=300)
def test_passages_together_cover_all_shared_text(a: str, b: str) -> None:
    passages = spans.find_passages(a, b)
    na, nb = normalise.normalise(a), normalise.normalise(b)
    for body, text, other_text, stretches in (
        (a, na, nb, [(p.a_begin, p.a_end) for p in passages]),
        (b, nb, na, [(p.b_begin, p.b_end) for p in passages]),
    ):
        origins = spans.origins(body)
        covered = {origins[at] for at in relations.covered(text, other_text)}
        assert {origins[at] for stretch in stretches for at in positions_inside(stretch, origins)} == covered


@given(PLAIN, PLAIN)
@settings(deadline=None, max_examples=200)
def test_passages_are_reported_once_in_order_and_without_contained_ones(a: str, b: str) -> None:
    passages = spans.find_passages(a, b)
    begins = [(p.a_begin, p.b_begin) for p in passages]
    assert begins == sorted(set(begins))
    origins_a, origins_b = spans.origins(a), spans.origins(b)
    for p in passages:
        longer = [q for q in passages if q.characters > p.characters]
        covered_a = {at for q in longer for at in positions_inside((q.a_begin, q.a_end), origins_a)}
        covered_b = {at for q in longer for at in positions_inside((q.b_begin, q.b_end), origins_b)}
        own_a, own_b = positions_inside((p.a_begin, p.a_end), origins_a), positions_inside((p.b_begin, p.b_end), origins_b)
        assert not (own_a <= covered_a and own_b <= covered_b)


def test_a_passage_that_occurs_several_times_is_reported_for_each_place() -> None:
    passage = "".join(words(random.Random(2), 12))
    n = len(passage)
    assert spans.find_passages(passage, passage + "x" + passage) == [
        spans.PassageSpans(0, n, 0, n, n),
        spans.PassageSpans(0, n, n + 1, 2 * n + 1, n),
    ]
    assert spans.find_passages(passage + "x" + passage, passage + "x" + passage) == [
        spans.PassageSpans(0, 2 * n + 1, 0, 2 * n + 1, 2 * n + 1)
    ]


def test_a_passage_includes_the_punctuation_of_its_own_body() -> None:
    sentence = "달빛마을 주민들은 새로 놓인 돌다리를 건너며 등불을 밝혔다"
    a, b = "“" + sentence + ".”", "앞 " + unicodedata.normalize("NFD", sentence.replace(" ", "  ")) + "\n"
    (p,) = spans.find_passages(a, b)
    assert a[p.a_begin : p.a_end] == sentence
    assert unicodedata.normalize("NFC", b[p.b_begin : p.b_end]) == sentence.replace(" ", "  ")
    assert p.characters == len(sentence.replace(" ", ""))


def test_unrelated_texts_share_no_passage() -> None:
    rng = random.Random(6)
    a, b = (" ".join(words(rng, 200)) for _ in range(2))
    assert spans.find_passages(a, b) == spans.find_passages("", a) == spans.find_passages(a, "") == []
    assert spans.find_passages(a[:19], a[:19]) == []


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_passages_of_edited_articles_agree_with_the_measures(share: float) -> None:
    rng = random.Random(7)
    story = words(rng, 200)
    a, b = " ".join(story), unicodedata.normalize("NFD", ", ".join(edit_words(rng, story[90:] + story[:90], share)))
    passages = spans.find_passages(a, b)
    measures = overlap.measure_passages(overlap.prepare_text(a), overlap.prepare_text(b))
    assert max(p.characters for p in passages) == measures.longest_passage
    assert len({i for p in passages for i in positions_inside((p.a_begin, p.a_end), spans.origins(a))}) >= measures.characters


@pytest.mark.parametrize(("a", "b"), [("가" * 20_000, "가" * 20_000), ("가나다라" * 5_000, "x" + "가나다라" * 5_000)], ids=["1", "4"])
def test_finding_passages_of_repetitive_texts_ends(a: str, b: str) -> None:
    (first, *_) = sorted(spans.find_passages(a, b), key=lambda p: -p.characters)
    assert first == spans.PassageSpans(0, len(a), len(b) - len(a), len(b), len(a))


@pytest.mark.parametrize("period", ["가", "가나다라"])
def test_comparisons_of_repetitive_texts_are_bounded(period: str) -> None:
    a, b = period * (4000 // len(period)), "x" + period * (4000 // len(period))
    assert sum(n for n, _, _ in spans._find_common_runs(a, b)) <= MAX_STEPS_PER_CHARACTER * (len(a) + len(b)) + len(a)


@pytest.mark.system
def test_long_texts_take_less_than_100_bytes_a_character() -> None:
    """300 bytes would mean that every run is kept, or that every origin is an object."""
    rng = random.Random(4)
    a = "".join(rng.choices("abcdefghijklmnop", k=200_000))
    b = a[100_000:] + a[:100_000]
    spans.find_passages("warm", "warm")
    spans.origins("가")
    tracemalloc.start()
    try:
        passages = spans.find_passages(a, b)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [p.characters for p in passages] == [100_000, 100_000]
    assert peak < 100 * len(a)


@pytest.mark.parametrize("period", ["가", "가나다라마바사"])
def test_repeated_comparisons_of_long_texts_are_bounded(period: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "_MAX_STEPS", 50_000)
    a = period * (30_000 // len(period))
    assert sum(n for n, _, _ in spans._find_common_runs(a, "x" + a)) <= 2 * (2 * len(a) + 1) + 50_000 + len(a)
