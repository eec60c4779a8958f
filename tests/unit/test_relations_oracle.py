"""`tests/builders/relations.py` by examples counted by hand, and the sample's table by it."""

from __future__ import annotations

import os
import random
from functools import cache
from itertools import combinations
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dedup.config import Settings
from dedup.formats import ReadOptions, read_article
from dedup.model import Article
from dedup.text.digests import RECIPES
from tests.builders import relations
from tests.builders.crawl import words
from tests.builders.relations import NONE, Numbers, Positions, bundled, masked_by, numbers, quoted_positions, relation, returning
from tests.builders.sample_table import (
    FILES,
    RELATIONS,
    RELATIONS_OF_EARLIER_REVISIONS,
    RELATIONS_UNTIL_REINDEX,
    UNRELATED,
    Expected,
    Related,
)

CRAWL = Path(__file__).parents[2] / "dedup/share/sample/crawl"
BOILERPLATE_AT = 5
RNG = random.Random(20260306)


def new(characters: int) -> str:
    """Text that occurs nowhere else."""
    return "".join(words(RNG, characters))[:characters]


# --- the oracle


def test_numbers_of_a_common_passage() -> None:
    passage = new(100)
    a, b = new(60) + passage + new(40), passage + new(60)
    n = numbers(a, b)
    assert n == Numbers(
        similarity=96 / (196 + 156 - 96),
        containment=96 / 156,
        shared=100,
        coverage=100 / 160,
        passage=100,
        quoted=0.0,
        outside_share=100 / 160,
    )
    assert relation(a, b) == "copy"


def test_what_is_masked_counts_neither_as_shared_nor_as_length() -> None:
    passage, tail = new(100), new(60)
    a, b = new(60) + passage + tail, new(100) + passage + tail
    masked_a, masked_b = masked_by(a, [tail]), masked_by(b, [tail])
    assert masked_a == set(range(160, 220))
    n = numbers(a, b, masked_a, masked_b)
    assert (n.shared, n.coverage, n.passage) == (100, 100 / 160, 100)
    assert numbers(a, b).passage == 160
    assert masked_by(tail + new(60), [tail]) == set(range(60))
    assert masked_by(tail + new(59), [tail]) == set(), "more than half of it"


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ("가 “나다” 라", {1, 2}),
        ("가 ‘나 “다’ 라” 마", {1, 2}),
        ('가 "나" 다 "라" 마', {1, 3}),
        ("don’t ‘be’ it’s", {4, 5}),
        ("「가」『나』«다»＂라＂", {0, 1, 2, 3}),
        ('가 "나', set()),
        ("“" + "가" * 999 + "”", set(range(999))),
        ("“" + "가" * 1000 + "” 나", set()),
        ('“ "가" ' + "나" * 1000 + "”", {0}),
    ],
)
def test_what_is_quoted(body: str, quoted: set[int]) -> None:
    assert quoted_positions(body) == quoted


def test_each_relation() -> None:
    long, short, quotation = new(200), new(100), new(200)
    assert relation("가 나", "가, 나!") == "exact"
    assert relation("가", "나") is None
    assert relation("", "!") is None
    assert relation(long + new(30), long + new(30)) == "near"
    assert relation(long + new(150), long + new(150)) == "copy"
    assert relation(long + new(700), long + new(700)) == "excerpt"
    assert relation(short + new(250), short + new(250)) == "excerpt"
    assert relation(short + new(700), short + new(700)) is None
    assert relation(f"{new(300)}“{quotation}”{new(300)}", f'{new(300)}"{quotation}"{new(300)}') == "quote"
    assert relation(f"{new(80)}“{quotation}”{new(80)}", f'{new(80)}"{quotation}"{new(80)}') == "quote"
    assert relation(f"{short}“{quotation}”{new(600)}", f'{short}"{quotation}"{new(600)}') == "excerpt"
    assert relation(short[:79], short[:79] + new(1)) is None, "too short for more than exact"


def test_a_newsletter_is_told_from_versions_of_one_story() -> None:
    one, two = new(300), new(300)
    texts = {"letter": new(50) + one + new(50) + two, "one": one + new(100), "again": new(120) + one, "two": two + new(100)}
    assert relation(texts["letter"], texts["one"]) == "copy"
    assert bundled(texts) == {
        ("letter", "one"): "excerpt",
        ("letter", "again"): "excerpt",
        ("letter", "two"): "excerpt",
        ("one", "again"): "copy",
    }
    del texts["two"]
    assert set(bundled(texts).values()) == {"copy"}
    assert bundled(texts, pages={"letter": "p", "one": "q", "again": "p"}) == {("letter", "one"): "copy", ("one", "again"): "copy"}


# --- the sample


@cache
def articles() -> dict[str, Article]:
    """Path → every article that was read whole."""
    options = ReadOptions(
        recipes=tuple(RECIPES[name] for name in Settings().integrity.recipes),
        published_zone=ZoneInfo("Asia/Seoul"),
        crawled_zone=ZoneInfo("UTC"),
    )
    found = {}
    for e in FILES:
        if e.fault is None and e.cause != "truncated":
            article = read_article(os.fsencode(os.path.basename(e.path)), (CRAWL / e.path).read_bytes(), options).article
            assert article is not None
            found[e.path] = article
    return found


@cache
def latest() -> dict[str, Expected]:
    """URL → the file of the page's latest revision: the folders are days, each page was crawled once in each."""
    return {str(e.url): e for e in sorted((e for e in FILES if e.path in articles()), key=lambda e: e.path[:10])}


def texts() -> dict[str, str]:
    return {url: articles()[latest()[url].path].body for url in sorted(latest())}


@cache
def masks() -> dict[str, frozenset[int]]:
    """What is masked of each page's latest revision when all boilerplate is known."""
    publishers = {url: articles()[e.path].metadata.publisher for url, e in latest().items()}
    passages = {
        name: returning([body for url, body in texts().items() if publishers[url] == name], BOILERPLATE_AT) for name in publishers.values()
    }
    return {url: frozenset(masked_by(body, passages[publishers[url]])) for url, body in texts().items()}


def check_numbers(row: Related, a: str, b: str, masked_a: Positions = NONE, masked_b: Positions = NONE) -> None:
    found = numbers(a, b, masked_a, masked_b)
    assert (round(found.similarity, 2), round(found.coverage, 2)) == (row.similarity, row.coverage), row


def test_the_table_has_the_relations_of_the_sample() -> None:
    told = {(r.a, r.b): r.relation for r in RELATIONS}
    assert len(told) == len(RELATIONS)
    assert told == bundled(texts(), masks=masks())
    assert list(told) == sorted(told)
    for r in RELATIONS:
        assert r.a < r.b
        check_numbers(r, texts()[r.a], texts()[r.b], masks()[r.a], masks()[r.b])


def test_boilerplate_unknown_makes_excerpts_of_seven_articles() -> None:
    series = sorted(url for url, masked in masks().items() if masked)
    assert len(series) == 7
    unmasked = bundled(texts())
    assert {pair for pair, r in unmasked.items() if r == "excerpt"} >= set(combinations(series, 2))
    assert {pair: r for pair, r in unmasked.items() if not set(pair) <= set(series)} == {(r.a, r.b): r.relation for r in RELATIONS}
    arrived = sorted(series, key=lambda url: os.fsencode(latest()[url].path))
    assert [(r.a, r.b) for r in RELATIONS_UNTIL_REINDEX] == list(combinations(arrived[: BOILERPLATE_AT - 1], 2))
    for r in RELATIONS_UNTIL_REINDEX:
        assert r.relation == unmasked[r.a, r.b]
        check_numbers(r, texts()[r.a], texts()[r.b])


def test_the_table_has_the_relations_of_earlier_revisions() -> None:
    told = {
        (r.revision, r.a if r.a != url else r.b): r for r in RELATIONS_OF_EARLIER_REVISIONS for url in (r.a, r.b) if url == page(r.revision)
    }
    found = {}
    current = texts()
    for path, body in ((path, article.body) for path, article in articles().items()):
        if path != latest()[page(path)].path and body != current[page(path)]:
            for url, other in current.items():
                if url != page(path) and (related := relation(body, other)) is not None:
                    found[path, url] = related
                    check_numbers(told[path, url], body, other)
    assert found == {key: r.relation for key, r in told.items()}


def page(path: str | None) -> str:
    return next(str(e.url) for e in FILES if e.path == path)


def test_what_looks_related_and_is_not() -> None:
    related = {(r.a, r.b) for r in (*RELATIONS, *RELATIONS_UNTIL_REINDEX)}
    for u in UNRELATED:
        assert (u.a, u.b) not in related
        assert (u.b, u.a) not in related
        assert numbers(texts()[u.a], texts()[u.b], masks()[u.a], masks()[u.b]).shared == u.shared <= 70


def test_no_number_is_near_a_threshold() -> None:
    """But for the first wire stories, which are near duplicates by less."""
    for r in RELATIONS:
        n = numbers(texts()[r.a], texts()[r.b], masks()[r.a], masks()[r.b])
        if r.relation == "copy":
            assert n.coverage >= 0.55
            assert n.shared >= 110
            assert n.outside_share >= 0.11
            assert n.similarity <= 0.63
        elif r.relation in ("excerpt", "quote"):
            assert n.quoted <= 0.81 or n.quoted >= 0.99
            by_share = n.coverage >= 0.275 and n.passage >= 55 and n.shared >= 88
            assert by_share or (n.shared >= 165 and n.passage >= 88)
            assert n.coverage <= 0.45 or relation(texts()[r.a], texts()[r.b]) == "copy", "part of a bundle"


def test_relations_needs_no_more_than_the_normal_form() -> None:
    source = Path(relations.__file__).read_text("utf-8")
    assert [line for line in source.splitlines() if "import" in line and "dedup" in line] == [
        "from dedup.text.normalise import fold, normalise"
    ]
