"""Newsletters: a text that bundles several others is not a copy of any of them, in any order of arrival."""

from __future__ import annotations

import os
import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from dedup.pipeline import scanner as scanning
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.stories import clusters, command_scan, pairs, paper, prose, scan_in_order, sentence, story, wire_copy, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


def reported_relations(db: Path, **kw: Any) -> dict[tuple[int, int], str]:
    """Relation of each reported pair, by the numbers of its articles."""
    rows = pairs(db, **kw).values()
    return {tuple(sorted(int(p[side]["title"].split()[1]) for side in "ab")): p["relation"] for p in rows}  # type: ignore[misc]


def expected_relations(articles: list[ArticleFile]) -> dict[tuple[int, int], str]:
    """Relation of each pair by the definitions."""
    bundles = relations.bundled({a.title.split()[1]: a.body for a in articles})
    return {(int(a), int(b)): relation for (a, b), relation in bundles.items()}


def newsletter(seed: int, *, korean: bool = True) -> list[ArticleFile]:
    """Three stories (0, 1, 2) and a newsletter (3) that holds them all."""
    rng = random.Random(seed)
    stories = [story(rng, 3, korean=korean).body for _ in range(3)]
    return [paper(n, body) for n, body in enumerate([*stories, " ".join(stories)])]


@pytest.mark.parametrize("korean", [True, False], ids=["Korean", "English"])
def test_each_story_is_an_excerpt_of_the_newsletter_in_any_order_of_arrival(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, korean: bool
) -> None:
    articles = newsletter(1, korean=korean)
    write(crawl, articles)
    expected = {(n, 3): "excerpt" for n in range(3)}
    assert expected_relations(articles) == expected
    assert {relations.relation(a.body, articles[3].body) for a in articles[:3]} == {"copy"}, "if each pair is assessed alone"
    dumps = []
    for number, order in enumerate(permutations(articles)):
        monkeypatch.setattr(scanning, "BATCH_FILES", (1, 2, 3, 4)[number % 4])
        db = tmp_path / f"{number}.db"
        dumps.append(scan_in_order(db, crawl, [a.name for a in order], 1 + number % 2))
        assert reported_relations(db) == expected
        assert clusters(db) == []
    assert len(dumps) == 24
    assert dumps[1:] == dumps[:1] * 23


def test_a_story_and_its_own_long_version_are_copies(crawl: Path, db: Path) -> None:
    rng = random.Random(2)
    short = story(rng, 4)
    long = paper(1, prose((*short.sentences, *story(rng, 5).sentences)))
    others = [paper(n, wire_copy(rng, short, cut=0.1)) for n in (2, 3)]
    articles = [paper(0, short.body), long, *others]
    write(crawl, articles)
    running.scan(crawl, db)
    assert reported_relations(db) == expected_relations(articles)
    assert {reported_relations(db)[pair] for pair in ((0, 1), (1, 2), (1, 3))} == {"copy"}
    assert clusters(db) == [{a.address for a in articles}]


def halves(seed: int, *, common: int) -> list[ArticleFile]:
    """A long story (0) and its two halves (1, 2), which have `common` sentences in common."""
    rng = random.Random(seed)
    whole = story(rng, 10).sentences
    first, second = whole[: 5 + common], whole[5:]
    return [paper(0, prose(whole)), paper(1, prose((*first, sentence(rng)))), paper(2, prose((sentence(rng), *second)))]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_two_halves_of_a_story_are_excerpts_of_it(crawl: Path, db: Path, order: tuple[int, ...]) -> None:
    articles = halves(3, common=0)
    write(crawl, articles)
    scan_in_order(db, crawl, [articles[n].name for n in order])
    assert reported_relations(db) == expected_relations(articles) == {(0, 1): "excerpt", (0, 2): "excerpt"}


def test_two_overlapping_parts_of_a_story_are_copies_of_it(crawl: Path, db: Path) -> None:
    articles = halves(3, common=1)
    write(crawl, articles)
    running.scan(crawl, db)
    assert reported_relations(db) == expected_relations(articles)
    assert {reported_relations(db)[0, n] for n in (1, 2)} == {"copy"}


def test_a_second_story_in_the_same_text_turns_a_recorded_copy_into_an_excerpt(crawl: Path, db: Path) -> None:
    first, second, third, letter = newsletter(4)
    write(crawl, [first, letter])
    running.scan(crawl, db)
    assert reported_relations(db) == {(0, 3): "copy"}
    write(crawl, [third])
    running.scan(crawl, db)
    assert reported_relations(db) == {(0, 3): "excerpt", (2, 3): "excerpt"}
    write(crawl, [second])
    running.scan(crawl, db)
    assert reported_relations(db) == {(n, 3): "excerpt" for n in range(3)}
    assert clusters(db) == []


def test_copies_of_the_stories_in_a_newsletter_form_clusters_without_it(crawl: Path, db: Path) -> None:
    """Three stories, a wire copy of each, a newsletter of the stories, and two near copies of the newsletter."""
    rng = random.Random(5)
    stories = [story(rng, 5) for _ in range(3)]
    bodies = [s.body for s in stories] + [wire_copy(rng, s, endings=0.3) for s in stories]
    letter = " ".join(s.body for s in stories)
    bodies += [letter, letter + " 끝", prose((sentence(rng)[:9],)) + letter]
    articles = [paper(n, body) for n, body in enumerate(bodies)]
    for n in rng.sample(range(9), 9):
        write(crawl, [articles[n]])
        running.scan(crawl, db)
    assert reported_relations(db) == expected_relations(articles)
    assert {reported_relations(db)[n, 6] for n in range(6)} == {"excerpt"}
    assert {reported_relations(db)[n, m] for n, m in ((6, 7), (6, 8), (7, 8))} == {"near"}
    expected = [{articles[n].address, articles[n + 3].address} for n in range(3)] + [{a.address for a in articles[6:]}]
    assert sorted(clusters(db), key=sorted) == sorted(expected, key=sorted)


def test_masked_boilerplate_does_not_separate_two_articles_in_a_bundle(crawl: Path, db: Path) -> None:
    """Two stories and the article that bundles them all end with the tail of their publisher. Without the mask the two stories would
    overlap in the bundle."""
    rng = random.Random(6)
    tail = prose(story(rng, 2).sentences)
    for n in range(5):
        paper(50 + n, f"{story(rng, 6).body} {tail}", publisher="한빛일보").write(crawl)
    running.scan(crawl, db)
    stories = [story(rng, 3).body for _ in range(2)]
    articles = [
        paper(n, body, publisher="한빛일보") for n, body in enumerate([*(f"{s} {tail}" for s in stories), f"{' '.join(stories)} {tail}"])
    ]
    write(crawl, articles)
    running.scan(crawl, db)
    masks = {str(n): relations.masked_by(a.body, [tail]) for n, a in enumerate(articles)}
    assert all(masks.values())
    expected = relations.bundled({str(n): a.body for n, a in enumerate(articles)}, masks=masks)
    reported = {pair: r for pair, r in reported_relations(db).items() if max(pair) < 3}
    assert reported == {(int(a), int(b)): r for (a, b), r in expected.items()} == {(0, 2): "excerpt", (1, 2): "excerpt"}


def test_reindex_gives_the_same_relations(tmp_path: Path) -> None:
    write(tmp_path / "crawl", newsletter(7))
    assert command_scan(tmp_path).code == 0
    before = reported_relations(tmp_path / "dedup.db")
    assert len(before) == 3
    assert run(tmp_path, "reindex").code == 0
    assert reported_relations(tmp_path / "dedup.db") == before
    assert os.path.exists(tmp_path / "dedup.db.passages")
