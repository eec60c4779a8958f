"""Lists of pages and clusters, compared with the same results computed without paging."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from dedup import reports, store
from dedup.reports import DuplicateFilter
from dedup.store import Database, open_database
from dedup.store.lists import ClusterFilter, ClusterOrder, PageFilter, PageOrder
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, edit_words, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listing")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    rng = random.Random(7)
    for group in range(6):
        text = words(rng, 80)
        for n in range(rng.randrange(1, 7)):
            page = group * 10 + n
            article = ArticleFile(
                body=" ".join(edit_words(rng, text, rng.choice((0.0, 0.02)))),
                title=f"제목 {page}", oid=f"{901 + page % 4}", aid=f"{page:010}",
                publisher=f"신문 {page % 4}", published_at=f"2026-03-02 {rng.randrange(9, 14):02}:{rng.randrange(60):02}" if n != 3 else "",
                crawled_at=f"2026-03-02 {5 + page % 3:02}:00:00",
            )  # fmt: skip
            article.write(folder / "crawl" / "1")
            if n % 3 == 0:
                later = replace(article, body=article.body + " 덧붙인 12명의 말이다.", crawled_at=f"2026-03-03 0{page % 3}:30:00")
                replace(later, claim="0" * 64 if n else None).write(folder / "crawl" / "2")
    assert run(folder, "scan").code == 0
    return folder


@contextmanager
def open_folder(folder: Path) -> Iterator[Database]:
    with open_database(str(folder / "dedup.db")) as database:
        yield database


@pytest.mark.parametrize("order", get_args(PageOrder))
@pytest.mark.parametrize(
    "page_filter",
    [PageFilter(), PageFilter(publisher="신문 1"), PageFilter(cluster_role="member"), PageFilter(check_status="mismatched"),
     PageFilter(edited=True), PageFilter(since="2026-03-02T06:00:00+00:00"), PageFilter(until="2026-03-03T00:00:00+00:00")],
)  # fmt: skip
def test_paging_through_pages_gives_every_page_that_passes_the_filter_in_order(
    folder: Path, order: PageOrder, page_filter: PageFilter
) -> None:
    column = {"crawled": "last_crawled_at", "arrived": "first_crawled_at", "edited": "changes"}[order]
    at = "first_crawled_at" if order == "arrived" else "last_crawled_at"
    with open_folder(folder) as database:
        all_pages = store.lists.list_pages(database, PageFilter(), "crawled", None, 1000)
        assert {p.url for p in all_pages} == {u for (u,) in database.rows("SELECT url FROM pages")}
        expected = [
            p
            for p in all_pages
            if (page_filter.publisher in (None, p.publisher))
            and page_filter.cluster_role in (None, p.cluster_role)
            and page_filter.check_status in (None, p.check_status)
            and (p.changes > 0 or not (page_filter.edited or order == "edited"))
            and (page_filter.since is None or getattr(p, at) >= page_filter.since)
            and (page_filter.until is None or getattr(p, at) < page_filter.until)
        ]
        listed: list[Any] = []
        cursor = None
        while rows := store.lists.list_pages(database, page_filter, order, cursor, 3):
            listed += rows
            cursor = (getattr(rows[-1], column), rows[-1].url)
    assert sorted(p.url for p in listed) == sorted(p.url for p in expected)
    values = [getattr(p, column) for p in listed]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("order", get_args(ClusterOrder))
def test_paging_through_clusters_gives_the_clusters_of_duplicates_in_order(folder: Path, order: ClusterOrder) -> None:
    column = {"newest": "last_joined_at", "largest": "size", "widest": "publishers", "fastest": "first_hour_articles"}[order]
    with open_folder(folder) as database:
        expected = {c["representative"]["url"]: c for c in reports.list_clusters(database, DuplicateFilter())}
        listed: list[Any] = []
        cursor = None
        while rows := store.lists.list_clusters(database, ClusterFilter(), order, cursor, 2):
            listed += rows
            cursor = (getattr(rows[-1], column), rows[-1].url)
        assert len(expected) >= 3
        assert sorted(c.url for c in listed) == sorted(expected)
        values = [getattr(c, column) for c in listed]
        assert values == sorted(values, reverse=True)
        for c in listed:
            members = expected[c.url]["members"]
            counts = [sum(m["relation"] == r for m in members) for r in ("exact", "near", "copy")]
            assert (c.size, c.exact, c.near, c.copy) == (len(members) + 1, *counts)
            assert c.publishers == len({m["publisher"] for m in members} | {expected[c.url]["representative"]["publisher"]})


@pytest.mark.parametrize(
    ("cluster_filter", "fits"),
    [(ClusterFilter(publisher="신문 2"), lambda c: "신문 2" in c["publishers"]),
     (ClusterFilter(relation="exact"), lambda c: "exact" in c["relations"]),
     (ClusterFilter(min_size=4), lambda c: c["size"] >= 4), (ClusterFilter(across_publishers=True), lambda c: len(c["publishers"]) > 1)],
    ids=["publisher", "relation", "size", "across"],
)  # fmt: skip
def test_clusters_can_be_filtered(folder: Path, cluster_filter: ClusterFilter, fits: Any) -> None:
    with open_folder(folder) as database:
        by_url = {}
        for c in reports.list_clusters(database, DuplicateFilter()):
            articles = [c["representative"], *c["members"]]
            by_url[c["representative"]["url"]] = {
                "publishers": {a["publisher"] for a in articles}, "relations": {m["relation"] for m in c["members"]}, "size": len(articles),
            }  # fmt: skip
        expected = {url for url, c in by_url.items() if fits(c)}
        assert {c.url for c in store.lists.list_clusters(database, cluster_filter, "newest", None, 100)} == expected
        assert expected


def test_paging_through_members_gives_the_cluster_in_order_of_publication(folder: Path) -> None:
    with open_folder(folder) as database:
        for c in reports.list_clusters(database, DuplicateFilter()):
            cluster = store.pages.get_by_url(database, c["representative"]["url"])
            assert cluster is not None
            listed: list[Any] = []
            cursor = None
            while rows := store.lists.cluster_members(database, cluster, cursor, 2):
                listed += rows
                cursor = (rows[-1].published_at or rows[-1].first_crawled_at, rows[-1].url)
            assert {(m.url, m.relation, round(m.similarity, 4), round(m.coverage, 4)) for m in listed if m.relation} == {
                (m["url"], m["relation"], m["similarity"], m["coverage"]) for m in c["members"]
            }
            assert [m.url for m in listed if not m.relation] == [c["representative"]["url"]]
            assert [m.published_at or m.first_crawled_at for m in listed] == sorted(m.published_at or m.first_crawled_at for m in listed)
            assert [p.published_at for p in store.statistics.publications(database, cluster)] == sorted(
                m.published_at for m in listed if m.published_at
            )
            assert c["representative"]["url"] in {
                x.url for m in listed for x in store.lists.clusters_of_page(database, store.pages.get_by_url(database, m.url) or 0)
            }


def test_arrivals_are_counted_by_the_hour_of_the_first_crawl(folder: Path) -> None:
    with open_folder(folder) as database:
        all_pages = store.lists.list_pages(database, PageFilter(), "arrived", None, 1000)
        rows = store.lists.arrivals_by_hour(database, "2026-03-02T00:00:00+00:00", "2026-03-03T00:00:00+00:00")
        assert {h: (n, c) for h, n, c in rows} == {
            hour: (len(arrivals), sum(p.cluster_role == "member" for p in arrivals))
            for hour in {p.first_crawled_at[:13] for p in all_pages}
            for arrivals in [[p for p in all_pages if p.first_crawled_at[:13] == hour]]
        }
        growing = store.lists.growing_clusters(database, "2026-03-02T06:00:00+00:00", 100)
        assert growing
        for cluster, number in growing:
            page = store.pages.get_by_url(database, cluster.url)
            assert page is not None
            assert number == sum(
                m.first_crawled_at >= "2026-03-02T06:00:00+00:00" for m in store.lists.cluster_members(database, page, None, 100)
            )


def test_mismatches_are_counted_by_publisher_and_listed(folder: Path) -> None:
    with open_folder(folder) as database:
        mismatched_pages = store.lists.list_pages(database, PageFilter(check_status="mismatched"), "crawled", None, 1000)
        counts = {(h, c, w): n for h, c, w, n in store.lists.checks_by_publisher(database) if c == "mismatched"}
        assert sum(counts.values()) == len(mismatched_pages)
        assert counts == {
            key: sum((p.publisher, p.check_status, p.check_cause) == key for p in mismatched_pages)
            for key in {(p.publisher, p.check_status, p.check_cause) for p in mismatched_pages}
        }
        listed: list[Any] = []
        cursor = None
        while rows := store.lists.mismatches(database, None, None, cursor, 1):
            listed += rows
            cursor = (rows[-1].crawled_at, rows[-1].url)
        assert [c.crawled_at for c in listed] == sorted((c.crawled_at for c in listed), reverse=True)
        assert {c.url for c in listed} == {p.url for p in mismatched_pages}
        assert {c.url for c in store.lists.mismatches(database, listed[0].check_cause, listed[0].publisher, None, 100)} == {
            c.url for c in listed if (c.check_cause, c.publisher) == (listed[0].check_cause, listed[0].publisher)
        }


def test_publishers_lists_the_publisher_of_every_page(folder: Path) -> None:
    with open_folder(folder) as database:
        assert store.lists.publishers(database) == ["신문 0", "신문 1", "신문 2", "신문 3"]
