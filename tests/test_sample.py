"""The sample crawl through the command line gives what tests/sample_table.py says, file by file and page by page."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Sampled, run
from tests.sample_table import CONTAINMENTS, FILES, PAGES, RELATIONS, SHOWCASE, Expected, Page

READ = [e for e in FILES if e.fault is None]
FAULTY = [e for e in FILES if e.fault is not None]
URLS = sorted({e.url for e in READ if e.url})
HISTORIES = {p.url: p for p in PAGES}


def rows(sampled: Sampled, table: str) -> list[dict[str, Any]]:
    found = sampled("dump", "--logical")
    assert found.code == 0
    return [row for row in map(json.loads, found.out.splitlines()) if row["table"] == table]


def test_the_table_lists_the_files_that_there_are(sampled: Sampled) -> None:
    crawl = sampled.folder / "crawl"
    assert sorted(str(p.relative_to(crawl)) for p in crawl.rglob("*") if p.is_file()) == sorted(e.path for e in FILES)
    assert len({e.path for e in FILES}) == len(FILES)


def test_the_scan_counts_them(sampled: Sampled) -> None:
    assert sampled.scan.code == 0, sampled.scan.err
    tally = sampled.scan.json()
    checks = Counter(e.check for e in READ)
    expected = {"files": len(FILES), "new": len(READ), "faults": len(FAULTY), "checks": {str(k): n for k, n in checks.items()}}
    assert {key: tally[key] for key in expected} == expected
    assert [tally[key] for key in ("changed", "unchanged", "moved", "ignored", "unsettled", "gone")] == [0] * 6


@pytest.mark.parametrize("expected", READ, ids=lambda e: e.path)
def test_each_article_has_its_check_and_its_page(sampled: Sampled, expected: Expected) -> None:
    readings = [r for r in rows(sampled, "readings") if r["path"] == expected.path]
    assert [(r["check_status"], r["check_cause"], r["url"]) for r in readings] == [(expected.check, expected.cause, expected.url)]
    holds = [f["url"] for f in rows(sampled, "files") if f["path"] == expected.path]
    assert holds == [expected.url]
    assert not [f for f in rows(sampled, "faults") if f["path"] == expected.path]


@pytest.mark.parametrize("expected", FAULTY, ids=lambda e: e.path)
def test_each_fault_is_told(sampled: Sampled, expected: Expected) -> None:
    assert [f["kind"] for f in rows(sampled, "faults") if f["path"] == expected.path] == [expected.fault]
    assert not [r for r in rows(sampled, "readings") if r["path"] == expected.path]
    listed = sampled("status", "--faults", "--format", "json").json()["fault_list"]
    whole = str(sampled.folder / "crawl" / expected.path)
    assert [f["kind"] for f in listed if f["path"] == whole] == [expected.fault]


def test_there_are_no_other_pages(sampled: Sampled) -> None:
    assert [p["url"] for p in rows(sampled, "pages")] == URLS
    assert {p.url for p in PAGES} <= set(URLS)
    assert SHOWCASE in HISTORIES


@pytest.mark.parametrize("url", URLS)
def test_each_page_has_its_history(sampled: Sampled, url: str) -> None:
    found = sampled("history", url, "--format", "json")
    assert found.code == 0, found.err
    told = found.json()
    assert told["url"] == url
    seen = Page(
        url,
        states=len(told["revisions"]),
        sightings=sum(r["sightings"] for r in told["revisions"]),
        changes=len(told["changes"]),
        returned=sum(c["returned"] for c in told["changes"]),
    )
    assert seen == HISTORIES.get(url, Page(url, states=1, sightings=1, changes=0, returned=0))
    paths = {os.path.relpath(t["path"], sampled.folder / "crawl") for t in told["timeline"]}
    assert paths == {e.path for e in READ if e.url == url}
    assert [t["crawled_at"] for t in told["timeline"]] == sorted(t["crawled_at"] for t in told["timeline"])


def test_metadata_that_changed_is_told_by_field(sampled: Sampled) -> None:
    told = sampled("history", "913_0000100017", "--format", "json").json()
    assert sorted(c["field"] for c in told["metadata_changes"]) == ["author", "category"]
    assert [c["before"] == "" for c in told["metadata_changes"] if c["field"] == "author"] == [True]


def pair_key(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def test_every_relation_is_reported_and_no_other(sampled: Sampled) -> None:
    found = sampled("duplicates", "--pairs", "--format", "json").json()
    reported = {pair_key(p["a"]["url"], p["b"]["url"]): p for p in found}
    assert len(reported) == len(found), "a pair is told twice"
    wanted = {pair_key(a, b): (relation, similarity) for a, b, relation, similarity in RELATIONS}
    assert reported.keys() <= wanted.keys()
    missing = {wanted[key][0] for key in wanted.keys() - reported.keys()}
    assert missing <= {"excerpt"}, "only excerpts that share no band may be missed"
    contained = {pair_key(*pair): share for pair, share in CONTAINMENTS.items()}
    for key, pair in reported.items():
        assert pair["relation"] == wanted[key][0]
        assert pair["similarity"] == pytest.approx(wanted[key][1], abs=0.0051)
        if pair["relation"] == "excerpt":
            assert pair["containment"] == pytest.approx(contained[key], abs=0.0051)


def test_clusters_tell_of_every_article_that_matches(sampled: Sampled) -> None:
    found = sampled("duplicates", "--format", "json").json()
    pairs = {pair_key(c["representative"]["url"], m["url"]): m["relation"] for c in found for m in c["members"]}
    wanted = {pair_key(a, b): relation for a, b, relation, _ in RELATIONS}
    assert pairs.items() <= wanted.items()
    told = {url for pair in pairs for url in pair}
    assert told >= {url for a, b, relation, _ in RELATIONS if relation != "excerpt" for url in (a, b)}
    for cluster in found:
        published = [a["published_at"] for a in (cluster["representative"], *cluster["members"]) if a["published_at"]]
        assert cluster["representative"]["published_at"] == min(published)


def test_verify_agrees_but_for_what_only_history_can_tell(sampled: Sampled) -> None:
    found = sampled("verify", "crawl", "--format", "json")
    assert found.code == 1
    told = {os.path.relpath(r["path"], "crawl"): r for r in found.json()}
    assert told.keys() == {e.path for e in FILES}
    for e in FILES:
        row = told[e.path]
        cause = "altered" if e.cause == "stale" else e.cause
        assert (row["check"], row["cause"]) == (e.check, cause), e.path
        assert (row["fault"] or "").partition(":")[0] == (e.fault or ""), e.path


def test_status_counts_the_same(sampled: Sampled) -> None:
    told = sampled("status", "--format", "json").json()
    assert told["faults"] == dict(sorted(Counter(str(e.fault) for e in FAULTY).items()))
    assert (told["files"], told["gone"], told["pages"]) == (len(FILES), 0, len(URLS))
    assert told["last_scan"]["files"] == len(FILES)


def test_similar_finds_the_copies_of_a_press_release(sampled: Sampled) -> None:
    release = next(e for e in READ if e.url == "https://www.hanbyeol-sibo.example/press/330")
    found = sampled("similar", f"crawl/{release.path}", "--format", "json")
    assert found.code == 0
    copies = {b if a == release.url else a for a, b, relation, _ in RELATIONS if relation == "exact" and release.url in (a, b)}
    assert {m["url"] for m in found.json() if m["relation"] == "exact"} == copies


def test_another_scan_finds_nothing_new(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    config = tmp_path / "config.toml"
    config.write_text(config.read_text("utf-8").replace("settle_seconds = 2.0", "settle_seconds = 0.0"), "utf-8")
    assert run(tmp_path, "scan").code == 0
    before = run(tmp_path, "dump", "--logical").out
    tally = run(tmp_path, "scan", "--format", "json").json()
    assert (tally["unchanged"], tally["faults"], tally["files"]) == (len(READ), len(FAULTY), len(FILES))
    assert [tally[key] for key in ("new", "changed", "moved", "gone", "revisions", "sightings", "changes")] == [0] * 7
    assert run(tmp_path, "dump", "--logical").out == before
