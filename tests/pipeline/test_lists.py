"""Lists of pages and clusters: what they hold against everything worked out at once, and that pieces of them make the whole."""

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
from tests.builders.crawl import ArticleFile, edited, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listing")
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    rng = random.Random(7)
    for group in range(6):
        text = words(rng, 80)
        for n in range(rng.randrange(1, 7)):
            page = group * 10 + n
            made = ArticleFile(
                body=" ".join(edited(rng, text, rng.choice((0.0, 0.02)))), title=f"제목 {page}", oid=f"{901 + page % 4}", aid=f"{page:010}",
                publisher=f"신문 {page % 4}", published_at=f"2026-03-02 {rng.randrange(9, 14):02}:{rng.randrange(60):02}" if n != 3 else "",
                crawled_at=f"2026-03-02 {5 + page % 3:02}:00:00",
            )  # fmt: skip
            made.write(folder / "crawl" / "1")
            if n % 3 == 0:
                later = replace(made, body=made.body + " 덧붙인 12명의 말이다.", crawled_at=f"2026-03-03 0{page % 3}:30:00")
                replace(later, claim="0" * 64 if n else None).write(folder / "crawl" / "2")
    assert run(folder, "scan").code == 0
    return folder


@contextmanager
def listing(folder: Path) -> Iterator[Database]:
    with open_database(str(folder / "dedup.db")) as database:
        yield database


@pytest.mark.parametrize("order", get_args(PageOrder))
@pytest.mark.parametrize(
    "wanted",
    [PageFilter(), PageFilter(publisher="신문 1"), PageFilter(cluster_role="member"), PageFilter(check_status="mismatched"),
     PageFilter(edited=True), PageFilter(since="2026-03-02T06:00:00+00:00"), PageFilter(until="2026-03-03T00:00:00+00:00")],
)  # fmt: skip
def test_pages_in_pieces_are_all_pages_that_fit_in_order(folder: Path, order: PageOrder, wanted: PageFilter) -> None:
    column = {"crawled": "last_crawled_at", "arrived": "first_crawled_at", "edited": "changes"}[order]
    at = "first_crawled_at" if order == "arrived" else "last_crawled_at"
    with listing(folder) as database:
        every = store.lists.list_pages(database, PageFilter(), "crawled", None, 1000)
        assert {p.url for p in every} == {u for (u,) in database.rows("SELECT url FROM pages")}
        fitting = [
            p
            for p in every
            if (wanted.publisher in (None, p.publisher))
            and wanted.cluster_role in (None, p.cluster_role)
            and wanted.check_status in (None, p.check_status)
            and (p.changes > 0 or not (wanted.edited or order == "edited"))
            and (wanted.since is None or getattr(p, at) >= wanted.since)
            and (wanted.until is None or getattr(p, at) < wanted.until)
        ]
        found: list[Any] = []
        place = None
        while piece := store.lists.list_pages(database, wanted, order, place, 3):
            found += piece
            place = (getattr(piece[-1], column), piece[-1].url)
    assert sorted(p.url for p in found) == sorted(p.url for p in fitting)
    values = [getattr(p, column) for p in found]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("order", get_args(ClusterOrder))
def test_clusters_in_pieces_are_those_that_duplicates_tells(folder: Path, order: ClusterOrder) -> None:
    column = {"newest": "last_joined_at", "largest": "size", "widest": "publishers", "fastest": "first_hour_articles"}[order]
    with listing(folder) as database:
        expected = {c["representative"]["url"]: c for c in reports.list_clusters(database, DuplicateFilter())}
        found: list[Any] = []
        place = None
        while piece := store.lists.list_clusters(database, ClusterFilter(), order, place, 2):
            found += piece
            place = (getattr(piece[-1], column), piece[-1].url)
        assert len(expected) >= 3
        assert sorted(c.url for c in found) == sorted(expected)
        values = [getattr(c, column) for c in found]
        assert values == sorted(values, reverse=True)
        for c in found:
            members = expected[c.url]["members"]
            by = [sum(m["relation"] == r for m in members) for r in ("exact", "near", "copy")]
            assert (c.size, c.exact, c.near, c.copy) == (len(members) + 1, *by)
            assert c.publishers == len({m["publisher"] for m in members} | {expected[c.url]["representative"]["publisher"]})


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [(ClusterFilter(publisher="신문 2"), lambda c: "신문 2" in c["houses"]),
     (ClusterFilter(relation="exact"), lambda c: "exact" in c["relations"]),
     (ClusterFilter(min_size=4), lambda c: c["size"] >= 4), (ClusterFilter(across_publishers=True), lambda c: len(c["houses"]) > 1)],
    ids=["publisher", "relation", "size", "across"],
)  # fmt: skip
def test_clusters_are_narrowed(folder: Path, wanted: ClusterFilter, fits: Any) -> None:
    with listing(folder) as database:
        told = {}
        for c in reports.list_clusters(database, DuplicateFilter()):
            everybody = [c["representative"], *c["members"]]
            told[c["representative"]["url"]] = {
                "houses": {a["publisher"] for a in everybody}, "relations": {m["relation"] for m in c["members"]}, "size": len(everybody),
            }  # fmt: skip
        expected = {url for url, c in told.items() if fits(c)}
        assert {c.url for c in store.lists.list_clusters(database, wanted, "newest", None, 100)} == expected
        assert expected


def test_members_in_pieces_are_the_cluster_in_the_order_of_publication(folder: Path) -> None:
    with listing(folder) as database:
        for c in reports.list_clusters(database, DuplicateFilter()):
            cluster = store.pages.get_by_url(database, c["representative"]["url"])
            assert cluster is not None
            found: list[Any] = []
            place = None
            while piece := store.lists.cluster_members(database, cluster, place, 2):
                found += piece
                place = (piece[-1].published_at or piece[-1].first_crawled_at, piece[-1].url)
            assert {(m.url, m.relation, round(m.similarity, 4), round(m.coverage, 4)) for m in found if m.relation} == {
                (m["url"], m["relation"], m["similarity"], m["coverage"]) for m in c["members"]
            }
            assert [m.url for m in found if not m.relation] == [c["representative"]["url"]]
            assert [m.published_at or m.first_crawled_at for m in found] == sorted(m.published_at or m.first_crawled_at for m in found)
            assert [p.published_at for p in store.statistics.publications(database, cluster)] == sorted(
                m.published_at for m in found if m.published_at
            )
            assert c["representative"]["url"] in {
                x.url for m in found for x in store.lists.clusters_of_page(database, store.pages.get_by_url(database, m.url) or 0)
            }


def test_arrivals_are_counted_by_the_hour_of_the_first_crawl(folder: Path) -> None:
    with listing(folder) as database:
        every = store.lists.list_pages(database, PageFilter(), "arrived", None, 1000)
        told = store.lists.arrivals_by_hour(database, "2026-03-02T00:00:00+00:00", "2026-03-03T00:00:00+00:00")
        assert {h: (n, c) for h, n, c in told} == {
            hour: (len(there), sum(p.cluster_role == "member" for p in there))
            for hour in {p.first_crawled_at[:13] for p in every}
            for there in [[p for p in every if p.first_crawled_at[:13] == hour]]
        }
        grown = store.lists.growing_clusters(database, "2026-03-02T06:00:00+00:00", 100)
        assert grown
        for cluster, number in grown:
            page = store.pages.get_by_url(database, cluster.url)
            assert page is not None
            assert number == sum(
                m.first_crawled_at >= "2026-03-02T06:00:00+00:00" for m in store.lists.cluster_members(database, page, None, 100)
            )


def test_mismatches_are_told_by_publisher_and_one_by_one(folder: Path) -> None:
    with listing(folder) as database:
        every = store.lists.list_pages(database, PageFilter(check_status="mismatched"), "crawled", None, 1000)
        counted = {(h, c, w): n for h, c, w, n in store.lists.checks_by_publisher(database) if c == "mismatched"}
        assert sum(counted.values()) == len(every)
        assert counted == {
            key: sum((p.publisher, p.check_status, p.check_cause) == key for p in every)
            for key in {(p.publisher, p.check_status, p.check_cause) for p in every}
        }
        found: list[Any] = []
        place = None
        while piece := store.lists.mismatches(database, None, None, place, 1):
            found += piece
            place = (piece[-1].crawled_at, piece[-1].url)
        assert [c.crawled_at for c in found] == sorted((c.crawled_at for c in found), reverse=True)
        assert {c.url for c in found} == {p.url for p in every}
        assert {c.url for c in store.lists.mismatches(database, found[0].check_cause, found[0].publisher, None, 100)} == {
            c.url for c in found if (c.check_cause, c.publisher) == (found[0].check_cause, found[0].publisher)
        }


def test_publishers_are_the_houses_of_all_pages(folder: Path) -> None:
    with listing(folder) as database:
        assert store.lists.publishers(database) == ["신문 0", "신문 1", "신문 2", "신문 3"]
