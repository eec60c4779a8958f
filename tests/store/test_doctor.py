"""`doctor` on stored data: it finds every alteration, repairs what is derived, and changes nothing else."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup import store
from dedup.doctor.summaries import WRONG_CLUSTERS, WRONG_SUMMARIES
from dedup.index import lsh, passages
from dedup.index.hashtable import HEADER_BYTES, HashTable, read_state
from dedup.model import NO_COMMIT
from dedup.similarity import winnowing
from dedup.store import open_database
from tests.builders import damage as damaging
from tests.builders import scans as running
from tests.builders.command import run, spawn
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.doctor import base_rows, copy_of, format_findings, list_findings, read_summaries, run_doctor, scanned_crawl

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


@pytest.fixture(scope="module")
def scanned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned_crawl(tmp_path_factory.mktemp("scanned"))


@pytest.fixture
def folder(scanned_folder: Path, tmp_path: Path) -> Path:
    return copy_of(scanned_folder, tmp_path)


def count_rows(db: Path, sql: str) -> int:
    with closing(sqlite3.connect(db)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def test_a_sound_database_has_no_findings_and_every_row_is_checked(either: str, folder: Path) -> None:
    assert run_doctor(folder) == []
    counts = run(folder, "doctor", "--format", "json").json()["checked"]
    db = folder / "dedup.db"
    tables = ("crawl_directories", "pages", "aliases", "metadata", "revisions", "sightings", "files", "readings")
    signature_count = count_rows(db, "SELECT count(*) FROM texts WHERE signature IS NOT NULL")
    assert {name: counts[name] for name in ("database", "records", "digests", "histories", "summaries", "indexes", "directories")} == {
        "database": damaging.pages(db),
        "records": sum(count_rows(db, f"SELECT count(*) FROM {table}") for table in tables),
        "digests": count_rows(db, "SELECT count(*) FROM revisions"),
        "histories": count_rows(db, "SELECT count(*) FROM sightings"),
        "summaries": count_rows(db, "SELECT count(*) FROM pages"),
        "indexes": signature_count
        + count_rows(db, "SELECT count(*) FROM text_fingerprints")
        + count_rows(db, "SELECT count(*) FROM revisions"),
        "directories": 1,
    }
    assert counts["watches"] == 3, "the crawl directory and its two folders"


def test_a_check_changes_nothing(folder: Path) -> None:
    damaging.by_sql(folder / "dedup.db", "DELETE FROM texts WHERE id = 5", "DELETE FROM sightings WHERE id = 9")
    before = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith("-shm")}
    assert run(folder, "doctor").code == 1
    after = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith("-shm")}
    assert {n: c for n, c in after.items() if c} == {n: c for n, c in before.items() if c}


# Derived: found, and rebuilt from the other rows

CHANGED = "(SELECT min(sighting_id) FROM changes)"
CLUSTERED = "(SELECT min(cluster_id) FROM cluster_members)"
DERIVED_ALTERATIONS: dict[str, tuple[str, str]] = {
    "a text gone": ("DELETE FROM texts WHERE id = 5", "rows of revisions that refer to a missing row of texts"),
    "all texts gone": ("DELETE FROM texts", "that refer to a missing row of texts"),
    "a text's digest": ("UPDATE texts SET digest = randomblob(16) WHERE id = 5", "revisions whose text does not match their body"),
    "a signature": ("UPDATE texts SET signature = zeroblob(512) WHERE id = 5", "a wrong signature or length"),
    "a signature cut short": ("UPDATE texts SET signature = x'0102' WHERE id = 5", "a wrong signature or length"),
    "no signature": ("UPDATE texts SET signature = NULL WHERE id = 5", "a wrong signature or length"),
    "a length": ("UPDATE texts SET characters = 17 WHERE id = 5", "a wrong signature or length"),
    "no text": ("UPDATE revisions SET text_id = NULL WHERE id = 5", "revisions whose text does not match their body"),
    "another text": ("UPDATE revisions SET text_id = 6 WHERE id = 5", "revisions whose text does not match their body"),
    "passages gone": ("DELETE FROM text_fingerprints WHERE text_id = 5", "texts with a signature but no fingerprints"),
    "a passage": (
        "UPDATE text_fingerprints SET fingerprints = CAST(x'0102030405' || substr(fingerprints, 6) AS BLOB) WHERE text_id = 5",
        "fingerprints that its body does not have",
    ),
    "a passage cut short": (
        "UPDATE text_fingerprints SET fingerprints = x'010203' WHERE text_id = 5",
        "fingerprints that its body does not have",
    ),
    "passages of nothing": (
        "INSERT INTO text_fingerprints VALUES (9999, 1, x'')",
        "rows of text_fingerprints that refer to a missing row of texts",
    ),
    "passages of an unindexed text": (
        "UPDATE text_fingerprints SET publisher_id = 77 WHERE text_id = 5",
        "rows of text_fingerprints that refer to a missing row of publishers",
    ),
    "a follower that does not exist": ("INSERT INTO followers VALUES (3, 9999)", "rows of followers that refer to a missing row of texts"),
    "a match of nothing": (
        (
            "INSERT INTO matches SELECT text_a_id, 9999, relation, similarity, containment, coverage, shared_characters,"
            " longest_passage, quoted_share, masked_boilerplate, match_recipe,"
            " confirmed_at FROM matches LIMIT 1"
        ),
        "rows of matches that refer to a missing row of texts",
    ),
    "a match by other rules": ("UPDATE matches SET match_recipe = 'older' WHERE rowid_ = 1", "matches with an outdated recipe"),
    "no current crawl": ("UPDATE pages SET current_sighting_id = NULL WHERE id = 5", "pages whose current sighting is not the latest"),
    "another page's crawl": ("UPDATE pages SET current_sighting_id = 6 WHERE id = 2", "pages whose current sighting is not the latest"),
    "an earlier crawl": (
        (
            f"UPDATE pages SET current_sighting_id = (SELECT previous_sighting_id FROM changes WHERE sighting_id = {CHANGED})"
            f" WHERE id = (SELECT page_id FROM changes WHERE sighting_id = {CHANGED})"
        ),
        "pages whose current sighting is not the latest",
    ),
    "a crawl that is not there": (
        "UPDATE pages SET current_sighting_id = 9999 WHERE id = 5",
        "rows of pages that refer to a missing row of sightings",
    ),
    "a change gone": (
        f"DELETE FROM changes WHERE sighting_id = {CHANGED}",
        "pages whose changes differ from those between their sightings",
    ),
    "all changes gone": ("DELETE FROM changes", "pages whose changes differ from those between their sightings"),
    "a change from another page": (
        (
            f"UPDATE changes SET previous_sighting_id = (SELECT min(s.id) FROM sightings s WHERE s.page_id <> changes.page_id)"
            f" WHERE sighting_id = {CHANGED}"
        ),
        "changes that do not connect two counted sightings of their page",
    ),
    "a change of another page": (
        f"UPDATE changes SET page_id = page_id + 1 WHERE sighting_id = {CHANGED}",
        "changes that do not connect two counted sightings of their page",
    ),
    "a change to itself": (
        f"UPDATE changes SET previous_sighting_id = sighting_id WHERE sighting_id = {CHANGED}",
        "changes that do not connect two counted sightings of their page",
    ),
    "a change at another time": (
        f"UPDATE changes SET at = '2026-03-04T00:00:00+00:00' WHERE sighting_id = {CHANGED}",
        "changes that do not connect two counted sightings of their page",
    ),
    "a change from nothing": (
        f"UPDATE changes SET previous_sighting_id = 9999 WHERE sighting_id = {CHANGED}",
        "rows of changes that refer to a missing row of sightings",
    ),
    "a change of nothing": (
        f"UPDATE changes SET page_id = 9999 WHERE sighting_id = {CHANGED}",
        "rows of changes that refer to a missing row of pages",
    ),
    "a change that returned": (
        f"UPDATE changes SET returned = 1 WHERE sighting_id = {CHANGED}",
        "pages whose changes differ from those between their sightings",
    ),
    "a change of metadata": (
        f'UPDATE changes SET fields = \'{{"author": ["", "x"]}}\' WHERE sighting_id = {CHANGED}',
        "pages whose changes differ from those between their sightings",
    ),
    "no batches": ("DELETE FROM batches", "the last commit does not include all texts"),
    "a summary": ("UPDATE summaries SET changes = 99 WHERE page_id = 5", WRONG_SUMMARIES),
    "a summary's publisher": ("UPDATE summaries SET publisher = 'x' WHERE page_id = 5", WRONG_SUMMARIES),
    "a summary gone": ("DELETE FROM summaries WHERE page_id = 5", "pages without a summary of their current crawl"),
    "a cluster role": ("UPDATE summaries SET cluster_role = 'alone' WHERE cluster_role = 'member'", WRONG_CLUSTERS),
    "a cluster gone": (
        f"DELETE FROM clusters WHERE page_id = {CLUSTERED}",
        "rows of cluster_members that refer to a missing row of clusters",
    ),
    "a cluster gone with its members": (
        f"DELETE FROM cluster_members WHERE cluster_id = {CLUSTERED}; DELETE FROM clusters WHERE page_id = {CLUSTERED}",
        WRONG_CLUSTERS,
    ),
    "a cluster's measures": (f"UPDATE clusters SET publishers = 9, near = 7 WHERE page_id = {CLUSTERED}", WRONG_CLUSTERS),
    "a member's measures": (f"UPDATE cluster_members SET coverage = 0.1 WHERE cluster_id = {CLUSTERED}", WRONG_CLUSTERS),
    "a member gone": (f"DELETE FROM cluster_members WHERE cluster_id = {CLUSTERED}", "clusters whose size does not match"),
    "a cluster of pages that do not match": (
        (
            "INSERT INTO clusters SELECT page_id, 2, 1, 0, 1, 0, NULL, NULL, first_crawled_at, first_crawled_at, 0 FROM summaries"
            " WHERE cluster_role = 'alone' LIMIT 1; INSERT INTO cluster_members SELECT c.page_id, v.page_id, 'near', 0.9, 0.9, NULL"
            " FROM clusters c, summaries v WHERE c.first_hour_articles = 0 AND c.near = 1 AND c.first_published_at IS NULL"
            " AND v.cluster_role = 'alone' AND v.page_id <> c.page_id LIMIT 1"
        ),
        WRONG_CLUSTERS,
    ),
}


@pytest.mark.system
@pytest.mark.parametrize("alteration", DERIVED_ALTERATIONS)
def test_an_altered_derived_value_is_found_and_rebuilt(folder: Path, alteration: str) -> None:
    db = folder / "dedup.db"
    sql, words = DERIVED_ALTERATIONS[alteration]
    sql = sql.replace("rowid_ = 1", "(text_a_id, text_b_id) = (SELECT text_a_id, text_b_id FROM matches LIMIT 1)")
    before, base, summary_rows = running.dump(db), base_rows(db), read_summaries(db)
    assert damaging.by_sql(db, *sql.split("; ")) > 0
    findings = run_doctor(folder)
    assert words in format_findings(findings)
    assert all(f["repairable"] for f in findings if f["severity"] == "error"), format_findings(findings)
    assert base_rows(db) == base
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert result.code == 0, result.out
    assert result.json()["repaired"]
    assert run_doctor(folder) == []
    assert running.dump(db) == before
    assert base_rows(db) == base
    assert read_summaries(db) == summary_rows


def test_all_alterations_together_are_repaired_together(either: str, folder: Path) -> None:
    db = folder / "dedup.db"
    before, base = running.dump(db), base_rows(db)
    for n, harm in enumerate(DERIVED_ALTERATIONS):
        if not harm.startswith(("all ", "no commits")):
            sql = DERIVED_ALTERATIONS[harm][0].replace(
                "rowid_ = 1", "(text_a_id, text_b_id) = (SELECT text_a_id, text_b_id FROM matches LIMIT 1)"
            )
            damaging.by_sql(db, *sql.replace("= 5", f"= {5 + n}").split("; "))
    (folder / "dedup.db.index").write_bytes(b"none")
    assert run(folder, "doctor", "--repair").code == 0
    assert running.dump(db) == before
    assert base_rows(db) == base
    assert run_doctor(folder) == []


def test_a_repaired_database_continues_as_an_undamaged_one(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    damaging.by_sql(tmp_path / "dedup.db", "DELETE FROM texts WHERE id % 3 = 0", "DELETE FROM changes", "DELETE FROM matches")
    assert run(tmp_path, "doctor", "--repair").code == 0
    damaging.fill(tmp_path / "crawl", 10, first=40)
    assert run(tmp_path, "scan").code == 0
    running.scan(tmp_path / "crawl", tmp_path / "clean.db")
    assert running.dump(tmp_path / "dedup.db") == running.dump(tmp_path / "clean.db")
    assert run_doctor(tmp_path) == []


# Not derived: found, named, and not changed

SOURCE_ALTERATIONS: dict[str, tuple[str, str]] = {
    "a body": ("UPDATE revisions SET body = body || '.' WHERE id = 5", "revisions whose digest does not match their title and body"),
    "a title": ("UPDATE revisions SET title = 'x' WHERE id = 5", "revisions whose digest does not match their title and body"),
    "a body that is no text": (
        "UPDATE revisions SET body = CAST(x'ff' || body AS TEXT) WHERE id = 5",
        "revisions whose digest does not match their title and body",
    ),
    "a digest": ("UPDATE revisions SET digest = randomblob(32) WHERE id = 5", "revisions whose digest does not match their title and body"),
    "a revision gone": ("DELETE FROM revisions WHERE id = 5", "rows of sightings that refer to a missing row of revisions"),
    "a crawl gone": ("DELETE FROM sightings WHERE id = 5", "revisions without a sighting: 1 (https://"),
    "a page gone": ("DELETE FROM pages WHERE id = 5", "rows of sightings that refer to a missing row of pages"),
    "a reading gone": ("DELETE FROM readings WHERE id = 5", "sightings without a reading: 1 (https://"),
    "metadata gone": ("DELETE FROM metadata WHERE id = 5", "rows of sightings that refer to a missing row of metadata"),
    "an alias gone": ("DELETE FROM aliases WHERE id = 5", "rows of readings that refer to a missing row of aliases"),
    "a file gone": ("DELETE FROM files WHERE id = 5", "rows of readings that refer to a missing row of files"),
    "a directory gone": ("DELETE FROM crawl_directories", "rows of files that refer to a missing row of crawl_directories"),
    "another page's revision": ("UPDATE sightings SET revision_id = 9 WHERE id = 5", "sightings of another page's revision"),
    "another file's reading": (
        "UPDATE files SET current_reading_id = 9 WHERE id = 5",
        "files whose current reading is another file's: 1 (/",
    ),
    "no reading": ("UPDATE files SET current_reading_id = NULL WHERE id = 5", "files that are neither an article nor a fault: 1 (/"),
    "a page's URL": (
        "UPDATE pages SET url = 'https://gazette.example/other' WHERE id = 5",
        "pages whose URL differs from the one in their files: 1 (https://gazette.example/other)",
    ),
    "another page's address": ("UPDATE readings SET alias_id = 9 WHERE id = 5", "readings of another page's URL"),
}


@pytest.mark.system
@pytest.mark.parametrize("alteration", SOURCE_ALTERATIONS)
def test_an_altered_source_value_is_found_and_never_changed(folder: Path, alteration: str) -> None:
    db = folder / "dedup.db"
    sql, words = SOURCE_ALTERATIONS[alteration]
    assert damaging.by_sql(db, sql) > 0
    base = base_rows(db)
    findings = run_doctor(folder)
    assert words in format_findings(findings)
    (finding,) = (f for f in findings if words in f"{f['message']}")
    assert not finding["repairable"]
    assert "dedup restore FILE" in finding["remedy"] or "dedup reindex --urls" in finding["remedy"]
    assert run(folder, "doctor", "--repair").code == 1
    assert words in format_findings(run_doctor(folder)), "it is reported as long as it exists"
    assert base_rows(db) == base


def test_reindex_repairs_a_page_with_another_url(folder: Path) -> None:
    db = folder / "dedup.db"
    before = running.dump(db)
    damaging.by_sql(db, "UPDATE pages SET url = 'https://gazette.example/other' WHERE id = 5")
    assert "pages whose URL differs" not in format_findings(run_doctor(folder, "--quick"))
    assert run(folder, "reindex", "--urls").code == 0
    assert running.dump(db) == before
    assert {f["severity"] for f in run_doctor(folder)} <= {"ok"}


def test_a_page_with_an_altered_body_is_named_and_its_text_is_kept(folder: Path) -> None:
    db = folder / "dedup.db"
    with open_database(str(db)) as database:
        before = database.row("SELECT r.text_id, p.url, t.digest FROM revisions r JOIN pages p ON p.id = r.page_id"
                            " JOIN texts t ON t.id = r.text_id WHERE r.id = 5")  # fmt: skip
    assert before is not None
    damaging.by_sql(
        db, "UPDATE revisions SET body = 'another body altogether' WHERE id = 5", "UPDATE texts SET characters = 1 WHERE id = 8"
    )
    findings = run_doctor(folder)
    assert before[1] in format_findings(findings)
    run(folder, "doctor", "--repair")
    with open_database(str(db)) as database:
        after = database.row("SELECT t.digest FROM revisions r JOIN texts t ON t.id = r.text_id WHERE r.id = 5")
    assert after == before[2:]


def test_a_finding_without_a_repair_does_not_prevent_other_repairs(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(
        db, "UPDATE revisions SET body = body || '.' WHERE id = 5", "DELETE FROM changes", "DELETE FROM text_fingerprints WHERE text_id = 9"
    )
    assert {f["repairable"] for f in run_doctor(folder)} == {True, False}
    run(folder, "doctor", "--repair")
    (remaining,) = run_doctor(folder)
    assert remaining["message"].startswith("revisions whose digest does not match")


def test_a_repair_that_fails_is_rolled_back_and_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts cannot be matched again. Current sightings can be repaired nevertheless."""
    db = folder / "dedup.db"
    damaging.by_sql(db, "DELETE FROM text_fingerprints WHERE text_id = 9", "UPDATE pages SET current_sighting_id = 4")
    matches = running.dump(db, "matches")

    def fail(*_: object) -> None:
        raise sqlite3.IntegrityError("on purpose")

    monkeypatch.setattr(store.batches, "restart", fail)  # the last step of matching
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert (result.code, result.err) == (1, "")
    findings = result.json()["findings"]
    assert (findings[0]["check"], "the repair could not be finished" in findings[0]["message"]) == ("repair", True)
    assert any("sightings and changes" in sentence for sentence in result.json()["repaired"])
    assert "current sighting is not the latest" not in format_findings(findings)
    assert running.dump(db, "matches") == matches


@pytest.mark.slow
@pytest.mark.parametrize("derived", ["texts", "text_fingerprints", "matches", "changes", "summaries"])
@pytest.mark.parametrize("lost", ["sightings", "readings", "revisions", "metadata", "files"])
def test_lost_rows_do_not_keep_derived_data_from_being_rebuilt(folder: Path, lost: str, derived: str) -> None:
    """What the repair leaves is reported as such: the remedy is not to repair again."""
    key = {"summaries": "page_id", "text_fingerprints": "text_id", "matches": "text_a_id"}.get(derived, "rowid")
    damaging.by_sql(
        folder / "dedup.db",
        f"DELETE FROM {lost} WHERE id IN (SELECT id FROM {lost} ORDER BY id LIMIT 3)",
        f"DELETE FROM {derived} WHERE {key} IN (SELECT {key} FROM {derived} ORDER BY {key} LIMIT 3)",
    )
    result = run(folder, "doctor", "--repair", "--format", "json")
    findings = [f for f in result.json()["findings"] if f["severity"] == "error"]
    assert (result.code, result.err) == (1, "")
    assert findings
    assert not [f for f in findings if f["check"] == "repair" or f["repairable"] or f["remedy"].startswith("Run 'dedup doctor --repair'")]
    assert result.json()["repaired"]


def test_data_of_other_settings_is_not_compared(folder: Path) -> None:
    (folder / "config.toml").write_text((folder / "config.toml").read_text() + "[duplicates]\nmin_characters = 90\nnum_perm = 64\n")
    findings = run_doctor(folder)
    assert [(f["check"], f["severity"]) for f in findings] == [
        ("digests", "warning"), ("indexes", "warning"), ("configuration", "error"),
    ]  # fmt: skip
    assert "their signatures and fingerprints were not compared" in findings[0]["message"]
    assert "The settings of [duplicates] changed" in findings[2]["message"]
    assert "dedup reindex" in findings[2]["remedy"]
    damaging.by_sql(folder / "dedup.db", "UPDATE texts SET digest = randomblob(16) WHERE id = 5")
    (finding,) = (f for f in run_doctor(folder) if "whose text does not match their body" in f["message"])
    assert not finding["repairable"]


def test_changed_url_rules_are_reported(folder: Path) -> None:
    (folder / "config.toml").write_text((folder / "config.toml").read_text() + '[urls]\ntracking = ["ref"]\n')
    (finding,) = run_doctor(folder)
    assert finding["check"] == "configuration"
    assert "dedup reindex --urls" in finding["remedy"]


def test_quick_does_not_check_bodies(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "UPDATE revisions SET body = body || '.' WHERE id = 5")
    assert [f["check"] for f in run_doctor(folder)] == ["digests"]
    result = run(folder, "doctor", "--quick", "--format", "json")
    assert (result.json()["findings"], "digests" in result.json()["checked"]) == ([], False)
    damaging.overwrite(db, [damaging.leaves(db, "sightings")[0]], bytes)
    assert "the file is damaged" in format_findings(run_doctor(folder, "--quick")), "all other pages are read"


# Indexes


def index_path(folder: Path, end: str) -> Path:
    return folder / f"dedup.db{end}"


@pytest.mark.parametrize("end", [".index", ".passages"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("gone", "is missing"),
        ("short", "damaged: it has"),
        ("header", "damaged: the header is not valid"),
        ("bit", "damaged: the content does not match the checksum"),
        ("another's", "is that of another database"),
    ],
)
def test_a_damaged_index_is_found_and_rebuilt(folder: Path, end: str, damage: str, words: str) -> None:
    index = index_path(folder, end)
    content = bytearray(index.read_bytes())
    if damage == "gone":
        index.unlink()
    else:
        if damage == "short":
            del content[-500:]
        elif damage == "header":
            content[0] ^= 1
        elif damage == "another's":
            content[16] ^= 1
        else:
            content[HEADER_BYTES + next(i for i, b in enumerate(content[HEADER_BYTES:]) if b)] ^= 4
        index.write_bytes(content)
    (finding,) = run_doctor(folder)
    assert (finding["check"], finding["severity"], finding["repairable"]) == ("indexes", "ok" if damage == "gone" else "warning", True)
    assert words in finding["message"]
    assert str(index) in finding["message"]
    assert run(folder, "doctor", "--repair").code == 0
    assert run_doctor(folder) == []


def write_index(folder: Path, end: str, leave_out: int, *, with_foreign_entry: bool = False) -> None:
    """Write an index that claims to be complete but lacks the first texts, or holds a text under foreign hashes."""
    path = str(folder / "dedup.db")
    with open_database(path) as database:
        database_uuid, (token, last) = uuid.UUID(store.settings.get(database, "uuid")).bytes, store.batches.latest(database)
        signatures = list(store.texts.all_signatures(database))
        fingerprints = [(text, winnowing.unpack(keys)) for text, keys in store.passages.all_fingerprints(database)]
    if end == ".index":
        index = lsh.new_index(path + end, database_uuid, 0.7, 128)
        index.insert([t for t, _ in signatures[leave_out:]], [s for _, s in signatures[leave_out:]])
        if with_foreign_entry:
            index.insert([signatures[0][0]], [signatures[-1][1]])
        index.add([], [], token)
        index._table.commit(token, last)
    else:
        passage_index = passages.new_index(path + end, database_uuid)
        passages.insert_texts(passage_index._table, [t for t, _ in fingerprints[leave_out:]], [k for _, k in fingerprints[leave_out:]])
        if with_foreign_entry:
            passages.insert_texts(passage_index._table, [fingerprints[0][0]], [fingerprints[-1][1]])
        passage_index._table.commit(token, last)


@pytest.mark.parametrize("end", [".index", ".passages"])
def test_missing_entries_are_counted(folder: Path, end: str) -> None:
    write_index(folder, end, 0)
    assert run_doctor(folder) == []
    write_index(folder, end, 2)
    (finding,) = run_doctor(folder)
    assert (finding["severity"], finding["repairable"]) == ("error", True)
    with open_database(str(folder / "dedup.db")) as database:
        fingerprint_counts = [len(winnowing.unpack(k)) for _, k in store.passages.all_fingerprints(database)][:2]
    expected = 50 if end == ".index" else sum(fingerprint_counts)
    assert finding["message"].endswith(f"duplicates would be missed: {expected}")
    assert run(folder, "doctor", "--repair").code == 0
    assert run_doctor(folder) == []


@pytest.mark.parametrize("end", [".index", ".passages"])
def test_entries_without_a_stored_text_are_found(folder: Path, end: str) -> None:
    write_index(folder, end, 0, with_foreign_entry=True)
    (finding,) = run_doctor(folder)
    assert finding["severity"] == "warning"
    assert "has entries that belong to no stored text" in finding["message"]
    assert run(folder, "doctor", "--repair").code == 0
    assert run_doctor(folder) == []


def test_an_index_that_is_behind_is_not_an_error(folder: Path) -> None:
    with open_database(str(folder / "dedup.db")) as database:
        database_uuid, signatures = uuid.UUID(store.settings.get(database, "uuid")).bytes, list(store.texts.all_signatures(database))
    with closing(sqlite3.connect(folder / "dedup.db")) as connection:
        first_batch = connection.execute("SELECT token, last_text_id FROM batches ORDER BY id LIMIT 1").fetchone()
        connection.execute("INSERT INTO batches (token, last_text_id) SELECT randomblob(16), max(id) FROM texts")
        connection.commit()
    index = lsh.new_index(str(index_path(folder, ".index")), database_uuid, 0.7, 128)
    index.add([t for t, _ in signatures if t <= first_batch[1]], [s for t, s in signatures if t <= first_batch[1]], first_batch[0])
    findings = run_doctor(folder)
    assert {f["severity"] for f in findings} == {"ok"}
    assert "is behind" in format_findings(findings)


def test_full_buckets_are_not_reported_as_incomplete(tmp_path: Path) -> None:
    """80 pages whose texts differ in a date only. A bucket holds 64 texts."""
    (tmp_path / "crawl").mkdir()
    body = damaging.fill(tmp_path / "other", 1)[0].body
    for n in range(80):
        ArticleFile(body=f"{body} {n}", aid=f"{n:010d}").write(tmp_path / "crawl")
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    assert run(tmp_path, "status", "--format", "json").json()["crowded"] > 0
    assert run_doctor(tmp_path) == []


_HOLD = """
import sys
from dedup.store import open_writable
with open_writable(sys.argv[1], "watch"):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_beside_a_writer_only_index_headers_are_checked_and_repair_is_refused(folder: Path) -> None:
    db = folder / "dedup.db"
    write_index(folder, ".index", 2)
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        findings = run_doctor(folder)
        assert [(f["check"], f["severity"]) for f in findings] == [("indexes", "ok")] * 2
        assert f"only its header was checked because 'dedup watch' (process {process.pid}" in findings[0]["message"]
        result = run(folder, "doctor", "--repair")
        assert result.code == 3
        assert "is being written by 'dedup watch'" in result.err
        index_path(folder, ".index").write_bytes(b"")
        assert "missing or has no header" in format_findings(run_doctor(folder))
        process.communicate(b"")
    assert "damaged: the header is not valid" in format_findings(run_doctor(folder))


def test_checking_an_index_does_not_write_to_the_file(folder: Path) -> None:
    index = index_path(folder, ".index")
    before = index.read_bytes()
    table, problem = HashTable.load_read_only(str(index))
    assert (table is None, problem) == (False, "")
    assert table is not None
    table.commit(NO_COMMIT, 1)
    table.slots_and_mapping()[0][:] = 7
    assert index.read_bytes() == before
    assert read_state(str(index)) is not None


# Output


def test_a_check_without_findings_is_one_line(folder: Path) -> None:
    result = run(folder, "doctor")
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "database", "records", "digests", "histories", "summaries", "indexes", "watches", "directories", "disk", "configuration", "clock",
        "packages",
    ]  # fmt: skip
    assert lines[0].split(maxsplit=1)[1] == f"ok: {damaging.pages(folder / 'dedup.db')} SQLite pages"


def test_text_output_names_each_remedy_once(folder: Path) -> None:
    damaging.by_sql(folder / "dedup.db", "DELETE FROM changes", "UPDATE pages SET current_sighting_id = NULL WHERE id < 4")
    result = run(folder, "doctor")
    assert result.code == 1
    lines = result.out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("records"))
    assert lines[at].startswith("records        error: pages whose current sighting is not the latest counted one: 3 (")
    assert lines[at + 1].startswith("               error: pages whose changes differ from those between their sightings: 10 (")
    assert lines[at + 2] == "               → Run 'dedup doctor --repair' to rebuild it from the other rows."
    repair = run(folder, "doctor", "--repair")
    assert repair.code == 0
    assert repair.out.startswith("repaired       pages whose sightings and changes were recomputed: 12\n") or "repaired" in repair.out


def test_a_repair_of_a_sound_database_changes_nothing(folder: Path) -> None:
    before = (folder / "dedup.db").read_bytes()
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert (result.code, result.json()["repaired"]) == (0, [])
    assert (folder / "dedup.db").read_bytes() == before


def test_control_characters_in_urls_are_escaped(folder: Path) -> None:
    url = "https://x.example/\x1b]0;owned\x07\u202e"
    with closing(sqlite3.connect(folder / "dedup.db")) as connection:
        connection.execute("UPDATE pages SET url = ? WHERE id = 5", (url,))
        connection.execute("UPDATE revisions SET body = 'x' WHERE page_id = 5")
        connection.commit()
    for form in ("text", "json"):
        out = run(folder, "doctor", "--format", form).out
        assert "x.example" in out
        assert not {"\x1b", "\x07", "\u202e"} & set(out)


@pytest.mark.system
def test_doctor_runs_beside_the_daemon(tmp_path: Path) -> None:
    """In a separate process, beside a daemon that has just committed and has not checkpointed its log."""
    damaging.fill(tmp_path / "crawl", 12)
    damaging.configure(tmp_path)
    with watching(tmp_path / "crawl", tmp_path / "dedup.db", settle=0.0) as daemon:
        result = spawn(tmp_path, "doctor", "--format", "json")
        findings = result.json()["findings"]
        assert daemon.leave() == 0
    assert [(f["check"], f["severity"]) for f in findings if f["check"] in ("database", "records", "digests", "indexes")] == [
        ("indexes", "ok")
    ] * 2
    assert result.json()["checked"]["digests"] > 12


def test_a_check_that_fails_keeps_its_earlier_findings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dedup.doctor import Finding, records

    def fail(case: Any) -> Any:
        yield Finding("records", "warning", "seen before", "nothing")
        raise OSError(5, "no luck", "/somewhere")

    monkeypatch.setitem(records.RECORD_STEPS, "changes", fail)
    findings = list_findings(folder)
    assert [f.message for f in findings if f.check == "records"] == ["seen before", "not checked: changes: no luck (/somewhere)"]


def test_a_repaired_copy_shares_its_text_with_the_other_copy(tmp_path: Path) -> None:
    """Two pages with one text share a row of `texts` before and after."""
    (article,) = damaging.fill(tmp_path / "crawl", 1, first=1)
    replace(article, oid="903", title="다른 제목").write(tmp_path / "crawl")
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    before = running.dump(tmp_path / "dedup.db")
    for sql in ("DELETE FROM texts", "UPDATE revisions SET text_id = NULL", "UPDATE texts SET digest = randomblob(16)"):
        damaging.by_sql(tmp_path / "dedup.db", sql)
        assert run(tmp_path, "doctor", "--repair").code == 0
        assert running.dump(tmp_path / "dedup.db") == before
    shutil.rmtree(tmp_path / "crawl")


def test_reindex_deletes_unused_texts_and_keeps_indexes_complete(tmp_path: Path) -> None:
    """A crawl that was read again with other content leaves an unused text, here the last one, until all texts are matched again."""
    article = damaging.fill(tmp_path / "crawl", 3)[0]
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    late = ArticleFile(body=article.body[300:], aid="0000000099", claim="0" * 64)
    late.write(tmp_path / "crawl", "late.md")
    assert run(tmp_path, "scan").code == 0
    replace(late, body=article.body).write(tmp_path / "crawl", "late.md")
    assert run(tmp_path, "scan").code == 0
    db = tmp_path / "dedup.db"
    unused = "SELECT count(*) FROM texts WHERE NOT EXISTS (SELECT 1 FROM revisions WHERE text_id = texts.id)"
    assert count_rows(db, unused) == 1
    assert run_doctor(tmp_path) == []
    for options in (("--urls",), ()):
        assert run(tmp_path, "reindex", *options).code == 0
        assert count_rows(db, unused) == 0
        assert run_doctor(tmp_path) == []


def test_missing_near_duplicate_matches_are_found_and_added(tmp_path: Path) -> None:
    folder = scanned_crawl(tmp_path)
    matches = running.dump(folder / "dedup.db", "matches")
    assert matches
    assert run_doctor(folder) == []
    damaging.by_sql(folder / "dedup.db", "DELETE FROM matches WHERE relation = 'near'")
    assert running.dump(folder / "dedup.db", "matches") != matches
    assert "near duplicates" not in format_findings(run_doctor(folder, "--quick"))
    assert "indexes error: near duplicates that are not stored as matches (pairs of texts)" in format_findings(run_doctor(folder))
    assert "near duplicates" not in format_findings(run_doctor(folder, "--repair"))
    assert running.dump(folder / "dedup.db", "matches") == matches
