"""`dedup export`: the same complete rows in every format, constant memory, and atomic output files."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from dedup import reports, store
from dedup.files.atomic import PART_PREFIX
from dedup.reports.export import ExportFilter, articles_table, changes_table, clusters_table, matches_table, writers
from dedup.reports.export.schema import ARTICLES_SCHEMA, CHANGES_SCHEMA, CLUSTERS_SCHEMA, MATCHES_SCHEMA, SELECTION_SCHEMA, ExportColumn
from dedup.store import open_database
from dedup.text.sanitise import format_csv_cell, format_json
from tests.builders.command import SampleCrawl, run
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.disks import memory
from tests.builders.exports import rows
from tests.builders.scans import dump, history
from tests.builders.summaries import CONFIG, crawls

pytestmark = pytest.mark.slow

TABLES = {
    "articles": ARTICLES_SCHEMA,
    "matches": MATCHES_SCHEMA,
    "clusters": CLUSTERS_SCHEMA,
    "changes": CHANGES_SCHEMA,
    "keep": SELECTION_SCHEMA,
    "drop": SELECTION_SCHEMA,
}


@pytest.fixture(scope="module")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned folder of random crawls with copies and changes, where some files are gone. Tests only read it."""
    folder = tmp_path_factory.mktemp("random")
    (folder / "config.toml").write_text(CONFIG)
    articles = crawls(random.Random(11), 40)
    for n in range(120):
        next(articles).write(folder / "crawl", f"{n}.md")
    body = " ".join(words(random.Random(1), 100))
    whole = ArticleFile(body, aid="9999999999").write(folder / "crawl")
    (folder / "crawl/cut.md").write_text(whole.read_text().replace("2026-03-02 00:30:00", "2026-03-03 00:30:00").partition(body[300:])[0])
    assert run(folder, "scan").code == 0
    for n in range(0, 120, 10):
        (folder / "crawl" / f"{n}.md").unlink()
    assert run(folder, "scan").code == 0
    return folder


def to_json_value(value: Any, column: ExportColumn) -> Any:
    """Convert a value of Parquet to that of JSON."""
    if column.type == "time" and value is not None:
        assert isinstance(value, datetime)
        assert value.utcoffset() is not None
        return value.isoformat()
    return json.loads(value) if column.type == "json" and value is not None else value


# Formats


@pytest.mark.parametrize("name", TABLES)
def test_every_format_has_the_same_rows(random_folder: Path, tmp_path: Path, name: str) -> None:
    columns = TABLES[name]
    names = [c.name for c in columns]
    expected = rows(random_folder, name)
    assert len(expected) > 3
    assert [list(r) for r in expected] == [names] * len(expected)
    assert run(random_folder, "export", name, "-f", "json").json() == expected
    csv_rows = list(csv.DictReader(io.StringIO(run(random_folder, "export", name, "-f", "csv").out)))
    flat = [
        {
            c.name: format_csv_cell(format_json(r[c.name]) if c.type in ("list", "json") and r[c.name] is not None else r[c.name])
            for c in columns
        }
        for r in expected
    ]
    assert csv_rows == flat
    path = tmp_path / "table.parquet"
    assert run(random_folder, "export", name, "-f", "parquet", "-o", path).code == 0
    table = pyarrow.parquet.read_table(path)
    assert [{c.name: to_json_value(r[c.name], c) for c in columns} for r in table.to_pylist()] == expected
    kinds = {"text": "string", "json": "string", "integer": "int64", "real": "double", "boolean": "bool"}
    kinds |= {"time": "timestamp[us, tz=UTC]", "list": "list<element: string>"}
    assert {f.name: str(f.type) for f in table.schema} == {c.name: kinds[c.type] for c in columns}


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
def test_an_empty_table_is_valid_in_every_format(folder: Path, form: str) -> None:
    assert run(folder, "scan").code == 0
    for name in TABLES:
        assert run(folder, "export", name, "-f", form, "-o", "table").code == 0
        content = (folder / "table").read_bytes()
        if form == "json":
            assert json.loads(content) == []
        elif form == "parquet":
            assert pyarrow.parquet.read_table(folder / "table").num_rows == 0
        else:
            assert len(content.splitlines()) == (form == "csv")


def test_parquet_keeps_the_earliest_and_latest_times(folder: Path) -> None:
    for n, at in enumerate(("0001-01-01 00:00:00", "9999-12-31 23:59:59")):
        ArticleFile(aid=f"{n}", crawled_at=at).write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert run(folder, "export", "articles", "-f", "parquet", "-o", "a.parquet").code == 0
    times = sorted(t.year for t in pyarrow.parquet.read_table(folder / "a.parquet")["crawled_at"].to_pylist())
    assert times == [1, 9999]


def test_parquet_requires_a_file_and_pyarrow(sampled: SampleCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = sampled("export", "articles", "-f", "parquet")
    assert (result.code, result.out) == (2, "")
    assert "-o" in result.err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = sampled("export", "articles", "-f", "parquet", "-o", tmp_path / "a.parquet")
    assert result.code == 2
    assert 'pip install "crawl-dedup[parquet]"' in result.err
    assert os.listdir(tmp_path) == []


# What is exported


def test_articles_are_the_current_revisions_of_the_pages(random_folder: Path) -> None:
    articles = {r["url"]: r for r in rows(random_folder, "articles")}
    pages = {p["url"]: p for p in dump(random_folder / "dedup.db", "pages") if p["current_at"]}
    bodies = {(r["url"], r["state_digest"]): r for r in dump(random_folder / "dedup.db", "revisions")}
    assert list(articles) == sorted(pages)
    for url, row in articles.items():
        state = bodies[url, pages[url]["current_state_digest"]]
        assert row["state_digest"].endswith(":" + state["state_digest"])
        assert (row["body"], row["title"], row["text_digest"], row["characters"]) == (
            state["body"],
            state["title"],
            state["text"],
            state["characters"],
        )
        page_history = history(random_folder / "dedup.db", url)
        counted = [t for t in page_history["timeline"] if t["status"] == "counted"]
        assert (row["first_crawled_at"], row["crawled_at"]) == (counted[0]["crawled_at"], counted[-1]["crawled_at"])
        assert row["revision"] == counted[-1]["revision"]
        assert row["current"]
    assert {r["gone"] for r in articles.values()} == {True, False}


def test_all_revisions_are_exported_in_the_order_of_their_numbers(random_folder: Path) -> None:
    articles = rows(random_folder, "articles", "--all-revisions")
    by_page: dict[str, list[dict[str, Any]]] = {}
    for row in articles:
        by_page.setdefault(row["url"], []).append(row)
    assert max(map(len, by_page.values())) > 2
    for url, states in by_page.items():
        revisions = history(random_folder / "dedup.db", url)["revisions"]
        assert [(s["revision"], s["state_digest"]) for s in states] == [(r["revision"], r["state_digest"]) for r in revisions]
        assert sum(s["current"] for s in states) == 1
    assert [r for r in articles if r["current"]] == rows(random_folder, "articles")


def test_no_body_omits_the_column(random_folder: Path) -> None:
    articles = rows(random_folder, "articles", "--no-body")
    assert articles == [{k: v for k, v in r.items() if k != "body"} for r in rows(random_folder, "articles")]


@pytest.mark.parametrize("all_revisions", [False, True])
def test_matches_equal_those_of_duplicates(random_folder: Path, all_revisions: bool) -> None:
    """No match of two texts is missing or additional, and each side names a page that shows its text."""
    options = ["--all-revisions"] if all_revisions else []
    texts = {(r["url"], r["text_digest"]) for r in rows(random_folder, "articles", "--no-body", *options)}
    with open_database(str(random_folder / "dedup.db")) as database:
        text_ids = {(a.url, a.digest): a.text_id for a in store.matches.matched_articles(database, all_revisions=all_revisions)}
        digests = {t: d.hex() for t, d in database.rows("SELECT id, digest FROM texts")}
        pairs = [
            (a.url, a.text_id, b.url, b.text_id, link)
            for a, b, link in reports.duplicates._matching_pairs(database, reports.DuplicateFilter(all_revisions=all_revisions))
        ]
    assert text_ids
    expected = {(frozenset((digests[a], digests[b])), link.relation) for _, a, _, b, link in pairs}
    matches = rows(random_folder, "matches", *options)
    assert {(frozenset((r["text_digest_a"], r["text_digest_b"])), r["relation"]) for r in matches} == expected
    counts = Counter((frozenset((r["text_digest_a"], r["text_digest_b"])), r["relation"]) for r in matches if r["relation"] != "exact")
    assert set(counts.values()) <= {1}
    for r in matches:
        assert r["url_a"] != r["url_b"]
        assert {(r["url_a"], r["text_digest_a"]), (r["url_b"], r["text_digest_b"])} <= texts
    for text in {r["text_digest_a"] for r in matches if r["relation"] == "exact"}:
        copies = {url for url, t in texts if t == text}
        assert sum(r["relation"] == "exact" and r["text_digest_a"] == text for r in matches) == len(copies) - 1


def test_clusters_equal_those_of_duplicates(random_folder: Path) -> None:
    clusters: dict[str, list[dict[str, Any]]] = {}
    for r in rows(random_folder, "clusters"):
        clusters.setdefault(r["cluster_url"], []).append(r)
    expected = {c["representative"]["url"]: c["members"] for c in run(random_folder, "duplicates", "-f", "json").json()}
    assert list(clusters) == sorted(expected)
    for url, members in clusters.items():
        assert members[0]["url"] == url
        assert members[0]["relation"] == "representative"
        expected_members = {
            (m["url"], m["relation"], m["similarity"], m["coverage"], m["lag_seconds"], m["via_url"]) for m in expected[url]
        }
        assert {
            (m["url"], m["relation"], m["similarity"], m["coverage"], m["lag_seconds"], m["via_url"]) for m in members[1:]
        } == expected_members


def test_exported_changes_equal_those_of_changes(random_folder: Path) -> None:
    expected = run(random_folder, "changes", "--expand-incidents", "--min-severity", "trivial", "-f", "json").json()
    names = [c.name for c in CHANGES_SCHEMA]
    assert rows(random_folder, "changes") == [{name: c[name] for name in names} for c in expected]


@pytest.mark.parametrize("name", ["articles", "matches", "changes"])
def test_adjacent_periods_contain_every_row_once(random_folder: Path, name: str) -> None:
    at = "2026-03-03T00:30:00+00:00"
    before, after = rows(random_folder, name, "--until", at), rows(random_folder, name, "--since", at)
    assert before
    assert after
    assert Counter(map(format_json, before + after)) == Counter(map(format_json, rows(random_folder, name)))


def test_a_match_has_the_time_of_its_later_article(random_folder: Path) -> None:
    at = "2026-03-03T00:30:00+00:00"
    first = {r["url"]: r["first_crawled_at"] for r in rows(random_folder, "articles", "--no-body")}
    all_matches = rows(random_folder, "matches")
    mixed = [r for r in all_matches if min(first[r["url_a"]], first[r["url_b"]]) < at <= max(first[r["url_a"]], first[r["url_b"]])]
    assert mixed
    later = rows(random_folder, "matches", "--since", at)
    assert all(r in later for r in mixed)


@pytest.mark.parametrize("body_number", [0, 1])
def test_a_match_names_two_pages_even_if_one_page_showed_both_texts(folder: Path, body_number: int) -> None:
    """The first page by URL is the same for both texts; another page shows the earlier text, or the later one."""
    rng = random.Random(1)
    text = words(rng, 120)
    bodies = [" ".join(text), " ".join(edit_words(rng, text, 0.03))]
    first = ArticleFile(aid="1")
    for day, body in enumerate(bodies, 2):
        replace(first, body=body, crawled_at=f"2026-03-0{day} 00:30:00").write(folder / "crawl", f"{day}.md")
    other = ArticleFile(bodies[body_number], aid="2")
    other.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    matches = [r for r in rows(folder, "matches", "--all-revisions") if r["relation"] == "near"]
    assert [{r["url_a"], r["url_b"]} for r in matches] == [{first.address, other.address}]
    texts = {(r["url"], r["text_digest"]) for r in rows(folder, "articles", "--all-revisions")}
    assert {(r[f"url_{side}"], r[f"text_digest_{side}"]) for r in matches for side in "ab"} <= texts


def test_a_cluster_with_a_selected_article_is_exported_with_all_members(random_folder: Path) -> None:
    at = "2026-03-04T00:00:00+00:00"
    all_clusters = rows(random_folder, "clusters")
    selected = {r["cluster_url"] for r in all_clusters if r["first_crawled_at"] >= at and r["publisher"] == "신문 2"}
    assert selected
    assert rows(random_folder, "clusters", "--since", at, "--publisher", "신문 2") == [
        r for r in all_clusters if r["cluster_url"] in selected
    ]


@pytest.mark.parametrize("name", ["articles", "matches", "changes"])
def test_rows_can_be_filtered_by_publisher(random_folder: Path, name: str) -> None:
    selected = rows(random_folder, name, "--publisher", "신문 1")
    assert selected
    assert selected == [
        r for r in rows(random_folder, name) if "신문 1" in (r.get("publisher"), r.get("publisher_a"), r.get("publisher_b"))
    ]


# Large tables


@pytest.mark.system
def test_memory_does_not_grow_with_the_table(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MAX_GROUP_CHARACTERS", 1 << 18)
    body = " ".join(words(random.Random(1), 8000))
    for n in range(400):
        ArticleFile(f"{n} {body}", aid=f"{n:04}").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    paths = {form: folder / f"a.{form}" for form in ("jsonl", "csv", "parquet")}
    for form, path in paths.items():
        tracemalloc.start()
        assert run(folder, "export", "articles", "-f", form, "-o", path).code == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20, form
    assert paths["jsonl"].stat().st_size > 20 << 20


def test_the_number_of_statements_does_not_grow_with_the_rows(folder: Path) -> None:
    def statements() -> dict[int, int]:
        counts = {}
        with open_database(str(folder / "dedup.db")) as database:
            executed: list[str] = []
            database.connection.set_trace_callback(executed.append)
            tables = [articles_table(database, ExportFilter(), all_revisions=all_revisions) for all_revisions in (False, True)] + [
                matches_table(database, ExportFilter(), all_revisions=True)
            ]
            for number, table in enumerate(
                [
                    *tables,
                    matches_table(database, ExportFilter()),
                    clusters_table(database, ExportFilter()),
                    changes_table(database, ExportFilter()),
                ]
            ):
                executed.clear()
                assert list(table.rows)
                counts[number] = len([s for s in executed if not s.startswith("--")])
        return counts

    articles = crawls(random.Random(2), 20)
    for n in range(60):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    few = statements()
    for n in range(60, 300):
        next(articles).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    assert statements() == few


# Atomic output

HALF_WRITTEN = """
import sys, signal
from dedup.cli import main
from dedup.reports.export import FORMATS
def half(table, file, on_row):
    file.write(b"half of it\\n" * 9999)
    file.flush()
    print("half way", flush=True)
    signal.pause()
FORMATS["jsonl"] = half
sys.argv = ["dedup", "export", "articles", "-o", "a.jsonl", "--force"]
main()
"""


@pytest.fixture
def half_written_export(sampled: SampleCrawl, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "config.toml").write_text(f'[database]\npath = "{sampled.folder / "dedup.db"}"\n')
    (tmp_path / "a.jsonl").write_text("previous content")
    with subprocess.Popen([sys.executable, "-c", HALF_WRITTEN], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"half way\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_export_leaves_no_partial_file(half_written_export: subprocess.Popen[bytes], tmp_path: Path, number: int) -> None:
    assert [n for n in os.listdir(tmp_path) if n.startswith(PART_PREFIX)]
    half_written_export.send_signal(number)
    half_written_export.wait(60)
    assert (tmp_path / "a.jsonl").read_text() == "previous content"
    if number == signal.SIGINT:
        assert half_written_export.returncode == 130
        assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "config.toml"]
    assert run(tmp_path, "export", "articles", "-o", "a.jsonl", "--force").code == 0
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 67
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "config.toml"], "the next export removes the partial file"


@pytest.mark.system
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_full_disk_leaves_no_partial_file(sampled: SampleCrawl, tmp_path: Path, form: str) -> None:
    with memory(tmp_path / "disk", "64k") as disk:
        path = disk / "a"
        path.write_text("previous content")
        (disk / "ballast").write_bytes(b"x" * 40_000)
        result = sampled("export", "articles", "-f", form, "-o", path, "--force")
        assert result.code == 3
        assert "No space left on device" in result.err
        assert "Traceback" not in result.err
        assert path.read_text() == "previous content"
        assert sorted(os.listdir(disk)) == ["a", "ballast"]


def test_a_closed_pipe_is_no_error(sampled: SampleCrawl) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dedup", "export", "articles", "--all-revisions"],
        cwd=sampled.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
