"""`dedup export`: the same rows in every form, all of them, one after the other, and a file that is whole or not there."""

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
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.disks import memory
from tests.builders.exports import rows
from tests.builders.scans import dump, history
from tests.builders.summaries import CONFIG, crawls

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
    """Crawls that copy each other, change and come back; scanned, and then some files are gone. Tests only read it."""
    folder = tmp_path_factory.mktemp("random")
    (folder / "config.toml").write_text(CONFIG)
    made = crawls(random.Random(11), 40)
    for n in range(120):
        next(made).write(folder / "crawl", f"{n}.md")
    body = " ".join(words(random.Random(1), 100))
    whole = ArticleFile(body, aid="9999999999").write(folder / "crawl")
    (folder / "crawl/cut.md").write_text(whole.read_text().replace("2026-03-02 00:30:00", "2026-03-03 00:30:00").partition(body[300:])[0])
    assert run(folder, "scan").code == 0
    for n in range(0, 120, 10):
        (folder / "crawl" / f"{n}.md").unlink()
    assert run(folder, "scan").code == 0
    return folder


def stored(value: Any, column: ExportColumn) -> Any:
    """A value of Parquet as JSON has it."""
    if column.type == "time" and value is not None:
        assert isinstance(value, datetime)
        assert value.utcoffset() is not None
        return value.isoformat()
    return json.loads(value) if column.type == "json" and value is not None else value


# Forms


@pytest.mark.parametrize("name", TABLES)
def test_every_form_has_the_same_rows(random_folder: Path, tmp_path: Path, name: str) -> None:
    columns = TABLES[name]
    names = [c.name for c in columns]
    found = rows(random_folder, name)
    assert len(found) > 3
    assert [list(r) for r in found] == [names] * len(found)
    assert run(random_folder, "export", name, "-f", "json").json() == found
    read = list(csv.DictReader(io.StringIO(run(random_folder, "export", name, "-f", "csv").out)))
    flat = [
        {
            c.name: format_csv_cell(format_json(r[c.name]) if c.type in ("list", "json") and r[c.name] is not None else r[c.name])
            for c in columns
        }
        for r in found
    ]
    assert read == flat
    place = tmp_path / "table.parquet"
    assert run(random_folder, "export", name, "-f", "parquet", "-o", place).code == 0
    table = pyarrow.parquet.read_table(place)
    assert [{c.name: stored(r[c.name], c) for c in columns} for r in table.to_pylist()] == found
    kinds = {"text": "string", "json": "string", "integer": "int64", "real": "double", "boolean": "bool"}
    kinds |= {"time": "timestamp[us, tz=UTC]", "list": "list<element: string>"}
    assert {f.name: str(f.type) for f in table.schema} == {c.name: kinds[c.type] for c in columns}


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
def test_a_table_without_rows_is_one(folder: Path, form: str) -> None:
    assert run(folder, "scan").code == 0
    for name in TABLES:
        assert run(folder, "export", name, "-f", form, "-o", "table").code == 0
        held = (folder / "table").read_bytes()
        if form == "json":
            assert json.loads(held) == []
        elif form == "parquet":
            assert pyarrow.parquet.read_table(folder / "table").num_rows == 0
        else:
            assert len(held.splitlines()) == (form == "csv")


def test_times_are_whatever_the_calendar_has(folder: Path) -> None:
    for n, at in enumerate(("0001-01-01 00:00:00", "9999-12-31 23:59:59")):
        ArticleFile(aid=f"{n}", crawled_at=at).write(folder / "crawl")
    assert run(folder, "scan").code == 0
    assert run(folder, "export", "articles", "-f", "parquet", "-o", "a.parquet").code == 0
    times = sorted(t.year for t in pyarrow.parquet.read_table(folder / "a.parquet")["crawled_at"].to_pylist())
    assert times == [1, 9999]


def test_parquet_wants_a_file_and_pyarrow(sampled: SampleCrawl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = sampled("export", "articles", "-f", "parquet")
    assert (ran.code, ran.out) == (2, "")
    assert "-o" in ran.err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = sampled("export", "articles", "-f", "parquet", "-o", tmp_path / "a.parquet")
    assert ran.code == 2
    assert 'pip install "crawl-dedup[parquet]"' in ran.err
    assert os.listdir(tmp_path) == []


# What is exported


def test_articles_are_the_pages_as_they_stand_now(random_folder: Path) -> None:
    found = {r["url"]: r for r in rows(random_folder, "articles")}
    pages = {p["url"]: p for p in dump(random_folder / "dedup.db", "pages") if p["current_at"]}
    bodies = {(r["url"], r["state"]): r for r in dump(random_folder / "dedup.db", "revisions")}
    assert list(found) == sorted(pages)
    for url, row in found.items():
        state = bodies[url, pages[url]["current_state"]]
        assert row["state_digest"].endswith(":" + state["state"])
        assert (row["body"], row["title"], row["text_digest"], row["characters"]) == (
            state["body"],
            state["title"],
            state["text"],
            state["characters"],
        )
        told = history(random_folder / "dedup.db", url)
        counted = [t for t in told["timeline"] if t["status"] == "counted"]
        assert (row["first_crawled_at"], row["crawled_at"]) == (counted[0]["crawled_at"], counted[-1]["crawled_at"])
        assert row["revision"] == counted[-1]["revision"]
        assert row["current"]
    assert {r["gone"] for r in found.values()} == {True, False}


def test_all_articles_are_every_state_that_counts_in_the_order_of_its_number(random_folder: Path) -> None:
    found = rows(random_folder, "articles", "--all-revisions")
    by_page: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_page.setdefault(row["url"], []).append(row)
    assert max(map(len, by_page.values())) > 2
    for url, states in by_page.items():
        told = history(random_folder / "dedup.db", url)["revisions"]
        assert [(s["revision"], s["state_digest"]) for s in states] == [(r["revision"], r["digest"]) for r in told]
        assert sum(s["current"] for s in states) == 1
    assert [r for r in found if r["current"]] == rows(random_folder, "articles")


def test_no_body_leaves_out_the_column(random_folder: Path) -> None:
    found = rows(random_folder, "articles", "--no-body")
    assert found == [{k: v for k, v in r.items() if k != "body"} for r in rows(random_folder, "articles")]


@pytest.mark.parametrize("every", [False, True])
def test_matches_are_those_of_the_duplicates(random_folder: Path, every: bool) -> None:
    """Text by text: no match is missing or new, and each side shows its text."""
    more = ["--all-revisions"] if every else []
    texts = {(r["url"], r["text_digest"]) for r in rows(random_folder, "articles", "--no-body", *more)}
    with open_database(str(random_folder / "dedup.db")) as database:
        shown = {(a.url, a.digest): a.text_id for a in store.matches.matched_articles(database, all_revisions=every)}
        digests = {t: d.hex() for t, d in database.rows("SELECT id, digest FROM texts")}
        pairs = [
            (a.url, a.text_id, b.url, b.text_id, link)
            for a, b, link in reports.duplicates._matching_pairs(database, reports.DuplicateFilter(all_revisions=every))
        ]
    assert shown
    wanted = {(frozenset((digests[a], digests[b])), link.relation) for _, a, _, b, link in pairs}
    found = rows(random_folder, "matches", *more)
    assert {(frozenset((r["text_digest_a"], r["text_digest_b"])), r["relation"]) for r in found} == wanted
    seen = Counter((frozenset((r["text_digest_a"], r["text_digest_b"])), r["relation"]) for r in found if r["relation"] != "exact")
    assert set(seen.values()) <= {1}
    for r in found:
        assert r["url_a"] != r["url_b"]
        assert {(r["url_a"], r["text_digest_a"]), (r["url_b"], r["text_digest_b"])} <= texts
    for text in {r["text_digest_a"] for r in found if r["relation"] == "exact"}:
        copies = {url for url, t in texts if t == text}
        assert sum(r["relation"] == "exact" and r["text_digest_a"] == text for r in found) == len(copies) - 1


def test_clusters_are_those_of_the_duplicates(random_folder: Path) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    for r in rows(random_folder, "clusters"):
        found.setdefault(r["cluster_url"], []).append(r)
    wanted = {c["representative"]["url"]: c["members"] for c in run(random_folder, "duplicates", "-f", "json").json()}
    assert list(found) == sorted(wanted)
    for url, members in found.items():
        assert members[0]["url"] == url
        assert members[0]["relation"] == "representative"
        told = {(m["url"], m["relation"], m["similarity"], m["coverage"], m["lag_seconds"], m["via_url"]) for m in wanted[url]}
        assert {(m["url"], m["relation"], m["similarity"], m["coverage"], m["lag_seconds"], m["via_url"]) for m in members[1:]} == told


def test_changes_are_those_of_the_feed(random_folder: Path) -> None:
    wanted = run(random_folder, "changes", "--expand-incidents", "--min-severity", "trivial", "-f", "json").json()
    names = [c.name for c in CHANGES_SCHEMA]
    assert rows(random_folder, "changes") == [{name: c[name] for name in names} for c in wanted]


@pytest.mark.parametrize("name", ["articles", "matches", "changes"])
def test_periods_that_follow_each_other_hold_everything_once(random_folder: Path, name: str) -> None:
    at = "2026-03-03T00:30:00+00:00"
    before, after = rows(random_folder, name, "--until", at), rows(random_folder, name, "--since", at)
    assert before
    assert after
    assert Counter(map(format_json, before + after)) == Counter(map(format_json, rows(random_folder, name)))


def test_a_match_is_as_new_as_the_later_of_its_articles(random_folder: Path) -> None:
    at = "2026-03-03T00:30:00+00:00"
    first = {r["url"]: r["first_crawled_at"] for r in rows(random_folder, "articles", "--no-body")}
    whole = rows(random_folder, "matches")
    mixed = [r for r in whole if min(first[r["url_a"]], first[r["url_b"]]) < at <= max(first[r["url_a"]], first[r["url_b"]])]
    assert mixed
    found = rows(random_folder, "matches", "--since", at)
    assert all(r in found for r in mixed)


@pytest.mark.parametrize("shown", [0, 1])
def test_a_match_is_told_of_two_pages_though_one_page_showed_both_texts(folder: Path, shown: int) -> None:
    """The first page by URL that showed either is the same one; another shows the earlier text, or the later."""
    rng = random.Random(1)
    text = words(rng, 120)
    bodies = [" ".join(text), " ".join(edited(rng, text, 0.03))]
    first = ArticleFile(aid="1")
    for day, body in enumerate(bodies, 2):
        replace(first, body=body, crawled_at=f"2026-03-0{day} 00:30:00").write(folder / "crawl", f"{day}.md")
    other = ArticleFile(bodies[shown], aid="2")
    other.write(folder / "crawl")
    assert run(folder, "scan").code == 0
    found = [r for r in rows(folder, "matches", "--all-revisions") if r["relation"] == "near"]
    assert [{r["url_a"], r["url_b"]} for r in found] == [{first.address, other.address}]
    texts = {(r["url"], r["text_digest"]) for r in rows(folder, "articles", "--all-revisions")}
    assert {(r[f"url_{side}"], r[f"text_digest_{side}"]) for r in found for side in "ab"} <= texts


def test_a_cluster_is_told_whole_where_an_article_of_it_is_wanted(random_folder: Path) -> None:
    at = "2026-03-04T00:00:00+00:00"
    whole = rows(random_folder, "clusters")
    held = {r["cluster_url"] for r in whole if r["first_crawled_at"] >= at and r["publisher"] == "신문 2"}
    assert held
    assert rows(random_folder, "clusters", "--since", at, "--publisher", "신문 2") == [r for r in whole if r["cluster_url"] in held]


@pytest.mark.parametrize("name", ["articles", "matches", "changes"])
def test_a_publisher_is_asked_for_by_name(random_folder: Path, name: str) -> None:
    found = rows(random_folder, name, "--publisher", "신문 1")
    assert found
    assert found == [r for r in rows(random_folder, name) if "신문 1" in (r.get("publisher"), r.get("publisher_a"), r.get("publisher_b"))]


# However long it is


def test_nothing_is_held_but_the_row_in_hand(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MAX_GROUP_CHARACTERS", 1 << 18)
    body = " ".join(words(random.Random(1), 8000))
    for n in range(400):
        ArticleFile(f"{n} {body}", aid=f"{n:04}").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    size = {form: folder / f"a.{form}" for form in ("jsonl", "csv", "parquet")}
    for form, place in size.items():
        tracemalloc.start()
        assert run(folder, "export", "articles", "-f", form, "-o", place).code == 0
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20, form
    assert size["jsonl"].stat().st_size > 20 << 20


def test_statements_do_not_grow_with_the_rows(folder: Path) -> None:
    def statements() -> dict[int, int]:
        found = {}
        with open_database(str(folder / "dedup.db")) as database:
            heard: list[str] = []
            database.connection.set_trace_callback(heard.append)
            tables = [articles_table(database, ExportFilter(), all_revisions=every) for every in (False, True)] + [
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
                heard.clear()
                assert list(table.rows)
                found[number] = len([s for s in heard if not s.startswith("--")])
        return found

    made = crawls(random.Random(2), 20)
    for n in range(60):
        next(made).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    few = statements()
    for n in range(60, 300):
        next(made).write(folder / "crawl", f"{n}.md")
    assert run(folder, "scan").code == 0
    assert statements() == few


# Whole or not there

HALF_WAY = """
import sys, signal
from dedup.cli import main
from dedup.reports.export import FORMATS
def half(table, file, heard):
    file.write(b"half of it\\n" * 9999)
    file.flush()
    print("half way", flush=True)
    signal.pause()
FORMATS["jsonl"] = half
sys.argv = ["dedup", "export", "articles", "-o", "a.jsonl", "--force"]
main()
"""


@pytest.fixture
def half_way(sampled: SampleCrawl, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "config.toml").write_text(f'[database]\npath = "{sampled.folder / "dedup.db"}"\n')
    (tmp_path / "a.jsonl").write_text("what stood there")
    with subprocess.Popen([sys.executable, "-c", HALF_WAY], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"half way\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_is_killed_leaves_no_half_file(half_way: subprocess.Popen[bytes], tmp_path: Path, number: int) -> None:
    assert [n for n in os.listdir(tmp_path) if n.startswith(PART_PREFIX)]
    half_way.send_signal(number)
    half_way.wait(60)
    assert (tmp_path / "a.jsonl").read_text() == "what stood there"
    if number == signal.SIGINT:
        assert half_way.returncode == 130
        assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "config.toml"]
    assert run(tmp_path, "export", "articles", "-o", "a.jsonl", "--force").code == 0
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 67
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "config.toml"], "the next one clears away what was left"


@pytest.mark.system
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_full_disk_leaves_no_half_file(sampled: SampleCrawl, tmp_path: Path, form: str) -> None:
    with memory(tmp_path / "disk", "64k") as disk:
        place = disk / "a"
        place.write_text("what stood there")
        (disk / "ballast").write_bytes(b"x" * 40_000)
        ran = sampled("export", "articles", "-f", form, "-o", place, "--force")
        assert ran.code == 3
        assert "No space left on device" in ran.err
        assert "Traceback" not in ran.err
        assert place.read_text() == "what stood there"
        assert sorted(os.listdir(disk)) == ["a", "ballast"]


def test_a_reader_that_has_what_it_wants_is_no_error(sampled: SampleCrawl) -> None:
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
