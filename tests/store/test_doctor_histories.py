"""`doctor` on values computed from sightings, readings, matches and changes: it finds and repairs every altered value."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dedup.changes.classify import Classification, PageState, classify_change
from dedup.doctor import histories
from dedup.doctor.histories import WRONG_CAUSES, WRONG_CLASSIFICATIONS, WRONG_SIGHTINGS
from dedup.doctor.matches import WRONG_MATCHES
from tests.builders import damage as damaging
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import ArticleFile
from tests.builders.doctor import base_rows, copy_of, format_findings, list_findings, read_summaries, run_doctor
from tests.builders.labelled_changes import BODY

pytestmark = pytest.mark.slow

NOTICE = "Content not found"
AMENDED = BODY.replace("638조원", "639조원")
CORRECTED = AMENDED.replace("예정이다.", "예정이다.\n[정정] 예산안 규모를 바로잡았습니다.")
REWORDED = CORRECTED.replace("반발했다", "강하게 비판했다")
OSCILLATING = range(15, 21)
"""File numbers of a page that alternates between two states and then shows others."""


def page_article(page: int, day: int, body: str = BODY, **fields: Any) -> ArticleFile:
    return ArticleFile(body=body, aid=f"{page:010}", crawled_at=f"2026-03-0{day} 01:00:00", **fields)


def varied_crawl(folder: Path) -> Path:
    """A scanned crawl with every kind of computed history.

    Returning states, removals, corrections, changes of metadata alone, each kind of mismatch, crawls in two files, a crawl without a
    time, and a truncated file.
    """
    crawl = folder / "crawl"
    first = page_article(1, 2)
    articles = [
        first,
        page_article(1, 3, AMENDED),
        page_article(1, 4),
        page_article(1, 5, AMENDED.replace("120명", "1200명"), claim=first.digest),
        page_article(2, 2),
        page_article(2, 3, NOTICE),
        page_article(2, 4, NOTICE + "."),
        page_article(2, 5),
        page_article(3, 2, title="의회 소식"),
        page_article(3, 3, title="의회 소식", author="하늘봄"),
        page_article(3, 4, title="의회, 예산안 의결", author="하늘봄"),
        page_article(3, 5, CORRECTED, title="의회, 예산안 의결", author="하늘봄"),
        page_article(4, 2, AMENDED, claim="0" * 64),
        page_article(4, 3, claim="no digest"),
        page_article(5, 2, AMENDED, claim=""),
        *(page_article(9, 2 + n, body) for n, body in enumerate((BODY, AMENDED, BODY, AMENDED, CORRECTED, REWORDED))),
    ]
    for n, crawled in enumerate(articles):
        crawled.write(crawl, f"{n}.md")
    page_article(6, 2).write(crawl, "one.md")
    page_article(6, 2, author="하늘봄").write(crawl, "other.md")
    undated = replace(page_article(7, 2), crawled_at="").write(crawl, "undated.md")
    os.utime(undated, (datetime.fromisoformat("2026-03-02T01:00:00+00:00").timestamp(),) * 2)
    truncated = page_article(8, 2).render()
    (crawl / "torn.md").write_text(truncated[: truncated.index("야당은")], "utf-8")
    page_article(8, 3).write(crawl, "whole.md")
    damaging.configure(folder)
    assert run(folder, "scan").code == 0
    return folder


@pytest.fixture(scope="module")
def scanned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return varied_crawl(tmp_path_factory.mktemp("scanned"))


@pytest.fixture
def folder(scanned_folder: Path, tmp_path: Path) -> Path:
    return copy_of(scanned_folder, tmp_path)


def select(db: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(db)) as connection:
        return connection.execute(sql).fetchall()


SUBSTANCE = "sighting_id = (SELECT min(sighting_id) FROM changes WHERE silent = 1)"
REMOVAL = "sighting_id = (SELECT min(sighting_id) FROM changes WHERE kind = 'removed')"
RETURN = "sighting_id = (SELECT min(sighting_id) FROM changes WHERE returned = 1)"
CORRECTION = "sighting_id = (SELECT min(sighting_id) FROM changes WHERE corrected = 1)"
METADATA = "sighting_id = (SELECT min(sighting_id) FROM changes WHERE kind = 'metadata')"
TWICE = "id IN (SELECT sighting_id FROM readings GROUP BY sighting_id HAVING count(DISTINCT metadata_id) > 1)"
PAIR = "(text_a_id, text_b_id) = (SELECT text_a_id, text_b_id FROM matches LIMIT 1)"
OTHER = "d.sighting_id = sightings.id AND d.metadata_id <> sightings.metadata_id"

ALTERATIONS: dict[tuple[str, str], list[tuple[str, str]]] = {
    ("sightings", "status"): [
        ("status = 'truncated' WHERE id = (SELECT min(previous_sighting_id) FROM changes)", WRONG_SIGHTINGS),
        ("status = 'superseded' WHERE id = (SELECT max(sighting_id) FROM changes)", WRONG_SIGHTINGS),
        ("status = 'overruled' WHERE id = 1", WRONG_SIGHTINGS),
        ("status = 'counted' WHERE status = 'truncated'", WRONG_SIGHTINGS),
    ],
    ("sightings", "check_status"): [
        ("check_status = 'mismatched' WHERE id = 1", WRONG_SIGHTINGS),
        ("check_status = 'verified' WHERE check_status = 'mismatched'", WRONG_SIGHTINGS),
        ("check_status = 'verified' WHERE check_status = 'unclaimed'", WRONG_SIGHTINGS),
    ],
    ("sightings", "check_cause"): [
        ("check_cause = 'altered' WHERE check_cause = 'stale'", WRONG_SIGHTINGS),
        ("check_cause = NULL WHERE check_cause = 'malformed'", WRONG_SIGHTINGS),
        ("check_cause = 'truncated' WHERE id = 1", WRONG_SIGHTINGS),
    ],
    ("sightings", "metadata_id"): [
        (f"metadata_id = (SELECT metadata_id FROM readings d WHERE {OTHER}) WHERE {TWICE}", WRONG_SIGHTINGS),
        ("metadata_id = 1 WHERE id = 5", WRONG_SIGHTINGS),
    ],
    ("sightings", "crawled_at_source"): [
        ("crawled_at_source = 'mtime' WHERE id = 1", WRONG_SIGHTINGS),
        ("crawled_at_source = 'file' WHERE crawled_at_source = 'mtime'", WRONG_SIGHTINGS),
    ],
    ("readings", "check_cause"): [
        ("check_cause = 'altered' WHERE check_cause = 'stale'", WRONG_CAUSES),
        ("check_cause = 'stale' WHERE check_cause = 'altered'", WRONG_CAUSES),
    ],
    ("revisions", "text_id"): [
        ("text_id = (SELECT text_id FROM revisions WHERE id = 1) WHERE text_id IS NULL", "revisions with a text but no counted reading"),
        ("text_id = NULL WHERE id = 1", "revisions whose text does not match their body"),
    ],
    ("matches", "relation"): [("relation = 'copy' WHERE relation = 'near'", WRONG_MATCHES)],
    ("matches", "similarity"): [("similarity = 0.99", WRONG_MATCHES), (f"similarity = 0.1 WHERE {PAIR}", WRONG_MATCHES)],
    ("matches", "containment"): [(f"containment = 0.1 WHERE {PAIR}", WRONG_MATCHES)],
    ("matches", "coverage"): [(f"coverage = 0.0 WHERE {PAIR}", WRONG_MATCHES)],
    ("matches", "shared_characters"): [(f"shared_characters = shared_characters + 1 WHERE {PAIR}", WRONG_MATCHES)],
    ("matches", "longest_passage"): [(f"longest_passage = 0 WHERE {PAIR}", WRONG_MATCHES)],
    ("matches", "masked_boilerplate"): [(f"masked_boilerplate = '[\"x\"]' WHERE {PAIR}", WRONG_MATCHES)],
    ("changes", "title_changed"): [
        (f"title_changed = 1 WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        ("title_changed = 0 WHERE title_changed = 1", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "body_changed"): [
        (f"body_changed = 0 WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"body_changed = 1 WHERE {METADATA}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "body_similarity"): [
        (f"body_similarity = 0.5 WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"body_similarity = NULL WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"body_similarity = 0.9 WHERE {METADATA}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "kind"): [
        (f"kind = 'cosmetic' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"kind = 'removed' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"kind = 'wording' WHERE {REMOVAL}", WRONG_CLASSIFICATIONS),
        (f"kind = NULL, severity = NULL WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        ("kind = 'typo'", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "severity"): [(f"severity = 'trivial' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS)],
    ("changes", "parts"): [
        (f"parts = '[]' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"parts = NULL WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "evidence"): [
        (f"evidence = '[]' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"evidence = 'x' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "silent"): [
        ("silent = 0 WHERE silent = 1", WRONG_CLASSIFICATIONS),
        (f"silent = 1 WHERE {METADATA}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "corrected"): [
        ("corrected = 0 WHERE corrected = 1", WRONG_CLASSIFICATIONS),
        (f"corrected = 1 WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "edit_digest"): [
        (f"edit_digest = randomblob(16) WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"edit_digest = NULL WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "page_history"): [
        (f"page_history = '' WHERE {RETURN}", WRONG_CLASSIFICATIONS),
        (f"page_history = '{{}}' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        (f"page_history = NULL WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
    ],
    ("changes", "classified_by"): [
        (f"classified_by = 'older' WHERE {SUBSTANCE}", WRONG_CLASSIFICATIONS),
        ("classified_by = NULL", WRONG_CLASSIFICATIONS),
    ],
}
"""(table, column) → assignments that alter it, each with the finding that `doctor` reports."""
KEYS = {
    "matches": {"text_a_id", "text_b_id", "match_recipe", "confirmed_at", "quoted_share"},
    "sightings": {"id", "page_id", "crawled_at", "revision_id"},
    "changes": {"sighting_id", "previous_sighting_id", "page_id", "at", "returned", "fields"},
}
"""Columns that are keys, that the check `records` compares, or that cannot be computed from stored data."""
EACH_ALTERATION = [
    pytest.param(table, sql, words, id=f"{table}: {sql[:60]}")
    for (table, _), alterations in ALTERATIONS.items()
    for sql, words in alterations
]


@pytest.mark.system
@pytest.mark.parametrize(("table", "sql", "words"), EACH_ALTERATION)
def test_an_altered_value_is_found_and_repaired(folder: Path, table: str, sql: str, words: str) -> None:
    db = folder / "dedup.db"
    before, base, summary_rows = running.dump(db), base_rows(db), read_summaries(db)
    assert damaging.by_sql(db, f"UPDATE {table} SET {sql}") > 0
    findings = run_doctor(folder)
    assert words in format_findings(findings)
    assert all(f["repairable"] for f in findings if f["severity"] == "error"), format_findings(findings)
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert result.code == 0, result.out
    assert result.json()["repaired"]
    assert run_doctor(folder) == []
    assert running.dump(db) == before
    assert base_rows(db) == base
    assert read_summaries(db) == summary_rows


@pytest.mark.parametrize("table", KEYS)
def test_every_computed_column_has_an_alteration(folder: Path, table: str) -> None:
    columns = {str(name) for (name,) in select(folder / "dedup.db", f"SELECT name FROM pragma_table_info('{table}')")}
    assert columns - KEYS[table] == {column for of, column in ALTERATIONS if of == table}


def test_a_sound_database_with_every_kind_of_history_has_no_finding(folder: Path) -> None:
    assert run_doctor(folder) == []
    counts = run(folder, "doctor", "--format", "json").json()["checked"]
    assert [(counts["histories"],)] == select(folder / "dedup.db", "SELECT count(*) FROM sightings")
    causes = select(folder / "dedup.db", "SELECT DISTINCT check_cause FROM readings ORDER BY 1")
    assert causes == [(None,), ("altered",), ("malformed",), ("stale",), ("truncated",)]
    kinds = {kind for (kind,) in select(folder / "dedup.db", "SELECT kind FROM changes")}
    assert {"substantive", "removed", "restored", "metadata", "headline"} <= kinds


def test_all_alterations_together_are_repaired_together(folder: Path) -> None:
    db = folder / "dedup.db"
    before = running.dump(db)
    for (table, _), alterations in ALTERATIONS.items():
        damaging.by_sql(db, f"UPDATE {table} SET {alterations[0][0]}")
    assert run(folder, "doctor", "--repair").code == 0
    assert running.dump(db) == before
    assert run_doctor(folder) == []


def test_computing_in_batches_gives_the_same_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dedup.doctor import records
    from dedup.pipeline import mismatch_causes, page_history

    for module, name in ((histories, "BATCH_SIZE"), (records, "BATCH_SIZE"), (page_history, "CHUNK"), (mismatch_causes, "CHUNK")):
        monkeypatch.setattr(module, name, 2)
    assert run_doctor(folder) == []
    damaging.by_sql(folder / "dedup.db", "UPDATE changes SET severity = 'trivial'", "UPDATE sightings SET crawled_at_source = 'mtime'")
    whats = [f.message for f in list_findings(folder) if f.check == "histories"]
    number = select(folder / "dedup.db", "SELECT count(*) FROM sightings")[0][0]
    assert f"{WRONG_SIGHTINGS}: {int(str(number)) - 1:,} (" in whats[0]
    assert f"{WRONG_CLASSIFICATIONS}: 5 (" in whats[1]


def test_quick_does_not_check_histories(folder: Path) -> None:
    damaging.by_sql(folder / "dedup.db", "UPDATE changes SET severity = 'trivial'")
    result = run(folder, "doctor", "--quick", "--format", "json")
    assert (result.json()["findings"], "histories" in result.json()["checked"]) == ([], False)


def test_changes_classified_with_other_settings_are_left_to_reindex(folder: Path) -> None:
    """While the configuration differs from the settings that the database was written with, nothing can be compared."""
    config = folder / "config.toml"
    content = config.read_text("utf-8")
    config.write_text(content + "[changes]\ntypo_edits = 1\n", "utf-8")
    damaging.by_sql(folder / "dedup.db", f"UPDATE changes SET severity = 'trivial' WHERE {SUBSTANCE}")
    assert [f["check"] for f in run_doctor(folder)] == ["configuration"]
    assert run(folder, "reindex", "--changes").code == 0
    assert run_doctor(folder) == []


def test_a_repair_raises_no_alert(scanned_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(scanned_folder, tmp_path)
    with (folder / "config.toml").open("a", encoding="utf-8") as config:
        config.write(
            '[channels.feed]\nkind = "atom"\npath = "feed.xml"\n[[alerts]]\nname = "all"\non = ["change", "mismatch"]\nto = ["feed"]\n'
        )
    assert run(folder, "scan").code == 0
    alerts = select(folder / "dedup.db", "SELECT * FROM alerts")
    for (table, _), alterations in ALTERATIONS.items():
        damaging.by_sql(folder / "dedup.db", f"UPDATE {table} SET {alterations[0][0]}")
    assert run(folder, "doctor", "--repair").code == 0
    assert select(folder / "dedup.db", "SELECT * FROM alerts") == alerts


def test_a_sighting_is_not_computed_from_incomplete_readings(folder: Path) -> None:
    """One of two readings has lost its metadata, so the metadata of the crawl is unknown."""
    db = folder / "dedup.db"
    (row,) = select(db, f"SELECT id, metadata_id FROM sightings WHERE {TWICE}")
    damaging.by_sql(db, f"DELETE FROM metadata WHERE id = {row[1]}")
    assert not any(f["check"] == "histories" for f in run_doctor(folder))
    assert run(folder, "doctor", "--repair").code == 1
    assert select(db, f"SELECT id, metadata_id FROM sightings WHERE {TWICE}") == [row]


def test_nothing_is_computed_from_an_altered_body(folder: Path) -> None:
    """A body, the classification of its change and the measures of its match are altered. They stay so until the body is restored."""
    db = folder / "dedup.db"
    damaging.by_sql(db, "UPDATE revisions SET body = replace(body, '시민단체', '어느 단체')", "UPDATE changes SET severity = 'trivial'")
    before = running.dump(db)
    assert [f["check"] for f in run_doctor(folder) if f["severity"] == "error"] == ["digests"]
    assert run(folder, "doctor", "--repair").code == 1
    assert running.dump(db) == before


# Pruned bodies


@pytest.fixture(scope="module")
def pruned_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crawl with pruned bodies: old states that no file shows."""
    folder = varied_crawl(tmp_path_factory.mktemp("pruned"))
    with (folder / "config.toml").open("a", encoding="utf-8") as config:
        config.write('[history]\nkeep = ["last"]\ndays = 0\n')
    for number in (0, 1, 2, 5, 8, *OSCILLATING[:4]):
        (folder / "crawl" / f"{number}.md").unlink()
    assert run(folder, "scan").code == 0
    assert run(folder, "prune").code == 0
    assert len(select(folder / "dedup.db", "SELECT id FROM revisions WHERE pruned_at IS NOT NULL")) >= 5
    return folder


@pytest.fixture
def pruned_copy(pruned_crawl: Path, tmp_path: Path) -> Path:
    return copy_of(pruned_crawl, tmp_path)


WITHOUT_BODY = "(SELECT s.id FROM sightings s JOIN revisions r ON r.id = s.revision_id WHERE r.pruned_at IS NOT NULL)"
OF_PRUNED = f"sighting_id IN {WITHOUT_BODY} AND previous_sighting_id IN {WITHOUT_BODY}"
OF_REST = f"sighting_id NOT IN {WITHOUT_BODY} AND previous_sighting_id NOT IN {WITHOUT_BODY}"
ON_ONE_PAGE = f"page_id IN (SELECT page_id FROM changes WHERE {OF_PRUNED} AND returned = 1) AND kind IS NOT NULL AND {OF_REST}"


@pytest.mark.parametrize(
    "sql", [f"body_changed = 0 WHERE {OF_PRUNED}", f"title_changed = 1 WHERE {OF_PRUNED}", f"severity = 'trivial' WHERE {ON_ONE_PAGE}"]
)
def test_a_repair_keeps_classifications_of_pruned_bodies(pruned_copy: Path, sql: str) -> None:
    db = pruned_copy / "dedup.db"
    assert run_doctor(pruned_copy) == []
    before = running.dump(db)
    assert damaging.by_sql(db, f"UPDATE changes SET {sql}") > 0
    assert WRONG_CLASSIFICATIONS in format_findings(run_doctor(pruned_copy))
    assert run(pruned_copy, "doctor", "--repair").code == 0
    assert run_doctor(pruned_copy) == []
    assert running.dump(db) == before


def test_reindex_keeps_classifications_of_pruned_bodies(pruned_copy: Path) -> None:
    """Two changes of a page between the same two states were classified differently."""
    db = pruned_copy / "dedup.db"
    pairs = "SELECT count(DISTINCT kind || severity || page_history) AS n FROM changes c JOIN sightings x ON x.id = c.previous_sighting_id"
    pairs += (
        f" JOIN sightings y ON y.id = c.sighting_id WHERE c.{OF_PRUNED.replace('AND ', 'AND c.')} GROUP BY x.revision_id, y.revision_id"
    )
    assert max(select(db, pairs)) > (1,)
    before = running.dump(db)
    assert run(pruned_copy, "reindex", "--changes").code == 0
    assert running.dump(db) == before
    assert run_doctor(pruned_copy) == []


# Internal errors


def test_a_page_that_cannot_be_classified_does_not_hide_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(before: PageState, *arguments: Any) -> Classification:
        if before.title == "의회 소식":
            raise ArithmeticError("no such article")
        return classify_change(before, *arguments)

    monkeypatch.setattr("dedup.pipeline.classifications.classify_change", fail)
    damaging.by_sql(folder / "dedup.db", f"UPDATE changes SET severity = 'trivial' WHERE {SUBSTANCE}")
    findings = [(f.severity, f.message) for f in list_findings(folder) if f.check == "histories"]
    assert [severity for severity, _ in findings] == ["error", "warning"]
    assert findings[0][1].startswith(f"{WRONG_CLASSIFICATIONS}: 1 (")
    assert findings[1][1].startswith("pages whose changes could not be classified because of an internal error: 1 (")
