"""Stored summaries and clusters: incremental updates equal a computation from scratch, and no dirty page is forgotten."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dedup import reports, store
from dedup.config import load
from dedup.maintenance import summaries
from dedup.maintenance.summaries import update_summaries
from dedup.store import open_database, open_writable
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import watching
from tests.builders.summaries import CONFIG, crawls, recompute_clusters

pytestmark = pytest.mark.slow


def stored_members(folder: Path) -> dict[str, Any]:
    """URL of the representative → stored members of the cluster."""
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        members: dict[str, set[tuple[Any, ...]]] = {}
        select = (
            "SELECT c.url, p.url, m.relation, m.similarity, m.coverage, m.via_text_id FROM cluster_members m"
            " JOIN pages c ON c.id = m.cluster_id JOIN pages p ON p.id = m.page_id"
        )
        for url, *row in db.execute(select):
            members.setdefault(url, set()).add(tuple(row))
        assert {url for (url,) in db.execute("SELECT p.url FROM clusters c JOIN pages p ON p.id = c.page_id")} == members.keys()
        return members


def stored_rows(folder: Path) -> set[tuple[Any, ...]]:
    """Every summary and every cluster, without surrogate keys."""
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        assert db.execute("SELECT (SELECT count(*) FROM dirty_pages) + (SELECT count(*) FROM dirty_texts)").fetchone() == (0,)
        articles = {("article", *r) for r in db.execute("SELECT * FROM articles")}
        return articles | {("cluster", *r) for r in db.execute("SELECT * FROM cluster_details")}


def counts_of_histories(folder: Path) -> dict[str, tuple[Any, ...]]:
    """URL → (first crawl, last crawl, revisions, crawls, changes) of `page_history`."""
    counts = {}
    settings = load(str(folder / "config.toml")).settings
    with open_database(str(folder / "dedup.db")) as database:
        urls = [r[0] for r in database.rows("SELECT url FROM pages WHERE current_sighting_id IS NOT NULL")]
        for url in urls:
            history = reports.page_history(database, reports.find_page(database, settings.urls.build_canonicaliser(), url, None))
            crawls = sorted({(t["crawled_at"], t["revision"]) for t in history["timeline"] if t["status"] == "counted"})
            counts[url] = (crawls[0][0], crawls[-1][0], len(history["revisions"]), len(crawls), len(history["changes"]))
    return counts


@pytest.mark.parametrize("at_once", [1, 7, 2000])
@pytest.mark.parametrize("seed", range(2))
def test_incremental_summaries_equal_summaries_computed_from_scratch(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, seed: int
) -> None:
    monkeypatch.setattr(summaries, "PAGES_PER_BATCH", at_once)
    rng = random.Random(seed)
    articles = crawls(rng, 24)
    for step in range(5):
        for _ in range(rng.choice((1, 5, 20))):
            article = next(articles)
            article.write(folder / "crawl" / f"{step}", f"{rng.randrange(30)}.md")
        assert run(folder, "scan").code == 0
        assert stored_members(folder) == recompute_clusters(folder)
        incremental = stored_rows(folder)
        article_rows = {r[1]: r for r in incremental if r[0] == "article"}
        history = counts_of_histories(folder)
        assert article_rows.keys() == history.keys()
        for url, row in article_rows.items():
            assert (row[5], row[6], row[9], row[10], row[11]) == history[url], url
        assert run(folder, "reindex", "--summaries").code == 0
        assert stored_rows(folder) == incremental
    assert any(stored_members(folder).values())


def test_summaries_hold_the_cluster_role(folder: Path) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n in range(3):
        ArticleFile(body=body, aid=f"{n:010}", oid=f"{901 + n}", publisher=f"신문 {n}", published_at=f"2026-03-02 09:{n}0").write(
            folder / "crawl"
        )
    ArticleFile(body=" ".join(words(random.Random(2), 80)), aid=f"{9:010}").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        assert db.execute("SELECT cluster_role, count(*) FROM summaries GROUP BY 1 ORDER BY 1").fetchall() == [
            ("alone", 1),
            ("member", 2),
            ("representative", 1),
        ]
        row = db.execute("SELECT size, publishers, exact, near, copy, first_hour_articles FROM clusters").fetchone()
    assert row == (3, 3, 2, 0, 0, 3)


@pytest.mark.parametrize(
    ("between", "first_hour"), [(30, 3), (60, 2), (61, 1)], ids=["all within an hour", "one at the hour's end", "none within the hour"]
)
def test_the_first_hour_is_counted_from_the_first_publication(folder: Path, between: int, first_hour: int) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n in range(3):
        at = 9 * 60 + n * between
        ArticleFile(body=body, aid=f"{n:010}", oid=f"{901 + n}", published_at=f"2026-03-02 {at // 60:02}:{at % 60:02}").write(
            folder / "crawl"
        )
    assert run(folder, "scan").code == 0
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        assert db.execute("SELECT first_hour_articles FROM clusters").fetchone() == (first_hour,)


def test_reindex_applies_new_aliases_to_summaries(folder: Path) -> None:
    ArticleFile(publisher="한빛").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    (folder / "config.toml").write_text(CONFIG + '[publishers]\naliases = [{ name = "한빛일보", names = ["한빛"] }]\n')
    assert "run 'dedup reindex' first" in run(folder, "scan").err
    assert run(folder, "reindex").code == 0
    assert run(folder, "scan").code == 0
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        assert db.execute("SELECT publisher FROM summaries").fetchall() == [("한빛일보",)]


def test_the_next_scan_updates_summaries_that_a_killed_process_left_dirty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    articles = crawls(rng, 12)
    for n in range(30):
        next(articles).write(folder / "crawl", f"{n}.md")
    with monkeypatch.context() as patch:
        patch.setattr(summaries, "update_all_summaries", lambda *_: 0)
        assert run(folder, "scan").code == 0
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        assert db.execute("SELECT count(*) FROM dirty_pages").fetchone()[0] > 0
    assert run(folder, "status", "--format", "json").json()["dirty_pages"] > 0
    assert run(folder, "scan").code == 0
    assert run(folder, "status", "--format", "json").json()["dirty_pages"] == 0
    assert stored_members(folder) == recompute_clusters(folder)


def test_merged_pages_leave_no_summaries_behind(folder: Path) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n, query in enumerate(("a", "b")):
        ArticleFile(body=body, url=f"https://paper.example/{n}?x={query}", oid="", aid="").write(folder / "crawl", f"{n}.md")
        ArticleFile(body=body, url=f"https://other.example/1?x={query}", oid="", aid="", crawled_at=f"2026-03-02 0{n}:30:00").write(
            folder / "crawl", f"o{n}.md"
        )
    assert run(folder, "scan").code == 0
    (folder / "config.toml").write_text(CONFIG + '[[urls.rules]]\npattern = "other.example/{n}"\ntemplate = "https://other.example/{n}"\n')
    assert run(folder, "reindex", "--urls").code == 0
    assert run(folder, "scan").code == 0
    assert stored_members(folder) == recompute_clusters(folder)
    assert {r[1] for r in stored_rows(folder)} == counts_of_histories(folder).keys()
    assert run(folder, "doctor").code == 0


def test_updating_summaries_is_atomic(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    articles = crawls(random.Random(4), 12)
    for n in range(20):
        next(articles).write(folder / "crawl", f"{n}.md")
    settings = load(str(folder / "config.toml")).settings
    settings = settings.model_copy(update={"database": settings.database.model_copy(update={"path": str(folder / "dedup.db")})})
    with monkeypatch.context() as patch:
        patch.setattr(summaries, "update_all_summaries", lambda *_: 0)
        assert run(folder, "scan").code == 0

    def fail(*_: Any) -> None:
        raise RuntimeError("as if killed")

    with open_writable(settings.database.path, "test") as database:
        dirty = store.statistics.count(database, "dirty_pages")
        with monkeypatch.context() as patch:
            patch.setattr(summaries, "_update_clusters", fail)
            with pytest.raises(RuntimeError, match="as if killed"):
                update_summaries(database, settings, 100)
        assert (store.statistics.count(database, "dirty_pages"), store.statistics.count(database, "summaries")) == (dirty, 0)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_an_interrupted_update_leaves_everything_dirty(folder: Path, steps: int) -> None:
    articles = crawls(random.Random(6), 12)
    for n in range(60):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    settings = load(str(folder / "config.toml")).settings
    with open_writable(str(folder / "dedup.db"), "test") as database:
        with database.transaction() as transaction:
            store.summaries.delete_all(transaction)
        dirty, stops = store.statistics.count(database, "dirty_pages"), iter([False] * steps)
        assert update_summaries(database, settings, 1000, lambda: next(stops, True)) == 0
        assert [store.statistics.count(database, t) for t in ("dirty_pages", "summaries", "clusters")] == [dirty, 0, 0]
        assert database.lock.activity == ""
        assert update_summaries(database, settings, 1000, lambda: False) == dirty


def test_an_update_checks_for_a_stop_before_it_starts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    settings, summarised_pages = load(str(folder / "config.toml")).settings, []
    monkeypatch.setattr(summaries, "_summarise_pages", lambda _, __, pages: summarised_pages.append(pages))
    with open_writable(str(folder / "dedup.db"), "test") as database:
        with database.transaction() as transaction:
            store.summaries.mark_all_dirty(transaction)
        assert update_summaries(database, settings, 100, lambda: True) == 0
    assert summarised_pages == []


def test_the_activity_is_cleared_after_an_update(folder: Path) -> None:
    ArticleFile().write(folder / "crawl")
    assert run(folder, "scan").code == 0
    settings = load(str(folder / "config.toml")).settings
    with open_writable(str(folder / "dedup.db"), "test") as database:
        with database.transaction() as transaction:
            store.summaries.mark_all_dirty(transaction)
        assert update_summaries(database, settings, 100) == 1
        assert database.lock.activity == ""


def test_doctor_finds_and_repairs_wrong_summaries(folder: Path) -> None:
    articles = crawls(random.Random(5), 12)
    for n in range(40):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    before = stored_rows(folder)
    with closing(sqlite3.connect(folder / "dedup.db")) as db:
        db.execute("DELETE FROM summaries WHERE page_id = (SELECT min(page_id) FROM summaries)")
        db.execute("UPDATE clusters SET size = size + 1 WHERE page_id = (SELECT min(page_id) FROM clusters)")
        db.commit()
    result = run(folder, "doctor")
    assert result.code == 1
    assert "pages without a summary" in result.out
    assert "clusters whose size does not match" in result.out
    assert run(folder, "doctor", "--repair").code == 0
    assert stored_rows(folder) == before


def test_a_cluster_without_its_representative_gets_another_one(folder: Path) -> None:
    body = " ".join(words(random.Random(1), 80))
    for n in range(3):
        ArticleFile(body=body, aid=f"{n:010}", published_at=f"2026-03-02 09:{n}0").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert len(stored_members(folder)["https://n.news.naver.com/mnews/article/901/0000000000"]) == 2
    ArticleFile(body=" ".join(words(random.Random(2), 80)), aid=f"{0:010}", crawled_at="2026-03-03 00:30:00").write(
        folder / "crawl" / "later"
    )
    assert run(folder, "scan").code == 0
    assert stored_members(folder) == recompute_clusters(folder)
    assert len(stored_members(folder)["https://n.news.naver.com/mnews/article/901/0000000001"]) == 1


@pytest.mark.system
def test_a_daemon_updates_summaries_when_idle(crawl: Path, db: Path) -> None:
    ArticleFile(aid=f"{0:010}").write(crawl)
    with watching(crawl, db) as daemon:
        for n in range(1, 4):
            ArticleFile(aid=f"{n:010}").write(crawl)
        daemon.wait_until(lambda: _summary_counts(db) == (4, 0))
        assert daemon.leave() == 0


def _summary_counts(db: Path) -> tuple[int, int]:
    with open_database(str(db)) as database:
        return store.statistics.count(database, "summaries"), store.statistics.count(database, "dirty_pages")
