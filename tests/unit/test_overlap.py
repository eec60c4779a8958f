"""Jaccard, containment and shared passages in both kernels, compared with their definitions in plain Python."""

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
from tests.builders.crawl import edit_words, words

pytestmark = pytest.mark.slow

ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | st.text(st.sampled_from("가나ab1. 𝔸"), max_size=60)


def naive(a: str, b: str) -> overlap.ShingleOverlap:
    x, y = (normalise.shingles(normalise.normalise(body)) for body in (a, b))
    return overlap.ShingleOverlap(len(x), len(y), len(x & y))


SETS = st.frozensets(st.sampled_from([f"{n:05}" for n in range(12)]))


@given(SETS, SETS)
@settings(deadline=None)
def test_jaccard_and_containment_follow_their_definitions(a: frozenset[str], b: frozenset[str]) -> None:
    both = [s for s in a if s in b]
    expected = (len(both) / len({*a, *b}), len(both) / min(len(a), len(b))) if a and b else (0.0, 0.0)
    for x, y in ((a, b), (b, a)):
        sizes = overlap.ShingleOverlap(len(x), len(y), len(both))
        assert (sizes.jaccard, sizes.containment) == expected


@given(ANY, ANY)
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_measured_sizes_are_the_sizes_of_the_shingle_sets(either: str, a: str, b: str) -> None:
    sizes = overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b))
    assert sizes == naive(a, b)
    assert overlap.body_similarity(a, a) == 1.0
    assert overlap.body_similarity(a, b) == (sizes.jaccard if sizes.size_a or sizes.size_b else 1.0)


def test_measured_sizes_of_edited_articles_are_right(either: str) -> None:
    rng = random.Random(8)
    for share in (0, 0.01, 0.1, 0.5, 1):
        story = words(rng, 300)
        a, b = " ".join(story), " ".join(edit_words(rng, story, share))
        assert overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b)) == naive(a, b)


def test_repeated_shingles_count_once(either: str) -> None:
    a, b = "가나다라마바사" * 50, "가나다라마바사" * 3
    assert overlap.measure_overlap(overlap.normalised_points(a), overlap.normalised_points(b)) == overlap.ShingleOverlap(7, 7, 7)


@given(ANY)
@settings(deadline=None)
def test_code_points_are_the_normalised_text(body: str) -> None:
    points = overlap.normalised_points(body)
    assert points.dtype == np.dtype("<u4")
    assert points.tobytes().decode("utf-32-le") == normalise.normalise(body)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 3), (3, 0)])
def test_an_empty_set_has_no_similarity(a: int, b: int) -> None:
    sizes = overlap.ShingleOverlap(a, b, 0)
    assert (sizes.jaccard, sizes.containment) == (0.0, 0.0)


# Shared passages

BLOCKS = [
    *("".join(words(random.Random(n), n)) for n in (4, 7, 9, 15)),
    " ".join(words(random.Random(8), 5, korean=False)),
    "가나다라마바사아자차카타파하거너더러머버",  # exactly as long as a run
    "가나다라마바사아자차카타파하거너더러머",  # one character less
    "바사아자차카타파하거너더러머버서어저처커터퍼허",  # begins in the middle of the one above
    "𝔸𐍈𠮷𠮟" * 3 + "𐍈",
    "Straße İstanbul ﬁnal",
    "e\u0301\u1112\u1161\u11ab",
    "\ud800",
]
MARKS = ["“", "”", "‘", "’", "「", "」", "『", "』", "«", "»", '"', "\uff02"]
BODIES = st.lists(st.sampled_from(BLOCKS) | st.sampled_from([*MARKS, "x", "7", "가", " ", "."]), max_size=9).map("".join)
"""Bodies that share passages and parts of passages, some of them in several places."""
MASKS: st.SearchStrategy[list[tuple[int, int]]] = st.just([]) | st.lists(st.tuples(st.integers(0, 200), st.integers(1, 40)), max_size=3)


def mask(length: int, stretches: list[tuple[int, int]]) -> NDArray[np.bool_]:
    masked = np.zeros(length, np.bool_)
    for begin, number in stretches:
        masked[begin : begin + number] = True
    return masked


def positions(flags: NDArray[np.bool_]) -> set[int]:
    return set(np.flatnonzero(flags).tolist())


def compare(a: str, b: str, masks: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])) -> overlap.SharedPassages:
    """Measure the shared passages of two texts, and check them against the definitions in both directions."""
    x, y = overlap.prepare_text(a), overlap.prepare_text(b)
    hidden_x, hidden_y = mask(len(x.points), masks[0]), mask(len(y.points), masks[1])
    result = overlap.measure_passages(x, y, hidden_x, hidden_y)
    expected = relations.numbers(a, b, positions(hidden_x), positions(hidden_y))
    assert result.characters == expected.shared
    assert result.coverage == expected.coverage
    assert result.longest_passage == expected.passage
    assert result.quoted_share == expected.quoted
    assert result.unquoted_coverage == expected.outside_share
    assert result.shorter_length == min(len(x.points) - int(hidden_x.sum()), len(y.points) - int(hidden_y.sum()))
    assert overlap.measure_passages(y, x, hidden_y, hidden_x) == result
    return result


@pytest.mark.system
@given(BODIES, BODIES, MASKS, MASKS)
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shared_passages_follow_their_definitions(
    either: str, a: str, b: str, masked_a: list[tuple[int, int]], masked_b: list[tuple[int, int]]
) -> None:
    compare(a, b, (masked_a, masked_b))


@given(BODIES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_text_shares_all_of_itself(either: str, body: str) -> None:
    result, length = compare(body, body), len(normalise.normalise(body))
    assert (result.characters, result.longest_passage) == ((length, length) if length >= overlap.RUN_CHARACTERS else (0, 0))


@given(
    st.lists(st.sampled_from(["a", "b", "ab", "aab", "a" * 9, "ab" * 5]), max_size=24),
    st.lists(st.sampled_from(["a", "b", "ab"]), max_size=60),
)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shared_passages_of_repetitive_texts_follow_their_definitions(either: str, a: list[str], b: list[str]) -> None:
    """The blocks occur so often that every run has to be looked up."""
    compare("".join(a)[:120], "".join(b)[:120], ([(3, 2), (40, 5)], [(7, 1)]))


def test_no_mask_is_the_same_as_an_empty_mask(either: str) -> None:
    a, b = overlap.prepare_text(BLOCKS[2] + BLOCKS[3]), overlap.prepare_text(BLOCKS[3] + BLOCKS[1])
    masks = mask(len(a.points), []), mask(len(b.points), [])
    assert overlap.measure_passages(a, b) == overlap.measure_passages(a, b, *masks) != overlap.NO_PASSAGES


@pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.5, 1])
def test_shared_passages_of_edited_articles_follow_their_definitions(either: str, share: float) -> None:
    rng = random.Random(9)
    story = words(rng, 260)
    story[40:60] = ["“" + story[40], *story[41:59], story[59] + ".”"]
    edited_story = edit_words(rng, story, share)
    for b in (
        edited_story,
        edited_story[100:] + edited_story[:100],
        edited_story[:90],
        [*words(rng, 80), *edited_story[150:], *words(rng, 30)],
    ):
        result = compare(" ".join(story), " ".join(b), ([(0, 60), (300, 15)], [(100, 50)]))
        assert (result.characters > 0) == (share < 0.5) or share == 0.5


def test_passages_may_occur_in_several_places(either: str) -> None:
    a, b, c = ("".join(words(random.Random(n), 14))[:30] for n in range(3))
    result = compare(a + "x" + b + "y" + a + c, "".join((c, "z", a, c, "x", b)))
    assert result.longest_passage == len(a + c)
    assert compare(a * 4, "x".join([a] * 7)).longest_passage == len(a)


def test_passages_shorter_than_a_run_do_not_count(either: str) -> None:
    passage = "".join(words(random.Random(3), 10))[: overlap.RUN_CHARACTERS]
    assert compare("x" + passage + "y", "1" + passage + "2").characters == overlap.RUN_CHARACTERS
    assert compare("x" + passage[1:] + "y", "1" + passage[1:] + "2") == overlap.SharedPassages(0, 0, 21, 0)


def test_two_texts_without_any_letter_share_nothing(either: str) -> None:
    result = compare("", " “—” ")
    assert result == overlap.NO_PASSAGES
    assert (result.coverage, result.unquoted_coverage, result.quoted_share) == (0.0, 0.0, 0.0)


def test_the_search_for_the_longest_passage_of_repetitive_texts_ends(either: str) -> None:
    """3000 × 3000 places come before the longest passage. The search ends before it, and reports a passage that exists."""
    unique = "".join(chr(0xAC00 + n) for n in range(4000))
    a, b = overlap.prepare_text("가" * 3000 + "x" + unique), overlap.prepare_text("가" * 3000 + "y" + unique)
    for result in (overlap.measure_passages(a, b), overlap.measure_passages(b, a)):
        assert (result.characters, result.shorter_length) == (7000, 7001)
        assert result.longest_passage == 3000
    short_texts = overlap.prepare_text("가" * 100 + "x" + unique), overlap.prepare_text("가" * 100 + "y" + unique)
    assert overlap.measure_passages(*short_texts).longest_passage == 4000


@given(st.text(st.sampled_from("가나"), max_size=400), st.text(st.sampled_from("가나"), max_size=400), st.integers(0, 300))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_longest_passage_is_never_overestimated(either: str, a: str, b: str, extra: int) -> None:
    a, b = a + "가" * extra, b + "가" * 300
    result = overlap.measure_passages(overlap.prepare_text(a), overlap.prepare_text(b))
    expected = relations.numbers(a, b)
    assert (result.characters, result.coverage) == (expected.shared, expected.coverage)
    assert result.longest_passage <= expected.passage
    assert (result.longest_passage >= overlap.RUN_CHARACTERS) == (expected.passage >= overlap.RUN_CHARACTERS)


@pytest.mark.parametrize("period", ["가", "가나다라마바사"])
def test_comparing_long_repetitive_texts_ends(either: str, period: str) -> None:
    length = 300_000 if either == "compiled" else 15_000
    a, b = overlap.prepare_text(period * (length // len(period))), overlap.prepare_text("x" + period * (length // len(period)))
    result = overlap.measure_passages(a, b)
    assert result.characters == result.longest_passage == len(a.points)
    assert overlap.mark_passages(b.points, overlap.prepare_passages(a.points)).tolist() == [False] + [True] * len(a.points)


# Comparison in pieces


@pytest.fixture
def pieces(machine_code: None, monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Set how much work lies between two heartbeats. None: compare in one call without heartbeats."""
    if not jit.is_enabled():
        pytest.skip("numba is not installed")
    from dedup.similarity.overlap import pieces

    def set_(piece: int | None) -> None:
        monkeypatch.setattr(pieces, "MIN_PIECEWISE_CHARACTERS", 1 << 62 if piece is None else 0)
        monkeypatch.setattr(pieces, "WORK_PER_PIECE", piece or 1 << 30)

    return set_


REPETITIVE = st.lists(st.sampled_from(["가", "가나", "가나다라마바사" * 4, "x", "0123456789" * 3]), max_size=40).map("".join)
"""Mostly repetitive bodies."""


@given(BODIES | REPETITIVE, BODIES | REPETITIVE, BODIES, MASKS, MASKS, st.integers(1, 40))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_comparison_in_pieces_gives_the_same_result(
    pieces: Callable[[int | None], None],
    a: str,
    b: str,
    common: str,
    masked_a: list[tuple[int, int]],
    masked_b: list[tuple[int, int]],
    piece: int,
) -> None:
    x, y = overlap.prepare_text(a + common), overlap.prepare_text(common + b)
    masks = mask(len(x.points), masked_a), mask(len(y.points), masked_b)

    def measure() -> tuple[object, ...]:
        flags = overlap.mark_passages(x.points, overlap.prepare_passages(y.points))
        return overlap.measure_overlap(x.points, y.points), overlap.measure_passages(x, y, *masks), flags.tolist()

    pieces(None)
    expected = measure()
    pieces(piece)
    assert measure() == expected


@pytest.mark.parametrize("repetitive", [False, True])
def test_comparing_long_texts_beats_for_each_piece(pieces: Callable[[int | None], None], repetitive: bool) -> None:
    """A comparison in pieces beats at least once for each piece of the text. A comparison in one call does not beat."""
    rng = random.Random(4)
    story = "".join(words(rng, 3000))
    a, b = ("가" * 9000, "가" * 9000 + "나") if repetitive else (story, story[::-1] + story[:4000])
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


def test_texts_of_the_largest_files_are_compared_in_pieces() -> None:
    from dedup.similarity.overlap import model

    assert model.MIN_PIECEWISE_CHARACTERS < model.WORK_PER_PIECE <= 10_000_000 // 8


# Quotations


def quoted_positions(body: str) -> set[int]:
    return positions(overlap.prepare_text(body).is_quoted)


@given(st.lists(st.sampled_from([*MARKS, "가", "나다", "b ", "ß", "\n", "x" * 300, "가" * 499]), max_size=25).map("".join))
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_between_quotation_marks_is_quoted(either: str, body: str) -> None:
    assert quoted_positions(body) == relations.quoted_positions(body)
    folded = normalise.fold(body)
    over = 0
    for begin, end in overlap.find_quotations(folded):
        assert over < begin <= end < len(folded)
        assert end - begin < overlap.MAX_QUOTATION_CHARACTERS
        over = end


@pytest.mark.parametrize(("between", "quoted"), [(998, 998), (999, 999), (1000, 0)])
def test_a_closing_mark_that_is_too_far_away_is_ignored(either: str, between: int, quoted: int) -> None:
    assert overlap.MAX_QUOTATION_CHARACTERS == 1000
    for opening, closing in (("“", "”"), ('"', '"'), ("«", "»")):
        assert len(quoted_positions("앞" + opening + "가" * between + closing + "뒤")) == quoted


def test_marks_inside_a_quotation_and_stray_marks_are_ignored(either: str) -> None:
    assert quoted_positions("“가”나“다”") == quoted_positions('"가"나"다"') == {0, 2}
    assert quoted_positions("가“나‘다”라’마") == {1, 2}
    assert quoted_positions('키 5"인 “가나” 다') == {3, 4}
    assert quoted_positions("가나”다“라") == set()


@given(BODIES | ANY)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_prepared_body_holds_its_code_points(either: str, body: str) -> None:
    prepared = overlap.prepare_text(body)
    assert prepared.points.dtype == np.dtype("<u4")
    assert prepared.points.tolist() == overlap.normalised_points(body).tolist()
    assert prepared.is_quoted.shape == prepared.points.shape


class CountingText(str):
    """Text that counts the characters searched for a closing mark."""

    __slots__ = ("through",)
    through: int

    def find(self, sub: str, start: object = 0, end: object = None) -> int:
        assert isinstance(start, int)
        at = super().find(sub, start)
        self.through += (len(self) if at < 0 else at) - start + 1
        return at


def count_searched_characters(folded: str) -> int:
    text = CountingText(folded)
    text.through = 0
    assert overlap.find_quotations(text) == overlap.find_quotations(folded)
    return text.through


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
def test_many_quotation_marks_are_searched_in_linear_time(how: str) -> None:
    assert count_searched_characters(HOSTILE[how]) <= (len(MARKS) + 1) * len(HOSTILE[how])
    assert overlap.prepare_text(HOSTILE[how]).points.tolist() == overlap.normalised_points(HOSTILE[how]).tolist()


@given(st.text(st.sampled_from([*MARKS, "가"]), max_size=60).map(lambda marks: marks * 40))
@settings(deadline=None)
def test_any_quotation_marks_are_searched_in_linear_time(folded: str) -> None:
    assert count_searched_characters(folded) <= (len(MARKS) + 1) * (len(folded) + 1)


# Runs of passages


def join_passages(passages: list[str]) -> NDArray[np.uint32]:
    zero = np.zeros(1, np.uint32)
    return np.concatenate([part for p in passages for part in (overlap.normalised_points(p), zero)] or [zero])


@given(BODIES, st.lists(BODIES, max_size=4))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_marked_positions_lie_in_runs_that_occur_in_a_passage(either: str, body: str, passages: list[str]) -> None:
    flags = overlap.mark_passages(overlap.normalised_points(body), overlap.prepare_passages(join_passages(passages)))
    text = normalise.normalise(body)
    assert len(flags) == len(text)
    assert positions(flags) == {p for passage in passages for p in relations.covered(text, normalise.normalise(passage))}


def test_no_run_extends_from_one_passage_into_the_next(either: str) -> None:
    a, b = ("".join(words(random.Random(n), 9))[:19] for n in range(2))
    assert not overlap.mark_passages(overlap.normalised_points(a + b), overlap.prepare_passages(join_passages([a, b]))).any()
    assert overlap.mark_passages(overlap.normalised_points(a + b), overlap.prepare_passages(join_passages([a + b]))).all()


def test_no_passages_or_no_text_mark_nothing(either: str) -> None:
    nothing = np.zeros(0, np.uint32)
    body = overlap.normalised_points(BLOCKS[3])
    assert overlap.mark_passages(body, overlap.prepare_passages(nothing)).tolist() == [False] * len(body)
    assert overlap.mark_passages(nothing, overlap.prepare_passages(body)).tolist() == []


def test_every_character_is_prepared_like_normalised_text(either: str) -> None:
    """Each character is between line ends, which nothing composes with. Characters that fold into several are separate."""
    characters = [chr(code) for code in range(0x110000)]
    several = [c for c in characters if len(c.casefold()) > 1]
    assert several
    for body in ("\n".join(c for c in characters if len(c.casefold()) == 1), *several):
        assert overlap.prepare_text(body).points.tolist() == [ord(c) for c in normalise.normalise(body)]
