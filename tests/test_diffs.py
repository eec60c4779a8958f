"""What changed between two texts, in words."""

from __future__ import annotations

import random
import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup import diffs
from dedup.diffs import Stretch
from tests.crawl import edited, words

WORDY = st.lists(st.sampled_from(["금리", "가", " ", "  ", "\n", "1,200", "3.5", "%", ".", "port", "_", "\u0301"]), max_size=40).map(
    "".join
)
ANY = st.one_of(WORDY, st.text())


@given(ANY)
@settings(deadline=None)
def test_tokens_joined_are_the_text(raw: str) -> None:
    assert "".join(diffs.tokens(raw)) == raw


def test_tokens_are_numbers_words_blanks_and_single_signs() -> None:
    assert diffs.tokens("금리 3.5%,  1,200원!?") == ["금리", " ", "3.5", "%", ",", "  ", "1,200", "원", "!", "?"]


def joined(stretches: list[Stretch], *kinds: str) -> str:
    return "".join(s.text for s in stretches if s.kind in kinds)


@given(ANY, ANY)
@settings(deadline=None, max_examples=300)
@example("", "")
@example("a b a b a", "b a b")
def test_a_difference_gives_both_sides_back(before: str, after: str) -> None:
    found = diffs.compare(before, after)
    assert joined(found, "same", "removed") == before
    assert joined(found, "same", "added") == after


@given(ANY, ANY)
@settings(deadline=None, max_examples=300)
def test_a_difference_has_no_empty_stretch_and_no_two_alike_side_by_side(before: str, after: str) -> None:
    found = diffs.compare(before, after)
    assert all(s.text for s in found)
    assert all(a.kind != b.kind for a, b in pairwise(found))


@given(ANY)
@settings(deadline=None)
def test_a_text_differs_from_itself_in_nothing(raw: str) -> None:
    assert diffs.compare(raw, raw) == ([Stretch("same", raw)] if raw else [])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "금리를 3.5%로 올렸다.",
            "금리를 3.75%로 올렸다.",
            [("same", "금리를 "), ("removed", "3.5"), ("added", "3.75"), ("same", "%로 올렸다.")],
        ),
        ("첫 문장.", "첫 문장. 둘째.", [("same", "첫 문장."), ("added", " 둘째.")]),
        ("앞말 본문", "본문", [("removed", "앞말 "), ("same", "본문")]),
        ("", "새 글", [("added", "새 글")]),
    ],
)
def test_whole_words_and_numbers_are_told(before: str, after: str, expected: list[tuple[str, str]]) -> None:
    assert [(s.kind, s.text) for s in diffs.compare(before, after)] == expected


def test_only_the_words_that_changed_are_told_in_a_long_article() -> None:
    rng = random.Random(3)
    before = words(rng, 4000)
    after = edited(rng, before, 0.05)
    found = diffs.compare(" ".join(before), " ".join(after))
    changed = sum(1 for a, b in zip(before, after, strict=True) if a != b)
    assert 0 < len(re.findall(r"\w+", joined(found, "added"))) <= 2 * changed


def _cycle(step: int) -> str:
    return " ".join(chr(0xAC00 + 28 * (i * step % 199)) for i in range(9000))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x a " * 4000, "a y " * 4000),
        (_cycle(1), _cycle(7)),
        ("".join(f"{n} " for n in range(30_000)), "".join(f"{n} " for n in range(30_000, 0, -1))),
    ],
    ids=["repeated", "cyclic", "long"],
)
def test_texts_made_to_be_slow_are_told_more_coarsely_instead(before: str, after: str) -> None:
    found = diffs.compare(before, after)
    assert joined(found, "same", "removed") == before
    assert joined(found, "same", "added") == after
