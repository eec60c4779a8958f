"""`dedup export keep` and `drop`: every article is in one of the lists, and every dropped one matches the article kept for it."""

from __future__ import annotations

import os
import random
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup import reports
from dedup.model import CLUSTER_RELATIONS, Match, MatchScores
from dedup.reports.export.selection import KEEP_ORDERS, KeepRule, _decide_drops
from dedup.store import Database, open_database
from dedup.store.export import CurrentArticleRow
from tests.builders.command import run
from tests.builders.crawl import ArticleFile, words
from tests.builders.exports import rows
from tests.builders.scans import dump
from tests.builders.summaries import CONFIG, crawls

pytestmark = pytest.mark.slow


def scan_random_crawls(folder: Path, seed: int) -> Path:
    articles = crawls(random.Random(seed), 40)
    for n in range(100):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    for n in range(0, 100, 9):
        (folder / "crawl" / f"{n}.md").unlink()
    assert run(folder, "scan").code == 0
    return folder


def pages_with_files(folder: Path) -> set[str]:
    """Return the pages whose current crawl is in a file."""
    now = {(p["url"], p["current_at"], p["current_state_digest"]) for p in dump(folder / "dedup.db", "pages")}
    files = dump(folder / "dedup.db", "files")
    return {f["url"] for f in files if not f["gone"] and (f["url"], f["crawled_at"], f["state_digest"]) in now}


def matching_pairs(folder: Path) -> dict[frozenset[str], tuple[str, float]]:
    """Pairs of pages whose current revisions match → (relation, similarity)."""
    with open_database(str(folder / "dedup.db")) as database:
        return {
            frozenset((p["a"]["url"], p["b"]["url"])): (p["relation"], p["similarity"])
            for p in reports.list_pairs(database, reports.DuplicateFilter(relations=frozenset(CLUSTER_RELATIONS)))
        }


OPTIONS = [
    (), ("--keep", "longest"), ("--keep", "latest"), ("--prefer", "신문 3", "--prefer", "신문 1"), ("--relation", "exact"),
    ("--relation", "near", "--relation", "exact", "--keep", "latest", "--prefer", "신문 2"),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_every_article_is_kept_or_dropped_for_a_kept_match(folder: Path, seed: int) -> None:
    scan_random_crawls(folder, seed)
    pairs, expected = matching_pairs(folder), pages_with_files(folder)
    articles = {r["url"]: r for r in rows(folder, "articles", "--no-body")}
    for options in OPTIONS:
        keep, drop = rows(folder, "keep", *options), rows(folder, "drop", *options)
        kept, dropped = {r["url"] for r in keep}, {r["url"] for r in drop}
        assert len(kept) + len(dropped) == len(keep) + len(drop)
        assert not kept & dropped
        assert kept | dropped == expected
        assert dropped
        relations = {options[n + 1] for n, o in enumerate(options) if o == "--relation"} or set(CLUSTER_RELATIONS)
        for r in drop:
            assert r["kept_url"] in kept
            assert r["via_url"] is None
            assert pairs[frozenset((r["url"], r["kept_url"]))] == (r["relation"], r["similarity"])
            assert r["relation"] in relations
            assert order(articles[r["kept_url"]], options) < order(articles[r["url"]], options)
        for pair, (relation, _) in pairs.items():
            assert relation not in relations or not pair <= kept, "two kept articles match"
        assert all(r["kept_url"] == r["url"] for r in keep)
        kept_with_copies = {r["kept_url"] for r in drop}
        assert {r["url"] for r in keep if r["reason"] != "no copies"} == kept_with_copies


def order(article: dict[str, Any], options: tuple[str, ...]) -> tuple[Any, ...]:
    """The order of the documentation."""
    rule = options[options.index("--keep") + 1] if "--keep" in options else "earliest"
    prefer = [options[n + 1] for n, o in enumerate(options) if o == "--prefer"]
    rank = prefer.index(article["publisher"]) if article["publisher"] in prefer else len(prefer)
    published, crawled = article["published_at"] or "9999", article["crawled_at"]
    if rule == "latest":
        inverted = ("".join(chr(0x10000 - ord(c)) for c in text) for text in (article["published_at"] or "0", crawled))
        return article["check_status"] == "mismatched", rank, *inverted, article["url"]
    length = (-(article["characters"] or 0),) if rule == "longest" else ()
    return article["check_status"] == "mismatched", rank, *length, published, crawled, article["url"]


# Random graphs


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[CurrentArticleRow], list[Match]]:
    texts = draw(st.integers(1, 8))
    crowded = draw(st.sets(st.integers(1, texts)))
    articles = [
        CurrentArticleRow(
            page, text, f"https://a.example/{page}", draw(st.sampled_from([None, "2026-03-01", "2026-03-02"])), "2026-03-03",
            draw(st.sampled_from(["verified", "mismatched", "unclaimed"])), int(text in crowded), draw(st.sampled_from("ABC")), "",
            draw(st.integers(0, 3)),
        )
        for page in range(draw(st.integers(1, 12))) if (text := draw(st.integers(1, texts)))
    ]  # fmt: skip
    pairs = draw(st.sets(st.tuples(st.integers(1, texts), st.integers(1, texts)).filter(lambda p: p[0] < p[1])))
    matches = [Match(a, b, draw(st.sampled_from(CLUSTER_RELATIONS)), MatchScores(0.8, 0.9, 0.9, 100, 50, 0.0)) for a, b in sorted(pairs)]
    return articles, matches


@given(
    graphs(),
    st.sampled_from(list(KEEP_ORDERS)),
    st.lists(st.sampled_from("ABC"), unique=True),
    st.sets(st.sampled_from(CLUSTER_RELATIONS), min_size=1),
)
def test_dropped_articles_match_a_kept_one_and_kept_ones_do_not_match_each_other(
    graph: tuple[list[CurrentArticleRow], list[Match]], keep: str, prefer: list[str], relations: set[Any]
) -> None:
    articles, matches = graph
    rule = KeepRule(keep, tuple(prefer), frozenset(relations))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dedup.store.export.current_articles", lambda _, *, matched_only: articles)
        patch.setattr("dedup.store.export.copies", lambda _, allowed: [m for m in matches if m.relation in allowed])
        drops, urls = _decide_drops(Database.__new__(Database), rule)
    by_page = {a.page_id: a for a in articles}
    direct = {frozenset((m.a, m.b)): m.relation for m in matches if m.relation in relations}
    for page, drop in drops.items():
        a, b = by_page[page], by_page[drop.kept_page_id]
        assert b.page_id not in drops
        assert urls[b.page_id] == b.url
        assert drop.link.relation in relations
        assert rule.sort_key(b) < rule.sort_key(a)
        if drop.via_text_id is not None:
            assert a.crowded or b.crowded
            assert {b.text_id, drop.via_text_id} in [*direct]
            assert direct[frozenset(x for x in (drop.via_text_id, a.text_id) if x)] == drop.link.relation
        elif a.text_id == b.text_id:
            assert drop.link.relation == "exact"
        else:
            assert direct[frozenset(x for x in (a.text_id, b.text_id) if x)] == drop.link.relation
    kept = [a for a in articles if a.page_id not in drops]
    for a, b in permutations(kept, 2):
        assert {a.text_id, b.text_id} not in [*direct]
        assert a.text_id != b.text_id or "exact" not in relations


# Content of the lists


def chain(folder: Path) -> list[str]:
    """Write three articles, each near the next one, the first not near the last, published in this order. Returns their URLs."""
    (folder / "config.toml").write_text(CONFIG + "[duplicates]\ncopy_coverage = 0.99\n")
    rng = random.Random(4)
    text = words(rng, 200)
    articles = []
    for n in range(3):
        articles.append(ArticleFile(" ".join(text), aid=f"{n}", published_at=f"2026-03-02 0{n}:00", publisher=f"신문 {n}"))
        articles[-1].write(folder / "crawl")
        text[24 * n : 24 * n + 24] = words(rng, 24)
    assert run(folder, "scan").code == 0
    return [m.address for m in articles]


def test_an_article_with_several_matches_is_dropped_for_the_first_kept_one(folder: Path) -> None:
    body = words(random.Random(1), 100)
    a, b, c = (ArticleFile(" ".join(body), aid=f"{n}", published_at=f"2026-03-02 0{n}:00", publisher=f"신문 {n}") for n in range(3))
    for article in (a, b, c):
        article.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert [(r["url"], r["kept_url"]) for r in rows(folder, "drop")] == [(b.address, a.address), (c.address, a.address)]
    assert [(r["url"], r["kept_url"]) for r in rows(folder, "drop", "--prefer", "신문 1")] == [
        (a.address, b.address),
        (c.address, b.address),
    ]
    assert [r["url"] for r in rows(folder, "keep", "--keep", "latest")] == [c.address]


def test_a_copy_of_a_copy_is_kept_unless_it_matches_a_kept_article(folder: Path) -> None:
    """Similarity is not transitive."""
    urls = chain(folder)
    pairs = matching_pairs(folder)
    assert frozenset(urls[:2]) in pairs
    assert frozenset(urls[1:]) in pairs
    assert frozenset((urls[0], urls[2])) not in pairs
    assert [(r["url"], r["kept_url"]) for r in rows(folder, "drop")] == [(urls[1], urls[0])]
    assert [(r["url"], r["kept_url"]) for r in rows(folder, "drop", "--prefer", "신문 1")] == [(urls[0], urls[1]), (urls[2], urls[1])]


def test_a_mismatched_article_is_kept_only_without_a_better_one(folder: Path) -> None:
    good, bad = ArticleFile(aid="1", published_at="2026-03-02 10:00"), ArticleFile(aid="2", published_at="2026-03-02 09:00", claim="0" * 64)
    bad.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert [r["url"] for r in rows(folder, "keep")] == [bad.address]
    good.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert [r["url"] for r in rows(folder, "keep", "--prefer", bad.publisher)] == [good.address]


def test_an_article_whose_file_is_gone_is_in_neither_list(folder: Path) -> None:
    first, second = ArticleFile(aid="1", published_at="2026-03-02 08:00"), ArticleFile(aid="2", published_at="2026-03-02 10:00")
    path = first.write(folder / "crawl")
    second.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert [r["url"] for r in rows(folder, "drop")] == [second.address]
    path.unlink()
    assert run(folder, "scan").code == 0
    result = run(folder, "export", "keep")
    assert "1 page without a file of their latest crawl" in result.err
    assert [r["url"] for r in rows(folder, "keep")] == [second.address]
    assert rows(folder, "drop") == []


def test_paths_identify_files_with_any_names(folder: Path) -> None:
    article = ArticleFile()
    names = [b"plain.md", b"\xff\xfe raw.md", "한글.md".encode(), b"line\nend.md", b"back\\slash.md"]
    for name in names:
        with open(os.path.join(os.fsencode(folder), b"crawl", name), "wb") as file:
            file.write(article.render().encode())
    assert run(folder, "scan").code == 0
    (row,) = rows(folder, "keep")
    paths = [bytes.fromhex(h) for h in row["paths_hex"]]
    assert sorted(map(os.path.basename, paths)) == sorted(names)
    assert all(os.path.exists(p) for p in paths)
    assert len(row["paths"]) == len(names)
    os.unlink(os.path.join(os.fsencode(folder), b"crawl", names[1]))
    os.unlink(os.path.join(os.fsencode(folder), b"crawl", names[3]))
    assert run(folder, "scan").code == 0
    (row,) = rows(folder, "keep")
    assert row["paths_hex"] is None
    assert all(os.path.exists(p) for p in row["paths"])


def test_export_deletes_nothing(folder: Path) -> None:
    scan_random_crawls(folder, 5)
    before = sorted(os.listdir(folder / "crawl")), (folder / "dedup.db").read_bytes()
    rows(folder, "drop")
    assert (sorted(os.listdir(folder / "crawl")), (folder / "dedup.db").read_bytes()) == before
