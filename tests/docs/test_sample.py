"""The sample crawl through the command line agrees with tests/builders/sample_table.py, file by file and page by page."""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.builders.command import SampleCrawl, run
from tests.builders.sample_table import (
    FILES,
    PAGES,
    RELATIONS,
    RELATIONS_OF_EARLIER_REVISIONS,
    RELATIONS_UNTIL_REINDEX,
    SHOWCASE,
    UNRELATED,
    Expected,
    Page,
    Related,
)

ARTICLES = [e for e in FILES if e.fault is None]
FAULTY = [e for e in FILES if e.fault is not None]
URLS = sorted({e.url for e in ARTICLES if e.url})
HISTORIES = {p.url: p for p in PAGES}


@cache
def rows(sampled: SampleCrawl, table: str) -> tuple[dict[str, Any], ...]:
    result = sampled("dump", "--logical")
    assert result.code == 0
    return tuple(row for row in map(json.loads, result.out.splitlines()) if row["table"] == table)


def test_the_table_lists_exactly_the_files_of_the_sample(sampled: SampleCrawl) -> None:
    crawl = sampled.folder / "crawl"
    assert sorted(str(p.relative_to(crawl)) for p in crawl.rglob("*") if p.is_file()) == sorted(e.path for e in FILES)
    assert len({e.path for e in FILES}) == len(FILES)


def test_the_scan_counts_them(sampled: SampleCrawl) -> None:
    assert sampled.scan.code == 0, sampled.scan.err
    tally = sampled.scan.json()
    checks = Counter(e.check for e in ARTICLES)
    expected = {"files": len(FILES), "new": len(ARTICLES), "faults": len(FAULTY), "checks": {str(k): n for k, n in checks.items()}}
    assert {key: tally[key] for key in expected} == expected
    assert [tally[key] for key in ("changed", "unchanged", "moved", "ignored", "unsettled", "gone")] == [0] * 6


@pytest.mark.parametrize("expected", ARTICLES, ids=lambda e: e.path)
def test_each_article_has_its_check_and_its_page(sampled: SampleCrawl, expected: Expected) -> None:
    readings = [r for r in rows(sampled, "readings") if r["path"] == expected.path]
    assert [(r["check_status"], r["check_cause"], r["url"]) for r in readings] == [(expected.check, expected.cause, expected.url)]
    holds = [f["url"] for f in rows(sampled, "files") if f["path"] == expected.path]
    assert holds == [expected.url]
    assert not [f for f in rows(sampled, "faults") if f["path"] == expected.path]


@pytest.mark.parametrize("expected", FAULTY, ids=lambda e: e.path)
def test_each_fault_is_reported(sampled: SampleCrawl, expected: Expected) -> None:
    assert [f["kind"] for f in rows(sampled, "faults") if f["path"] == expected.path] == [expected.fault]
    assert not [r for r in rows(sampled, "readings") if r["path"] == expected.path]
    details = sampled("status", "--faults", "--format", "json").json()["fault_details"]
    path = str(sampled.folder / "crawl" / expected.path)
    assert [f["kind"] for f in details if f["path"] == path] == [expected.fault]


def test_the_pages_are_exactly_those_of_the_table(sampled: SampleCrawl) -> None:
    assert [p["url"] for p in rows(sampled, "pages")] == URLS
    assert {p.url for p in PAGES} <= set(URLS)
    assert SHOWCASE in HISTORIES


@pytest.mark.parametrize("url", URLS)
def test_each_page_has_its_history(sampled: SampleCrawl, url: str) -> None:
    result = sampled("history", url, "--format", "json")
    assert result.code == 0, result.err
    history = result.json()
    assert history["url"] == url
    page = Page(
        url,
        states=len(history["revisions"]),
        sightings=sum(r["sightings"] for r in history["revisions"]),
        changes=len(history["changes"]),
        returned=sum(c["returned"] for c in history["changes"]),
    )
    assert page == HISTORIES.get(url, Page(url, states=1, sightings=1, changes=0, returned=0))
    paths = {os.path.relpath(t["path"], sampled.folder / "crawl") for t in history["timeline"]}
    assert paths == {e.path for e in ARTICLES if e.url == url}
    assert [t["crawled_at"] for t in history["timeline"]] == sorted(t["crawled_at"] for t in history["timeline"])


def test_changed_metadata_is_reported_by_field(sampled: SampleCrawl) -> None:
    history = sampled("history", "913_0000100017", "--format", "json").json()
    assert sorted(c["field"] for c in history["metadata_changes"]) == ["author", "category"]
    assert [c["before"] == "" for c in history["metadata_changes"] if c["field"] == "author"] == [True]


def pair_key(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


Relations = dict[tuple[str, str], tuple[str, float, float]]


def expected(*rows: Related) -> Relations:
    return {pair_key(r.a, r.b): (r.relation, r.similarity, r.coverage) for r in rows}


def relations_of(pairs: list[dict[str, Any]]) -> Relations:
    relations = {pair_key(p["a"]["url"], p["b"]["url"]): (p["relation"], round(p["similarity"], 2), round(p["coverage"], 2)) for p in pairs}
    assert len(relations) == len(pairs), "a pair is listed twice"
    return relations


def test_every_relation_is_reported_and_no_other(sampled: SampleCrawl) -> None:
    relations = relations_of(sampled("duplicates", "--pairs", "--format", "json").json())
    assert relations == expected(*RELATIONS, *RELATIONS_UNTIL_REINDEX)
    assert not relations.keys() & {pair_key(u.a, u.b) for u in UNRELATED}


@pytest.mark.slow
def test_reindex_applies_learned_boilerplate(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    assert run(tmp_path, "scan").code == 0
    assert run(tmp_path, "reindex").code == 0
    assert relations_of(run(tmp_path, "duplicates", "--pairs", "--format", "json").json()) == expected(*RELATIONS)


def test_a_copy_of_an_earlier_revision_is_reported(sampled: SampleCrawl) -> None:
    pairs = sampled("duplicates", "--pairs", "--all-revisions", "--format", "json").json()
    for r in RELATIONS_OF_EARLIER_REVISIONS:
        matching = [p for p in pairs if pair_key(p["a"]["url"], p["b"]["url"]) == pair_key(r.a, r.b)]
        assert (r.relation, r.similarity, r.coverage) in {
            (p["relation"], round(p["similarity"], 2), round(p["coverage"], 2)) for p in matching
        }


def test_clusters_contain_every_copy_and_nothing_else(sampled: SampleCrawl) -> None:
    clusters = sampled("duplicates", "--format", "json").json()
    pairs = {pair_key(c["representative"]["url"], m["url"]): m["relation"] for c in clusters for m in c["members"]}
    copies = {pair_key(r.a, r.b): r.relation for r in RELATIONS if r.relation in ("exact", "near", "copy")}
    assert pairs.items() <= copies.items()
    assert {url for pair in pairs for url in pair} == {url for pair in copies for url in pair}
    for cluster in clusters:
        published = [a["published_at"] for a in (cluster["representative"], *cluster["members"]) if a["published_at"]]
        assert cluster["representative"]["published_at"] == min(published)


def test_verify_agrees_except_for_stale_digests(sampled: SampleCrawl) -> None:
    result = sampled("verify", "crawl", "--format", "json")
    assert result.code == 1
    rows_by_path = {os.path.relpath(r["path"], "crawl"): r for r in result.json()}
    assert rows_by_path.keys() == {e.path for e in FILES}
    for e in FILES:
        row = rows_by_path[e.path]
        cause = "altered" if e.cause == "stale" else e.cause
        assert (row["check_status"], row["check_cause"]) == (e.check, cause), e.path
        assert (row["fault"] or "").partition(":")[0] == (e.fault or ""), e.path


def test_status_agrees_with_the_table(sampled: SampleCrawl) -> None:
    output = sampled("status", "--format", "json").json()
    assert output["faults"] == dict(sorted(Counter(str(e.fault) for e in FAULTY).items()))
    assert (output["files"], output["gone"], output["pages"]) == (len(FILES), 0, len(URLS))
    assert output["last_scan"]["files"] == len(FILES)


def test_similar_finds_the_copies_of_a_press_release(sampled: SampleCrawl) -> None:
    release = next(e for e in ARTICLES if e.url == "https://www.hanbyeol-sibo.example/press/330")
    result = sampled("similar", f"crawl/{release.path}", "--format", "json")
    assert result.code == 0
    copies = {r.b if r.a == release.url else r.a for r in RELATIONS if r.relation == "exact" and release.url in (r.a, r.b)}
    assert {m["url"] for m in result.json() if m["relation"] == "exact"} == copies


def test_a_second_scan_finds_nothing_new(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    config = tmp_path / "config.toml"
    config.write_text(config.read_text("utf-8").replace("settle_seconds = 2.0", "settle_seconds = 0.0"), "utf-8")
    assert run(tmp_path, "scan").code == 0
    before = run(tmp_path, "dump", "--logical").out
    tally = run(tmp_path, "scan", "--format", "json").json()
    assert (tally["unchanged"], tally["faults"], tally["files"]) == (len(ARTICLES), len(FAULTY), len(FILES))
    assert [tally[key] for key in ("new", "changed", "moved", "gone", "revisions", "sightings", "changes")] == [0] * 7
    assert run(tmp_path, "dump", "--logical").out == before


@pytest.mark.slow
def test_the_configuration_of_the_sample_sends_alerts_to_a_feed(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    assert run(tmp_path, "scan", "--alert-on-import").code == 0
    alerts = run(tmp_path, "alerts", "list", "--format", "json").json()
    assert {a["topic"] for a in alerts} == {"change", "mismatch"}
    incident_urls = [a["url"] for a in alerts if a["in_incident"]]
    assert sorted(incident_urls) == [url for url in URLS if "/917/" in url], "one edit of five pages"
    result = run(tmp_path, "alerts", "send")
    assert (result.code, result.out) == (0, "9 messages sent, 0 failed\n")
    assert result.err.startswith("1 delivery not due yet, the next at "), "that incident, which may still grow"
    assert (tmp_path / "alerts.atom").read_text("utf-8").count("<entry>") == 9 == len(alerts) - len(incident_urls) - 1
