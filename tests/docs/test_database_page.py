"""docs/database.md names every table and view, and its query works."""

from __future__ import annotations

import re
import sqlite3

from sqlite_utils import Database

from dedup.store import schema
from dedup.store.ownership import APPLICATION_ID
from tests.builders.command import SampleCrawl
from tests.builders.project import TOP

PAGE = (TOP / "docs" / "database.md").read_text("utf-8")


def test_every_table_and_view_has_a_row() -> None:
    database = Database(memory=True)
    schema.migrations.apply(database)
    rows = {
        heading: re.findall(r"(?m)^\| (`.+?`) \|", PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]) for heading in ("Views", "Tables")
    }
    named = {heading: sorted(name for row in found for name in re.findall(r"`(\w+)`", row)) for heading, found in rows.items()}
    assert named["Views"] == sorted(database.view_names())
    assert named["Tables"] == sorted(name for name in database.table_names() if not name.startswith("_"))


def test_the_query_finds_the_silent_changes_of_the_sample(sampled: SampleCrawl) -> None:
    (query,) = re.findall(r'sqlite3 -readonly dedup\.db "(.+)"', PAGE)
    connection = sqlite3.connect(sampled.folder / "dedup.db")
    found = [url for _, _, _, url in connection.execute(query)]
    connection.close()
    assert found == [change["url"] for change in sampled("changes", "--silent", "--format", "json", "--expand-incidents").json()][:10]


def test_the_page_has_the_mark_of_a_database() -> None:
    assert f"{APPLICATION_ID:#x}" in PAGE
