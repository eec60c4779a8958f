"""After settings change, scans are refused until `dedup reindex`, which gives the database of a clean scan."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup import errors, store
from dedup.config import PublisherAliasConfig, PublishersConfig, Settings, UrlRuleConfig, UrlsConfig
from dedup.index import passages
from dedup.maintenance.reindex import reindex_signatures, reindex_urls
from dedup.matching.matcher import Matcher
from dedup.pipeline.recipes import build_change_rules
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import build_extract_options, build_matching, open_session
from dedup.similarity import winnowing
from dedup.similarity.winnowing import recipe
from dedup.store import open_database, open_writable
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.stories import check_index, derived_rows, in_many_scripts, mixed, pairs, paper, story, wire_copy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


def _scan(settings: Settings) -> None:
    with open_session(settings, "test") as session:
        Scan(session).run()


def _with_url_rules(settings: Settings, rules: list[tuple[str, str]]) -> Settings:
    return settings.model_copy(update={"urls": UrlsConfig(rules=tuple(UrlRuleConfig(pattern=p, template=t) for p, t in rules))})


def _write_crawl(crawl: Path) -> None:
    rng = random.Random(21)
    for n in range(30):
        story_words = words(rng, 60)
        article = ArticleFile(body=" ".join(story_words), title=f"기사 {n}", aid=f"{n:010d}", url=f"https://one.example/a/{n}")
        article.write(crawl / "one")
        recrawl = replace(article, body=" ".join(edit_words(rng, story_words, 0.02)), crawled_at="2026-03-03 00:00:00")
        replace(recrawl, url=f"https://m.one.example/view?no={n}").write(crawl / "mobile")
        if n % 3 == 0:
            replace(recrawl, oid="902", url=f"https://two.example/{n}").write(crawl / "two")
        if n % 4 == 0:
            source = story(rng, 6)
            replace(article, body=source.body, oid="903", url=f"https://wire.example/{n}").write(crawl / "wire")
            copy = replace(article, body=wire_copy(rng, source), crawled_at="2026-03-05 00:00:00")
            replace(copy, url=f"https://m.one.example/view?no={n}&wire=1").write(crawl / "copies")
        if n % 5 == 0:
            replace(article, crawled_at="2026-03-04 00:00:00", url=f"https://m.one.example/view?no={n}&ref=1").write(crawl / "again")


MERGING = [("m.one.example/view?no={n:d}", "https://one.example/a/{n}")]


@pytest.mark.parametrize(("before", "after"), [([], MERGING), (MERGING, []), (MERGING, MERGING)])
def test_reindex_urls_equals_a_clean_scan_with_the_new_rules(
    tmp_path: Path, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _write_crawl(crawl)
    old, new = _with_url_rules(running.settings(crawl, db), before), _with_url_rules(running.settings(crawl, db), after)
    _scan(old)
    if before != after:
        with pytest.raises(errors.RecipeChangedError, match="dedup reindex --urls"):
            _scan(new)
    with open_writable(str(db), "reindex") as database:
        reindex_urls(
            database,
            build_extract_options(new),
            Matcher(database, build_matching(new), new.publishers.build_publishers()),
            build_change_rules(new),
        )
    _scan(_with_url_rules(running.settings(crawl, clean), after))
    assert running.dump(db) == running.dump(clean)
    _scan(new)
    assert running.dump(db) == running.dump(clean)


@pytest.mark.parametrize(
    "after",
    [{"threshold": 0.5}, {"threshold": 0.9}, {"num_perm": 64}, {"min_characters": 300}, {"passages": False}, {"copy_coverage": 0.9}],
)
def test_reindex_equals_a_clean_scan_with_the_new_settings(tmp_path: Path, after: dict[str, Any]) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _write_crawl(crawl)
    running.scan(crawl, db)
    with pytest.raises(errors.RecipeChangedError, match="dedup reindex'"):
        running.scan(crawl, db, **after)
    new = running.settings(crawl, db, **after)
    with open_writable(str(db), "reindex") as database:
        reindex_signatures(database, build_extract_options(new), Matcher(database, build_matching(new), new.publishers.build_publishers()))
    running.scan(crawl, clean, **after)
    assert running.dump(db) == running.dump(clean)


def _reindex(settings: Settings) -> dict[str, int]:
    with open_writable(settings.database.path, "reindex") as database:
        return reindex_signatures(
            database, build_extract_options(settings), Matcher(database, build_matching(settings), settings.publishers.build_publishers())
        )


def test_a_database_with_another_fingerprint_recipe_is_refused_until_reindex(crawl: Path, db: Path) -> None:
    clean = db.with_name("clean.db")
    for article in in_many_scripts(8, 6):
        article.write(crawl)
    with pytest.MonkeyPatch.context() as patch:
        weights = np.where(recipe.code_point_weights() > 0, np.uint8(recipe.NARROW_WEIGHT), np.uint8(0))
        patch.setattr(recipe, "code_point_weights", lambda: weights)
        patch.setattr(winnowing, "RECIPE", "winnow/by letters")
        patch.setattr(passages, "_RECIPE_DIGEST", bytes(16))
        running.scan(crawl, db)
    running.scan(crawl, clean)
    assert derived_rows(db)["passages"] != derived_rows(clean)["passages"]
    before = running.dump(db)
    with pytest.raises(errors.RecipeChangedError, match=r"winnow/by letters.*dedup reindex'"):
        running.scan(crawl, db)
    assert running.dump(db) == before
    _reindex(running.settings(crawl, db))
    assert running.dump(db) == running.dump(clean)
    assert derived_rows(db) == derived_rows(clean)
    for path in (db, clean):
        with running.session(crawl, path) as session:
            check_index(session, [t.body for t in store.texts.all_with_body(session.database)])


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_reindex_without_changed_settings_changes_nothing(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("dedup.maintenance.reindex.CHUNK", chunk)
    for n, body in enumerate(mixed(random.Random(31), 2)):
        paper(n, body).write(crawl)
    running.scan(crawl, db, boilerplate_articles=0)
    before, derived_before = running.dump(db), derived_rows(db)
    counts = _reindex(running.settings(crawl, db, boilerplate_articles=0))
    assert counts["matches"] == len([row for row in before if row["table"] == "matches"]) > 20
    assert running.dump(db) == before
    assert derived_rows(db) == derived_before
    paper(99, next(t for t in mixed(random.Random(31), 2))[40:]).write(crawl)
    running.scan(crawl, db, boilerplate_articles=0)
    running.scan(crawl, db.with_name("clean.db"), boilerplate_articles=0)
    assert running.dump(db) == running.dump(db.with_name("clean.db")), "the indexes are correct"


def _articles_with_tails() -> list[ArticleFile]:
    """Articles of three publishers, each with its own tail: own stories and wire copy."""
    rng = random.Random(32)
    tails = [story(rng, 3).body for _ in range(3)]
    wire = [story(rng, 7) for _ in range(3)]
    articles = []
    for n in range(27):
        publisher = n % 3
        body = wire_copy(rng, wire[n // 3 % 3], endings=0.3) if n >= 15 else story(rng, 5).body
        articles.append(paper(n, f"{body} {tails[publisher]}", publisher=f"신문 {publisher}"))
    return articles


def test_after_reindex_no_pair_depends_on_boilerplate(crawl: Path, db: Path) -> None:
    articles = _articles_with_tails()
    for article in articles:
        article.write(crawl)
    running.scan(crawl, db)
    with open_database(str(db)) as database:
        learned = store.boilerplate.list_passages(database)
    assert [row.publisher for row in learned] == ["신문 0", "신문 1", "신문 2"]
    masks = {
        a.address: relations.masked_by(a.body, [row.passage for row in learned if row.publisher == a.publisher]) for a in articles
    }  # fmt: skip
    assert all(masks.values())
    expected = {frozenset(pair): r for pair, r in relations.bundled({a.address: a.body for a in articles}, masks=masks).items()}
    before = pairs(db)
    assert [pair for pair in before if pair not in expected], "matches from before the tails were learned stay until reindex"
    _reindex(running.settings(crawl, db))
    after = pairs(db)
    assert {pair: p["relation"] for pair, p in after.items()} == expected
    assert len(expected) > 20
    bodies = {a.address: a for a in articles}
    for pair, p in list(after.items())[:8]:
        a, b = (bodies[url] for url in pair)
        n = relations.numbers(a.body, b.body, masks[a.address], masks[b.address])
        assert (p["shared_characters"], p["longest_passage"], p["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
        assert set(p["masked_boilerplate"]) == {row.name for row in learned if row.publisher in (a.publisher, b.publisher)}
    with open_database(str(db)) as database:
        assert store.boilerplate.list_passages(database) == learned
    tables = derived_rows(db)
    _reindex(running.settings(crawl, db))
    assert derived_rows(db) == tables, "reindex is idempotent"


def test_reindex_applies_new_aliases_of_publishers(crawl: Path, db: Path) -> None:
    """Boilerplate that was learned under one name of a publisher is masked under its other name."""
    articles = [replace(a, publisher=f"{a.publisher}{'' if n < 15 else ' 스포츠'}") for n, a in enumerate(_articles_with_tails())]
    for article in articles:
        article.write(crawl)
    running.scan(crawl, db)
    aliases = tuple(PublisherAliasConfig(name=f"신문 {n}", names=(f"신문 {n} 스포츠",)) for n in range(3))
    settings = running.settings(crawl, db).model_copy(update={"publishers": PublishersConfig(aliases=aliases)})
    _reindex(settings)
    with open_database(str(db)) as database:
        assert {
            store.publishers.name(database, store.passages.publisher(database, text) or 0)
            for text, _ in store.passages.all_fingerprints(database)
        } == {f"신문 {n}" for n in range(3)}
    publisher_of = {row.address: row.publisher.removesuffix(" 스포츠") for row in articles}
    masked_by_side = [(publisher_of[side["url"]], p["masked_boilerplate"]) for p in pairs(db).values() for side in (p["a"], p["b"])]
    assert len(masked_by_side) > 40
    assert all(names for _, names in masked_by_side)


def test_boilerplate_learned_during_reindex_is_masked_in_all_texts(tmp_path: Path) -> None:
    crawl, db = tmp_path / "crawl", tmp_path / "dedup.db"
    rng = random.Random(22)
    tail = "".join(words(rng, 60))
    for n in range(8):
        ArticleFile(body=" ".join(words(rng, 90)) + " " + tail, title=f"기사 {n}", aid=f"{n:010d}").write(crawl)
    running.scan(crawl, db, boilerplate_articles=0)
    assert len(running.dump(db, "matches")) > 20
    new = running.settings(crawl, db)
    with open_writable(str(db), "reindex") as database:
        counts = reindex_signatures(
            database, build_extract_options(new), Matcher(database, build_matching(new), new.publishers.build_publishers())
        )
        assert len(store.boilerplate.list_passages(database)) == 1
    assert (counts, running.dump(db, "matches")) == ({"texts": 8, "matches": 0, "failed": 0}, [])
    running.scan(crawl, db)
