"""Matches compared with brute force: every true pair at the threshold, and no other."""

from __future__ import annotations

import itertools
import random
import sqlite3
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup import reports, store
from dedup.config import DuplicatesConfig
from dedup.errors import DatabaseFailedError
from dedup.matching.thresholds import MatchCriteria
from dedup.pipeline.scanner import Scan
from dedup.reports import status
from dedup.similarity import overlap
from dedup.similarity.overlap import SharedPassages, ShingleOverlap
from dedup.store import open_database
from dedup.text import normalise
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words

pytestmark = pytest.mark.slow


def _corpus(families: int, shares: tuple[float, ...] = (0, 0.01, 0.02, 0.04, 0.06)) -> list[ArticleFile]:
    """Families of edited copies, Korean and English. `shares` are shares of edited words; the last copy differs in spacing and case."""
    rng = random.Random(11)
    articles = []
    for family in range(families):
        story = words(rng, rng.randint(30, 120), korean=family % 3 != 0)
        for copy in range(5):
            body = " ".join(edit_words(rng, story, rng.choice(shares)))
            if copy == 4:
                body = body.replace(" ", "  ", 3).replace("a", "A")
            articles.append(ArticleFile(body=body, oid=f"9{copy:02}", aid=f"{family:010}", publisher=f"신문 {copy}"))
    return articles


def _pairs(db: Path) -> dict[frozenset[str], dict[str, Any]]:
    with open_database(str(db)) as database:
        return {frozenset((p["a"]["url"], p["b"]["url"])): p for p in reports.list_pairs(database, reports.DuplicateFilter())}


@cache
def _true_pairs(families: int) -> dict[frozenset[str], tuple[str, float]]:
    """Relation and Jaccard similarity of every pair with a common shingle, by brute force."""
    texts = {a.address: normalise.normalise(a.body) for a in _corpus(families)}
    shingles = {url: {n[i : i + 5] for i in range(len(n) - 4)} for url, n in texts.items()}
    pairs = {}
    for a, b in itertools.combinations(shingles, 2):
        if common := len(shingles[a] & shingles[b]):
            jaccard = common / (len(shingles[a]) + len(shingles[b]) - common)
            pairs[frozenset((a, b))] = ("exact" if texts[a] == texts[b] else "near", jaccard)
    return pairs


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8])
def test_at_least_99_percent_of_the_true_pairs_are_reported_and_no_false_pair(tmp_path: Path, machine_code: None, threshold: float) -> None:
    for article in _corpus(80):
        article.write(tmp_path / "crawl")
    db = tmp_path / "dedup.db"
    running.scan(tmp_path / "crawl", db, threshold=threshold)
    expected = {pair: truth for pair, truth in _true_pairs(80).items() if truth[1] >= threshold}
    reported = {pair: p for pair, p in _pairs(db).items() if p["relation"] in ("exact", "near")}
    assert set(reported) <= set(expected)
    assert len(reported) >= 0.99 * len(expected)
    assert len(expected) > 200
    for pair, p in reported.items():
        relation, jaccard = expected[pair]
        assert p["relation"] == relation
        assert p["similarity"] == pytest.approx(jaccard, abs=5e-5)


STORY = words(random.Random(5), 100)


def _article(n: int, body: str, **kw: Any) -> ArticleFile:
    return ArticleFile(body=body, aid=f"{n:010}", title=f"기사 {n}", **kw)


def test_revisions_of_one_page_are_never_matched_with_each_other(tmp_path: Path) -> None:
    for n in range(6):
        body = " ".join(edit_words(random.Random(n), STORY, 0.04))
        _article(1, body, crawled_at=f"2026-03-02 0{n}:00:00").write(tmp_path / "crawl", f"{n}.md")
    tally = running.scan(tmp_path / "crawl", tmp_path / "dedup.db")
    assert tally.revisions == 6
    assert tally.matches.total() == 0
    assert _pairs(tmp_path / "dedup.db") == {}


def test_a_known_text_on_a_second_page_is_matched_with_revisions_of_the_first(tmp_path: Path) -> None:
    crawl, db = tmp_path / "crawl", tmp_path / "dedup.db"
    first, second = " ".join(STORY), " ".join(edit_words(random.Random(1), STORY, 0.02))
    _article(1, first).write(crawl, "1a.md")
    running.scan(crawl, db)
    _article(1, second, crawled_at="2026-03-03 00:00:00").write(crawl, "1b.md")
    assert running.scan(crawl, db).matches.total() == 0
    _article(2, first).write(crawl, "2.md")
    running.scan(crawl, db)
    reported = _pairs(db)
    assert [p["relation"] for p in reported.values()] == ["near"]


def test_matches_of_a_text_on_two_pages_do_not_depend_on_the_order(tmp_path: Path) -> None:
    """A short report and two longer versions on one page, and the short one on another page."""
    rng = random.Random(3)
    parts = [" ".join(words(rng, 40)) for _ in range(4)]
    short, longer, longest = parts[0], " ".join(parts[:3]), " ".join(parts)
    articles = [
        _article(1, short),
        _article(1, longer, crawled_at="2026-03-03 00:00:00"),
        _article(1, longest, crawled_at="2026-03-04 00:00:00"),
        _article(2, short, crawled_at="2026-03-03 00:00:00"),
    ]
    expected: list[dict[str, Any]] | None = None
    for order in itertools.permutations(range(4)):
        folder = tmp_path / "".join(map(str, order))
        for n in order:
            articles[n].write(folder / "crawl", f"{n}.md")
            running.scan(folder / "crawl", folder / "dedup.db")
        matches = running.dump(folder / "dedup.db", "matches")
        expected = matches if expected is None else expected
        assert matches == expected, order
    assert expected is not None
    assert len(expected) == 2


@pytest.mark.system
@pytest.mark.parametrize("together", [False, True])
def test_the_quoted_share_does_not_depend_on_the_order_of_bodies(tmp_path: Path, together: bool) -> None:
    rng = random.Random(4)
    story, more = " ".join(words(rng, 60)), " ".join(words(rng, 60))
    bodies = (story, f"“{story}”", f"{story} {more}", f"“{story[:100]}”{story[100:]}")
    expected: list[dict[str, Any]] | None = None
    for order in itertools.permutations(range(4)):
        folder = tmp_path / "".join(map(str, order))
        for n in order:
            _article(n, bodies[n]).write(folder / "crawl", f"{order.index(n)}.md")
            if not together:
                running.scan(folder / "crawl", folder / "dedup.db")
        running.scan(folder / "crawl", folder / "dedup.db")
        matches = running.dump(folder / "dedup.db", "matches")
        expected = matches if expected is None else expected
        assert matches == expected, order
    assert expected is not None
    assert [(m["relation"], m["quoted_share"]) for m in expected] == [("copy", 0.0)]


def test_texts_under_min_characters_take_part_in_exact_matching_only(tmp_path: Path) -> None:
    short = "오늘의 운세 쥐띠는 서두르지 말고 소띠는 먼저 묻는다"
    for n, body in enumerate([short, short + ".", short + " 또"]):
        _article(n, body).write(tmp_path / "crawl")
    assert running.scan(tmp_path / "crawl", tmp_path / "dedup.db").matches == {"exact": 1}


def test_texts_without_letters_or_numbers_are_not_matched(tmp_path: Path) -> None:
    for n, body in enumerate(["...", "...", ""]):
        _article(n, body).write(tmp_path / "crawl")
    assert running.scan(tmp_path / "crawl", tmp_path / "dedup.db").matches.total() == 0


def _clusters(db: Path) -> list[dict[str, Any]]:
    with open_database(str(db)) as database:
        return list(reports.list_clusters(database, reports.DuplicateFilter()))


def test_the_representative_is_the_earliest_published_and_members_have_a_lag(tmp_path: Path) -> None:
    for n, minute in ((1, 30), (2, 10), (3, 50)):
        _article(n, " ".join(STORY), published_at=f"2026-03-02 09:{minute}").write(tmp_path / "crawl")
    running.scan(tmp_path / "crawl", tmp_path / "dedup.db")
    (cluster,) = _clusters(tmp_path / "dedup.db")
    assert cluster["representative"]["published_at"] == "2026-03-02T00:10:00+00:00"
    assert [(m["lag_seconds"], m["relation"]) for m in cluster["members"]] == [(1200, "exact"), (2400, "exact")]


def test_a_mismatched_article_is_not_the_representative_if_another_exists(tmp_path: Path) -> None:
    body = " ".join(STORY)
    _article(1, body, published_at="2026-03-01 09:00", claim="0" * 64).write(tmp_path / "crawl")
    _article(2, body).write(tmp_path / "crawl")
    running.scan(tmp_path / "crawl", tmp_path / "dedup.db")
    (cluster,) = _clusters(tmp_path / "dedup.db")
    assert cluster["representative"]["check_status"] == "verified"
    assert [m["check_status"] for m in cluster["members"]] == ["mismatched"]


def test_similarity_is_not_transitive(tmp_path: Path) -> None:
    """Of three texts each is near the next. The first and the last are not near each other and share no cluster."""
    parts = [words(random.Random(n), 20) for n in range(7)]
    chain = [" ".join(w for part in parts[n : n + 5] for w in part) for n in range(3)]
    for n, body in enumerate(chain):
        _article(n, body, published_at=f"2026-03-02 09:0{n}").write(tmp_path / "crawl")
    running.scan(tmp_path / "crawl", tmp_path / "dedup.db", threshold=0.6, copy_coverage=0.7)
    assert len([p for p in _pairs(tmp_path / "dedup.db").values() if p["relation"] == "near"]) == 2
    for cluster in _clusters(tmp_path / "dedup.db"):
        ends = {cluster["representative"]["title"], *(m["title"] for m in cluster["members"])}
        assert ends != {"기사 0", "기사 2"}
        if cluster["representative"]["title"] == "기사 0":
            assert [m["title"] for m in cluster["members"]] == ["기사 1"]


def test_ten_copies_are_one_star_and_forty_five_pairs(tmp_path: Path) -> None:
    for n in range(10):
        _article(n, " ".join(STORY)).write(tmp_path / "crawl")
    running.scan(tmp_path / "crawl", tmp_path / "dedup.db")
    (cluster,) = _clusters(tmp_path / "dedup.db")
    assert len(cluster["members"]) == 9
    assert len(_pairs(tmp_path / "dedup.db")) == 45


def test_only_current_revisions_are_reported(tmp_path: Path) -> None:
    crawl, db = tmp_path / "crawl", tmp_path / "dedup.db"
    _article(1, " ".join(STORY)).write(crawl)
    _article(2, " ".join(STORY)).write(crawl, "2.md")
    running.scan(crawl, db)
    other = " ".join(words(random.Random(99), 100))
    replace(_article(2, other), crawled_at="2026-03-04 00:00:00").write(crawl, "2.md")
    running.scan(crawl, db)
    assert _pairs(db) == {}


def test_all_revisions_reports_copies_of_earlier_revisions_with_their_numbers(tmp_path: Path) -> None:
    crawl, db = tmp_path / "crawl", tmp_path / "dedup.db"
    rng = random.Random(6)
    _article(1, " ".join(STORY)).write(crawl)
    _article(2, " ".join(STORY)).write(crawl, "2.md")
    running.scan(crawl, db)
    replace(_article(2, " ".join(words(rng, 100))), crawled_at="2026-03-04 00:00:00").write(crawl, "2.md")
    replace(_article(1, " ".join(edit_words(rng, STORY, 0.02))), crawled_at="2026-03-05 00:00:00").write(crawl, "1.md")
    replace(_article(1, ", ".join(STORY)), crawled_at="2026-03-06 00:00:00").write(crawl, "1b.md")
    replace(_article(1, " ".join(words(rng, 100))), crawled_at="2026-03-07 00:00:00").write(crawl, "1c.md")
    running.scan(crawl, db)
    with open_database(str(db)) as database:
        assert list(reports.list_clusters(database, reports.DuplicateFilter())) == []
        rows = list(reports.list_pairs(database, reports.DuplicateFilter(all_revisions=True)))
        stars = list(reports.list_clusters(database, reports.DuplicateFilter(all_revisions=True)))
    reported = {(p["relation"], *sorted((p[side]["url"][-1], p[side]["revision"]) for side in "ab")) for p in rows}
    assert reported == {("exact", ("1", 1), ("2", 1)), ("exact", ("1", 3), ("2", 1)), ("near", ("1", 2), ("2", 1))}
    assert len(rows) == 3, "revisions of one page with the same letters are no pair"
    assert [(s["representative"]["revision"], [m["relation"] for m in s["members"]]) for s in stars] == [
        (1, ["exact"]),
        (2, ["near"]),
        (3, ["exact"]),
    ]


# Thresholds


def _relation(jaccard: tuple[int, int], shared: int, shorter: int, longest: int, outside: int | None = None, **kw: Any) -> str | None:
    """The relation for these numbers. `jaccard`: (common, all) shingles; the others count characters."""
    common, union = jaccard
    passages = SharedPassages(shared, shared if outside is None else outside, shorter, longest)
    return MatchCriteria(DuplicatesConfig(**kw)).choose_relation(ShingleOverlap(union, common, common), passages)


@pytest.mark.parametrize(
    ("numbers", "relation"),
    [
        (((70, 100), 0, 100, 0), "near"),
        (((69, 100), 0, 100, 0), None),
        (((0, 100), 100, 200, 20), "copy"),
        (((0, 100), 99, 198, 20), None),
        (((0, 100), 99, 198, 50), "excerpt"),
        (((0, 1000), 499, 1000, 80), "excerpt"),
        (((0, 1000), 500, 1000, 20), "copy"),
        (((0, 1000), 500, 1000, 80, 100), "copy"),
        (((0, 1000), 500, 1000, 80, 99), "excerpt"),
        (((0, 1000), 500, 1000, 80, 50), "quote"),
        (((0, 1000), 500, 1000, 20, 50), "quote"),
        (((0, 1000), 500, 1000, 20, 99), None),
        (((0, 1000), 80, 320, 50), "excerpt"),
        (((0, 1000), 79, 316, 50), None),
        (((0, 1000), 80, 321, 50), None),
        (((0, 1000), 80, 320, 49), None),
        (((0, 1000), 150, 9000, 80), "excerpt"),
        (((0, 1000), 149, 9000, 149), None),
        (((0, 1000), 150, 9000, 79), None),
        (((0, 1000), 150, 9000, 80, 16), "excerpt"),
        (((0, 1000), 150, 9000, 80, 15), "quote"),
        (((0, 1000), 80, 320, 50, 0), "quote"),
        (((0, 1000), 80, 320, 49, 0), None),
        (((0, 1000), 0, 0, 0), None),
    ],
)
def test_the_first_relation_whose_thresholds_hold_is_chosen(numbers: Any, relation: str | None) -> None:
    assert _relation(*numbers) == relation


BOUNDS: list[tuple[str, Any, Any]] = [
    ("threshold", 0.71, ((70, 100), 0, 100, 0)),
    ("copy_coverage", 0.51, ((0, 100), 100, 200, 20)),
    ("copy_characters", 101, ((0, 100), 100, 200, 20)),
    ("copy_unquoted", 0.11, ((0, 1000), 500, 1000, 20, 105)),
    ("excerpt_coverage", 0.26, ((0, 1000), 80, 320, 50)),
    ("excerpt_characters", 81, ((0, 1000), 80, 320, 50)),
    ("excerpt_passage", 51, ((0, 1000), 80, 320, 50)),
    ("long_excerpt_characters", 151, ((0, 1000), 150, 9000, 80)),
    ("long_excerpt_passage", 81, ((0, 1000), 150, 9000, 80)),
]


@pytest.mark.parametrize(("key", "higher", "numbers"), BOUNDS, ids=[key for key, _, _ in BOUNDS])
def test_each_threshold_is_a_setting_and_part_of_the_recipe(key: str, higher: Any, numbers: Any) -> None:
    assert _relation(*numbers) is not None
    assert _relation(*numbers, **{key: higher}) is None
    assert MatchCriteria(DuplicatesConfig(**{key: higher})).recipe != MatchCriteria(DuplicatesConfig()).recipe


def test_every_setting_that_matches_depend_on_is_in_the_recipe() -> None:
    """Except `boilerplate_articles`: learned boilerplate is in the database."""
    others: dict[str, Any] = {"quote_share": 0.8, "min_characters": 90, "num_perm": 64, "passages": False}
    recipes = [MatchCriteria(DuplicatesConfig(**{key: value})).recipe for key, value in others.items()]
    assert len({*recipes, MatchCriteria(DuplicatesConfig()).recipe}) == len(others) + 1
    assert {key for key, _, _ in BOUNDS} | others.keys() | {"boilerplate_articles"} == DuplicatesConfig.model_fields.keys()


@pytest.mark.parametrize("korean", [True, False])
def test_assess_agrees_with_the_definitions_in_both_orders_and_for_both_kinds_of_candidates(korean: bool) -> None:
    rng = random.Random(12)
    source, matching, relations_seen = words(rng, 100, korean=korean), MatchCriteria(DuplicatesConfig()), set()
    for n in range(60):
        cut = rng.choice((rng.randint(5, 40), rng.randint(40, 100), 100))
        own_words = words(rng, rng.randint(1, 30) ** 2 // 5, korean=korean)
        copied = " ".join(edit_words(rng, source[:cut], rng.choice((0.0, 0.02, 0.1))))
        body = f"{' '.join(own_words[:9])} {'“' * (n % 3 == 0)}{copied}{'”' * (n % 3 == 0)} {' '.join(own_words[9:])}"
        sides = overlap.prepare_text(" ".join(source)), overlap.prepare_text(body)
        masks = [np.array([n % 4 == 0 and 30 <= i < 60 for i in range(len(side.points))]) for side in sides]
        orders = [(sides, masks), (sides[::-1], masks[::-1])]
        expected = relations.relation(" ".join(source), body, *({i for i, m in enumerate(mask) if m} for mask in masks))
        for (a, b), (x, y) in orders:
            for by_passages in (True, False):
                assessment = matching.assess(a, b, lambda x=x, y=y: (x, y), by_passages=by_passages)  # type: ignore[misc]
                assert assessment.relation == expected
        relations_seen.add(expected)
    assert relations_seen == {"near", "copy", "excerpt", "quote", None}


# Full buckets

BOILERPLATE = " ".join(words(random.Random(6), 90))


def _dated_copies(number: int) -> list[ArticleFile]:
    """Copies of one text with different dates."""
    return [
        _article(n, f"{BOILERPLATE} 2026년 {n % 12 + 1}월 {n % 28 + 1}일 {n:05}호", oid=f"{901 + n % 7}", publisher=f"신문 {n % 7}")
        for n in range(number)
    ]


def _scan_dated_copies(crawl: Path, db: Path, count: int = 150) -> dict[str, Any]:
    for article in _dated_copies(count):
        article.write(crawl, f"{article.aid}.md")
    running.scan(crawl, db)
    with open_database(str(db)) as database:
        return status.database_summary(database)


@pytest.mark.system
def test_every_article_of_a_full_bucket_is_matched_and_crowded_ones_are_flagged(either: str, crawl: Path, db: Path) -> None:
    status = _scan_dated_copies(crawl, db)
    pairs = _pairs(db)
    assert len({url for pair in pairs for url in pair}) == 150
    assert status["crowded"] >= 150 - 64 - 25  # not the first ones, nor those with a shared bucket that is not full
    crowded = {side["url"] for p in pairs.values() for side in (p["a"], p["b"]) if side["crowded"]}
    assert len(crowded) == status["crowded"]
    assert len(pairs) < 64 * 63 / 2 + 150 * 4  # all pairs would be 11,175


def test_crowded_articles_join_the_cluster_through_the_text_they_matched(crawl: Path, db: Path) -> None:
    """The representative was published first; the crowded articles matched another text, which was crawled first."""
    for n, article in enumerate(_dated_copies(150)):
        replace(article, published_at="2026-03-01 09:00" if n == 30 else article.published_at).write(crawl, f"{article.aid}.md")
    running.scan(crawl, db)
    with open_database(str(db)) as database:
        largest = max(reports.list_clusters(database, reports.DuplicateFilter()), key=lambda c: len(c["members"]))
    assert len(largest["members"]) == 149
    assert len([m for m in largest["members"] if m["via_url"] is not None]) > 50
    direct = {m["url"] for m in largest["members"] if m["via_url"] is None}
    assert {m["via_url"] for m in largest["members"]} - {None} <= direct
    assert all(m["crowded"] for m in largest["members"] if m["via_url"] is not None)


def test_a_match_beyond_the_first_candidates_of_a_full_bucket_is_found(
    either: str, crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedup.index.lsh.MAX_BUCKET", 1)
    monkeypatch.setattr("dedup.index.lsh.INITIAL_CANDIDATES", 0)
    for article in _corpus(20, (0, 0.01, 0.02)):  # a bucket holds only the first of a family, which matches all others
        article.write(crawl)
    running.scan(crawl, db)
    reported = _pairs(db)
    monkeypatch.undo()
    running.scan(crawl, db.with_name("whole.db"))
    whole = _pairs(db.with_name("whole.db"))
    assert reported.keys() <= whole.keys()
    assert {url for pair in reported for url in pair} == {url for pair in whole for url in pair}


def test_exact_copies_are_one_text(crawl: Path, db: Path) -> None:
    for n in range(200):
        _article(n, BOILERPLATE, oid=f"{901 + n % 7}").write(crawl, f"{n}.md")
    tally = running.scan(crawl, db)
    assert tally.matches == {"exact": 199}
    with open_database(str(db)) as database:
        assert (
            store.statistics.count(database, "texts"),
            store.statistics.count(database, "matches"),
            store.statistics.count(database, "texts", "crowded = 1"),
        ) == (1, 0, 0)


@pytest.mark.parametrize("how", ["deleted", "cut", "scribbled", "behind"])
def test_a_damaged_or_old_index_does_not_change_the_matches(tmp_path: Path, how: str) -> None:
    articles = _corpus(30)
    crawl, db, index = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "dedup.db.index"
    for article in articles[:75]:
        article.write(crawl)
    running.scan(crawl, db)
    earlier = index.read_bytes()
    for article in articles[75:110]:
        article.write(crawl)
    running.scan(crawl, db)
    if how == "deleted":
        index.unlink()
    elif how == "cut":
        index.write_bytes(index.read_bytes()[:-1000])
    elif how == "scribbled":
        damaged = bytearray(index.read_bytes())
        damaged[8192:8200] = b"scribble"
        index.write_bytes(damaged)
    else:
        index.write_bytes(earlier)
    for article in articles[110:]:
        article.write(crawl)
    running.scan(crawl, db)
    running.scan(crawl, tmp_path / "whole.db")
    assert running.dump(db) == running.dump(tmp_path / "whole.db")
    assert len(running.dump(db, "matches")) > 50


def test_a_batch_that_was_rolled_back_leaves_nothing_in_the_index(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for article in _corpus(4):
        article.write(crawl)
    with running.session(crawl, db) as session:
        monkeypatch.setattr("dedup.store.matches.insert", _fail)
        with pytest.raises(DatabaseFailedError, match="on purpose"):
            Scan(session).run()
        monkeypatch.undo()
        assert session.matcher.open_candidate_index().last_text == 0
        Scan(session).run()
    running.scan(crawl, db.with_name("other.db"))
    assert running.dump(db) == running.dump(db.with_name("other.db"))


def _fail(*_: object) -> None:
    raise sqlite3.OperationalError("on purpose")


@pytest.mark.system
@pytest.mark.parametrize("how", ["cut short", "overwritten"])
@pytest.mark.parametrize("end", [".index", ".passages"])
def test_an_index_damaged_while_it_is_mapped_is_rebuilt(crawl: Path, db: Path, end: str, how: str) -> None:
    """In a process of its own: a read beyond the end of a mapped file ends a process with SIGBUS."""
    program = f"""if True:
        import os, sys
        from pathlib import Path
        from dedup.pipeline.scanner import Scan
        from tests.builders import scans as running
        from tests.builders.crawl import ArticleFile
        crawl, db = Path({str(crawl)!r}), Path({str(db)!r})
        def write(*numbers):
            for n in numbers:
                body = f"The council of town {{n // 2}} met on Monday and spoke of bridge {{n // 2}} for long hours. " * 9
                ArticleFile(aid=str(n), body=body + f"Edition {{n}}.", claim="").write(crawl, f"{{n}}.md")
        with running.session(crawl, db) as session:
            write(0, 2, 4)
            Scan(session).run()
            path = {str(db)!r} + {end!r}
            with open(path, "r+b") as file:
                if {how!r} == "cut short":
                    file.truncate(4096)
                else:
                    file.write(b"x" * 64)
            write(1, 3, 5)
            print(Scan(session).run().matches.total())
        clean = db.with_name("clean.db")
        running.scan(crawl, clean)
        assert running.dump(db, "matches") == running.dump(clean, "matches")
    """
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 3
    assert "rebuilding it from the database" in result.stderr
