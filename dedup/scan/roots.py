"""Crawl directories: which there are, and whether one, or what is mounted in it, is there at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise

from dedup import store
from dedup.errors import NoAbsentMountError, NoDirectoryError, OverlapError, RootContainsError, RootInsideError
from dedup.files import mounts
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import Beneath
from dedup.store import Database, WritableDatabase
from dedup.text import normalise

MOST_SOUGHT = 100
"""Recorded files that are looked for to know a volume again."""


@dataclass(frozen=True, slots=True)
class Root:
    """A crawl directory of the database; `path` is absolute."""

    id: int
    path: bytes

    @property
    def shown(self) -> str:
        return normalise.printable_path(self.path)


def check_roots(directories: Sequence[str]) -> list[bytes]:
    """The directories as absolute paths; raises NoDirectoryError or OverlapError (links resolved)."""
    if not directories:
        raise NoDirectoryError
    paths = [os.path.abspath(os.fsencode(d)) for d in dict.fromkeys(directories)]
    _refuse_nested((b"", os.path.realpath(path), path) for path in paths)
    mounted = mounts.read()
    _refuse_nested((*mounts.location(path, mounted), path) for path in paths)  # one may be mounted a second time
    return paths


def _refuse_nested(places: Iterable[tuple[bytes, bytes, bytes]]) -> None:
    """Raise OverlapError where one directory lies in another, by (file system, path in it, path as given)."""
    for (device, outer, a), (other, inner, b) in pairwise(sorted((device, _slashed(path), given) for device, path, given in places)):
        if device == other and inner.startswith(outer):
            raise OverlapError(first=normalise.printable_path(a), second=normalise.printable_path(b))


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
                    raise RootInsideError(inner=normalise.printable_path(path), outer=normalise.printable_path(other))
                root, folder = other, own[len(_slashed(place)) :]
            elif place.startswith(_slashed(own)):
                raise RootContainsError(outer=normalise.printable_path(path), inner=normalise.printable_path(other))
        found.append((root, folder))
    return found


def _slashed(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def identity(path: bytes) -> tuple[int, int] | None:
    """(st_dev, st_ino) of a directory that can be listed and entered, as signed 64-bit numbers; None where there is none.

    Raises OSError where this process has no descriptor or memory left to look: that says nothing about the directory.
    """
    try:
        with os.scandir(path):
            stat = os.stat(os.path.join(path, b"."))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None
    return identity_of(stat)


def is_absent(database: Database, root: Root) -> bool:
    """Whether the directory is missing or unreadable, or is another than it was and either empty or no longer on the mount that it was
    on: an unmounted tree. Nothing may be marked gone then. Raises OSError as `identity` does."""
    found = identity(root.path)
    if found is None:
        return True
    known = store.directories.identity(database, root.id)
    if known is None or known == found:
        return False
    return _is_empty(root.path) or _has_left_its_mount(database, root)


def _has_left_its_mount(database: Database, root: Root) -> bool:
    mounted = {m.at for m in mounts.read()}
    return bool(mounted) and any(path.startswith(b"/") and path not in mounted for path in store.directories.mounts(database, root.id))


def remember(database: WritableDatabase, root: Root) -> None:
    """Note the identity of a directory that is there, and the mount that it is on, for telling an unmounted tree from an emptied one."""
    found = identity(root.path)
    if found is None:
        return
    mount = mounts.of(root.path, mounts.read())
    now = {mount.at: found} if mount is not None and mount.at != b"/" else {}
    identified = store.directories.identity(database, root.id)
    known = (
        {path: i for path, i in store.directories.mounts(database, root.id).items() if path.startswith(b"/")} if now or identified else {}
    )
    if found != identified or now != known:
        with database.transaction() as transaction:
            store.directories.set_identity(transaction, root.id, *found)
            store.directories.delete_mounts(transaction, root.id, known.keys() - now.keys())
            if now:
                store.directories.set_mounts(transaction, root.id, now)


def points_below(root: bytes) -> frozenset[bytes]:
    """Where something is mounted below a crawl directory, by path relative to it."""
    real = os.path.realpath(root).rstrip(b"/") + b"/"
    return frozenset(m.at[len(real) :] for m in mounts.read() if m.at.startswith(real))


def absent_mounts(database: Database, root: Root) -> list[bytes]:
    """Mounts seen below a crawl directory that are not there now, by path relative to it: the path is missing, unreadable, an ordinary
    directory, or something else is mounted there that has none of the recorded files."""
    known = {path: i for path, i in store.directories.mounts(database, root.id).items() if not path.startswith(b"/")}
    if not known:
        return []
    points = points_below(root.path)
    with Beneath() as beneath:
        return sorted(path for path, i in known.items() if not _is_mounted(database, beneath, root, path, i, points))


def holds_recorded(database: Database, root: Root, path: bytes, before: int) -> bool:
    """Whether what is at `path` (relative to the crawl directory) has one of the files that were recorded below it, or none were. `before`:
    files from this key on do not count. `MOST_SOUGHT` files are looked for."""
    recorded = (
        (folder, name)
        for folder in store.files.folders(database, root.id, path)
        for file, name in store.files.present_in_folder(database, root.id, folder)
        if file < before
    )
    sought = list(islice(recorded, MOST_SOUGHT))
    with Beneath() as beneath:
        for folder, name in sought:
            with suppress(OSError):
                if beneath.stat(root.path, folder, name) is not None:
                    return True
    return not sought


def forget_mount(database: WritableDatabase, roots: Sequence[Root], path: bytes) -> None:
    """Expect nothing to be mounted at a path any more: the next scan marks the files as gone that it does not find there. Raises
    NoAbsentMountError for a path where no mount was seen, or where there still is one."""
    at = os.path.abspath(path)
    for root in roots:
        relative = at[len(root.path) + 1 :] if at.startswith(root.path + b"/") else None
        if relative in absent_mounts(database, root):
            key = relative
        elif at in store.directories.mounts(database, root.id) and at not in {m.at for m in mounts.read()}:
            key = at
        else:
            continue
        with database.transaction() as transaction:
            store.directories.delete_mounts(transaction, root.id, [key])
        return
    raise NoAbsentMountError(path=normalise.printable_path(at))


def _is_mounted(database: Database, beneath: Beneath, root: Root, path: bytes, known: tuple[int, int], points: frozenset[bytes]) -> bool:
    try:
        above = os.fstat(beneath.folder(root.path, path.rpartition(b"/")[0])).st_dev
        with beneath.listed(root.path, path) as entries:
            found = os.fstat(beneath.folder(root.path, path))
            empty = next(entries, None) is None
    except OSError:
        return False
    if identity_of(found) == known:
        return True
    if empty or (found.st_dev == above and path not in points):
        return False
    return holds_recorded(database, root, path, store.directories.absent_mounts(database, root.id).get(path, 1 << 62))


def identity_of(stat: os.stat_result) -> tuple[int, int]:
    """(st_dev, st_ino) as signed 64-bit numbers."""
    return _signed(stat.st_dev), _signed(stat.st_ino)


def _is_empty(path: bytes) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError as error:
        if is_exhausted(error):
            raise
        return True


def _signed(number: int) -> int:
    return number if number < 1 << 63 else number - (1 << 64)


def below(folder: bytes, top: bytes) -> bool:
    """Whether a folder is `top` or lies below it; the empty path is the crawl directory itself."""
    return not top or folder == top or folder.startswith(top + b"/")
