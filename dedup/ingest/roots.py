"""Crawl directories: which there are, and whether one is there at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from dedup import text
from dedup.errors import NoDirectoryError, OverlapError, RootContainsError, RootInsideError
from dedup.store import Writer


@dataclass(frozen=True, slots=True)
class Root:
    """A crawl directory of the database; `path` is absolute."""

    id: int
    path: bytes

    @property
    def shown(self) -> str:
        return text.printable_path(self.path)


def check_roots(directories: Sequence[str]) -> list[bytes]:
    """The directories as absolute paths; raises NoDirectoryError or OverlapError (links resolved)."""
    if not directories:
        raise NoDirectoryError
    paths = [os.path.abspath(os.fsencode(d)) for d in dict.fromkeys(directories)]
    real = sorted((os.path.realpath(p) + b"/", p) for p in paths)
    for (outer, a), (inner, b) in pairwise(real):
        if inner.startswith(outer):
            raise OverlapError(first=text.printable_path(a), second=text.printable_path(b))
    return paths


def placed(wanted: Sequence[bytes], known: Sequence[bytes], *, parts: bool) -> list[tuple[bytes, bytes]]:
    """Where directories lie among the crawl directories that are known: (crawl directory, folder in it, empty for all of it) of each. One
    that is another path to a known one is that. With `parts` a folder of a known one is a part of it.

    Raises RootInsideError for a folder of a known one without `parts`, RootContainsError for one that holds a known one.
    """
    found = []
    real = {path: os.path.realpath(path) for path in known}
    for path in wanted:
        own = os.path.realpath(path)
        root, folder = path, b""
        for other, place in real.items():
            if path in real and other != path:
                continue
            if own == place:
                root = other
            elif own.startswith(_slashed(place)):
                if not parts:
                    raise RootInsideError(inner=text.printable_path(path), outer=text.printable_path(other))
                root, folder = other, own[len(_slashed(place)) :]
            elif place.startswith(_slashed(own)):
                raise RootContainsError(outer=text.printable_path(path), inner=text.printable_path(other))
        found.append((root, folder))
    return found


def _slashed(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def identity(path: bytes) -> tuple[int, int] | None:
    """(st_dev, st_ino) of a directory that can be listed and entered, as signed 64-bit numbers; None where there is none."""
    try:
        with os.scandir(path):
            stat = os.stat(os.path.join(path, b"."))
    except OSError:
        return None
    return _signed(stat.st_dev), _signed(stat.st_ino)


def is_absent(store: Writer, root: Root) -> bool:
    """Whether the directory is missing, unreadable, or empty with another identity than it had: an unmounted tree. Nothing
    may be marked gone then."""
    found = identity(root.path)
    if found is None:
        return True
    known = store.directory_identity(root.id)
    return known is not None and known != found and _is_empty(root.path)


def remember(store: Writer, root: Root) -> None:
    """Note the identity of a directory that is there, for telling an unmounted tree from an emptied one."""
    found = identity(root.path)
    if found is not None and found != store.directory_identity(root.id):
        with store.transaction():
            store.set_directory_identity(root.id, *found)


def _is_empty(path: bytes) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError:
        return True


def _signed(number: int) -> int:
    return number if number < 1 << 63 else number - (1 << 64)
