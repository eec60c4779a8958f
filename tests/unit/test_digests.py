"""Recipes of content hashes, and the digests of every possible body in one pass."""

from __future__ import annotations

import html

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.text import digests
from dedup.text.digests import ALGORITHMS, HASHED_TEXTS, RECIPES, WHITESPACE, BodySegment, Recipe
from tests.builders.crawl import DIGESTS


def test_there_are_seven_algorithms_over_three_texts() -> None:
    assert set(ALGORITHMS) == set(DIGESTS)
    assert list(RECIPES) == [f"{a}({t})" for a in ALGORITHMS for t in HASHED_TEXTS]
    assert next(iter(RECIPES)) == "sha256(body)"


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
def test_a_digest_hashes_the_text_of_its_recipe(recipe: Recipe) -> None:
    text = {"body": "A & B", "escaped": "A &amp; B", "title+newline+body": "제목\nA & B"}[recipe.text]
    digest = digests.compute_digest(recipe, "제목", "A & B", "A &amp; B")
    assert digest == DIGESTS[recipe.algorithm](text.encode())
    assert len(digest) == ALGORITHMS[recipe.algorithm][1]


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("ab" * 32, "ab" * 32),
        ("AB" * 32, "ab" * 32),
        ("sha256:" + "0f" * 32, "0f" * 32),
        ("MD5:" + "0F" * 16, "0f" * 16),
        ("0" * 16, "0" * 16),
        ("", None),
        ("0" * 15, None),
        ("0" * 129, None),
        ("none", None),
        ("g" * 64, None),
        ("0" * 63 + " ", None),
        ("sha256:", None),
        ("٠" * 64, None),
        ("0" * 64 + "\n", None),
    ],
)
def test_a_usable_claim_is_hex_with_or_without_the_name_of_its_algorithm(claim: str, expected: str | None) -> None:
    assert digests.parse_claim(claim) == expected


@pytest.mark.parametrize(
    ("digits", "algorithms"),
    [(16, {"xxh64", "xxh3_64"}), (32, {"md5", "xxh3_128"}), (40, {"sha1"}), (64, {"sha256"}), (128, {"blake2b"}), (50, set())],
)
def test_a_claim_is_tried_with_the_recipes_of_its_length_in_order(digits: int, algorithms: set[str]) -> None:
    recipes = digests.recipes_of_length(list(RECIPES.values()), "0" * digits)
    assert recipes == [r for r in RECIPES.values() if r.algorithm in algorithms]


PARTS = [*WHITESPACE, "가", "a", "-", "\u3000", "\x0b", "&amp;", "&#10;", "&#32;", "&lt;"]
RECIPE_LISTS = st.lists(st.sampled_from(list(RECIPES.values())), min_size=1, max_size=4)
STRETCH = st.lists(st.sampled_from(PARTS), max_size=6).map("".join)


@pytest.mark.slow
@given(RECIPE_LISTS, st.text(max_size=4), st.lists(STRETCH, max_size=8), st.data())
@settings(deadline=None, max_examples=300)
def test_the_first_recipe_that_fits_the_claim_at_any_end_is_found(
    recipes: list[Recipe], title: str, stretches: list[str], data: st.DataObject
) -> None:
    title = title.encode("utf-8", "replace").decode()
    pieces: list[BodySegment] = []
    candidates: list[tuple[Recipe, int, str]] = []
    text = ""
    for stretch in stretches:
        text += stretch
        pieces.append(BodySegment(len(text), stretch, html.unescape(stretch)))
        plain = "".join(p.unescaped for p in pieces).strip(WHITESPACE)
        candidates += [(r, len(text), digests.compute_digest(r, title, plain, text.strip(WHITESPACE))) for r in recipes]
    claim = data.draw(st.sampled_from([digest for *_, digest in candidates] or ["0" * 32]))
    matches = [(recipes.index(r), n, r) for n, (r, _, digest) in enumerate(candidates) if digest == claim]
    expected = next(((r, candidates[n][1]) for _, n, r in sorted(matches, key=lambda f: f[:2])), None)
    assert digests.find_claimed(recipes, title, iter(pieces), claim) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_escaping_follows_handlebars_and_unescaping_restores_the_text(raw: str) -> None:
    escaped = digests.escape_handlebars(raw)
    assert not set(escaped) & set("<>\"'`=")
    assert html.unescape(escaped) == raw


def test_seven_characters_are_escaped_as_the_crawler_does() -> None:
    assert digests.escape_handlebars("& < > \" ' ` =") == "&amp; &lt; &gt; &quot; &#x27; &#x60; &#x3D;"
