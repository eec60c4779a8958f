"""The command line: output formats, exit codes, hostile content, and safety of existing files."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tomllib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dedup.cli import COMMAND_GROUPS, COMMANDS, cli
from dedup.cli.completion import SHELLS
from dedup.cli.setup import _format_toml_string
from dedup.text.sanitise import format_csv_cell, format_json
from tests.builders.command import CommandResult, SampleCrawl, command, run, spawn
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.permissions import DROP_CAPABILITIES, run_without_capabilities

pytestmark = pytest.mark.slow

ARTICLE = {"id", "url", "title", "publisher", "published_at", "crawled_at", "path", "revision", "check_status"}
NUMBERS = {
    "similarity",
    "containment",
    "relation",
    "coverage",
    "shared_characters",
    "longest_passage",
    "quoted_share",
    "masked_boilerplate",
}


def configure(folder: Path, more: str = "") -> None:
    """Write a configuration for the crawl directory `crawl`, without settling time."""
    (folder / "config.toml").write_text(f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n{more}', "utf-8")


def fill(folder: Path, number: int, *, seed: int = 1) -> None:
    """Write `number` unrelated articles, each of its own page."""
    rng = random.Random(seed)
    for i in range(number):
        ArticleFile(" ".join(words(rng, 60)), title=f"기사 {i}", aid=f"{i:010}").write(folder / f"{i % 7}")


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """A folder with a configuration and a crawl: a page seen three times (A, B, A), copies of it, one id on two pages."""
    configure(tmp_path)
    rng = random.Random(7)
    text = words(rng, 120)
    first, second, near = " ".join(text), " ".join(edit_words(rng, text, 0.3)), " ".join(edit_words(rng, text, 0.02))
    for day, body in (("02", first), ("03", second), ("04", first)):
        ArticleFile(body, title=f"제목 {day}", crawled_at=f"2026-03-{day} 00:30:00").write(tmp_path / "crawl" / day)
    ArticleFile(first, title="같은 글", aid="0000000002", publisher="새벽신문", published_at="2026-03-02 10:30").write(tmp_path / "crawl")
    ArticleFile(near, title="비슷한 글", aid="0000000003", publisher="", published_at="2026-03-02 11:00").write(tmp_path / "crawl")
    for site in ("one", "two"):
        body = " ".join(words(rng, 60))
        ArticleFile(body, title=site, oid="77", aid="8", url=f"https://{site}.example/story").write(tmp_path / "crawl", f"{site}.md")
    (tmp_path / "crawl" / "empty.md").touch()
    (tmp_path / "crawl" / "notes.txt").write_text("ignored")
    return tmp_path


@pytest.fixture
def scanned(crawl: Path) -> Path:
    assert run(crawl, "scan").code == 0
    return crawl


def json_of(result: CommandResult) -> Any:
    assert result.code == 0, result.err
    return result.json()


def rows_of(result: CommandResult) -> list[dict[str, str]]:
    """Parse CSV rows as dictionaries and check that they are all as wide as the header."""
    assert result.out.endswith("\r\n")
    lines = list(csv.reader(io.StringIO(result.out, newline=""), strict=True))
    assert {len(line) for line in lines} == {len(lines[0])}
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


# Output formats


def test_scan_as_json(crawl: Path) -> None:
    counts = json_of(run(crawl, "scan", "--format", "json"))
    assert counts.keys() >= {
        "files", "new", "changed", "unchanged", "moved", "ignored", "unsettled", "faults", "gone", "checks", "revisions", "sightings",
        "matches", "changes", "seconds",
    }  # fmt: skip
    assert counts["checks"] == {"verified": 7, "mismatched": 0, "unclaimed": 0}
    assert counts["matches"].keys() == {"exact", "near", "copy", "excerpt", "quote"}
    assert (counts["files"], counts["new"], counts["faults"], counts["ignored"]) == (9, 7, 1, 1)
    assert (counts["revisions"], counts["sightings"]) == (7, 7)
    kinds = ("new", "changed", "unchanged", "moved", "ignored", "faults", "unsettled")
    assert counts["files"] == sum(counts[kind] for kind in kinds)


def test_verify_as_json_and_csv(crawl: Path) -> None:
    result = run(crawl, "verify", "crawl", "-f", "json")
    assert result.code == 1, "the directory has an empty file"
    rows = result.json()
    assert len(rows) == 9, "all suffixes that have a reader"
    columns = ["path", "check_status", "check_cause", "claimed_digest", "computed_digest", "digest_recipe", "fault"]
    assert all(row.keys() >= set(columns) for row in rows)
    assert {row["path"]: row["check_status"] for row in rows if row["fault"]} == {"crawl/empty.md": None, "crawl/notes.txt": None}
    csv_rows = rows_of(run(crawl, "verify", "crawl", "-f", "csv"))
    assert [row["path"] for row in csv_rows] == [row["path"] for row in rows]
    assert list(csv_rows[0]) == columns


def test_duplicates_as_json_and_csv(scanned: Path) -> None:
    clusters = json_of(run(scanned, "duplicates", "-f", "json"))
    assert [len(c["members"]) for c in clusters] == [2]
    assert clusters[0].keys() >= {"representative", "members"}
    assert clusters[0]["representative"].keys() >= ARTICLE
    assert all(m.keys() >= ARTICLE | NUMBERS | {"lag_seconds"} for m in clusters[0]["members"])
    assert {m["relation"]: m["lag_seconds"] for m in clusters[0]["members"]} == {"exact": 5400.0, "near": 7200.0}
    assert clusters[0]["representative"]["published_at"] == "2026-03-02T00:00:00+00:00"
    flat = rows_of(run(scanned, "duplicates", "-f", "csv"))
    assert list(flat[0]) == ["cluster", *_article_head(), *_numbers_head(), "lag_seconds", "via_url", *_closest_head()]
    assert [row["relation"] for row in flat] == ["representative", *(m["relation"] for m in clusters[0]["members"])]
    assert {row["cluster"] for row in flat} == {"1"}


def _article_head() -> list[str]:
    return [
        "id",
        "url",
        "title",
        "publisher",
        "published_at",
        "crawled_at",
        "path",
        "revision",
        "check_status",
        "gone",
        "crowded",
        "pruned_at",
    ]


def _numbers_head() -> list[str]:
    return [
        "similarity",
        "containment",
        "relation",
        "coverage",
        "shared_characters",
        "longest_passage",
        "quoted_share",
        "masked_boilerplate",
    ]


def _closest_head() -> list[str]:
    return ["closest_a_revision", "closest_b_revision", "closest_relation", "closest_coverage"]


def test_pairs_as_json_and_csv(scanned: Path) -> None:
    pairs = json_of(run(scanned, "duplicates", "--pairs", "-f", "json"))
    assert [p["relation"] for p in pairs] == ["exact", "near", "near"]
    assert all(p.keys() >= {"a", "b"} | NUMBERS for p in pairs)
    assert all(p[side].keys() >= ARTICLE for p in pairs for side in "ab")
    assert all(p["closest_revisions"].keys() == {"a_revision", "b_revision", "relation", "similarity", "coverage"} for p in pairs)
    flat = rows_of(run(scanned, "duplicates", "--pairs", "-f", "csv"))
    assert list(flat[0]) == [f"{s}_{c}" for s in "ab" for c in _article_head()] + _numbers_head() + _closest_head()
    assert [(row["a_url"], row["b_url"]) for row in flat] == [(p["a"]["url"], p["b"]["url"]) for p in pairs]


@pytest.mark.parametrize(
    ("options", "relations"),
    [
        (["--relation", "near"], ["near", "near"]),
        (["--relation", "near", "--relation", "exact"], ["exact", "near", "near"]),
        (["--min-similarity", "1"], ["exact"]),
        (["--publisher", "새벽신문"], ["exact", "near"]),
        (["--publisher", "아무도"], []),
        (["--since", "2026-03-04T00:30:00Z"], ["exact", "near"]),
        (["--since", "2026-03-04T09:30:01+09:00"], []),
    ],
)
def test_pairs_can_be_filtered(scanned: Path, options: list[str], relations: list[str]) -> None:
    pairs = json_of(run(scanned, "duplicates", "--pairs", *options, "-f", "json"))
    assert [p["relation"] for p in pairs] == relations
    clusters = json_of(run(scanned, "duplicates", *options, "-f", "json"))
    assert bool(clusters) == bool(relations)
    last_line = run(scanned, "duplicates", "--pairs", *options).out.splitlines()[-1]
    assert last_line.startswith(str(len(relations)) if relations else "No duplicates")


def test_similar_as_json_and_csv_records_nothing(scanned: Path) -> None:
    before = run(scanned, "dump", "--logical").out
    outside = ArticleFile(_body(scanned), title="밖의 글", aid="0000000099").write(scanned, "outside.md")
    matches = json_of(run(scanned, "similar", outside, "-f", "json"))
    assert [m["relation"] for m in matches] == ["exact", "exact", "near"]
    assert all(m.keys() >= ARTICLE | NUMBERS for m in matches)
    flat = rows_of(run(scanned, "similar", outside, "-f", "csv"))
    assert [row["url"] for row in flat] == [m["url"] for m in matches]
    assert run(scanned, "similar", outside, "--fail-on", "near").code == 1
    assert run(scanned, "similar", outside, "--fail-on", "excerpt").code == 0
    assert run(scanned, "dump", "--logical").out == before


def test_similar_with_all_revisions_finds_earlier_revisions(scanned: Path) -> None:
    outside = ArticleFile(_body(scanned), title="밖의 글", aid="0000000099").write(scanned, "outside.md")
    before = [m["url"] for m in json_of(run(scanned, "similar", outside, "-f", "json"))]
    ArticleFile("아주 다른 글이 같은 쪽에 들어섰다. " * 9, url=before[0], crawled_at="2026-04-01 00:00:00").write(
        scanned / "crawl", "newer.md"
    )
    assert run(scanned, "scan", "-q").code == 0
    assert [m["url"] for m in json_of(run(scanned, "similar", outside, "-f", "json"))] == before[1:]
    all_matches = json_of(run(scanned, "similar", outside, "--all-revisions", "-f", "json"))
    assert {m["url"] for m in all_matches} == set(before)
    assert {m["revision"] for m in all_matches if m["url"] == before[0]} == {1, 3}, "the page now shows its fourth revision"


def _body(folder: Path) -> str:
    """Return the body of the copies in `crawl`."""
    for line in run(folder, "dump", "--logical").out.splitlines():
        row = json.loads(line)
        if row["table"] == "revisions" and row["title"] == "같은 글":
            return str(row["body"])
    raise AssertionError("not recorded")


def test_history_as_json_and_csv(scanned: Path) -> None:
    history = json_of(run(scanned, "history", "901_0000000001", "-f", "json"))
    assert history.keys() >= {"url", "aliases", "revisions", "timeline", "changes", "metadata_changes"}
    keys = {"revision", "title", "state_digest", "check_status", "first_crawled_at", "last_crawled_at", "sightings"}
    assert all(r.keys() >= keys for r in history["revisions"])
    assert all(t.keys() >= {"crawled_at", "revision", "path", "check_status"} for t in history["timeline"])
    assert all(
        c.keys() >= {"from_revision", "to_revision", "at", "title_changed", "body_similarity", "returned"} for c in history["changes"]
    )
    assert [r["revision"] for r in history["revisions"]] == [1, 2, 3]
    assert [(c["from_revision"], c["to_revision"], c["title_changed"]) for c in history["changes"]] == [(1, 2, True), (2, 3, True)]
    flat = rows_of(run(scanned, "history", "901_0000000001", "-f", "csv"))
    assert [row["crawled_at"] for row in flat] == [t["crawled_at"] for t in history["timeline"]]
    assert {"crawled_at", "revision", "path", "check_status"} <= flat[0].keys()


def test_metadata_changes_as_json(crawl: Path) -> None:
    for day, publisher in (("05", "앞신문"), ("06", "뒷신문")):
        article = ArticleFile(title="한 글", aid="0000000050", publisher=publisher, crawled_at=f"2026-03-{day} 01:00:00")
        article.write(crawl / "crawl" / day)
    assert run(crawl, "scan").code == 0
    history = json_of(run(crawl, "history", "901_0000000050", "-f", "json"))
    at = "2026-03-06T01:00:00+00:00"
    assert history["metadata_changes"] == [{"at": at, "field": "publisher", "before": "앞신문", "after": "뒷신문"}]
    assert history["changes"] == []


def test_status_as_json_adds_up(scanned: Path) -> None:
    status = json_of(run(scanned, "status", "-f", "json"))
    assert status.keys() >= {
        "files", "pages", "revisions", "sightings", "checks", "matches", "faults", "database_bytes", "index_bytes", "last_scan", "writer",
    }  # fmt: skip
    assert status["checks"].keys() == {"verified", "mismatched", "unclaimed"}
    assert status["matches"].keys() == {"exact", "near", "copy", "excerpt", "quote"}
    assert status["sightings"] == sum(status["checks"].values()) == 7
    last = status["last_scan"]
    assert last["files"] == sum(last[k] for k in ("new", "changed", "unchanged", "moved", "ignored", "faults", "unsettled"))
    assert status["files"] == last["files"] - last["ignored"] - last["unsettled"] == 8
    assert last["ignored_by"] == {"pattern": 1}
    assert status["faults"] == {"empty": 1}
    assert (status["writer"], status["gone"]) == (None, 0)
    assert status["database_bytes"] > 0


def test_status_adds_up_after_files_were_deleted_and_added(scanned: Path) -> None:
    (scanned / "crawl" / "one.md").unlink()
    (scanned / "crawl" / "empty.md").unlink()
    ArticleFile(title="새 글", aid="0000000060").write(scanned / "crawl")
    counts = json_of(run(scanned, "scan", "-f", "json"))
    assert (counts["gone"], counts["new"], counts["faults"], counts["files"]) == (2, 1, 0, 8)
    status = json_of(run(scanned, "status", "-f", "json"))
    assert status["files"] - status["gone"] == counts["files"] - counts["ignored"]
    assert status["faults"] == {}
    assert json_of(run(scanned, "history", "https://one.example/story", "-f", "json"))["timeline"][0]["gone"] is True


@pytest.mark.parametrize("options", [[], ["--urls"]])
def test_reindex_with_unchanged_settings_changes_nothing(scanned: Path, options: list[str]) -> None:
    before = run(scanned, "dump", "--logical").out
    assert isinstance(json_of(run(scanned, "reindex", *options, "-f", "json")), dict)
    assert run(scanned, "dump", "--logical").out == before


def test_after_a_change_of_settings_scan_requires_reindex(scanned: Path) -> None:
    configure(scanned, "[duplicates]\nthreshold = 0.999\n")
    rejected = run(scanned, "scan")
    assert rejected.code == 3
    assert "dedup reindex" in rejected.err
    assert run(scanned, "reindex").code == 0
    assert [p["relation"] for p in json_of(run(scanned, "duplicates", "--pairs", "-f", "json"))] == ["exact", "copy", "copy"]
    assert run(scanned, "scan").code == 0


def test_excerpts_and_quotes_are_listed_as_pairs_only(scanned: Path) -> None:
    rejected = run(scanned, "duplicates", "--relation", "excerpt", "--relation", "quote")
    assert rejected.code == 2
    assert "--pairs" in rejected.err
    rejected = run(scanned, "duplicates", "--fail-on", "copy", "--fail-on", "quote")
    assert (rejected.code, "quote matches form no clusters; add --pairs" in rejected.err) == (2, True)
    assert run(scanned, "duplicates", "--pairs", "--fail-on", "quote").code == 0
    assert json_of(run(scanned, "duplicates", "--pairs", "--relation", "excerpt", "-f", "json")) == []
    assert run(scanned, "duplicates", "--relation", "excerpt", "--relation", "copy").code == 0


def test_after_a_change_of_url_rules_scan_requires_reindex_urls(scanned: Path) -> None:
    rule = '[[urls.rules]]\npattern = "two.example/story"\ntemplate = "https://one.example/story"\n'
    configure(scanned, rule)
    rejected = run(scanned, "scan")
    assert rejected.code == 3
    assert "dedup reindex --urls" in rejected.err
    assert run(scanned, "reindex", "--urls").code == 0
    assert len(json_of(run(scanned, "history", "https://two.example/story", "-f", "json"))["timeline"]) == 2
    assert run(scanned, "scan").code == 0


def test_config_as_json_has_the_origin_of_each_value(crawl: Path) -> None:
    shown_config = json_of(run(crawl, "config", "-f", "json", "-d", "other.db"))
    assert shown_config["file"] == str(crawl / "config.toml")
    settings = shown_config["settings"]
    assert settings["crawl.settle_seconds"] == {"value": 0.0, "origin": "config.toml"}
    assert settings["duplicates.threshold"] == {"value": 0.7, "origin": "default"}
    assert settings["database.path"] == {"value": str(crawl / "other.db"), "origin": "command line"}
    assert settings["crawl.directories"]["value"] == [str(crawl / "crawl")]
    text = run(crawl, "config").out
    assert all(key in text for key in settings)


def test_diff_in_the_other_direction_swaps_both_sides(scanned: Path) -> None:
    forward = json_of(run(scanned, "diff", "901_0000000001", "--from", "1", "--to", "2", "-f", "json"))
    backward = json_of(run(scanned, "diff", "901_0000000001", "--from", "2", "--to", "1", "-f", "json"))
    for part in ("title", "body"):
        sides = [_sides(diff[part]) for diff in (forward, backward)]
        assert sides[0] == sides[1][::-1]
        assert sides[0][0] != sides[0][1]
    assert _sides(forward["title"]) == ("제목 02", "제목 03")
    assert _sides(forward["body"])[0] == _body(scanned)
    text = run(scanned, "diff", "901_0000000001", "--from", "1", "--to", "2").out
    assert "[-02-]" in text
    assert "{+03+}" in text


def _sides(stretches: Iterable[Mapping[str, str]]) -> tuple[str, str]:
    stretches = list(stretches)
    before = "".join(s["text"] for s in stretches if s["kind"] in ("same", "removed"))
    return before, "".join(s["text"] for s in stretches if s["kind"] in ("same", "added"))


def test_diff_shows_the_latest_change_by_default(scanned: Path) -> None:
    diff = json_of(run(scanned, "diff", "901_0000000001", "-f", "json"))
    assert (diff["from_revision"], diff["to_revision"]) == (2, 3)


def test_diff_and_history_of_a_page_that_returned(tmp_path: Path) -> None:
    configure(tmp_path)
    for day, body in (("02", "하나 둘"), ("03", "하나 셋"), ("04", "하나 둘")):
        ArticleFile(body, crawled_at=f"2026-03-{day} 00:30:00").write(tmp_path / "crawl" / day)
    assert run(tmp_path, "scan").code == 0
    diff = json_of(run(tmp_path, "diff", "901_0000000001", "-f", "json"))
    assert (diff["from_revision"], diff["to_revision"]) == (2, 1)
    changes = json_of(run(tmp_path, "history", "901_0000000001", "-f", "json"))["changes"]
    assert [(c["from_revision"], c["to_revision"], c["returned"]) for c in changes] == [(1, 2, False), (2, 1, True)]


def test_diff_keeps_line_breaks_of_the_body(tmp_path: Path) -> None:
    configure(tmp_path)
    for day, last in (("02", "eleven"), ("03", "twelve")):
        article = ArticleFile(f"First line.\nSecond line.\n\n{last}", title="lines", crawled_at=f"2026-03-{day} 00:30:00")
        article.write(tmp_path / "crawl" / day)
    assert run(tmp_path, "scan").code == 0
    text = run(tmp_path, "diff", "901_0000000001").out
    assert "\nFirst line.\nSecond line.\n[-eleven-]{+twelve+}\n" in text


def test_diff_of_a_page_with_one_revision_says_so(scanned: Path) -> None:
    result = run(scanned, "diff", "https://one.example/story")
    assert result.code == 0
    assert result.out.splitlines()[1] == "There is nothing to compare: both sides are the same revision."


@pytest.mark.parametrize("options", [["--from", "9"], ["--to", "0"], ["--from", "1", "--to", "4"], ["--from", "-1"]])
def test_diff_of_a_missing_revision_lists_the_valid_ones(scanned: Path, options: list[str]) -> None:
    result = run(scanned, "diff", "901_0000000001", *options)
    assert result.code == 2
    assert "1 to 3" in result.err


# Naming a page


@pytest.mark.parametrize(
    "name",
    [
        "https://n.news.naver.com/mnews/article/901/0000000001",
        "http://m.news.naver.com/article/901/0000000001?sid=100#top",
        "https://news.naver.com/main/read.naver?aid=0000000001&oid=901",
        "901_0000000001",
        "crawl/03/901_0000000001_제목_03.md",
        "./crawl/../crawl/03/901_0000000001_제목_03.md",
    ],
)
def test_a_page_is_found_by_url_alias_id_and_path(scanned: Path, name: str) -> None:
    history = json_of(run(scanned, "history", name, "-f", "json"))
    assert history["url"] == "https://n.news.naver.com/mnews/article/901/0000000001"
    assert json_of(run(scanned, "diff", name, "-f", "json"))["url"] == history["url"]


def test_a_page_is_found_by_an_absolute_path(scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    result = run(elsewhere, "history", scanned / "crawl" / "one.md", "-c", scanned / "config.toml", "-f", "json")
    assert json_of(result)["url"] == "https://one.example/story"


@pytest.mark.parametrize("name", ["history", "diff"])
def test_an_ambiguous_id_is_rejected_with_the_urls(scanned: Path, name: str) -> None:
    result = run(scanned, name, "77_8")
    assert result.code == 2
    assert "https://one.example/story" in result.err
    assert "https://two.example/story" in result.err


@pytest.mark.parametrize("name", ["history", "diff"])
@pytest.mark.parametrize(
    "page_name", ["https://nowhere.example/", "1_1", "crawl/none.md", "crawl/empty.md", "", "%", "https://[", b"\xff.md", "\x1b[31m"]
)
def test_an_unknown_page_fails_with_one_line(scanned: Path, name: str, page_name: str | bytes) -> None:
    result = run(scanned, name, page_name)
    assert result.code == 3
    assert result.err.startswith("dedup: The database has no page for ")
    assert result.err.count("\n") == 1


# Exit codes and global options


@pytest.mark.parametrize("args", [["--nonsense"], ["nonsense"], ["history"], ["dump"], *([name, "--nonsense"] for name in COMMANDS)])
def test_wrong_usage_is_an_error(scanned: Path, args: list[str]) -> None:
    result = run(scanned, *args)
    assert (result.code, result.out) == (2, "")
    assert "Usage:" in result.err


@pytest.mark.parametrize("args", [["--since", "gestern"], ["--min-similarity", "2"], ["--kind", "all"], ["--format", "xml"]])
def test_invalid_option_values_are_an_error(scanned: Path, args: list[str]) -> None:
    assert run(scanned, "duplicates", *args).code == 2


@pytest.mark.parametrize(
    ("content", "expected_words"),
    [
        ("[duplicates]\nthresold = 0.5\n", ("duplicates.thresold", "threshold")),
        ("[duplicats]\nthreshold = 0.5\n", ("duplicats", "duplicates")),
        ('[duplicates]\nthreshold = "high"\n', ("duplicates.threshold", "high")),
        ("[duplicates]\nthreshold = 7\n", ("duplicates.threshold", "7")),
        ('[time]\ncrawled_at = "Mars/Olympus"\n', ("time.crawled_at", "Mars/Olympus")),
        ('[integrity]\nrecipes = ["sha265(body)"]\n', ("integrity.recipes", "sha256(body)")),
        ("crawl = 3\n", ("crawl",)),
        ("[crawl\n", ("TOML",)),
        ("# \xff\n", ("cannot be read",)),
        ("[crawl]\npatterns = []\n", ("crawl.patterns", "must have at least 1 item")),
    ],
)
def test_an_invalid_configuration_fails_with_one_line(scanned: Path, content: str, expected_words: tuple[str, ...]) -> None:
    (scanned / "bad.toml").write_bytes(content.encode("latin-1"))
    for name in ("scan", "status", "config"):
        result = run(scanned, name, "--config", "bad.toml")
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("dedup: bad.toml: ")
        assert all(word in result.err for word in expected_words)
        assert result.err.count("\n") == 1


def test_a_missing_configuration_is_an_error(scanned: Path) -> None:
    assert run(scanned, "status", "-c", "none.toml").code == 2


def test_scan_without_a_directory_suggests_init(tmp_path: Path) -> None:
    result = run(tmp_path, "scan")
    assert result.code == 2
    assert "dedup init" in result.err
    assert not (tmp_path / "dedup.db").exists()


READERS = (
    ("status",),
    ("duplicates",),
    ("history", "901_0000000001"),
    ("diff", "901_0000000001"),
    ("similar", "crawl/one.md"),
    ("dump", "--logical"),
)


@pytest.mark.parametrize("args", [*READERS, ("reindex",), ("reindex", "--urls"), ("prune",), ("prune", "--dry-run"), ("prune", "--vacuum")])
def test_a_missing_database_is_an_error_and_is_not_created(crawl: Path, args: tuple[str, ...]) -> None:
    result = run(crawl, *args)
    assert (result.code, result.out) == (3, "")
    assert "dedup scan" in result.err
    assert not list(crawl.glob("dedup.db*")), "readers create nothing"


@pytest.mark.parametrize("args", [*READERS, ("reindex",), ("scan",), ("prune",), ("prune", "--vacuum")])
def test_a_database_of_a_newer_version_is_refused(scanned: Path, args: tuple[str, ...]) -> None:
    with closing(sqlite3.connect(scanned / "dedup.db")) as db, db:
        values = ("dedup", "9999_from_the_future", "2031-01-01T00:00:00+00:00")
        db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)", values)
    result = run(scanned, *args)
    assert (result.code, result.out) == (3, "")
    assert "newer version" in result.err
    assert "9999_from_the_future" in result.err


@pytest.mark.parametrize("args", [*READERS, ("reindex",), ("scan",), ("prune",), ("prune", "--vacuum")])
def test_a_file_that_is_not_a_database_is_refused_and_unchanged(crawl: Path, args: tuple[str, ...]) -> None:
    content = b"This is a letter, not a database.\n" * 200
    (crawl / "dedup.db").write_bytes(content)
    result = run(crawl, *args)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("dedup: The database ")
    assert (crawl / "dedup.db").read_bytes() == content


def test_fail_on_sets_the_exit_code(crawl: Path) -> None:
    result = run(crawl, "scan", "--fail-on", "mismatched", "-f", "json")
    assert (result.code, result.json()["new"]) == (0, 7)
    assert run(crawl, "scan", "--fail-on", "mismatched", "--fail-on", "fault").code == 1
    assert run(crawl, "scan", "--fail-on", "near").code == 0, "the second scan finds nothing new"
    assert run(crawl, "status", "--fail-on", "fault").code == 1
    assert run(crawl, "status", "--fail-on", "mismatched").code == 0
    assert run(crawl, "duplicates", "--fail-on", "near").code == 1
    assert run(crawl, "duplicates", "--fail-on", "near", "--relation", "exact").code == 0
    assert run(crawl, "duplicates", "--pairs", "--fail-on", "excerpt").code == 0
    (crawl / "crawl" / "one.md").unlink()
    assert run(crawl, "scan", "--fail-on", "gone").code == 1


def test_the_exit_code_of_verify_depends_on_the_checks(tmp_path: Path) -> None:
    ArticleFile(title="good").write(tmp_path / "good")
    ArticleFile(title="none", claim="").write(tmp_path / "none")
    ArticleFile(title="bad", claim="0" * 64).write(tmp_path / "bad")
    assert run(tmp_path, "verify", "good").code == 0
    assert run(tmp_path, "verify", "good", "none").code == 0
    result = run(tmp_path, "verify", "good", "bad", "-f", "json")
    assert (result.code, [row["check_status"] for row in result.json()]) == (1, ["verified", "mismatched"])
    assert run(tmp_path, "verify", "none-such.md").code == 1
    assert run(tmp_path, "verify").code == 2


def test_a_missing_crawl_directory_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path, "scan", "nowhere", "-f", "json")
    assert result.code == 3
    assert "nowhere" in result.err
    assert result.json()["files"] == 0


def test_overlapping_directories_are_refused(crawl: Path) -> None:
    result = run(crawl, "scan", "crawl", "crawl/02")
    assert result.code == 2
    assert "overlap" in result.err


@pytest.mark.parametrize("args", [("-d", "x.db", "status"), ("status", "-d", "x.db"), ("-d", "y.db", "status", "--database", "x.db")])
def test_global_options_work_before_and_after_the_command(scanned: Path, args: tuple[str, ...]) -> None:
    (scanned / "dedup.db").rename(scanned / "x.db")
    result = run(scanned, *args, "-f", "json")
    assert json_of(result)["files"] == 8


@pytest.mark.parametrize("args", [("-c", "other.toml", "scan"), ("scan", "--config", "other.toml"), ("-q", "scan", "-c", "other.toml")])
def test_the_configuration_option_works_before_and_after_the_command(crawl: Path, args: tuple[str, ...]) -> None:
    (crawl / "config.toml").rename(crawl / "other.toml")
    assert json_of(run(crawl, *args, "-f", "json"))["new"] == 7


@pytest.mark.parametrize(
    ("args", "is_silent"), [(("-q", "init"), True), (("init", "-q"), True), (("-q", "init", "-v"), False), (("init",), False)]
)
def test_quiet_works_before_and_after_the_command(tmp_path: Path, args: tuple[str, ...], is_silent: bool) -> None:
    result = run(tmp_path, *args)
    assert result.code == 0
    assert (result.err == "") is is_silent


@pytest.mark.parametrize("args", [("verify", "-v", "crawl"), ("-v", "verify", "crawl")])
def test_verbose_verify_lists_every_file(crawl: Path, args: tuple[str, ...]) -> None:
    assert run(crawl, *args).out.count("verified ") >= 7
    assert "one.md" not in run(crawl, "verify", "crawl").out


# Hostile content

HOSTILE = "\x1b[31m\x07\x08\x7f\x9b2J\u202e\u2066\u2028\u200f\x1b]0;owned\x07\r\x00\ufeff\U000e0041"


def control_characters(text: str) -> set[str]:
    """Return characters that control a terminal or reorder a line. Callers remove the line ends of CSV first."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and c not in "\n\u200c\u200d"}


@pytest.fixture
def hostile_crawl(tmp_path: Path) -> tuple[Path, bytes]:
    """A scanned crawl with control characters in every field, and the path of one of its files."""
    root = os.fsencode(tmp_path) + b"/cr\x1b[5mawl\xff"
    os.mkdir(root)
    configure(tmp_path, f'[database]\npath = "d\\u001b[7m\\u009b.db"\n[urls]\nfrom_ids = ""\n{_URL_RULES}')
    rng = random.Random(3)
    text = words(rng, 100, korean=False)
    body, near = " ".join(text), " ".join([*text[:98], "entirely", "different"])
    mark = HOSTILE.replace("\r", "").replace("\0", "")
    name = b"na\x1b[1mme\n\xff\x9b\xc2\x9b"
    for i, (kind, content, crawled) in enumerate(
        (("a", body, "2026-03-02 00:30:00"), ("a", near + mark, "2026-03-03 00:30:00"), ("b", body, "2026-03-02 00:31:00"), ("c", near, ""))
    ):
        article = ArticleFile(
            f"{content} {HOSTILE}",
            title=f"=cmd{i}{mark}",
            publisher=f"@pub{i}{mark}",
            author=f"-au{i}{mark}",
            category=f"+ca{i}{mark}",
            oid=f"o{mark}",
            aid=kind,
            url=f"https://x.example/{kind}?q={mark}",
            claim=mark if kind == "c" else None,
            crawled_at=crawled,
            extra=(("section_id", mark),),
        )
        with open(root + b"/" + name + str(i).encode() + b".md", "wb") as file:
            file.write(article.render().encode("utf-8"))
    os.makedirs(root + b"/fol\x1bder\xff")
    for fault in (b"", b"no article \x1b[31m", b"---\ntitle: \x1b[31m\n---\n\n# \x1b\n\n**a** | b | c\n\n---\n\n" + mark.encode() + b"\n"):
        with open(root + b"/fol\x1bder\xff/" + str(len(fault)).encode() + name + b".md", "wb") as file:
            file.write(fault)
    result = run(tmp_path, "scan", root)
    assert result.code == 0, result.err
    assert not control_characters(result.out + result.err)
    return tmp_path, root + b"/" + name + b"1.md"


_URL_RULES = '[[urls.rules]]\npattern = "n.example/{a}"\ntemplate = "https://n.example/{a}"\n'


def test_output_has_no_control_characters(hostile_crawl: tuple[Path, bytes]) -> None:
    folder, path = hostile_crawl
    page = json_of(run(folder, "duplicates", "--pairs", "-f", "json"))[0]["a"]
    assert "\x1b[31m" in page["title"]
    root = os.path.dirname(path)
    missing = root + b"/none\x1b[31m\xff.md"
    commands: list[tuple[str | bytes, ...]] = [
        ("scan", root),
        ("scan", root + b"/nowhere\x1b"),
        ("scan", root, root),
        ("scan", root, root + b"/fol\x1bder\xff"),
        ("status",),
        ("status", "--faults"),
        ("duplicates",),
        ("duplicates", "--pairs"),
        ("duplicates", "--publisher", page["publisher"]),
        ("duplicates", "--since", "\x1b[31m"),
        ("similar", path),
        ("similar", missing),
        ("similar", root),
        ("history", path),
        ("history", page["url"]),
        ("history", page["id"]),
        ("history", missing),
        ("history", "\x1b[31m"),
        ("diff", path),
        ("diff", path, "--from", "2", "--to", "1"),
        ("diff", path, "--from", "99"),
        ("verify", root),
        ("verify", "-v", root),
        ("verify", missing),
        ("config",),
        ("config", "-c", "none\x1b"),
        ("dump", "--logical"),
        ("reindex",),
        ("reindex", "--urls"),
        ("prune", "--dry-run"),
        ("prune", "--vacuum"),
        ("status", "-d", "none\x1b[31m.db"),
        ("init", "none\x1b[31m"),
        ("\x1b[31m",),
        ("status", "--\x1b[31m"),
        ("status", "--format", "\x1b[31m"),
        ("sample", "new\x1b[31m"),
    ]
    with_hostile_content = 0
    for args in commands:
        for form in ("text", "json", "csv"):
            if form != "text" and args[0] in ("dump", "init", "sample"):
                continue
            result = run(folder, *args, *(("-f", form) if form != "text" else ()))
            assert not control_characters(result.out.replace("\r\n", "\n")), (args, form)
            assert not control_characters(result.err), (args, form)
            assert result.code in (0, 1, 2, 3)
            if form == "json" and result.out:
                json.loads(result.out)
            with_hostile_content += "x1b" in result.out or "u001b" in result.out
    assert with_hostile_content > 30, "the output included the hostile content, escaped"


def test_csv_output_has_no_formulas(hostile_crawl: tuple[Path, bytes]) -> None:
    folder, path = hostile_crawl
    for args in (("duplicates",), ("duplicates", "--pairs"), ("similar", path), ("history", path), ("verify", os.path.dirname(path))):
        result = run(folder, *args, "-f", "csv")
        rows = rows_of(result)
        assert rows
        cells = [cell for row in rows for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    titles = [row["title"] for row in rows_of(run(folder, "duplicates", "-f", "csv"))]
    assert titles
    assert all(title.startswith("'=cmd") for title in titles)


hostile = st.text(st.one_of(st.characters(), st.sampled_from(HOSTILE + "\ud800\udcff=+-@\t,\"'")))


@given(hostile, st.sampled_from([None, 2]))
@example("\x7f", None)
@example("글\x7f", 2)
@example(HOSTILE, None)
def test_json_keeps_any_text_without_control_characters(text: str, indent: int | None) -> None:
    value = {"title" + text: [text, {"inner": text}], "number": 1.5}
    formatted = format_json(value, indent)
    assert not control_characters(formatted)
    assert json.loads(formatted) == value


@given(st.one_of(hostile, st.sampled_from("=+-@\t\r\n").flatmap(lambda c: hostile.map(lambda t: c + t))))
def test_csv_cells_have_no_formulas_and_no_control_characters(text: str) -> None:
    cell = format_csv_cell(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert not control_characters(cell)
    assert "\n" not in cell


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_directory_name_can_be_written_as_toml(name: str) -> None:
    assert tomllib.loads(f"x = [{_format_toml_string(name)}]")["x"] == [name]


def test_file_names_may_be_invalid_utf8(tmp_path: Path) -> None:
    root = os.fsencode(tmp_path) + b"/\xb1\xe2\xbb\xe7"
    os.mkdir(root)
    body = " ".join(words(random.Random(5), 80))
    for number, name in enumerate((b"\xff\xfe.md", b"\xb1\xdb.md")):
        source = ArticleFile(body, aid=f"{number}").write(tmp_path, "made.md")
        os.rename(source, root + b"/" + name)
    (tmp_path / "config.toml").write_text("[crawl]\nsettle_seconds = 0.0\n")
    scan = json_of(run(tmp_path, "scan", root, "-f", "json"))
    assert (scan["new"], scan["faults"], scan["matches"]["exact"]) == (2, 0, 1)
    path = root + b"/\xff\xfe.md"
    assert json_of(run(tmp_path, "history", path, "-f", "json"))["url"].endswith("/901/0")
    path_text = json_of(run(tmp_path, "verify", path, "-f", "json"))[0]["path"]
    assert path_text.endswith("\\xb1\\xe2\\xbb\\xe7/\\xff\\xfe.md")
    assert [m["relation"] for m in json_of(run(tmp_path, "similar", path, "-f", "json"))] == ["exact"]
    assert run(tmp_path, "verify", root).code == 0
    child = spawn(tmp_path, "history", path)
    assert (child.code, child.err) == (0, "")
    assert "\\xff\\xfe.md" in child.out


def test_a_database_name_may_be_invalid_utf8(crawl: Path) -> None:
    name = b"\xb1\xe2.db"
    assert run(crawl, "scan", "-d", name).code == 0
    assert json_of(run(crawl, "status", "-d", name, "-f", "json"))["files"] == 8
    assert run(crawl, "status", "-d", b"\xff.db").code == 3


# One writer


@pytest.mark.system
@pytest.mark.parametrize("args", [("scan",), ("reindex",), ("reindex", "--urls"), ("prune", "--vacuum")])
def test_a_second_writer_is_refused_at_once(scanned: Path, args: tuple[str, ...]) -> None:
    program = "import sys; from dedup.store import Lock; lock = Lock(sys.argv[1], 'watch'); print('held', flush=True); sys.stdin.read()"
    before = run(scanned, "dump", "--logical").out
    with subprocess.Popen(
        [sys.executable, "-c", program, str(scanned / "dedup.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = run(scanned, *args)
        watch = spawn(scanned, "watch")
        writer = json_of(run(scanned, "status", "-f", "json"))["writer"]
        assert run(scanned, "dump", "--logical").out == before, "readers are not blocked"
        holder.communicate("")
    assert (result.code, result.out) == (3, "")
    assert f"process {holder.pid}" in result.err
    assert (watch.code, f"process {holder.pid}" in watch.err) == (3, True)
    assert f"process {holder.pid}" in writer
    assert json_of(run(scanned, "status", "-f", "json"))["writer"] is None
    assert run(scanned, *args).code == 0


# Getting started


def test_init_does_not_overwrite_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    result = run(tmp_path, "init")
    assert result.code == 3
    assert "config.toml" in result.err
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


def test_init_does_not_write_through_a_dangling_symlink(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to("elsewhere.toml")
    assert run(tmp_path, "init").code == 3
    assert not (tmp_path / "elsewhere.toml").exists()


@pytest.mark.parametrize(
    "name", ["crawl", "기사 모음", 'with "quotes" and \\', "a # b", "esc\x1b[31m", "~", "~root", "$HOME", "x = 1\ny", "\\1"]
)
def test_init_writes_the_directory_and_every_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    ArticleFile().write(tmp_path / name)
    result = run(tmp_path, "init", name)
    assert (result.code, result.out) == (0, "")
    settings = json_of(run(tmp_path, "config", "-f", "json"))["settings"]
    assert settings["crawl.directories"]["value"] == [str(tmp_path / name)]
    assert {key for key, entry in settings.items() if entry["origin"] != "config.toml"} == {"alerts", "channels"}  # only in comments


def test_init_keeps_an_absolute_path(tmp_path: Path) -> None:
    (tmp_path / "crawl").mkdir()
    assert run(tmp_path, "init", tmp_path / "crawl").code == 0
    assert f'directories = ["{tmp_path}/crawl"]' in (tmp_path / "config.toml").read_text("utf-8")


def test_init_refuses_a_directory_name_that_is_not_utf8(tmp_path: Path) -> None:
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    result = run(tmp_path, "init", b"\xff")
    assert result.code == 2
    assert "UTF-8" in result.err
    assert not (tmp_path / "config.toml").exists()


def test_init_refuses_a_missing_directory(tmp_path: Path) -> None:
    assert run(tmp_path, "init", "nowhere").code == 2
    assert not (tmp_path / "config.toml").exists()


def test_sample_can_be_repeated(tmp_path: Path) -> None:
    def snapshot() -> dict[str, tuple[bytes, int]]:
        return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.is_file()}

    assert run(tmp_path, "sample", "here").code == 0
    first = snapshot()
    assert len(first) > 40
    assert run(tmp_path, "sample", "here").code == 0
    assert snapshot() == first


def test_sample_does_not_overwrite_changed_files(tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    victim = min((tmp_path / "crawl").rglob("*.md"))
    victim.write_text("mine")
    (tmp_path / "config.toml").write_text("# mine\n")
    result = run(tmp_path, "sample", ".")
    assert result.code == 3
    assert victim.parent.name in result.err
    assert victim.read_text() == "mine"
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


def test_sample_in_an_invalid_place_fails_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path, "sample", "file/inner")
    assert result.code == 3
    assert result.err.startswith("dedup: ")
    assert result.err.count("\n") == 1


# The dump


def test_databases_of_equal_directories_have_equal_dumps(crawl: Path) -> None:
    hidden = crawl / "later"
    (crawl / "crawl" / "03").rename(hidden)
    assert run(crawl, "scan", "-d", "steps.db").code == 0
    hidden.rename(crawl / "crawl" / "03")
    assert run(crawl, "scan", "-d", "steps.db").code == 0
    assert run(crawl, "scan", "-d", "once.db").code == 0
    dumps = [run(crawl, "dump", "--logical", "-d", name) for name in ("steps.db", "once.db")]
    assert dumps[0].out == dumps[1].out
    rows = [json.loads(line) for line in dumps[0].out.splitlines()]
    tables = {"pages", "aliases", "revisions", "sightings", "files", "readings", "faults", "changes", "matches"}
    assert {row["table"] for row in rows} == tables
    assert not {key for row in rows for key in row if key == "id" or key.endswith("_id")} - {"article_id"}


def test_databases_of_different_directories_have_different_dumps(crawl: Path) -> None:
    assert run(crawl, "scan", "-d", "one.db").code == 0
    path = crawl / "crawl" / "one.md"
    path.write_text(path.read_text("utf-8").replace("title: ", "title: x"), "utf-8")
    assert run(crawl, "scan", "-d", "two.db").code == 0
    assert len({run(crawl, "dump", "--logical", "-d", name).out for name in ("one.db", "two.db")}) == 2


# Pipes, full disks, read-only places


@pytest.mark.system
@pytest.mark.parametrize(
    "args", [("dump", "--logical"), ("duplicates", "--pairs"), ("history", "915_0000100070", "-f", "json"), ("status",)]
)
@pytest.mark.parametrize("first", [True, False], ids=["after a line", "at once"])
def test_a_closed_pipe_is_no_error(sampled: SampleCrawl, args: tuple[str, ...], first: bool) -> None:
    with subprocess.Popen(command(*args), cwd=sampled.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        if first:
            assert child.stdout.readline()
        child.stdout.close()
        errors = child.stderr.read()
        code = child.wait(60)
    assert (code, errors) == (0, "")


def test_a_full_output_device_fails_with_one_line(sampled: SampleCrawl) -> None:
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            command("status"), cwd=sampled.folder, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert process.returncode == 3
    assert process.stderr.startswith("dedup: ")
    assert process.stderr.count("\n") == 1


def test_output_works_with_an_ascii_encoding(sampled: SampleCrawl) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = subprocess.run(command("duplicates"), cwd=sampled.folder, env=environment, capture_output=True, timeout=60, check=False)
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"Salmon farms ordered offshore" in process.stdout


# Permissions


def test_verify_reports_a_folder_without_search_permission(tmp_path: Path) -> None:
    path = ArticleFile().write(tmp_path / "closed")
    path.parent.chmod(0o600)
    result = run_without_capabilities(tmp_path, "verify", path)
    path.parent.chmod(0o755)
    assert (result.code, "unreadable: permission to enter the folder is denied" in result.out) == (1, True), result


@pytest.fixture
def read_only(scanned: Path) -> Iterable[Path]:
    """A copy of the database, its configuration and its crawl in a read-only directory."""
    folder = scanned / "read-only"
    folder.mkdir()
    shutil.copytree(scanned / "crawl", folder / "crawl")
    for name in ("dedup.db", "config.toml"):
        shutil.copy(scanned / name, folder)
        (folder / name).chmod(0o444)
    folder.chmod(0o555)
    probe = subprocess.run(
        [sys.executable, "-c", DROP_CAPABILITIES, shutil.which("touch") or "touch", str(folder / "probe")], capture_output=True, check=False
    )
    if probe.returncode in (0, 77):
        folder.chmod(0o755)
        pytest.skip("permissions do not hold for this user")
    yield folder
    folder.chmod(0o755)


@pytest.mark.system
def test_readers_work_in_a_read_only_directory(read_only: Path, scanned: Path) -> None:
    for args in READERS:
        result = run_without_capabilities(read_only, *args)
        assert (result.code, result.err) == (0, ""), args
        if args[0] != "status":
            assert result.out == run(scanned, *args).out, args
    assert sorted(p.name for p in read_only.iterdir()) == ["config.toml", "crawl", "dedup.db"]


@pytest.mark.system
@pytest.mark.parametrize("args", [("scan",), ("reindex",), ("init",), ("scan", "-d", "new.db"), ("sample", "here")])
def test_writers_fail_with_one_line_in_a_read_only_directory(read_only: Path, args: tuple[str, ...]) -> None:
    result = run_without_capabilities(read_only, *args)
    assert result.code == 3
    assert result.err.startswith("dedup: ")
    assert result.err.count("\n") == 1
    assert sorted(p.name for p in read_only.iterdir()) == ["config.toml", "crawl", "dedup.db"]


@pytest.mark.parametrize("place", ["nowhere/dedup.db", "config.toml/dedup.db", "crawl"])
def test_a_database_that_cannot_be_created_fails_with_one_line(crawl: Path, place: str) -> None:
    result = run(crawl, "scan", "-d", place)
    assert (result.code, result.out) == (3, "")
    assert result.err.startswith("dedup: The database ")
    assert place in result.err
    assert result.err.count("\n") == 1


# Interruption


@pytest.mark.system
def test_an_interrupted_scan_is_continued_by_the_next(tmp_path: Path) -> None:
    configure(tmp_path)
    fill(tmp_path / "crawl", 2000)
    database = tmp_path / "dedup.db"
    with subprocess.Popen(command("scan"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while _files_in(database) == 0:
            try:
                child.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail("the scan ended before it could be interrupted")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert "Interrupted" in err
    assert "Traceback" not in err
    recorded = _files_in(database)
    assert 0 < recorded < 2000
    assert json_of(run(tmp_path, "status", "-f", "json"))["writer"] is None
    tally = json_of(run(tmp_path, "scan", "-f", "json"))
    assert (tally["unchanged"], tally["new"]) == (recorded, 2000 - recorded)
    assert run(tmp_path, "scan", "-d", "undisturbed.db").code == 0
    assert run(tmp_path, "dump", "--logical").out == run(tmp_path, "dump", "--logical", "-d", "undisturbed.db").out


def _files_in(database: Path) -> int:
    """Return the number of recorded files, or 0 while the database is being created."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM files").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


# Help, suggestions, completion


def all_commands(group: click.Group = cli, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command and group below `group` with the words that call it."""
    for name in group.list_commands(click.Context(group)):
        inner = group.get_command(click.Context(group), name)
        assert inner is not None
        yield " ".join((*words, name)), inner
        if isinstance(inner, click.Group):
            yield from all_commands(inner, *words, name)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_has_the_summary_of_each_command(name: str) -> None:
    (inner,) = (c for words, c in all_commands() if words == name)
    assert (inner.help or "").partition("\n")[0] == f"{COMMANDS[name].summary}."


def test_every_summary_is_a_short_verb_phrase() -> None:
    for name, inner in all_commands():
        summary = (inner.help or "").partition("\n")[0]
        assert len(summary.removesuffix(".")) <= 45, name
        assert summary.endswith("."), name
        assert not re.match(r"(The|A|An|What|Which|How|[A-Z]\w+s) ", summary), f"{name}: {summary}"


def test_the_list_of_commands_is_grouped_and_fits_80_columns(tmp_path: Path) -> None:
    out = run(tmp_path, "--help").out
    assert list(COMMAND_GROUPS) == ["Set up", "Collect", "Look", "Export", "Operate", "Repair"]
    position = 0
    for heading, commands in COMMAND_GROUPS.items():
        block = f"\n{heading}:\n" + "".join(f"  {name:<11}  {entry.summary}\n" for name, entry in commands.items())
        assert block in out[position:], heading
        position = out.index(block)
    assert max(map(len, out.splitlines())) < 80


def command_lines(help_text: str) -> list[list[str]]:
    """Return the arguments of each `dedup` call in the examples of a help text."""
    lines = help_text.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    calls = []
    for line in (re.sub(r" {2,}.*", "", line.strip()) for line in lines):
        parts = re.findall(r"\((dedup [^)]*)\)", line) or re.split(r" && | \| | > ", line)
        calls += [shlex.split(part[part.index("dedup ") :])[1:] for part in parts if "dedup " in part]
    return calls


def test_the_list_of_commands_imports_no_command() -> None:
    program = (
        "import sys\nfrom dedup.cli import main\n"
        "try: main()\nexcept SystemExit: print(*[m for m in sys.modules if m.startswith('dedup.cli.')], file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert set(process.stderr.split()) == {"dedup.cli.common", "dedup.cli.suggestions"}


@pytest.mark.parametrize("name", [name for name, _ in all_commands()])
def test_every_command_has_two_valid_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The examples of a group call its commands."""
    (tmp_path / "crawl").mkdir()
    monkeypatch.chdir(tmp_path)
    commands = dict(all_commands())
    calls = command_lines(commands[name].help or "")
    count = 0
    for arguments in calls:
        while arguments[0].startswith("-"):
            arguments = arguments[1 if arguments[0] == "-q" else 2 :]
        command_name = max((w for w in commands if arguments[: w.count(" ") + 1] == w.split()), key=len)
        commands[command_name].make_context(command_name, arguments[command_name.count(" ") + 1 :], parent=click.Context(cli))
        count += f"{command_name} ".startswith(f"{name} ")
    assert count >= 2, calls


def test_the_common_options_are_described_once(tmp_path: Path) -> None:
    assert "Database to use instead" in run(tmp_path, "--help").out
    for name, _ in all_commands():
        out = run(tmp_path, *name.split(), "--help").out
        assert "Database to use instead" not in out, name
        assert "-c, -d, -v, -q" in out, name


@pytest.mark.parametrize(
    ("args", "suggestion"),
    [
        (["scna"], "Did you mean 'scan'?"),
        (["alerts", "lst"], "Did you mean 'list'?"),
        (["directories", "mvoe"], "Did you mean 'move'?"),
        (["export", "artikles"], "Did you mean 'articles'?"),
        (["boilerplate", "lits"], "Did you mean 'list'?"),
        (["scan", "--formt", "json"], "--format"),
        (["scan", "--format", "jsn"], "Did you mean 'json'?"),
        (["scan", "--fail-on", "mismached"], "Did you mean 'mismatched'?"),
        (["changes", "--min-severity", "notble"], "Did you mean 'notable'?"),
        (["completion", "fsh"], "Did you mean 'fish'?"),
    ],
    ids=" ".join,
)
def test_a_mistyped_word_gets_a_suggestion(tmp_path: Path, args: list[str], suggestion: str) -> None:
    result = run(tmp_path, *args)
    assert (result.code, result.out) == (2, "")
    assert suggestion in result.err


def test_an_unknown_word_gets_no_suggestion(tmp_path: Path) -> None:
    for args in (["xyzzy"], ["alerts", "xyzzy"], ["scan", "--format", "xyzzy"]):
        result = run(tmp_path, *args)
        assert result.code == 2
        assert "Did you mean" not in result.err


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_calls_the_program(tmp_path: Path, shell: str) -> None:
    script = run(tmp_path, "completion", shell).out
    assert f"_DEDUP_COMPLETE={shell}_complete" in script
    assert json_of(run(tmp_path, "completion", shell, "-f", "json")) == {"shell": shell, "script": script.removesuffix("\n")}


@pytest.mark.parametrize(
    ("words", "candidates"),
    [
        ("dedup sc", {"scan"}),
        ("dedup alerts re", {"retry"}),
        ("dedup scan --fail-on mis", {"mismatched"}),
        ("dedup status --fo", {"--follow", "--format"}),
        ("dedup watch --conf", {"--config"}),
    ],
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script(tmp_path: Path, words: str, candidates: set[str]) -> None:
    program = tmp_path / "dedup"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dedup "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "completion.bash"
    script.write_text(run(tmp_path, "completion", "bash").out)
    assert subprocess.run(["bash", "-n", script], capture_output=True, check=False).returncode == 0
    last = len(words.split()) - 1
    lines = f'. "{script}"; COMP_WORDS=({words}); COMP_CWORD={last}; _dedup_completion dedup; printf "%s\\n" "${{COMPREPLY[@]}}"'
    process = subprocess.run(
        ["bash", "--norc", "-c", lines],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert set(process.stdout.split()) == candidates, process.stderr
