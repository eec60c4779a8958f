"""Jaccard, containment and shared passages, in either form, against their definitions in plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dedup.runtime import heartbeat
from dedup.similarity import jit, overlap
from dedup.text import normalise
from tests.builders import relations
from tests.builders.crawl import edited, words

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(st.sampled_from("가나ab1. 𝔸"), max_size=60)


def naive(a: str, b: str) -> overlap.ShingleOverlap:
    x, y = (normalise.shingles(normalise.normalise(body)) for body in (a, b))
    return overlap.ShingleOverlap(len(x), len(y), len(x & y))


SETS = st.frozensets(st.sampled_from([f"{n:05}" for n in range(12)]))


@given(SETS, SETS)
@settings(deadline=None)
def test_similarity_is_jaccard_and_the_share_of_the_smaller_set(a: frozenset[str], b: frozenset[str]) -> None:
    both = [s for s in a if s in b]
    expected = (len(both) / len({*a, *b}), len(both) / min(len(a), len(b))) if a and b else (0.0, 0.0)
    for x, y in ((a, b), (b, a)):
        found = overlap.ShingleOverlap(len(x), len(y), len(both))
        assert (found.jaccard, found.containment) == expected


@given(ANY, ANY)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_sizes_are_those_of_the_sets(either: str, a: str, b: str) -> None:
    found = overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b))
    assert found == naive(a, b)
    assert overlap.body_similarity(a, a) == 1.0
    assert overlap.body_similarity(a, b) == (found.jaccard if found.size_a or found.size_b else 1.0)


def test_articles_edited_at_all_levels(either: str) -> None:
    rng = random.Random(8)
    for share in (0, 0.01, 0.1, 0.5, 1):
        story = words(rng, 300)
        a, b = " ".join(story), " ".join(edited(rng, story, share))
        assert overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b)) == naive(a, b)


def test_a_text_within_another_and_repetition(either: str) -> None:
    a, b = "가나다라마바사" * 50, "가나다라마바사" * 3
    assert overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b)) == overlap.ShingleOverlap(7, 7, 7)


@given(ANY)
@settings(deadline=None)
def test_points_are_the_normalised_text(body: str) -> None:
    found = overlap.normalised_points(body)
    assert found.dtype == np.dtype("<u4")
    assert found.tobytes().decode("utf-32-le") == normalise.normalise(body)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 3), (3, 0)])
def test_an_empty_set_is_like_nothing(a: int, b: int) -> None:
    found = overlap.ShingleOverlap(a, b, 0)
    assert (found.jaccard, found.containment) == (0.0, 0.0)


# Shared passages

BLOCKS = [
    *("".join(words(random.Random(n), n)) for n in (4, 7, 9, 15)),
    " ".join(words(random.Random(8), 5, korean=False)),
    "가나다라마바사아자차카타파하거너더러머버",  # a run, no more
    "가나다라마바사아자차카타파하거너더러머",  # one character less
    "바사아자차카타파하거너더러머버서어저처커터퍼허",  # goes on where that one is in its middle
    "𝔸𐍈𠮷𠮟" * 3 + "𐍈",
    "Straße İstanbul ﬁnal",
    "e\u0301\u1112\u1161\u11ab",
    "\ud800",
]
MARKS = ["“", "”", "‘", "’", "「", "」", "『", "』", "«", "»", '"', "\uff02"]
BODIES = st.lists(st.sampled_from(BLOCKS) | st.sampled_from([*MARKS, "x", "7", "가", " ", "."]), max_size=9).map("".join)
"""Bodies that share passages, pieces of passages, and the same passage in several places."""
MASKS: st.SearchStrategy[list[tuple[int, int]]] = st.just([]) | st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=3)


def mask(length: int, stretches: list[tuple[int, int]]) -> NDArray[np.bool_]:
    masked = np.zeros(length, np.bool_)
    for begin, number in stretches:
        masked[begin : begin + number] = True
    return masked


def positions(flags: NDArray[np.bool_]) -> set[int]:
    return set(np.flatnonzero(flags).tolist())


def compare(a: str, b: str, masks: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])) -> overlap.SharedPassages:
    """What `shared` finds, once it is held against the definitions, both ways round."""
    x, y = overlap.prepare_text(a), overlap.prepare_text(b)
    hidden_x, hidden_y = mask(len(x.points), masks[0]), mask(len(y.points), masks[1])
    found = overlap.measure_passages(x, y, hidden_x, hidden_y)
    expected = relations.numbers(a, b, positions(hidden_x), positions(hidden_y))
    assert found.characters == expected.shared
    assert found.coverage == expected.coverage
    assert found.longest_passage == expected.passage
    assert found.quoted_share == expected.quoted
    assert found.unquoted_coverage == expected.outside_share
    assert found.shorter_length == min(len(x.points) - int(hidden_x.sum()), len(y.points) - int(hidden_y.sum()))
    assert overlap.measure_passages(y, x, hidden_y, hidden_x) == found
    return found


@given(BODIES, BODIES, MASKS, MASKS)
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_two_texts_share_is_what_the_definitions_say(
    either: str, a: str, b: str, masked_a: list[tuple[int, int]], masked_b: list[tuple[int, int]]
) -> None:
    compare(a, b, (masked_a, masked_b))


@given(BODIES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_shares_all_of_itself(either: str, body: str) -> None:
    found, length = compare(body, body), len(normalise.normalise(body))
    assert (found.characters, found.longest_passage) == ((length, length) if length >= overlap.RUN_CHARACTERS else (0, 0))


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "a" * 9, "ab" * 5]), max_size=24),
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=60),
)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_texts_share_that_repeat_themselves(either: str, a: list[str], b: list[str]) -> None:
    """So much that their blocks meet too often, and every run has to be looked up."""
    compare("".join(a)[:120], "".join(b)[:120], ([(3, 2), (40, 5)], [(7, 1)]))


def test_without_masks_nothing_is_masked(either: str) -> None:
    a, b = overlap.prepare_text(BLOCKS[2] + BLOCKS[3]), overlap.prepare_text(BLOCKS[3] + BLOCKS[1])
    nothing = mask(len(a.points), []), mask(len(b.points), [])
    assert overlap.measure_passages(a, b) == overlap.measure_passages(a, b, *nothing) != overlap.NO_PASSAGES


@pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.5, 1])
def test_what_edited_articles_share(either: str, share: float) -> None:
    rng = random.Random(9)
    story = words(rng, 260)
    story[40:60] = ["“" + story[40], *story[41:59], story[59] + ".”"]
    other = edited(rng, story, share)
    for b in (other, other[100:] + other[:100], other[:90], [*words(rng, 80), *other[150:], *words(rng, 30)]):
        found = compare(" ".join(story), " ".join(b), ([(0, 60), (300, 15)], [(100, 50)]))
        assert (found.characters > 0) == (share < 0.5) or share == 0.5


def test_passages_that_stand_in_several_places(either: str) -> None:
    a, b, c = ("".join(words(random.Random(n), 14))[:30] for n in range(3))
    found = compare(a + "x" + b + "y" + a + c, "".join((c, "z", a, c, "x", b)))
    assert found.longest_passage == len(a + c)
    assert compare(a * 4, "x".join([a] * 7)).longest_passage == len(a)


def test_runs_of_one_character_less_do_not_count(either: str) -> None:
    passage = "".join(words(random.Random(3), 10))[: overlap.RUN_CHARACTERS]
    assert compare("x" + passage + "y", "1" + passage + "2").characters == overlap.RUN_CHARACTERS
    assert compare("x" + passage[1:] + "y", "1" + passage[1:] + "2") == overlap.SharedPassages(0, 0, 21, 0)


def test_two_texts_without_any_letter_share_nothing(either: str) -> None:
    found = compare("", " “—” ")
    assert found == overlap.NO_PASSAGES
    assert (found.coverage, found.unquoted_coverage, found.quoted_share) == (0.0, 0.0, 0.0)


def test_the_search_for_the_longest_ends_in_texts_that_repeat_themselves_endlessly(either: str) -> None:
    """Three thousand places against three thousand, before the passage that is longest: it is not got to, and nothing is made up."""
    unique = "".join(chr(0xAC00 + n) for n in range(4000))
    a, b = overlap.prepare_text("가" * 3000 + "x" + unique), overlap.prepare_text("가" * 3000 + "y" + unique)
    for found in (overlap.measure_passages(a, b), overlap.measure_passages(b, a)):
        assert (found.characters, found.shorter_length) == (7000, 7001)
        assert found.longest_passage == 3000
    few = overlap.prepare_text("가" * 100 + "x" + unique), overlap.prepare_text("가" * 100 + "y" + unique)
    assert overlap.measure_passages(*few).longest_passage == 4000


@given(st.text(st.sampled_from("가나"), max_size=400), st.text(st.sampled_from("가나"), max_size=400), st.integers(0, 300))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_longest_is_never_more_than_it_is(either: str, a: str, b: str, more: int) -> None:
    a, b = a + "가" * more, b + "가" * 300
    found = overlap.measure_passages(overlap.prepare_text(a), overlap.prepare_text(b))
    expected = relations.numbers(a, b)
    assert (found.characters, found.coverage) == (expected.shared, expected.coverage)
    assert found.longest_passage <= expected.passage
    assert (found.longest_passage >= overlap.RUN_CHARACTERS) == (expected.passage >= overlap.RUN_CHARACTERS)


@pytest.mark.parametrize("period", ["가", "가나다라마바사"])
def test_texts_that_repeat_themselves_do_end(either: str, period: str) -> None:
    length = 300_000 if either == "compiled" else 15_000
    a, b = overlap.prepare_text(period * (length // len(period))), overlap.prepare_text("x" + period * (length // len(period)))
    found = overlap.measure_passages(a, b)
    assert found.characters == found.longest_passage == len(a.points)
    assert overlap.mark_passages(b.points, overlap.prepare_passages(a.points)).tolist() == [False] + [True] * len(a.points)


# Piece by piece


@pytest.fixture
def pieces(machine_code: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Sets how much work lies between two beats, however short the texts; None: they are compared in one call without beats."""
    if not jit.is_enabled():
        pytest.skip("numba is not installed")
    from dedup.similarity.overlap import pieces

    def set_(piece: int | None) -> None:
        monkeypatch.setattr(pieces, "MIN_PIECEWISE_CHARACTERS", 1 << 62 if piece is None else 0)
        monkeypatch.setattr(pieces, "WORK_PER_PIECE", piece or 1 << 30)

    return set_


REPEATING = st.lists(st.sampled_from(["가", "가나", "가나다라마바사" * 4, "x", "0123456789" * 3]), max_size=40).map("".join)
"""Bodies that mostly repeat themselves."""


@given(BODIES | REPEATING, BODIES | REPEATING, BODIES, MASKS, MASKS, st.integers(1, 40))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_compared_piece_by_piece_share_what_they_share_compared_at_once(
    pieces: Callable[[int | None], None],
    a: str,
    b: str,
    both: str,
    masked_a: list[tuple[int, int]],
    masked_b: list[tuple[int, int]],
    piece: int,
) -> None:
    x, y = overlap.prepare_text(a + both), overlap.prepare_text(both + b)
    masks = mask(len(x.points), masked_a), mask(len(y.points), masked_b)

    def measured() -> tuple[object, ...]:
        found = overlap.mark_passages(x.points, overlap.prepare_passages(y.points))
        return overlap.measure_overlap(x.points, y.points), overlap.measure_passages(x, y, *masks), found.tolist()

    pieces(None)
    at_once = measured()
    pieces(piece)
    assert measured() == at_once


@pytest.mark.parametrize("repeated", [False, True])
def test_long_texts_give_a_beat_for_every_piece_of_work(pieces: Callable[[int | None], None], repeated: bool) -> None:
    """At least one for each piece of the text; compared in one call, they give none."""
    rng = random.Random(4)
    story = "".join(words(rng, 3000))
    a, b = ("가" * 9000, "가" * 9000 + "나") if repeated else (story, story[::-1] + story[:4000])
    x, y = overlap.prepare_text(a), overlap.prepare_text(b)
    beats = 0

    def count() -> None:
        nonlocal beats
        beats += 1

    for measure in (
        lambda: overlap.measure_overlap(x.points, y.points),
        lambda: overlap.measure_passages(x, y),
        lambda: overlap.mark_passages(x.points, overlap.prepare_passages(y.points)),
    ):
        pieces(100)
        beats = 0
        with heartbeat.listen_to_beats(count):
            measure()
        assert beats > len(x.points) // 100
        pieces(None)
        beats = 0
        with heartbeat.listen_to_beats(count):
            measure()
        assert beats == 0


def test_a_text_as_long_as_a_file_may_be_is_compared_piece_by_piece() -> None:
    from dedup.similarity.overlap import model

    assert model.MIN_PIECEWISE_CHARACTERS < model.WORK_PER_PIECE <= 10_000_000 // 8


# Quotations


def places_of(body: str) -> set[int]:
    return positions(overlap.prepare_text(body).is_quoted)


@given(st.lists(st.sampled_from([*MARKS, "가", "나다", "b ", "ß", "\n", "x" * 300, "가" * 499]), max_size=25).map("".join))
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quoted_is_what_stands_between_quotation_marks(either: str, body: str) -> None:
    assert places_of(body) == relations.quoted_positions(body)
    folded = normalise.fold(body)
    over = 0
    for begin, end in overlap.find_quotations(folded):
        assert over < begin <= end < len(folded)
        assert end - begin < overlap.MAX_QUOTATION_CHARACTERS
        over = end


@pytest.mark.parametrize(("between", "quoted"), [(998, 998), (999, 999), (1000, 0)])
def test_a_closing_mark_that_is_too_far_off_closes_nothing(either: str, between: int, quoted: int) -> None:
    assert overlap.MAX_QUOTATION_CHARACTERS == 1000
    for opening, closing in (("“", "”"), ('"', '"'), ("«", "»")):
        assert len(places_of("앞" + opening + "가" * between + closing + "뒤")) == quoted


def test_marks_within_a_quotation_mean_nothing_and_a_stray_one_opens_none(either: str) -> None:
    assert places_of("“가”나“다”") == places_of('"가"나"다"') == {0, 2}
    assert places_of("가“나‘다”라’마") == {1, 2}
    assert places_of('키 5"인 “가나” 다') == {3, 4}
    assert places_of("가나”다“라") == set()


@given(BODIES | ANY)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_prepared_body_is_its_points(either: str, body: str) -> None:
    prepared = overlap.prepare_text(body)
    assert prepared.points.dtype == np.dtype("<u4")
    assert prepared.points.tolist() == overlap.normalised_points(body).tolist()
    assert prepared.is_quoted.shape == prepared.points.shape


class Watched(str):
    """Text that counts the characters looked through for a closing mark."""

    __slots__ = ("through",)
    through: int

    def find(self, sub: str, start: object = 0, end: object = None) -> int:
        assert isinstance(start, int)
        at = super().find(sub, start)
        self.through += (len(self) if at < 0 else at) - start + 1
        return at


def looked_through(folded: str) -> int:
    watched = Watched(folded)
    watched.through = 0
    assert overlap.find_quotations(watched) == overlap.find_quotations(folded)
    return watched.through


HOSTILE = {
    "opening marks alone": "“" * 300_000,
    "closed at the end": "“" * 300_000 + "”",
    "all kinds": "“‘「『«" * 60_000,
    "all kinds, closed at the end": "“‘「『«" * 60_000 + "»』」’”",
    "marks that close themselves": '"' * 300_001,
    "two kinds that close themselves": '"\uff02' * 150_000,
    "one too far off": ("“" + "가" * 1100 + "”") * 270,
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hundreds_of_thousands_of_marks_are_looked_through_once(how: str) -> None:
    assert looked_through(HOSTILE[how]) <= (len(MARKS) + 1) * len(HOSTILE[how])
    assert overlap.prepare_text(HOSTILE[how]).points.tolist() == overlap.normalised_points(HOSTILE[how]).tolist()


@given(st.text(st.sampled_from([*MARKS, "가"]), max_size=60).map(lambda marks: marks * 40))
@settings(deadline=None)
def test_any_marks_are_looked_through_once(folded: str) -> None:
    assert looked_through(folded) <= (len(MARKS) + 1) * (len(folded) + 1)


# Runs of passages


def joined(passages: list[str]) -> NDArray[np.uint32]:
    zero = np.zeros(1, np.uint32)
    return np.concatenate([part for p in passages for part in (overlap.normalised_points(p), zero)] or [zero])


@given(BODIES, st.lists(BODIES, max_size=4))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_runs_in_are_the_runs_that_a_passage_has_too(either: str, body: str, passages: list[str]) -> None:
    found = overlap.mark_passages(overlap.normalised_points(body), overlap.prepare_passages(joined(passages)))
    own = normalise.normalise(body)
    assert len(found) == len(own)
    assert positions(found) == {p for passage in passages for p in relations.covered(own, normalise.normalise(passage))}


def test_no_run_goes_from_one_passage_into_the_next(either: str) -> None:
    a, b = ("".join(words(random.Random(n), 9))[:19] for n in range(2))
    assert not overlap.mark_passages(overlap.normalised_points(a + b), overlap.prepare_passages(joined([a, b]))).any()
    assert overlap.mark_passages(overlap.normalised_points(a + b), overlap.prepare_passages(joined([a + b]))).all()


def test_nothing_is_found_in_no_passage_nor_in_no_text(either: str) -> None:
    nothing = np.zeros(0, np.uint32)
    body = overlap.normalised_points(BLOCKS[3])
    assert overlap.mark_passages(body, overlap.prepare_passages(nothing)).tolist() == [False] * len(body)
    assert overlap.mark_passages(nothing, overlap.prepare_passages(body)).tolist() == []


def test_every_character_is_prepared_as_it_is_normalised(either: str) -> None:
    """Each between line ends, which nothing is composed with; those that are folded into several by themselves."""
    characters = [chr(code) for code in range(0x110000)]
    several = [c for c in characters if len(c.casefold()) > 1]
    assert several
    for body in ("\n".join(c for c in characters if len(c.casefold()) == 1), *several):
        assert overlap.prepare_text(body).points.tolist() == [ord(c) for c in normalise.normalise(body)]
