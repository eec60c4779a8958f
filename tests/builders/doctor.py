"""A scanned crawl for tests of `dedup doctor`, its findings, and the rows that a repair must not change."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from dedup.config import Settings, load
from dedup.doctor import Finding, SystemProbes, run_checks
from dedup.store.integrity import BASE_TABLES
from tests.builders import damage as damaging
from tests.builders.command import CommandResult, run

CONTENT = frozenset({"database", "records", "digests", "histories", "summaries", "indexes"})
"""Checks of the content of a database."""
MACHINE = frozenset({"watches", "disk", "packages"})
"""Checks of the machine that the tests run on. Their results vary."""


def scanned_crawl(folder: Path) -> Path:
    """Write and scan 40 pages, some with copies and some crawled twice."""
    damaging.fill(folder / "crawl", 40)
    damaging.configure(folder)
    assert run(folder, "scan").code == 0
    return folder


def copy_of(scanned: Path, folder: Path) -> Path:
    """Copy the database and its indexes to `folder`, with a configuration that names the same crawl directory."""
    for path in scanned.glob("dedup.db*"):
        shutil.copy(path, folder / path.name)
    crawl = f'[crawl]\ndirectories = ["{scanned / "crawl"}"]\nsettle_seconds = 0.0\n'
    (folder / "config.toml").write_text(f'{crawl}[database]\npath = "{folder / "dedup.db"}"\n')
    return folder


def findings(result: CommandResult) -> list[dict[str, Any]]:
    """Return the reported findings without those of the machine, and check that the exit code fits them."""
    assert result.code in (0, 1), result.err
    assert result.err == ""
    reported = result.json()["findings"]
    assert result.code == int(any(f["severity"] == "error" for f in reported))
    assert all(set(f) == {"check", "severity", "message", "remedy", "repairable"} for f in reported)
    assert all(f["remedy"] for f in reported if f["severity"] != "ok")
    return [f for f in reported if f["check"] not in MACHINE]


def run_doctor(folder: Path, *options: str) -> list[dict[str, Any]]:
    """Run `dedup doctor` and return its findings."""
    return findings(run(folder, "doctor", "--format", "json", *options))


def format_findings(found: list[dict[str, Any]]) -> str:
    """Format findings as lines of text."""
    return "\n".join(f"{f['check']} {f['severity']}: {f['message']}" for f in found)


def list_findings(folder: Path, probes: SystemProbes | None = None, **options: Any) -> list[Finding]:
    """Run the checks in this process, optionally with other system probes."""
    settings = load(str(folder / "config.toml")).settings
    return run_checks(settings, probes=probes, **options)[0]


def content_problems(settings: Settings, *, writing: bool = False) -> list[str]:
    """Return errors and warnings about the content of a database. `writing`: this process holds its lock."""
    return [f.message for f in run_checks(settings, holds_lock=writing)[0] if f.check in CONTENT and f.severity != "ok"]


def base_rows(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every stored row that is not derived, without derived columns."""
    derived = {
        "revisions": "id, page_id, digest, CAST(title AS BLOB), CAST(body AS BLOB)",
        "pages": "id, url",
        "sightings": "id, page_id, crawled_at, revision_id",
        "readings": "id, file_id, sighting_id, alias_id, metadata_id, status, check_status, claimed_digest, digest_recipe, encoding,"
        " crawled_at_source",
    }
    with closing(sqlite3.connect(db)) as connection:
        tables = (*BASE_TABLES, "faults", "boilerplate", "publishers")
        return {t: connection.execute(f"SELECT {derived.get(t, '*')} FROM {t} ORDER BY 1").fetchall() for t in tables}


def read_summaries(db: Path) -> list[list[tuple[Any, ...]]]:
    """Return every stored summary and cluster."""
    with closing(sqlite3.connect(db)) as connection:
        return [sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in ("summaries", "clusters", "cluster_members")]
