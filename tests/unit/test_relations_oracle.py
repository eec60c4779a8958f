"""The oracle `tests/builders/relations.py`, checked with examples counted by hand, and the table of the sample, checked with the oracle."""

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

pytestmark = pytest.mark.slow

CRAWL = Path(__file__).parents[2] / "dedup/share/sample/crawl"
BOILERPLATE_AT = 5
RNG = random.Random(20260306)


def random_text(characters: int) -> str:
    """Return text that does not occur anywhere else."""
    return "".join(words(RNG, characters))[:characters]


# The oracle


def test_a_common_passage_is_measured() -> None:
    passage = random_text(100)
    a, b = random_text(60) + passage + random_text(40), passage + random_text(60)
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


def test_masked_characters_count_neither_as_shared_nor_as_length() -> None:
    passage, tail = random_text(100), random_text(60)
    a, b = random_text(60) + passage + tail, random_text(100) + passage + tail
    masked_a, masked_b = masked_by(a, [tail]), masked_by(b, [tail])
    assert masked_a == set(range(160, 220))
    n = numbers(a, b, masked_a, masked_b)
    assert (n.shared, n.coverage, n.passage) == (100, 100 / 160, 100)
    assert numbers(a, b).passage == 160
    assert masked_by(tail + random_text(60), [tail]) == set(range(60))
    assert masked_by(tail + random_text(59), [tail]) == set(), "more than half of it"


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
def test_quoted_characters_are_recognised(body: str, quoted: set[int]) -> None:
    assert quoted_positions(body) == quoted


def test_each_relation_is_recognised() -> None:
    long, short, quotation = random_text(200), random_text(100), random_text(200)
    assert relation("가 나", "가, 나!") == "exact"
    assert relation("가", "나") is None
    assert relation("", "!") is None
    assert relation(long + random_text(30), long + random_text(30)) == "near"
    assert relation(long + random_text(150), long + random_text(150)) == "copy"
    assert relation(long + random_text(700), long + random_text(700)) == "excerpt"
    assert relation(short + random_text(250), short + random_text(250)) == "excerpt"
    assert relation(short + random_text(700), short + random_text(700)) is None
    assert relation(f"{random_text(300)}“{quotation}”{random_text(300)}", f'{random_text(300)}"{quotation}"{random_text(300)}') == "quote"
    assert relation(f"{random_text(80)}“{quotation}”{random_text(80)}", f'{random_text(80)}"{quotation}"{random_text(80)}') == "quote"
    assert relation(f"{short}“{quotation}”{random_text(600)}", f'{short}"{quotation}"{random_text(600)}') == "excerpt"
    assert relation(short[:79], short[:79] + random_text(1)) is None, "too short for more than exact"


def test_a_newsletter_is_distinguished_from_versions_of_one_article() -> None:
    first, second = random_text(300), random_text(300)
    texts = {
        "letter": random_text(50) + first + random_text(50) + second,
        "one": first + random_text(100),
        "again": random_text(120) + first,
        "two": second + random_text(100),
    }
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


# The sample


@cache
def articles() -> dict[str, Article]:
    """Path → article, for every file that is neither a fault nor truncated."""
    options = ReadOptions(
        recipes=tuple(RECIPES[name] for name in Settings().integrity.recipes),
        published_zone=ZoneInfo("Asia/Seoul"),
        crawled_zone=ZoneInfo("UTC"),
    )
    articles_by_path = {}
    for e in FILES:
        if e.fault is None and e.cause != "truncated":
            article = read_article(os.fsencode(os.path.basename(e.path)), (CRAWL / e.path).read_bytes(), options).article
            assert article is not None
            articles_by_path[e.path] = article
    return articles_by_path


@cache
def latest() -> dict[str, Expected]:
    """URL → the file of the page's latest revision. Each day's folder holds one crawl of each page."""
    return {str(e.url): e for e in sorted((e for e in FILES if e.path in articles()), key=lambda e: e.path[:10])}


def texts() -> dict[str, str]:
    return {url: articles()[latest()[url].path].body for url in sorted(latest())}


@cache
def masks() -> dict[str, frozenset[int]]:
    """Mask of each page's latest revision if all boilerplate is known."""
    publishers = {url: articles()[e.path].metadata.publisher for url, e in latest().items()}
    passages = {
        name: returning([body for url, body in texts().items() if publishers[url] == name], BOILERPLATE_AT) for name in publishers.values()
    }
    return {url: frozenset(masked_by(body, passages[publishers[url]])) for url, body in texts().items()}


def check_numbers(row: Related, a: str, b: str, masked_a: Positions = NONE, masked_b: Positions = NONE) -> None:
    result = numbers(a, b, masked_a, masked_b)
    assert (round(result.similarity, 2), round(result.coverage, 2)) == (row.similarity, row.coverage), row


def test_the_table_has_the_relations_of_the_sample() -> None:
    table = {(r.a, r.b): r.relation for r in RELATIONS}
    assert len(table) == len(RELATIONS)
    assert table == bundled(texts(), masks=masks())
    assert list(table) == sorted(table)
    for r in RELATIONS:
        assert r.a < r.b
        check_numbers(r, texts()[r.a], texts()[r.b], masks()[r.a], masks()[r.b])


def test_unknown_boilerplate_makes_seven_articles_excerpts() -> None:
    series = sorted(url for url, masked in masks().items() if masked)
    assert len(series) == 7
    unmasked = bundled(texts())
    assert {pair for pair, r in unmasked.items() if r == "excerpt"} >= set(combinations(series, 2))
    assert {pair: r for pair, r in unmasked.items() if not set(pair) <= set(series)} == {(r.a, r.b): r.relation for r in RELATIONS}
    by_arrival = sorted(series, key=lambda url: os.fsencode(latest()[url].path))
    assert [(r.a, r.b) for r in RELATIONS_UNTIL_REINDEX] == list(combinations(by_arrival[: BOILERPLATE_AT - 1], 2))
    for r in RELATIONS_UNTIL_REINDEX:
        assert r.relation == unmasked[r.a, r.b]
        check_numbers(r, texts()[r.a], texts()[r.b])


def test_the_table_has_the_relations_of_earlier_revisions() -> None:
    table = {
        (r.revision, r.a if r.a != url else r.b): r for r in RELATIONS_OF_EARLIER_REVISIONS for url in (r.a, r.b) if url == page(r.revision)
    }
    relations = {}
    current = texts()
    for path, body in ((path, article.body) for path, article in articles().items()):
        if path != latest()[page(path)].path and body != current[page(path)]:
            for url, other_body in current.items():
                if url != page(path) and (related := relation(body, other_body)) is not None:
                    relations[path, url] = related
                    check_numbers(table[path, url], body, other_body)
    assert relations == {key: r.relation for key, r in table.items()}


def page(path: str | None) -> str:
    return next(str(e.url) for e in FILES if e.path == path)


def test_similar_looking_articles_are_not_related() -> None:
    related = {(r.a, r.b) for r in (*RELATIONS, *RELATIONS_UNTIL_REINDEX)}
    for u in UNRELATED:
        assert (u.a, u.b) not in related
        assert (u.b, u.a) not in related
        assert numbers(texts()[u.a], texts()[u.b], masks()[u.a], masks()[u.b]).shared == u.shared <= 70


def test_no_measure_is_close_to_a_threshold() -> None:
    """The first wire stories are an exception: they are near duplicates by a smaller margin."""
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


def test_the_oracle_imports_only_the_normalisation_of_dedup() -> None:
    source = Path(relations.__file__).read_text("utf-8")
    assert [line for line in source.splitlines() if "import" in line and "dedup" in line] == [
        "from dedup.text.normalise import fold, normalise"
    ]
