"""`dedup prune`: what it removes, what stays recorded, how bodies come back, concurrent writers and interruptions."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.store import open_database
from tests.builders import archived, scans
from tests.builders.archived import ask, configure, copy_database, restore_archive
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.daemon import watching
from tests.builders.oracle import assert_holds
from tests.builders.stories import Story, derived_rows, paper, story, wire_copy

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database most of whose revisions are no longer in any file."""
    configure(tmp_path)
    return archived.scan_and_archive(tmp_path)


def prune_json(folder: Path, *args: str) -> Any:
    result = run(folder, "prune", "-f", "json", *args)
    assert result.code == 0, result.err
    return result.json()


def without(rows: Iterable[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in columns} for row in rows]


def bodies(db: Path) -> int:
    ((size,),) = ask(db, "SELECT sum(length(CAST(body AS BLOB))) FROM revisions")
    assert isinstance(size, int)
    return size


def files(db: Path) -> dict[str, bytes]:
    """Return the content of the database files, without an empty log."""
    contents = {p.name: p.read_bytes() for p in db.parent.glob(db.name + "*") if not p.name.endswith(("-shm", ".lock"))}
    return {name: raw for name, raw in contents.items() if raw}


def rows(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of the database except SQLite's statistics, which any command may update."""
    with closing(sqlite3.connect(db)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if not name.startswith("sqlite_")}


def assert_sound(db: Path) -> None:
    """Assert that the oracle holds and that `doctor` finds no problem."""
    assert_holds(db.parent / "crawl", db)
    result = run(db.parent, "doctor", "-f", "json", "-d", db.name)
    problems = [
        f for f in result.json()["findings"] if f["check"] in ("database", "records", "digests", "indexes") and f["severity"] != "ok"
    ]
    assert problems == []


def texts_without_body(db: Path) -> set[str]:
    """Return the digests of texts without a body."""
    rows = scans.dump(db, "revisions")
    return {row["text"] for row in rows if row["pruned"]} - {row["text"] for row in rows if not row["pruned"]}


def matches_with_bodies(db: Path) -> list[dict[str, Any]]:
    """Return the matches of texts that both have bodies."""
    missing = texts_without_body(db)
    return [row for row in scans.dump(db, "matches") if row["text_a"] not in missing and row["text_b"] not in missing]


# What is pruned


def test_a_dry_run_writes_nothing_and_predicts_the_result(db: Path) -> None:
    before = files(db)
    planned = prune_json(db.parent, "--dry-run")
    assert files(db) == before
    states, size = len(scans.dump(db, "revisions")), bodies(db)
    result = prune_json(db.parent)
    assert result["pruned"] == planned["pruned"]
    assert result["kept"] == planned["kept"]
    assert result["pruned"]["revisions"] > archived.PAGES
    assert result["pruned"]["revisions"] + sum(result["kept"].values()) == states
    assert result["pruned"]["bytes"] == size - bodies(db)
    assert result["pruned"]["pages"] == len({r["url"] for r in scans.dump(db, "revisions") if r["pruned"]})
    assert run(db.parent, "status", "-f", "json").json()["pruned"] == result["pruned"]["revisions"]
    output = run(db.parent, "prune").out
    assert output.startswith("0 revisions of 0 pages pruned")
    assert f"{result['kept']['last']} revisions kept: the last of their page" in output


def test_by_default_nothing_is_pruned_and_the_output_shows_how_to_configure_it(db: Path) -> None:
    (db.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\n')
    before = files(db)
    result = run(db.parent, "prune")
    assert (result.code, result.err) == (0, "")
    assert 'keep is "all"' in result.out
    assert 'keep = ["first", "last"]' in result.out
    assert files(db) == before
    assert prune_json(db.parent)["kept"]["all"] == len(scans.dump(db, "revisions"))


def test_first_and_recent_revisions_are_kept_as_configured(db: Path) -> None:
    configure(db.parent, keep='["first"]')
    assert prune_json(db.parent, "--dry-run")["kept"]["first"] > 0
    configure(db.parent, days=1)
    plan = prune_json(db.parent, "--dry-run")
    assert plan["since"] == "2026-03-03T00:30:00+00:00"
    assert plan["kept"]["recent"] > 0
    configure(db.parent, days=2)
    assert prune_json(db.parent, "--dry-run")["pruned"]["revisions"] == 0


def test_only_bodies_are_pruned(db: Path) -> None:
    before = scans.dump(db)
    prune_json(db.parent)
    after = scans.dump(db)
    assert without(after, "body", "pruned", "signature") == without(before, "body", "pruned", "signature")
    for old, new in zip(before, after, strict=True):
        if new["table"] == "revisions":
            assert (new["body"] is None) == bool(new["pruned"])
            assert new["pruned"] or new == old
    assert_sound(db)


def test_revisions_that_a_file_holds_are_kept(db: Path) -> None:
    restore_archive(db.parent)
    assert run(db.parent, "scan").code == 0
    result = prune_json(db.parent)
    assert result["pruned"]["revisions"] == 0
    assert result["kept"]["on_disk"] > archived.PAGES


def test_pruning_again_changes_nothing(db: Path) -> None:
    prune_json(db.parent)
    before = files(db)
    assert prune_json(db.parent)["pruned"] == {"revisions": 0, "pages": 0, "bytes": 0}
    assert scans.dump(db) == scans.dump(copy_database(db, "same.db"))
    assert {name: raw for name, raw in files(db).items() if "index" in name or "passages" in name} == {
        name: raw for name, raw in before.items() if "index" in name or "passages" in name
    }


# What stays recorded


def test_a_scan_after_pruning_finds_everything_unchanged(db: Path) -> None:
    prune_json(db.parent)
    before = scans.dump(db)
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["files"]) == (archived.PAGES, archived.PAGES)
    for path in (db.parent / "crawl").rglob("*.md"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["revisions"], scan["sightings"], scan["changes"]) == (archived.PAGES, 0, 0, 0)
    assert scans.dump(db) == before
    assert_sound(db)


@pytest.mark.parametrize("reindexed", [False, True])
def test_reading_pruned_revisions_again_restores_bodies_and_matches(db: Path, reindexed: bool) -> None:
    """Afterwards the database equals one that was never pruned."""
    prune_json(db.parent)
    if reindexed:
        assert run(db.parent, "reindex").code == 0
        assert_sound(db)
    restore_archive(db.parent)
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["new"], scan["changed"]) == (3 * archived.PAGES, 0, 0)
    assert (scan["revisions"], scan["sightings"], scan["changes"]) == (0, 0, 0)
    scans.scan(db.parent / "crawl", db.with_name("never.db"))
    assert scans.dump(db) == scans.dump(db.with_name("never.db"))
    assert_sound(db)
    assert run(db.parent, "reindex").code == 0
    assert scans.dump(db) == scans.dump(db.with_name("never.db"))
    assert_sound(db)


def test_reading_pruned_revisions_at_other_paths_restores_them(db: Path) -> None:
    prune_json(db.parent)
    paths = sorted((db.parent / "archive").rglob("*.md"))[::3]
    (db.parent / "crawl" / "elsewhere").mkdir()
    for number, path in enumerate(paths):
        path.rename(db.parent / "crawl" / "elsewhere" / f"{number}.md")
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["new"] + scan["moved"], scan["revisions"], scan["sightings"]) == (len(paths), 0, 0)
    bodies_on_disk = {body_of(path) for path in (db.parent / "crawl").rglob("*.md")}
    assert bodies_on_disk == {row["body"] for row in scans.dump(db, "revisions") if not row["pruned"]}
    assert_sound(db)


def body_of(path: Path) -> str:
    """Return the body of a rendered article file without escapes."""
    return path.read_text("utf-8").split("\n---\n\n")[2].strip()


def test_new_texts_match_all_texts_with_bodies_as_without_pruning(db: Path) -> None:
    """The agency stories, which were the leaders of all copies, are pruned; their copies are still found."""
    unpruned = copy_database(db, "whole.db")
    result = prune_json(db.parent)
    assert result["pruned"]["revisions"] > 0
    assert texts_without_body(db)
    for n in range(0, archived.PAGES, 6):
        rng = random.Random(1000 + n)
        wire = story(random.Random(n), 6)
        for i in range(2):
            replace(paper(100 + n + i, wire_copy(rng, wire)), crawled_at="2026-03-05 00:00:00").write(db.parent / "crawl" / "2026-03-05")
    for name in (db.name, unpruned.name):
        assert run(db.parent, "scan", "-d", name).code == 0
    missing = texts_without_body(db)
    expected = [m for m in scans.dump(unpruned, "matches") if m["text_a"] not in missing and m["text_b"] not in missing]
    assert matches_with_bodies(db) == expected
    new = {row["text"] for row in scans.dump(db, "revisions") if "/1" in row["url"].rsplit("article", 1)[1]}
    assert sum(bool(new & {m["text_a"], m["text_b"]}) for m in expected) >= 3 * archived.PAGES // 6
    recorded = {(m["text_a"], m["text_b"]) for m in scans.dump(db, "matches")}
    assert not [pair for pair in recorded if new & set(pair) and missing & set(pair)], "texts without a body are not compared"
    assert_sound(db)


def test_a_pruned_text_does_not_make_another_text_a_bundle(tmp_path: Path) -> None:
    configure(tmp_path)
    rng = random.Random(11)
    whole = story(rng, 10)
    half = Story(whole.sentences[:5])
    old = paper(0, f"{half.body} {story(rng, 2).body}")
    new = paper(2, f"{half.body} {story(rng, 2).body}")
    old.write(tmp_path / "crawl")
    paper(1, whole.body).write(tmp_path / "crawl")
    replace(old, body=story(rng, 5).body, crawled_at="2026-03-03 00:30:00").write(tmp_path / "crawl", "again.md")
    assert run(tmp_path, "scan").code == 0
    (tmp_path / "crawl" / old.name).unlink()
    assert run(tmp_path, "scan").code == 0
    assert [m["relation"] for m in scans.dump(tmp_path / "dedup.db", "matches")] == ["copy"]
    assert prune_json(tmp_path)["pruned"]["revisions"] == 1
    new.write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    assert [m["relation"] for m in scans.dump(tmp_path / "dedup.db", "matches")] == ["copy", "copy"]


def test_a_text_pruned_on_one_page_is_compared_while_another_page_has_it(tmp_path: Path) -> None:
    configure(tmp_path)
    text = words(random.Random(5), 120)
    first = paper(0, " ".join(text))
    first.write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0, "this page has the text first"
    paper(1, " ".join(text)).write(tmp_path / "crawl")
    replace(first, body=archived.some_words(6), crawled_at="2026-03-03 00:30:00").write(tmp_path / "crawl", "again.md")
    (tmp_path / "crawl" / first.name).unlink()
    assert run(tmp_path, "scan").code == 0
    assert prune_json(tmp_path)["pruned"]["revisions"] == 1
    near = paper(2, " ".join(edit_words(random.Random(6), text, 0.02))).write(tmp_path)
    (match,) = run(tmp_path, "similar", near, "-f", "json").json()
    assert (match["relation"], match["title"]) == ("near", "기사 1")
    near.rename(tmp_path / "crawl" / near.name)
    assert run(tmp_path, "scan", "-f", "json").json()["matches"]["near"] == 1
    assert_sound(tmp_path / "dedup.db")


def test_indexes_are_current_after_the_last_text_was_pruned(db: Path) -> None:
    prune_json(db.parent)
    article = next(a for a in archived.articles() if a.crawled_at.startswith("2026-03-04"))
    late_article = replace(article, body=archived.some_words(8), crawled_at="2026-03-01 00:30:00")
    late_article.write(db.parent / "crawl", "late.md")
    assert run(db.parent, "scan").code == 0
    (db.parent / "crawl" / "late.md").unlink()
    assert run(db.parent, "scan").code == 0
    assert prune_json(db.parent)["pruned"]["revisions"] == 1
    assert_sound(db)
    before = files(db)
    assert run(db.parent, "scan").code == 0
    indexes = {f"{db.name}.index", f"{db.name}.passages"}
    assert {name: raw for name, raw in files(db).items() if name in indexes} == {n: raw for n, raw in before.items() if n in indexes}


def test_an_exact_copy_of_a_pruned_text_restores_the_text(db: Path) -> None:
    prune_json(db.parent)
    missing = texts_without_body(db)
    row = next(r for r in scans.dump(db, "revisions") if r["text"] in missing)
    (old,) = (
        a for a in archived.articles() if (a.address, a.title.strip(), _state(a)) == (row["url"], row["title"].strip(), row["state_digest"])
    )
    replace(old, oid="999", aid="0000000999", publisher="다른신문", title="옮긴 글").write(db.parent / "crawl")
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["new"], scan["matches"]["exact"]) == (1, 1)
    assert row["text"] not in texts_without_body(db)
    pairs = run(db.parent, "duplicates", "--pairs", "--all-revisions", "--relation", "exact", "-f", "json").json()
    assert [p for p in pairs if {p["a"]["url"], p["b"]["url"]} == {row["url"], "https://n.news.naver.com/mnews/article/999/0000000999"}]
    assert_sound(db)


def _state(article: ArticleFile) -> str:
    from dedup.pipeline.extract import state_digest

    return state_digest(article.title.strip(), article.body).hex()


def test_reindex_keeps_matches_of_texts_without_a_body(db: Path) -> None:
    prune_json(db.parent)
    before = scans.dump(db)
    assert run(db.parent, "reindex").code == 0
    assert scans.dump(db) == before
    assert run(db.parent, "reindex", "--urls").code == 0
    assert scans.dump(db) == before
    configure(db.parent, more="[duplicates]\nnum_perm = 64\nthreshold = 0.8\n")
    assert run(db.parent, "reindex").code == 0
    missing = texts_without_body(db)
    recorded = [m for m in scans.dump(db, "matches") if {m["text_a"], m["text_b"]} & missing]
    assert recorded == [m for m in before if m["table"] == "matches" and {m["text_a"], m["text_b"]} & missing]
    assert recorded
    assert_sound(db)
    restore_archive(db.parent)
    assert run(db.parent, "scan").code == 0
    assert_sound(db)


# Late crawls


def with_late_crawl(folder: Path, *, has_claim: bool = True) -> Path:
    """Write a page with states A, C and D of the first, third and fourth day. Only D keeps its file; A and C are pruned.

    The claim of A verified, or A had none. C claims the digest of A. Then B, of the second day, arrives.
    """
    configure(folder)
    rng = random.Random(3)
    text = words(rng, 80)
    states = {
        day: ArticleFile(" ".join(edit_words(rng, text, 0.1)), title=f"제목 {day}", crawled_at=f"2026-03-0{day} 00:30:00")
        for day in (1, 3, 4)
    }
    states[3] = replace(states[3], claim=states[1].digest)
    states[1] = states[1] if has_claim else replace(states[1], claim="")
    for day, article in states.items():
        article.write(folder / "crawl", f"{day}.md")
    assert run(folder, "scan").code == 0
    (folder / "archive" / "old").mkdir(parents=True)
    for day in (1, 3):
        (folder / "crawl" / f"{day}.md").rename(folder / "archive" / "old" / f"{day}.md")
    assert run(folder, "scan").code == 0
    assert prune_json(folder)["pruned"]["revisions"] == 2
    ArticleFile(" ".join(edit_words(rng, text, 0.1)), title="제목 1", crawled_at="2026-03-02 00:30:00").write(folder / "crawl", "2.md")
    assert run(folder, "scan").code == 0
    return folder / "dedup.db"


def test_a_change_from_or_to_a_pruned_revision_has_no_similarity(tmp_path: Path) -> None:
    db = with_late_crawl(tmp_path)
    changes = scans.dump(db, "changes")
    assert [(c["title_changed"], c["body_changed"], c["body_similarity"] is None) for c in changes] == [
        (0, 1, True),
        (1, 1, True),
        (1, 1, False),
    ]
    output = run(tmp_path, "history", "901_0000000001").out
    assert "body changed (similarity unknown)" in output
    assert len(re.findall(r"its text was pruned on 20\d\d-\d\d-\d\d", output)) == 2
    for day in (1, 3):
        (tmp_path / "archive" / "old" / f"{day}.md").rename(tmp_path / "crawl" / f"{day}.md")
    scan = run(tmp_path, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["changes"]) == (4, 0)
    scans.scan(tmp_path / "crawl", tmp_path / "never.db")
    assert scans.dump(db) == scans.dump(tmp_path / "never.db")


def test_a_stale_mismatch_stays_stale_without_a_claim_to_compare(tmp_path: Path) -> None:
    db = with_late_crawl(tmp_path, has_claim=False)
    (row,) = (s for s in scans.dump(db, "sightings") if s["check_status"] == "mismatched")
    assert row["check_cause"] == "stale"


def test_a_stale_mismatch_stays_stale_after_the_claimed_revision_was_pruned(tmp_path: Path) -> None:
    db = with_late_crawl(tmp_path)
    (row,) = (s for s in scans.dump(db, "sightings") if s["check_status"] == "mismatched")
    assert row["check_cause"] == "stale"
    replace(ArticleFile(archived.some_words(5), title="또", crawled_at="2026-03-05 00:30:00"), claim=None).write(tmp_path / "crawl", "5.md")
    first = next(s for s in scans.dump(db, "readings") if s["check_status"] == "verified")["claimed_digest"]
    ArticleFile(archived.some_words(6), title="또", crawled_at="2026-03-06 00:30:00", claim=first).write(tmp_path / "crawl", "6.md")
    assert run(tmp_path, "scan").code == 0
    causes = [s["check_cause"] for s in scans.dump(db, "sightings") if s["check_status"] == "mismatched"]
    assert causes == ["stale", "stale"], "the digest of the pruned revision is still recorded"


# Every command


def test_every_command_works_with_pruned_revisions(db: Path) -> None:
    prune_json(db.parent)
    folder = db.parent
    row = next(r for r in scans.dump(db, "revisions") if r["pruned"])
    url = row["url"]
    history = run(folder, "history", url, "-f", "json").json()
    assert [bool(r["pruned_at"]) for r in history["revisions"]][-1] is False
    assert any(r["pruned_at"] for r in history["revisions"])
    revision = next(r["revision"] for r in history["revisions"] if r["pruned_at"])
    last = len(history["revisions"])
    diff = run(folder, "diff", url, "--from", str(revision), "--to", str(last), "-f", "json").json()
    assert diff["body"] is None
    assert (bool(diff["pruned_at"]["from"]), diff["pruned_at"]["to"]) == (True, None)
    assert diff["title"]
    result = run(folder, "diff", url, "--from", str(revision), "--to", str(last))
    assert f"The text of revision {revision} was pruned on {history['revisions'][revision - 1]['pruned_at'][:10]}" in result.out
    assert result.code == 0
    why = run(folder, "why", f"{url}#{revision}", f"{url}#{last}")
    assert (why.code, why.out) == (3, "")
    assert re.fullmatch(rf"dedup: The text of revision {revision} of \S+ was pruned on 20\S+ by the rule of \[history\].*\n", why.err)
    pairs = run(folder, "duplicates", "--pairs", "--all-revisions", "--passages", "-f", "json").json()
    pruned_pairs = [p for p in pairs if p["a"]["pruned_at"] or p["b"]["pruned_at"]]
    assert pruned_pairs
    assert [p["passages"] for p in pruned_pairs] == [None] * len(pruned_pairs)
    assert all(p["passages"] is not None for p in pairs if p not in pruned_pairs)
    assert "[gone, pruned]" in run(folder, "duplicates", "--pairs", "--all-revisions").out
    assert "pruned" not in run(folder, "duplicates", "--pairs").out
    old = next(
        path for path in sorted((folder / "archive").rglob("*.md")) if body_of(path) not in {r["body"] for r in scans.dump(db, "revisions")}
    )
    assert run(folder, "similar", old, "--all-revisions").code == 0
    assert run(folder, "why", old, f"{url}#{last}").code == 0
    assert "revisions without text" in run(folder, "status").out
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*) FROM history WHERE pruned_at IS NOT NULL AND body_characters > 100").fetchone()[0] > 0
        assert connection.execute("SELECT DISTINCT body_before FROM change_details WHERE pruned_before IS NOT NULL").fetchall() == [(None,)]
    assert run(folder, "backup", "backup.db").code == 0
    before = scans.dump(db)
    assert scans.dump(folder / "backup.db") == before
    assert run(folder, "restore", "backup.db").code == 0
    assert run(folder, "scan").code == 0
    assert scans.dump(db) == before
    assert_sound(db)


def test_doctor_reports_a_missing_body_that_was_not_pruned(db: Path) -> None:
    prune_json(db.parent)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE revisions SET body = '' WHERE id = (SELECT max(id) FROM revisions WHERE pruned_at IS NULL)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE revisions SET body = 'x' WHERE pruned_at IS NOT NULL")
    result = run(db.parent, "doctor", "-f", "json")
    assert result.code == 1
    (message,) = (f["message"] for f in result.json()["findings"] if f["check"] == "digests")
    assert message.startswith("revisions whose digest does not match")


def test_doctor_repairs_indexed_texts_without_a_body(db: Path) -> None:
    prune_json(db.parent)
    before = scans.dump(db)
    with closing(sqlite3.connect(db)) as connection, connection:
        changed = connection.execute(
            "UPDATE texts SET signature = (SELECT signature FROM texts WHERE signature IS NOT NULL LIMIT 1) WHERE signature IS NULL"
        )
        assert changed.rowcount > 0
    findings = run(db.parent, "doctor", "-f", "json").json()["findings"]
    assert [f for f in findings if f["message"].startswith("indexed texts whose bodies were pruned") and f["repairable"]]
    assert run(db.parent, "doctor", "--repair").code == 0
    assert scans.dump(db) == before
    assert_sound(db)


# Concurrent writers and interruptions


@pytest.mark.system
def test_prune_names_a_running_daemon_and_a_dry_run_works_beside_it(db: Path) -> None:
    before = scans.dump(db)
    with watching(db.parent / "crawl", db) as daemon:
        result = run(db.parent, "prune")
        assert (result.code, result.out) == (3, "")
        assert f"'dedup watch' (process {daemon.process.pid}" in result.err
        assert result.err.count("\n") == 1
        assert prune_json(db.parent, "--dry-run")["pruned"]["revisions"] > 0
        assert daemon.leave() == 0
    assert scans.dump(db) == before, "a daemon never prunes"


_PRUNE_IN_SMALL_BATCHES = """
import sys
from dedup.cli import main
from dedup.maintenance import retention
retention.STATES_PER_TRANSACTION = 7
retention.PAGES_PER_BATCH = 5
prune_batch = retention._prune_batch
def report_batch(*args):
    outcome = prune_batch(*args)
    print("batch", flush=True)
    return outcome
retention._prune_batch = report_batch
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


def start_prune(db: Path) -> subprocess.Popen[str]:
    """Start a `dedup prune` that prints a line after each small batch."""
    command = [sys.executable, "-c", _PRUNE_IN_SMALL_BATCHES, "prune", "-d", db.name, "-f", "json"]
    return subprocess.Popen(command, cwd=db.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def everything(db: Path) -> dict[str, Any]:
    """Return the logical dump and all rows that matching depends on."""
    with open_database(str(db)) as database:
        texts = database.rows("SELECT id, digest, characters, signature, crowded FROM texts ORDER BY 1")
    return {"dump": scans.dump(db), "texts": texts, **derived_rows(db)}


@pytest.mark.system
def test_prune_after_being_killed_gives_the_same_database(db: Path) -> None:
    clean = copy_database(db, "clean.db")
    assert run(db.parent, "prune", "-d", clean.name).code == 0
    rng = random.Random(4)
    for batches in (1, 1, 2):
        with start_prune(db) as process:
            assert process.stdout is not None
            for _ in range(batches):
                assert process.stdout.readline() == "batch\n"
            for _ in range(rng.randint(0, 200_000)):
                pass
            process.send_signal(signal.SIGKILL)
        assert ask(db, "SELECT count(*) FROM revisions WHERE pruned_at IS NULL") != ask(
            clean, "SELECT count(*) FROM revisions WHERE pruned_at IS NULL"
        )
        assert_holds(db.parent / "crawl", db)
        result = run(db.parent, "scan")
        assert result.code == 0
        assert "belongs to" not in result.err, "a missing or older index is no cause for a warning"
        assert_sound(db)
    assert run(db.parent, "prune").code == 0
    assert everything(db) == everything(clean)
    assert_sound(db)


def test_an_interrupted_prune_keeps_and_reports_finished_batches(db: Path) -> None:
    with start_prune(db) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"Before that, the text of \d+ revisions was pruned\.", err)
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert prune_json(db.parent)["pruned"]["revisions"] > 0
    assert_sound(db)


# Disk space


def old_style(db: Path) -> None:
    """Convert the database to the form of an earlier version, which keeps its free pages."""
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)


def size(db: Path) -> int:
    return db.stat().st_size


def test_pruning_shrinks_a_new_database(db: Path) -> None:
    before = size(db)
    result = prune_json(db.parent)
    assert result["released_bytes"] > result["pruned"]["bytes"] / 2
    assert (result["free_bytes"], size(db)) == (0, before - result["released_bytes"])
    assert_sound(db)


def test_an_older_database_shrinks_only_with_vacuum(db: Path) -> None:
    old_style(db)
    before = size(db)
    result = run(db.parent, "prune")
    assert "'dedup prune --vacuum' returns them" in result.out
    assert size(db) == before
    dumped = scans.dump(db)
    vacuum = prune_json(db.parent, "--vacuum")
    assert vacuum["free_bytes"] == 0
    assert (vacuum["released_bytes"], size(db)) == (before - size(db), before - vacuum["released_bytes"])
    assert vacuum["released_bytes"] > 0
    assert ask(db, "PRAGMA auto_vacuum") == [(2,)]
    assert scans.dump(db) == dumped
    assert run(db.parent, "scan").code == 0, "its log belongs to it"
    assert_sound(db)


def test_vacuum_without_enough_space_reports_the_required_space(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_style(db)
    assert run(db.parent, "prune").code == 0
    before = rows(db), size(db)
    statvfs = os.statvfs

    def full(path: Any) -> os.statvfs_result:
        fields = list(statvfs(path))
        fields[4] = 3  # f_bavail
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", full)
    result = run(db.parent, "prune", "--vacuum")
    assert (result.code, result.out) == (3, "")
    assert re.fullmatch(r"dedup: Rewriting the database \S+ needs [\d.]+ MB of free space, and 0.0 MB are free in .*\n", result.err)
    assert (rows(db), size(db)) == before


_REWRITE = """
import resource, signal, sys
from dedup.cli import main
limit, outcome = int(sys.argv[1]), sys.argv[2]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
if outcome == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
sys.argv = ["dedup", "prune", "--vacuum", "-d", sys.argv[3]]
main()
"""


@pytest.mark.system
@pytest.mark.parametrize("outcome", ["killed", "out of room"])
@pytest.mark.parametrize("share", [0.1, 0.99])
def test_an_aborted_vacuum_leaves_the_database_unchanged(db: Path, share: float, outcome: str) -> None:
    """The limit on file sizes stops the write to the log at a chosen byte."""
    old_style(db)
    assert run(db.parent, "prune").code == 0
    model = copy_database(db, "model.db")
    assert run(db.parent, "prune", "--vacuum", "-d", model.name).code == 0
    ((pages, page),) = ask(model, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")
    assert pages > 100
    limit = int(pages * page * share)
    before, names = (rows(db), size(db)), {p.name for p in db.parent.iterdir()}
    command = [sys.executable, "-c", _REWRITE, str(limit), outcome, db.name]
    process = subprocess.run(command, cwd=db.parent, capture_output=True, text=True, timeout=120, check=False)
    if outcome == "killed":
        assert process.returncode == -signal.SIGXFSZ, process.stderr
        assert size(db.with_name(db.name + "-wal")) == limit
    else:
        assert (process.returncode, process.stdout) == (3, "")
        assert re.fullmatch(r"dedup: Writing to the database \S+ failed: .*ulimit -f.*\n", process.stderr)
    assert (rows(db), size(db)) == before
    assert {p.name for p in db.parent.iterdir()} - {db.name + "-wal", db.name + "-shm"} == names
    assert_sound(db)
    assert prune_json(db.parent, "--vacuum")["released_bytes"] > 0
    assert rows(db) == before[0]
    assert_sound(db)


def test_json_is_on_standard_output_and_messages_are_on_standard_error(db: Path) -> None:
    result: CommandResult = run(db.parent, "-v", "prune", "-f", "json")
    assert json.loads(result.out)["keep"] == ["last"]
    assert "Traceback" not in result.err


_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
from dedup.cli import main
sys.argv = ["dedup", "prune"]
main()
"""


def test_a_failed_write_is_reported_in_one_line_and_prune_can_be_repeated(db: Path) -> None:
    """Recording what was pruned needs space too."""
    before = scans.dump(db)
    process = subprocess.run([sys.executable, "-c", _LIMITED], cwd=db.parent, capture_output=True, text=True, timeout=120, check=False)
    assert (process.returncode, process.stdout) == (3, "")
    assert re.fullmatch(r"dedup: Writing to the database \S+ failed: .*ulimit -f.*\n", process.stderr)
    assert scans.dump(db) == before
    assert_sound(db)
    assert prune_json(db.parent)["pruned"]["revisions"] > archived.PAGES
    assert_sound(db)
