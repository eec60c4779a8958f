"""Which files the program must never create, replace or change: a database and what belongs to it, crawl directories, the configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from dedup.files.atomic import OWN

SQLITE = b"SQLite format 3\0"
"""How every SQLite database begins (https://www.sqlite.org/fileformat2.html)."""


@dataclass(frozen=True, slots=True)
class Protected:
    """What no output may be written to: the `database` in use, the crawl `directories`, the `configuration` file. Paths are absolute
    or count from the current directory."""

    database: str
    directories: tuple[str, ...] = ()
    configuration: str | None = None

    def problem(self, path: str, *, database_allowed: bool = False) -> str | None:
        """Why nothing may be written to `path`, whichever way that is spelt and whatever links lead there; None if it may be.

        `database_allowed`: a database may be there that is not the one in use.
        """
        place = os.path.realpath(path)
        known = _Known(place)
        if any(known.is_at(own) for own in _files_of(self.database)):
            return "it is the database itself, or lies where that keeps a file of its own"
        if self.configuration is not None and known.is_at(self.configuration):
            return "it is the configuration file"
        for directory in self.directories:
            if known.is_within(directory):
                return f"it would lie in the crawl directory {directory}, where nothing is ever written"
        for end in OWN:
            other = place.removesuffix(end)
            if other != place and is_sqlite(other):
                return f"it lies where the database {other} keeps a file of its own"
        if not database_allowed and is_sqlite(place):
            return "it is a SQLite database"
        return None


def is_sqlite(path: str) -> bool:
    """Whether a file is there that begins as SQLite databases do. Never raises and never waits."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(fd, len(SQLITE)) == SQLITE
        finally:
            os.close(fd)
    return False


class _Known:
    """A path without links, and the identities of the file there and of the folders above it."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._identity = _identity(place)
        self._above = {found for folder in _above(place) if (found := _identity(folder)) is not None}

    def is_at(self, path: str) -> bool:
        """Whether `path` names the same file: by its name, or as a link of either kind."""
        found = _identity(path)
        return self._place == os.path.realpath(path) or (found is not None and found == self._identity)

    def is_within(self, directory: str) -> bool:
        """Whether it is `directory` or lies anywhere below: by its name, or where that is mounted a second time."""
        real = os.path.realpath(directory)
        found = _identity(directory)
        return f"{self._place}/".startswith(f"{real.rstrip('/')}/") or (found is not None and found in {self._identity, *self._above})


def _files_of(database: str) -> Iterator[str]:
    """A database and everything that lies beside it."""
    real = os.path.realpath(database)
    yield from (real + end for end in ("", *OWN))


def _above(path: str) -> Iterator[str]:
    while (above := os.path.dirname(path)) != path:
        yield above
        path = above


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.stat(path)
        return found.st_dev, found.st_ino
    return None
