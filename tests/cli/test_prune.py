"""`dedup prune`: what goes, what stays known, how it comes back, and what stands in the way."""

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
from tests.builders import archived as aged
from tests.builders import scans as running
from tests.builders.archived import ask, brought_back, configure, copied
from tests.builders.command import Ran, run
from tests.builders.crawl import Made, edited, words
from tests.builders.daemon import watching
from tests.builders.oracle import assert_holds
from tests.builders.stories import Story, derived, paper, story, wire_copy

pytestmark = pytest.mark.usefixtures("machine_code")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database of which most states are held by no file any more."""
    configure(tmp_path)
    return aged.archived(tmp_path)


def told(folder: Path, *args: str) -> Any:
    ran = run(folder, "prune", "-f", "json", *args)
    assert ran.code == 0, ran.err
    return ran.json()


def without(rows: Iterable[dict[str, Any]], *columns: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in columns} for row in rows]


def bodies(db: Path) -> int:
    ((size,),) = ask(db, "SELECT sum(length(CAST(body AS BLOB))) FROM revisions")
    assert isinstance(size, int)
    return size


def files(db: Path) -> dict[str, bytes]:
    """What lies there; an empty log says nothing."""
    found = {p.name: p.read_bytes() for p in db.parent.glob(db.name + "*") if not p.name.endswith(("-shm", ".lock"))}
    return {name: raw for name, raw in found.items() if raw}


def rows(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that the database holds, but for SQLite's own statistics, which any command may bring up to date."""
    with closing(sqlite3.connect(db)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables if not name.startswith("sqlite_")}


def assert_sound(db: Path) -> None:
    """The oracle, and `doctor` finds nothing wrong."""
    assert_holds(db.parent / "crawl", db)
    ran = run(db.parent, "doctor", "-f", "json", "-d", db.name)
    wrong = [f for f in ran.json()["findings"] if f["check"] in ("database", "records", "digests", "indexes") and f["severity"] != "ok"]
    assert wrong == []


def bodiless(db: Path) -> set[str]:
    """Digests of texts without a body, as the dump shows them."""
    rows = running.dump(db, "revisions")
    return {row["text"] for row in rows if row["pruned"]} - {row["text"] for row in rows if not row["pruned"]}


def between_kept(db: Path) -> list[dict[str, Any]]:
    """Matches of two texts that have bodies."""
    gone = bodiless(db)
    return [row for row in running.dump(db, "matches") if row["text_a"] not in gone and row["text_b"] not in gone]


# What goes


def test_a_dry_run_writes_nothing_and_tells_what_then_goes(db: Path) -> None:
    before = files(db)
    would = told(db.parent, "--dry-run")
    assert files(db) == before
    states, size = len(running.dump(db, "revisions")), bodies(db)
    done = told(db.parent)
    assert done["pruned"] == would["pruned"]
    assert done["kept"] == would["kept"]
    assert done["pruned"]["revisions"] > aged.PAGES
    assert done["pruned"]["revisions"] + sum(done["kept"].values()) == states
    assert done["pruned"]["bytes"] == size - bodies(db)
    assert done["pruned"]["pages"] == len({r["url"] for r in running.dump(db, "revisions") if r["pruned"]})
    assert run(db.parent, "status", "-f", "json").json()["pruned"] == done["pruned"]["revisions"]
    shown = run(db.parent, "prune").out
    assert shown.startswith("0 revisions of 0 pages pruned")
    assert f"{done['kept']['last']} revisions kept: the last of their page" in shown


def test_by_default_nothing_goes_and_how_to_say_otherwise_is_told(db: Path) -> None:
    (db.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\n')
    before = files(db)
    ran = run(db.parent, "prune")
    assert (ran.code, ran.err) == (0, "")
    assert 'keep is "all"' in ran.out
    assert 'keep = ["first", "last"]' in ran.out
    assert files(db) == before
    assert told(db.parent)["kept"]["all"] == len(running.dump(db, "revisions"))


def test_the_first_state_stays_where_it_is_to_stay_and_young_ones_do(db: Path) -> None:
    configure(db.parent, keep='["first"]')
    assert told(db.parent, "--dry-run")["kept"]["first"] > 0
    configure(db.parent, days=1)
    one = told(db.parent, "--dry-run")
    assert one["since"] == "2026-03-03T00:30:00+00:00"
    assert one["kept"]["recent"] > 0
    configure(db.parent, days=2)
    assert told(db.parent, "--dry-run")["pruned"]["revisions"] == 0


def test_nothing_but_the_bodies_goes(db: Path) -> None:
    before = running.dump(db)
    told(db.parent)
    after = running.dump(db)
    assert without(after, "body", "pruned", "signature") == without(before, "body", "pruned", "signature")
    for old, new in zip(before, after, strict=True):
        if new["table"] == "revisions":
            assert (new["body"] is None) == bool(new["pruned"])
            assert new["pruned"] or new == old
    assert_sound(db)


def test_what_a_file_that_is_there_holds_stays(db: Path) -> None:
    brought_back(db.parent)
    assert run(db.parent, "scan").code == 0
    done = told(db.parent)
    assert done["pruned"]["revisions"] == 0
    assert done["kept"]["on_disk"] > aged.PAGES


def test_pruning_again_changes_nothing(db: Path) -> None:
    told(db.parent)
    before = files(db)
    assert told(db.parent)["pruned"] == {"revisions": 0, "pages": 0, "bytes": 0}
    assert running.dump(db) == running.dump(copied(db, "same.db"))
    assert {name: raw for name, raw in files(db).items() if "index" in name or "passages" in name} == {
        name: raw for name, raw in before.items() if "index" in name or "passages" in name
    }


# What stays known


def test_a_scan_afterwards_finds_everything_unchanged(db: Path) -> None:
    told(db.parent)
    before = running.dump(db)
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["files"]) == (aged.PAGES, aged.PAGES)
    for path in (db.parent / "crawl").rglob("*.md"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["revisions"], scan["sightings"], scan["changes"]) == (aged.PAGES, 0, 0, 0)
    assert running.dump(db) == before
    assert_sound(db)


@pytest.mark.parametrize("reindexed", [False, True])
def test_states_that_are_read_again_have_their_bodies_and_matches_again(db: Path, reindexed: bool) -> None:
    """After that the database is one that was never pruned."""
    told(db.parent)
    if reindexed:
        assert run(db.parent, "reindex").code == 0
        assert_sound(db)
    brought_back(db.parent)
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["new"], scan["changed"]) == (3 * aged.PAGES, 0, 0)
    assert (scan["revisions"], scan["sightings"], scan["changes"]) == (0, 0, 0)
    running.scan(db.parent / "crawl", db.with_name("never.db"))
    assert running.dump(db) == running.dump(db.with_name("never.db"))
    assert_sound(db)
    assert run(db.parent, "reindex").code == 0
    assert running.dump(db) == running.dump(db.with_name("never.db"))
    assert_sound(db)


def test_some_that_come_back_at_other_paths_do_so_too(db: Path) -> None:
    told(db.parent)
    some = sorted((db.parent / "archive").rglob("*.md"))[::3]
    (db.parent / "crawl" / "elsewhere").mkdir()
    for number, path in enumerate(some):
        path.rename(db.parent / "crawl" / "elsewhere" / f"{number}.md")
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["new"] + scan["moved"], scan["revisions"], scan["sightings"]) == (len(some), 0, 0)
    held = {Made_body(path) for path in (db.parent / "crawl").rglob("*.md")}
    assert held == {row["body"] for row in running.dump(db, "revisions") if not row["pruned"]}
    assert_sound(db)


def Made_body(path: Path) -> str:  # noqa: N802
    """The body of a file that `tests.builders.crawl` rendered, its text having nothing to be escaped."""
    return path.read_text("utf-8").split("\n---\n\n")[2].strip()


def test_what_is_new_is_matched_with_all_that_has_a_body_as_if_nothing_had_gone(db: Path) -> None:
    """The agency's stories, for which all copies stood, are gone; the copies are found all the same."""
    whole = copied(db, "whole.db")
    done = told(db.parent)
    assert done["pruned"]["revisions"] > 0
    assert bodiless(db)
    for n in range(0, aged.PAGES, 6):
        rng = random.Random(1000 + n)
        wire = story(random.Random(n), 6)
        for i in range(2):
            replace(paper(100 + n + i, wire_copy(rng, wire)), crawled_at="2026-03-05 00:00:00").write(db.parent / "crawl" / "2026-03-05")
    for name in (db.name, whole.name):
        assert run(db.parent, "scan", "-d", name).code == 0
    gone = bodiless(db)
    expected = [m for m in running.dump(whole, "matches") if m["text_a"] not in gone and m["text_b"] not in gone]
    assert between_kept(db) == expected
    new = {row["text"] for row in running.dump(db, "revisions") if "/1" in row["url"].rsplit("article", 1)[1]}
    assert sum(bool(new & {m["text_a"], m["text_b"]}) for m in expected) >= 3 * aged.PAGES // 6
    recorded = {(m["text_a"], m["text_b"]) for m in running.dump(db, "matches")}
    assert not [pair for pair in recorded if new & set(pair) and gone & set(pair)], "what has no body is not measured"
    assert_sound(db)


def test_where_a_text_without_body_stood_in_another_is_no_reason_to_call_that_a_bundle(tmp_path: Path) -> None:
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
    assert [m["relation"] for m in running.dump(tmp_path / "dedup.db", "matches")] == ["copy"]
    assert told(tmp_path)["pruned"]["revisions"] == 1
    new.write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    assert [m["relation"] for m in running.dump(tmp_path / "dedup.db", "matches")] == ["copy", "copy"]


def test_a_text_that_one_page_has_still_is_compared_though_it_went_from_another(tmp_path: Path) -> None:
    configure(tmp_path)
    text = words(random.Random(5), 120)
    first = paper(0, " ".join(text))
    first.write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0, "it has the text first"
    paper(1, " ".join(text)).write(tmp_path / "crawl")
    replace(first, body=aged.some_words(6), crawled_at="2026-03-03 00:30:00").write(tmp_path / "crawl", "again.md")
    (tmp_path / "crawl" / first.name).unlink()
    assert run(tmp_path, "scan").code == 0
    assert told(tmp_path)["pruned"]["revisions"] == 1
    near = paper(2, " ".join(edited(random.Random(6), text, 0.02))).write(tmp_path)
    (found,) = run(tmp_path, "similar", near, "-f", "json").json()
    assert (found["relation"], found["title"]) == ("near", "기사 1")
    near.rename(tmp_path / "crawl" / near.name)
    assert run(tmp_path, "scan", "-f", "json").json()["matches"]["near"] == 1
    assert_sound(tmp_path / "dedup.db")


def test_the_indexes_fit_where_the_text_that_came_last_is_one_that_went(db: Path) -> None:
    told(db.parent)
    made = next(a for a in aged.articles() if a.crawled_at.startswith("2026-03-04"))
    late = replace(made, body=aged.some_words(8), crawled_at="2026-03-01 00:30:00")
    late.write(db.parent / "crawl", "late.md")
    assert run(db.parent, "scan").code == 0
    (db.parent / "crawl" / "late.md").unlink()
    assert run(db.parent, "scan").code == 0
    assert told(db.parent)["pruned"]["revisions"] == 1
    assert_sound(db)
    before = files(db)
    assert run(db.parent, "scan").code == 0
    indexes = {f"{db.name}.index", f"{db.name}.passages"}
    assert {name: raw for name, raw in files(db).items() if name in indexes} == {n: raw for n, raw in before.items() if n in indexes}


def test_another_page_with_a_text_that_was_pruned_is_an_exact_copy_and_brings_it_back(db: Path) -> None:
    told(db.parent)
    gone = bodiless(db)
    row = next(r for r in running.dump(db, "revisions") if r["text"] in gone)
    (old,) = (
        a for a in aged.articles() if a.address == row["url"] and a.title.strip() == row["title"].strip() and _state(a) == row["state"]
    )
    replace(old, oid="999", aid="0000000999", publisher="다른신문", title="옮긴 글").write(db.parent / "crawl")
    scan = run(db.parent, "scan", "-f", "json").json()
    assert (scan["new"], scan["matches"]["exact"]) == (1, 1)
    assert row["text"] not in bodiless(db)
    found = run(db.parent, "duplicates", "--pairs", "--all-revisions", "--relation", "exact", "-f", "json").json()
    assert [p for p in found if {p["a"]["url"], p["b"]["url"]} == {row["url"], "https://n.news.naver.com/mnews/article/999/0000000999"}]
    assert_sound(db)


def _state(made: Made) -> str:
    from dedup.scan.extract import state_digest

    return state_digest(made.title.strip(), made.body).hex()


def test_reindexing_keeps_what_was_recorded_of_texts_without_a_body(db: Path) -> None:
    told(db.parent)
    before = running.dump(db)
    assert run(db.parent, "reindex").code == 0
    assert running.dump(db) == before
    assert run(db.parent, "reindex", "--urls").code == 0
    assert running.dump(db) == before
    configure(db.parent, more="[duplicates]\nnum_perm = 64\nthreshold = 0.8\n")
    assert run(db.parent, "reindex").code == 0
    gone = bodiless(db)
    recorded = [m for m in running.dump(db, "matches") if {m["text_a"], m["text_b"]} & gone]
    assert recorded == [m for m in before if m["table"] == "matches" and {m["text_a"], m["text_b"]} & gone]
    assert recorded
    assert_sound(db)
    brought_back(db.parent)
    assert run(db.parent, "scan").code == 0
    assert_sound(db)


# A crawl that comes late


def late(folder: Path, *, claimed: bool = True) -> Path:
    """A page with states A, C and D on the first, third and fourth day, of which the last alone has a file; A's claim was true (or
    it made none), and C claims what A was. B, of the second day, arrives when A and C have no body any more."""
    configure(folder)
    rng = random.Random(3)
    text = words(rng, 80)
    states = {day: Made(" ".join(edited(rng, text, 0.1)), title=f"제목 {day}", crawled_at=f"2026-03-0{day} 00:30:00") for day in (1, 3, 4)}
    states[3] = replace(states[3], claim=states[1].digest)
    states[1] = states[1] if claimed else replace(states[1], claim="")
    for day, made in states.items():
        made.write(folder / "crawl", f"{day}.md")
    assert run(folder, "scan").code == 0
    (folder / "archive" / "old").mkdir(parents=True)
    for day in (1, 3):
        (folder / "crawl" / f"{day}.md").rename(folder / "archive" / "old" / f"{day}.md")
    assert run(folder, "scan").code == 0
    assert told(folder)["pruned"]["revisions"] == 2
    Made(" ".join(edited(rng, text, 0.1)), title="제목 1", crawled_at="2026-03-02 00:30:00").write(folder / "crawl", "2.md")
    assert run(folder, "scan").code == 0
    return folder / "dedup.db"


def test_a_change_between_a_late_crawl_and_a_state_without_body_is_told_without_numbers(tmp_path: Path) -> None:
    db = late(tmp_path)
    found = running.dump(db, "changes")
    assert [(c["title_changed"], c["body_changed"], c["body_similarity"] is None) for c in found] == [
        (0, 1, True),
        (1, 1, True),
        (1, 1, False),
    ]
    shown = run(tmp_path, "history", "901_0000000001").out
    assert "body changed (similarity unknown)" in shown
    assert len(re.findall(r"its text was pruned on 20\d\d-\d\d-\d\d", shown)) == 2
    for day in (1, 3):
        (tmp_path / "archive" / "old" / f"{day}.md").rename(tmp_path / "crawl" / f"{day}.md")
    scan = run(tmp_path, "scan", "-f", "json").json()
    assert (scan["unchanged"], scan["changes"]) == (4, 0)
    running.scan(tmp_path / "crawl", tmp_path / "never.db")
    assert running.dump(db) == running.dump(tmp_path / "never.db")


def test_what_was_stale_stays_so_though_nothing_can_be_held_against_the_claim(tmp_path: Path) -> None:
    db = late(tmp_path, claimed=False)
    (row,) = (s for s in running.dump(db, "sightings") if s["check_status"] == "mismatched")
    assert row["check_cause"] == "stale"


def test_what_was_stale_stays_so_though_the_state_that_it_claims_has_no_body(tmp_path: Path) -> None:
    db = late(tmp_path)
    (row,) = (s for s in running.dump(db, "sightings") if s["check_status"] == "mismatched")
    assert row["check_cause"] == "stale"
    replace(Made(aged.some_words(5), title="또", crawled_at="2026-03-05 00:30:00"), claim=None).write(tmp_path / "crawl", "5.md")
    first = next(s for s in running.dump(db, "readings") if s["check_status"] == "verified")["claimed_digest"]
    Made(aged.some_words(6), title="또", crawled_at="2026-03-06 00:30:00", claim=first).write(tmp_path / "crawl", "6.md")
    assert run(tmp_path, "scan").code == 0
    causes = [s["check_cause"] for s in running.dump(db, "sightings") if s["check_status"] == "mismatched"]
    assert causes == ["stale", "stale"], "what was true of it once is known still"


# Every command


def test_every_command_copes_with_states_without_a_body(db: Path) -> None:
    told(db.parent)
    folder = db.parent
    row = next(r for r in running.dump(db, "revisions") if r["pruned"])
    url = row["url"]
    history = run(folder, "history", url, "-f", "json").json()
    assert [bool(r["pruned_at"]) for r in history["revisions"]][-1] is False
    assert any(r["pruned_at"] for r in history["revisions"])
    one = next(r["revision"] for r in history["revisions"] if r["pruned_at"])
    last = len(history["revisions"])
    diff = run(folder, "diff", url, "--from", str(one), "--to", str(last), "-f", "json").json()
    assert diff["body"] is None
    assert (bool(diff["pruned_at"]["from"]), diff["pruned_at"]["to"]) == (True, None)
    assert diff["title"]
    shown = run(folder, "diff", url, "--from", str(one), "--to", str(last))
    assert f"The text of revision {one} was pruned on {history['revisions'][one - 1]['pruned_at'][:10]}" in shown.out
    assert shown.code == 0
    why = run(folder, "why", f"{url}#{one}", f"{url}#{last}")
    assert (why.code, why.out) == (3, "")
    assert re.fullmatch(rf"dedup: The text of revision {one} of \S+ was pruned on 20\S+ by the rule of \[history\].*\n", why.err)
    pairs = run(folder, "duplicates", "--pairs", "--all-revisions", "--passages", "-f", "json").json()
    gone = [p for p in pairs if p["a"]["pruned_at"] or p["b"]["pruned_at"]]
    assert gone
    assert [p["passages"] for p in gone] == [None] * len(gone)
    assert all(p["passages"] is not None for p in pairs if p not in gone)
    assert "[gone, pruned]" in run(folder, "duplicates", "--pairs", "--all-revisions").out
    assert "pruned" not in run(folder, "duplicates", "--pairs").out
    old = next(
        path
        for path in sorted((folder / "archive").rglob("*.md"))
        if Made_body(path) not in {r["body"] for r in running.dump(db, "revisions")}
    )
    assert run(folder, "similar", old, "--all-revisions").code == 0
    assert run(folder, "why", old, f"{url}#{last}").code == 0
    assert "revisions without text" in run(folder, "status").out
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("SELECT count(*) FROM history WHERE pruned_at IS NOT NULL AND body_characters > 100").fetchone()[0] > 0
        assert connection.execute("SELECT DISTINCT body_before FROM change_details WHERE pruned_before IS NOT NULL").fetchall() == [(None,)]
    assert run(folder, "backup", "backup.db").code == 0
    before = running.dump(db)
    assert running.dump(folder / "backup.db") == before
    assert run(folder, "restore", "backup.db").code == 0
    assert run(folder, "scan").code == 0
    assert running.dump(db) == before
    assert_sound(db)


def test_a_body_that_is_missing_without_having_been_pruned_is_lost(db: Path) -> None:
    told(db.parent)
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute("UPDATE revisions SET body = '' WHERE id = (SELECT max(id) FROM revisions WHERE pruned_at IS NULL)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE revisions SET body = 'x' WHERE pruned_at IS NOT NULL")
    ran = run(db.parent, "doctor", "-f", "json")
    assert ran.code == 1
    (what,) = (f["message"] for f in ran.json()["findings"] if f["check"] == "digests")
    assert what.startswith("revisions whose digest does not match")


def test_texts_that_are_looked_up_without_a_body_are_found_and_put_right(db: Path) -> None:
    told(db.parent)
    before = running.dump(db)
    with closing(sqlite3.connect(db)) as connection, connection:
        changed = connection.execute(
            "UPDATE texts SET signature = (SELECT signature FROM texts WHERE signature IS NOT NULL LIMIT 1) WHERE signature IS NULL"
        )
        assert changed.rowcount > 0
    found = run(db.parent, "doctor", "-f", "json").json()["findings"]
    assert [f for f in found if f["message"].startswith("indexed texts whose bodies were pruned") and f["repairable"]]
    assert run(db.parent, "doctor", "--repair").code == 0
    assert running.dump(db) == before
    assert_sound(db)


# Others at work, and interruptions


def test_a_daemon_that_runs_is_told_of_and_a_dry_run_does_not_mind_it(db: Path) -> None:
    before = running.dump(db)
    with watching(db.parent / "crawl", db) as daemon:
        ran = run(db.parent, "prune")
        assert (ran.code, ran.out) == (3, "")
        assert f"'dedup watch' (process {daemon.process.pid}" in ran.err
        assert ran.err.count("\n") == 1
        assert told(db.parent, "--dry-run")["pruned"]["revisions"] > 0
        assert daemon.leave() == 0
    assert running.dump(db) == before, "a daemon never prunes"


_PRUNE = """
import sys
from dedup.cli import main
from dedup.maintenance import retention
retention.STATES_PER_TRANSACTION = 7
retention.PAGES_PER_BATCH = 5
prune_batch = retention._prune_batch
def told(*args):
    found = prune_batch(*args)
    print("batch", flush=True)
    return found
retention._prune_batch = told
sys.argv = ["dedup", *sys.argv[1:]]
main()
"""


def begun(db: Path) -> subprocess.Popen[str]:
    """A `dedup prune` that tells of each small batch."""
    command = [sys.executable, "-c", _PRUNE, "prune", "-d", db.name, "-f", "json"]
    return subprocess.Popen(command, cwd=db.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def everything(db: Path) -> dict[str, Any]:
    """The content, and all that matching depends on."""
    with open_database(str(db)) as database:
        texts = database.rows("SELECT id, digest, characters, signature, crowded FROM texts ORDER BY 1")
    return {"dump": running.dump(db), "texts": texts, **derived(db)}


def test_killed_at_any_moment_and_begun_again_it_ends_in_the_same_database(db: Path) -> None:
    clean = copied(db, "clean.db")
    assert run(db.parent, "prune", "-d", clean.name).code == 0
    rng = random.Random(4)
    for batches in (1, 1, 2):
        with begun(db) as process:
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
        ran = run(db.parent, "scan")
        assert ran.code == 0
        assert "belongs to" not in ran.err, "that it has none, or an older one, is no cause for alarm"
        assert_sound(db)
    assert run(db.parent, "prune").code == 0
    assert everything(db) == everything(clean)
    assert_sound(db)


def test_ctrl_c_leaves_what_is_done_done_and_says_so(db: Path) -> None:
    with begun(db) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "batch\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"Before that, the text of \d+ revisions was pruned\.", err)
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert told(db.parent)["pruned"]["revisions"] > 0
    assert_sound(db)


# Room


def old_style(db: Path) -> None:
    """The database as one of an earlier version is: it keeps its free pages."""
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)


def size(db: Path) -> int:
    return db.stat().st_size


def test_a_new_database_gives_the_room_back_at_once(db: Path) -> None:
    before = size(db)
    done = told(db.parent)
    assert done["released_bytes"] > done["pruned"]["bytes"] / 2
    assert (done["free_bytes"], size(db)) == (0, before - done["released_bytes"])
    assert_sound(db)


def test_an_older_database_uses_the_room_for_what_comes_until_it_is_rewritten(db: Path) -> None:
    old_style(db)
    before = size(db)
    ran = run(db.parent, "prune")
    assert "'dedup prune --vacuum' returns them" in ran.out
    assert size(db) == before
    dumped = running.dump(db)
    done = told(db.parent, "--vacuum")
    assert done["free_bytes"] == 0
    assert (done["released_bytes"], size(db)) == (before - size(db), before - done["released_bytes"])
    assert done["released_bytes"] > 0
    assert ask(db, "PRAGMA auto_vacuum") == [(2,)]
    assert running.dump(db) == dumped
    assert run(db.parent, "scan").code == 0, "its log is its own"
    assert_sound(db)


def test_a_rewriting_that_finds_no_room_says_how_much_it_takes(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_style(db)
    assert run(db.parent, "prune").code == 0
    before = rows(db), size(db)
    real = os.statvfs

    def full(path: Any) -> os.statvfs_result:
        found = list(real(path))
        found[4] = 3  # f_bavail
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", full)
    ran = run(db.parent, "prune", "--vacuum")
    assert (ran.code, ran.out) == (3, "")
    assert re.fullmatch(r"dedup: Rewriting the database \S+ needs [\d.]+ MB of free space, and 0.0 MB are free in .*\n", ran.err)
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


@pytest.mark.parametrize("outcome", ["killed", "out of room"])
@pytest.mark.parametrize("share", [0.1, 0.99])
def test_a_rewriting_that_ends_in_the_middle_leaves_everything_as_it_was(db: Path, share: float, outcome: str) -> None:
    """At a byte of our choice, by the limit on the size of files, of the log by which the copy takes the place of what was there."""
    old_style(db)
    assert run(db.parent, "prune").code == 0
    model = copied(db, "model.db")
    assert run(db.parent, "prune", "--vacuum", "-d", model.name).code == 0
    ((pages, page),) = ask(model, "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")
    assert pages > 100
    limit = int(pages * page * share)
    before, names = (rows(db), size(db)), {p.name for p in db.parent.iterdir()}
    command = [sys.executable, "-c", _REWRITE, str(limit), outcome, db.name]
    done = subprocess.run(command, cwd=db.parent, capture_output=True, text=True, timeout=120, check=False)
    if outcome == "killed":
        assert done.returncode == -signal.SIGXFSZ, done.stderr
        assert size(db.with_name(db.name + "-wal")) == limit
    else:
        assert (done.returncode, done.stdout) == (3, "")
        assert re.fullmatch(r"dedup: Writing to the database \S+ failed: .*ulimit -f.*\n", done.stderr)
    assert (rows(db), size(db)) == before
    assert {p.name for p in db.parent.iterdir()} - {db.name + "-wal", db.name + "-shm"} == names
    assert_sound(db)
    assert told(db.parent, "--vacuum")["released_bytes"] > 0
    assert rows(db) == before[0]
    assert_sound(db)


def test_json_is_told_on_one_stream_and_remarks_on_the_other(db: Path) -> None:
    ran: Ran = run(db.parent, "-v", "prune", "-f", "json")
    assert json.loads(ran.out)["keep"] == ["last"]
    assert "Traceback" not in ran.err


_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
from dedup.cli import main
sys.argv = ["dedup", "prune"]
main()
"""


def test_what_cannot_be_written_is_told_in_one_line_and_the_rest_goes_later(db: Path) -> None:
    """Writing that something is gone takes room too."""
    before = running.dump(db)
    done = subprocess.run([sys.executable, "-c", _LIMITED], cwd=db.parent, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert re.fullmatch(r"dedup: Writing to the database \S+ failed: .*ulimit -f.*\n", done.stderr)
    assert running.dump(db) == before
    assert_sound(db)
    assert told(db.parent)["pruned"]["revisions"] > aged.PAGES
    assert_sound(db)
