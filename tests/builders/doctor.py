"""What tests of `doctor` share: a database of a small crawl, its findings, and what must never be touched."""

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
"""Checks of what a database holds."""
MACHINE = frozenset({"watches", "disk", "packages"})
"""Checks of the machine that tests run on: what they find is not this program's."""


def scanned_crawl(folder: Path) -> Path:
    """40 pages, some with copies and some crawled twice, taken in."""
    damaging.fill(folder / "crawl", 40)
    damaging.configure(folder)
    assert run(folder, "scan").code == 0
    return folder


def copy_of(scanned: Path, folder: Path) -> Path:
    """The database with its indexes and a configuration that names the same crawl."""
    for path in scanned.glob("dedup.db*"):
        shutil.copy(path, folder / path.name)
    crawl = f'[crawl]\ndirectories = ["{scanned / "crawl"}"]\nsettle_seconds = 0.0\n'
    (folder / "config.toml").write_text(f'{crawl}[database]\npath = "{folder / "dedup.db"}"\n')
    return folder


def findings(ran: CommandResult) -> list[dict[str, Any]]:
    """What was found of everything but the machine; its exit code must fit."""
    assert ran.code in (0, 1), ran.err
    assert ran.err == ""
    reported = ran.json()["findings"]
    assert ran.code == int(any(f["severity"] == "error" for f in reported))
    assert all(set(f) == {"check", "severity", "message", "remedy", "repairable"} for f in reported)
    assert all(f["remedy"] for f in reported if f["severity"] != "ok")
    return [f for f in reported if f["check"] not in MACHINE]


def run_doctor(folder: Path, *options: str) -> list[dict[str, Any]]:
    """The findings of `dedup doctor`."""
    return findings(run(folder, "doctor", "--format", "json", *options))


def format_findings(those: list[dict[str, Any]]) -> str:
    """Findings as lines, for looking for words in them."""
    return "\n".join(f"{f['check']} {f['severity']}: {f['message']}" for f in those)


def list_findings(folder: Path, around: SystemProbes | None = None, **options: Any) -> list[Finding]:
    """The findings, with other surroundings."""
    settings = load(str(folder / "config.toml")).settings
    return run_checks(settings, probes=around, **options)[0]


def wrong(settings: Settings, *, writing: bool = False) -> list[str]:
    """Errors and warnings about what a database holds; `writing`: this process holds its lock."""
    return [f.message for f in run_checks(settings, holds_lock=writing)[0] if f.check in CONTENT and f.severity != "ok"]


def base_rows(db: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row that is not derived, as it is stored; columns of a row that are derived are left out."""
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


def summed_rows(db: Path) -> list[list[tuple[Any, ...]]]:
    """Every summary and cluster, as stored."""
    with closing(sqlite3.connect(db)) as connection:
        return [sorted(connection.execute(f"SELECT * FROM {t}"), key=repr) for t in ("summaries", "clusters", "cluster_members")]
