"""Other schema versions."""

from __future__ import annotations

import pytest
from sqlite_utils import Migrations

from dedup.store import schema


def add_later_migration(monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    """Make this process a later version of the program, with one more migration."""
    migrations = Migrations(schema.migrations.name)
    migrations(name="0001_base")(schema._base)
    migrations(name="9999_later")(lambda db: db.execute(sql))
    monkeypatch.setattr(schema, "migrations", migrations)
    monkeypatch.setattr(schema, "MIGRATION_NAMES", schema.MIGRATION_NAMES | {"9999_later"})
    monkeypatch.setattr(schema, "_expected_objects", schema._expected_objects.__wrapped__)
