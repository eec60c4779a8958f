"""Reindexing gives what a clean scan by the new settings would have given; until then scanning refuses."""

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
from dedup.scan.recipes import build_change_rules
from dedup.scan.scanner import Scan
from dedup.scan.session import build_extract_options, build_matching, open_session
from dedup.similarity import winnowing
from dedup.similarity.winnowing import recipe
from dedup.store import open_database, open_writable
from tests.builders import relations
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.stories import check_index, derived, in_many_scripts, mixed, pairs, paper, story, wire_copy

pytestmark = pytest.mark.usefixtures("machine_code")


def _scan(settings: Settings) -> None:
    with open_session(settings, "test") as session:
        Scan(session).run()


def _with_rules(settings: Settings, rules: list[tuple[str, str]]) -> Settings:
    return settings.model_copy(update={"urls": UrlsConfig(rules=tuple(UrlRuleConfig(pattern=p, template=t) for p, t in rules))})


def _fill(crawl: Path) -> None:
    rng = random.Random(21)
    for n in range(30):
        flat = words(rng, 60)
        article = ArticleFile(body=" ".join(flat), title=f"기사 {n}", aid=f"{n:010d}", url=f"https://one.example/a/{n}")
        article.write(crawl / "one")
        edit = replace(article, body=" ".join(edited(rng, flat, 0.02)), crawled_at="2026-03-03 00:00:00")
        replace(edit, url=f"https://m.one.example/view?no={n}").write(crawl / "mobile")
        if n % 3 == 0:
            replace(edit, oid="902", url=f"https://two.example/{n}").write(crawl / "two")
        if n % 4 == 0:
            source = story(rng, 6)
            replace(article, body=source.body, oid="903", url=f"https://wire.example/{n}").write(crawl / "wire")
            copy = replace(article, body=wire_copy(rng, source), crawled_at="2026-03-05 00:00:00")
            replace(copy, url=f"https://m.one.example/view?no={n}&wire=1").write(crawl / "copies")
        if n % 5 == 0:
            replace(article, crawled_at="2026-03-04 00:00:00", url=f"https://m.one.example/view?no={n}&ref=1").write(crawl / "again")


MERGING = [("m.one.example/view?no={n:d}", "https://one.example/a/{n}")]


@pytest.mark.parametrize(("before", "after"), [([], MERGING), (MERGING, []), (MERGING, MERGING)])
def test_regrouping_gives_what_a_clean_scan_by_the_new_rules_gives(
    tmp_path: Path, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _fill(crawl)
    old, new = _with_rules(running.settings(crawl, db), before), _with_rules(running.settings(crawl, db), after)
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
    _scan(_with_rules(running.settings(crawl, clean), after))
    assert running.dump(db) == running.dump(clean)
    _scan(new)
    assert running.dump(db) == running.dump(clean)


@pytest.mark.parametrize(
    "after",
    [{"threshold": 0.5}, {"threshold": 0.9}, {"num_perm": 64}, {"min_characters": 300}, {"passages": False}, {"copy_coverage": 0.9}],
)
def test_signing_again_gives_what_a_clean_scan_by_the_new_settings_gives(tmp_path: Path, after: dict[str, Any]) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _fill(crawl)
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


def test_a_database_whose_keys_were_chosen_in_another_way_is_refused_until_they_are_chosen_again(crawl: Path, db: Path) -> None:
    clean = db.with_name("clean.db")
    for article in in_many_scripts(8, 6):
        article.write(crawl)
    with pytest.MonkeyPatch.context() as earlier:
        weights = np.where(recipe.code_point_weights() > 0, np.uint8(recipe.NARROW_WEIGHT), np.uint8(0))
        earlier.setattr(recipe, "code_point_weights", lambda: weights)
        earlier.setattr(winnowing, "RECIPE", "winnow/by letters")
        earlier.setattr(passages, "_RECIPE_DIGEST", bytes(16))
        running.scan(crawl, db)
    running.scan(crawl, clean)
    assert derived(db)["passages"] != derived(clean)["passages"]
    before = running.dump(db)
    with pytest.raises(errors.RecipeChangedError, match=r"winnow/by letters.*dedup reindex'"):
        running.scan(crawl, db)
    assert running.dump(db) == before
    _reindex(running.settings(crawl, db))
    assert running.dump(db) == running.dump(clean)
    assert derived(db) == derived(clean)
    for path in (db, clean):
        with running.session(crawl, path) as session:
            check_index(session, [t.body for t in store.texts.all_with_body(session.database)])


@pytest.mark.parametrize("chunk", [1, 7, 500])
def test_matching_again_gives_what_a_clean_scan_gives(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr("dedup.maintenance.reindex.CHUNK", chunk)
    for n, body in enumerate(mixed(random.Random(31), 2)):
        paper(n, body).write(crawl)
    running.scan(crawl, db, boilerplate_articles=0)
    before, tables = running.dump(db), derived(db)
    counts = _reindex(running.settings(crawl, db, boilerplate_articles=0))
    assert counts["matches"] == len([row for row in before if row["table"] == "matches"]) > 20
    assert running.dump(db) == before
    assert derived(db) == tables
    paper(99, next(t for t in mixed(random.Random(31), 2))[40:]).write(crawl)
    running.scan(crawl, db, boilerplate_articles=0)
    running.scan(crawl, db.with_name("clean.db"), boilerplate_articles=0)
    assert running.dump(db) == running.dump(db.with_name("clean.db")), "the indexes hold what they should"


def _with_tails() -> list[ArticleFile]:
    """Three papers, each with its tail of three sentences, that ran stories of their own and of an agency's."""
    rng = random.Random(32)
    tails = [story(rng, 3).body for _ in range(3)]
    wire = [story(rng, 7) for _ in range(3)]
    found = []
    for n in range(27):
        house = n % 3
        body = wire_copy(rng, wire[n // 3 % 3], endings=0.3) if n >= 15 else story(rng, 5).body
        found.append(paper(n, f"{body} {tails[house]}", publisher=f"신문 {house}"))
    return found


def test_after_learning_no_pair_rests_on_boilerplate(crawl: Path, db: Path) -> None:
    articles = _with_tails()
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
    assert [pair for pair in before if pair not in expected], "what was matched before it was known stays until then"
    _reindex(running.settings(crawl, db))
    found = pairs(db)
    assert {pair: p["relation"] for pair, p in found.items()} == expected
    assert len(expected) > 20
    bodies = {a.address: a for a in articles}
    for pair, p in list(found.items())[:8]:
        a, b = (bodies[url] for url in pair)
        n = relations.numbers(a.body, b.body, masks[a.address], masks[b.address])
        assert (p["shared_characters"], p["longest_passage"], p["coverage"]) == (n.shared, n.passage, round(n.coverage, 4))
        assert set(p["masked_boilerplate"]) == {row.name for row in learned if row.publisher in (a.publisher, b.publisher)}
    with open_database(str(db)) as database:
        assert store.boilerplate.list_passages(database) == learned
    tables = derived(db)
    _reindex(running.settings(crawl, db))
    assert derived(db) == tables, "once more changes nothing"


def test_other_names_of_a_house_are_applied_by_matching_again(crawl: Path, db: Path) -> None:
    """Articles under two names of one house, of which each masks from then on what was learned of the other."""
    articles = [replace(a, publisher=f"{a.publisher}{'' if n < 15 else ' 스포츠'}") for n, a in enumerate(_with_tails())]
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
    known = {row.address: row.publisher.removesuffix(" 스포츠") for row in articles}
    masked = [(known[side["url"]], p["masked_boilerplate"]) for p in pairs(db).values() for side in (p["a"], p["b"])]
    assert len(masked) > 40
    assert all(names for _, names in masked)


def test_what_is_learned_while_matching_again_counts_for_those_before_too(tmp_path: Path) -> None:
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
