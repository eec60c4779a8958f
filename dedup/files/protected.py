"""Files that no output may replace: the database and its companion files, crawl directories, the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dedup.files.atomic import DATABASE_SUFFIXES
from dedup.files.secure import parent_folders

SQLITE_MAGIC = b"SQLite format 3\0"
"""The first bytes of every SQLite database (https://www.sqlite.org/fileformat2.html)."""


@dataclass(frozen=True, slots=True)
class ProtectedFiles:
    """The database in use, the crawl directories, and the configuration file. Paths may be relative to the current directory."""

    database_path: str
    crawl_directories: tuple[str, ...] = ()
    configuration_path: str | None = None

    def find_problem(self, path: str, *, database_allowed: bool = False) -> str | None:
        """Return why nothing may be written to `path`, after resolving links of both kinds; None if it may be written.

        With `database_allowed`, another database than the one in use may be replaced.
        """
        real_path = os.path.realpath(path)
        target = _ResolvedPath(real_path)
        if any(target.is_at(file) for file in _database_files(self.database_path)):
            return "it is the database or one of its companion files"
        if self.configuration_path is not None and target.is_at(self.configuration_path):
            return "it is the configuration file"
        for directory in self.crawl_directories:
            if target.is_within(directory):
                return f"it lies in the crawl directory {directory}, where dedup never writes"
        for suffix in DATABASE_SUFFIXES:
            database = real_path.removesuffix(suffix)
            if database != real_path and is_sqlite(database):
                return f"it is a companion file of the database {database}"
        if not database_allowed and is_sqlite(real_path):
            return "it is a SQLite database"
        return None


def is_sqlite(path: str) -> bool:
    """Return whether the file at `path` begins like a SQLite database. Never raises and never blocks."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(fd, len(SQLITE_MAGIC)) == SQLITE_MAGIC
        finally:
            os.close(fd)
    return False


class _ResolvedPath:
    """A path without links, with the identities of its file and of the folders above it."""

    def __init__(self, real_path: str) -> None:
        self._real_path = real_path
        self._identity = _file_identity(real_path)
        self._parent_identities = {identity for folder in parent_folders(real_path) if (identity := _file_identity(folder)) is not None}

    def is_at(self, path: str) -> bool:
        """Return whether `path` names the same file, by its name or as a link of either kind."""
        identity = _file_identity(path)
        return self._real_path == os.path.realpath(path) or (identity is not None and identity == self._identity)

    def is_within(self, directory: str) -> bool:
        """Return whether it is `directory` or lies below it, by its name or through another mount of the directory."""
        real = os.path.realpath(directory)
        identity = _file_identity(directory)
        return f"{self._real_path}/".startswith(f"{real.rstrip('/')}/") or (
            identity is not None and identity in {self._identity, *self._parent_identities}
        )


def _database_files(database: str) -> Iterator[str]:
    """A database and its companion files."""
    real = os.path.realpath(database)
    yield from (real + suffix for suffix in ("", *DATABASE_SUFFIXES))


def _file_identity(path: str) -> tuple[int, int] | None:
    """(device, inode) of a file; None if it does not exist."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
