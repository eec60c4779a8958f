"""How questions are put to an open database; what is asked stands in the modules beside."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass, field
from typing import Any

from sqlite_utils import Database


def marks(values: Sized) -> str:
    """As many places for bound values as there are values."""
    return ", ".join("?" * len(values))


@dataclass(slots=True)
class Where:
    """Conditions that all have to hold, with the values that are bound in them."""

    said: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, sql: str, *values: Any) -> None:
        self.said.append(sql)
        self.values += values

    def __str__(self) -> str:
        return " AND ".join(self.said) or "1"


class Asking:
    """An open database, and how it is asked."""

    def __init__(self, db: Database, path: str) -> None:
        self._db = db
        self._connection = db.conn
        self.path = path

    def _execute(self, sql: str, *values: Any) -> None:
        self._connection.execute(sql, values)

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return row

    def _value(self, sql: str, *values: Any) -> Any:
        row = self._one(sql, *values)
        return row[0] if row else None

    def setting(self, key: str) -> str | None:
        """A value that the program keeps about the database itself."""
        value = self._value("SELECT value FROM settings WHERE key = ?", key)
        return None if value is None else str(value)
