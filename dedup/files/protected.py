"""Which files the program must never create, replace or change: a database and what belongs to it, crawl directories, the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dedup.files.atomic import DATABASE_SUFFIXES

SQLITE_MAGIC = b"SQLite format 3\0"
"""How every SQLite database begins (https://www.sqlite.org/fileformat2.html)."""


@dataclass(frozen=True, slots=True)
class ProtectedFiles:
    """What no output may be written to: the `database_path` in use, the `crawl_directories`, the `configuration_path` file. Paths are
    absolute or count from the current directory."""

    database_path: str
    crawl_directories: tuple[str, ...] = ()
    configuration_path: str | None = None

    def find_problem(self, path: str, *, database_allowed: bool = False) -> str | None:
        """Why nothing may be written to `path`, whichever way that is spelt and whatever links lead there; None if it may be.

        `database_allowed`: a database may be there that is not the one in use.
        """
        real_path = os.path.realpath(path)
        target = _ResolvedPath(real_path)
        if any(target.is_at(own) for own in _database_files(self.database_path)):
            return "it is the database itself, or lies where that keeps a file of its own"
        if self.configuration_path is not None and target.is_at(self.configuration_path):
            return "it is the configuration file"
        for directory in self.crawl_directories:
            if target.is_within(directory):
                return f"it would lie in the crawl directory {directory}, where nothing is ever written"
        for end in DATABASE_SUFFIXES:
            database = real_path.removesuffix(end)
            if database != real_path and is_sqlite(database):
                return f"it lies where the database {database} keeps a file of its own"
        if not database_allowed and is_sqlite(real_path):
            return "it is a SQLite database"
        return None


def is_sqlite(path: str) -> bool:
    """Whether a file is there that begins as SQLite databases do. Never raises and never waits."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(fd, len(SQLITE_MAGIC)) == SQLITE_MAGIC
        finally:
            os.close(fd)
    return False


class _ResolvedPath:
    """A path without links, and the identities of the file there and of the folders above it."""

    def __init__(self, real_path: str) -> None:
        self._real_path = real_path
        self._identity = _file_identity(real_path)
        self._parent_identities = {identity for folder in _parent_folders(real_path) if (identity := _file_identity(folder)) is not None}

    def is_at(self, path: str) -> bool:
        """Whether `path` names the same file: by its name, or as a link of either kind."""
        identity = _file_identity(path)
        return self._real_path == os.path.realpath(path) or (identity is not None and identity == self._identity)

    def is_within(self, directory: str) -> bool:
        """Whether it is `directory` or lies anywhere below: by its name, or where that is mounted a second time."""
        real = os.path.realpath(directory)
        identity = _file_identity(directory)
        return f"{self._real_path}/".startswith(f"{real.rstrip('/')}/") or (
            identity is not None and identity in {self._identity, *self._parent_identities}
        )


def _database_files(database: str) -> Iterator[str]:
    """A database and everything that lies beside it."""
    real = os.path.realpath(database)
    yield from (real + end for end in ("", *DATABASE_SUFFIXES))


def _parent_folders(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _file_identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
