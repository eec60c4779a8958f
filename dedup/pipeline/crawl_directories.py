"""Crawl directories: check and locate them, and detect absent directories and mounts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise

from dedup import store
from dedup.errors import DirectoriesOverlapError, DirectoryContainsError, DirectoryInsideError, NoAbsentMountError, NoDirectoryError
from dedup.files import mounts
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree
from dedup.store import Database, WritableDatabase
from dedup.text import sanitise

MAX_PROBED_FILES = 100
"""Recorded files to look for when a volume has to be recognised."""


@dataclass(frozen=True, slots=True)
class CrawlDirectory:
    """A crawl directory of the database, with its absolute path."""

    id: int
    path: bytes

    @property
    def display_path(self) -> str:
        return sanitise.to_printable_path(self.path)


def check_directories(directories: Sequence[str]) -> list[bytes]:
    """Return the directories as absolute paths. Raises NoDirectoryError if there are none, DirectoriesOverlapError if one contains another
    (links and mounts resolved)."""
    if not directories:
        raise NoDirectoryError
    paths = [os.path.abspath(os.fsencode(d)) for d in dict.fromkeys(directories)]
    _require_disjoint((b"", os.path.realpath(path), path) for path in paths)
    mount_table = mounts.read_mounts()
    _require_disjoint((*mounts.locate(path, mount_table), path) for path in paths)  # a file system may be mounted twice
    return paths


def _require_disjoint(locations: Iterable[tuple[bytes, bytes, bytes]]) -> None:
    """Raise DirectoriesOverlapError if one directory lies in another. `locations` are (file system, path in it, path as configured)."""
    for (device, outer, a), (other_device, inner, b) in pairwise(
        sorted((device, _with_trailing_slash(path), configured_path) for device, path, configured_path in locations)
    ):
        if device == other_device and inner.startswith(outer):
            raise DirectoriesOverlapError(first=sanitise.to_printable_path(a), second=sanitise.to_printable_path(b))


def locate_directories(paths: Sequence[bytes], known_paths: Sequence[bytes], *, allow_subfolders: bool) -> list[tuple[bytes, bytes]]:
    """Locate directories among the known crawl directories. Returns a (crawl directory, folder in it) pair for each path.

    The folder is empty for a whole crawl directory. Another path to a known directory resolves to that directory. A folder of a known
    directory is part of it if `allow_subfolders`, else DirectoryInsideError is raised. Raises DirectoryContainsError for a directory that
    contains a known one.
    """
    locations = []
    real_paths = {path: os.path.realpath(path) for path in known_paths}
    for path in paths:
        real_path = os.path.realpath(path)
        directory_path, folder = path, b""
        for known_path, known_real_path in real_paths.items():
            if path in real_paths and known_path != path:
                continue
            if real_path == known_real_path:
                directory_path = known_path
            elif real_path.startswith(_with_trailing_slash(known_real_path)):
                if not allow_subfolders:
                    raise DirectoryInsideError(inner=sanitise.to_printable_path(path), outer=sanitise.to_printable_path(known_path))
                directory_path, folder = known_path, real_path[len(_with_trailing_slash(known_real_path)) :]
            elif known_real_path.startswith(_with_trailing_slash(real_path)):
                raise DirectoryContainsError(outer=sanitise.to_printable_path(path), inner=sanitise.to_printable_path(known_path))
        locations.append((directory_path, folder))
    return locations


def _with_trailing_slash(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"


def read_identity(path: bytes) -> tuple[int, int] | None:
    """Return (st_dev, st_ino) of a directory as signed 64-bit numbers; None if it does not exist or cannot be listed and entered.

    Raises OSError if this process is out of descriptors or memory: that says nothing about the directory.
    """
    try:
        with os.scandir(path):
            stat = os.stat(os.path.join(path, b"."))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None
    return to_identity(stat)


def is_absent(database: Database, directory: CrawlDirectory) -> bool:
    """Return whether a crawl directory is absent, for example unmounted. None of its files may be marked gone then.

    A directory is absent if it is missing or unreadable, or if its identity changed and it is empty or no longer on its mount. Raises
    OSError as `read_identity` does.
    """
    current_identity = read_identity(directory.path)
    if current_identity is None:
        return True
    recorded_identity = store.directories.identity(database, directory.id)
    if recorded_identity is None or recorded_identity == current_identity:
        return False
    return _is_empty(directory.path) or _is_off_its_mount(database, directory)


def _is_off_its_mount(database: Database, directory: CrawlDirectory) -> bool:
    mount_points = {m.mount_point for m in mounts.read_mounts()}
    return bool(mount_points) and any(
        path.startswith(b"/") and path not in mount_points for path in store.directories.mounts(database, directory.id)
    )


def save_identity(database: WritableDatabase, directory: CrawlDirectory) -> None:
    """Store the identity of a present directory and its mount. They distinguish an unmounted tree from an emptied one later."""
    current_identity = read_identity(directory.path)
    if current_identity is None:
        return
    mount = mounts.find_mount(directory.path, mounts.read_mounts())
    current_mounts = {mount.mount_point: current_identity} if mount is not None and mount.mount_point != b"/" else {}
    recorded_identity = store.directories.identity(database, directory.id)
    recorded_mounts = (
        {path: i for path, i in store.directories.mounts(database, directory.id).items() if path.startswith(b"/")}
        if current_mounts or recorded_identity
        else {}
    )
    if current_identity != recorded_identity or current_mounts != recorded_mounts:
        with database.transaction() as transaction:
            store.directories.set_identity(transaction, directory.id, *current_identity)
            store.directories.delete_mounts(transaction, directory.id, recorded_mounts.keys() - current_mounts.keys())
            if current_mounts:
                store.directories.set_mounts(transaction, directory.id, current_mounts)


def mount_points_below(directory_path: bytes) -> frozenset[bytes]:
    """Return the mount points below a crawl directory, relative to it."""
    prefix = os.path.realpath(directory_path).rstrip(b"/") + b"/"
    return frozenset(m.mount_point[len(prefix) :] for m in mounts.read_mounts() if m.mount_point.startswith(prefix))


def find_absent_mounts(database: Database, directory: CrawlDirectory) -> list[bytes]:
    """Return the absent mounts below a crawl directory, relative to it: mounts seen earlier whose path is now missing, unreadable, an
    ordinary directory, or the mount point of another volume that has none of the recorded files."""
    recorded_mounts = {path: i for path, i in store.directories.mounts(database, directory.id).items() if not path.startswith(b"/")}
    if not recorded_mounts:
        return []
    mount_points = mount_points_below(directory.path)
    with NoFollowTree() as tree:
        return sorted(path for path, i in recorded_mounts.items() if not _is_mounted(database, tree, directory, path, i, mount_points))


def has_recorded_file(database: Database, directory: CrawlDirectory, path: bytes, before_file_id: int) -> bool:
    """Return whether one of the files recorded below `path` (relative to the crawl directory) is there; True if none were recorded.

    Files with an id of `before_file_id` or more do not count. At most MAX_PROBED_FILES files are looked for.
    """
    recorded_files = (
        (folder, name)
        for folder in store.files.folders(database, directory.id, path)
        for file, name in store.files.present_in_folder(database, directory.id, folder)
        if file < before_file_id
    )
    probed_files = list(islice(recorded_files, MAX_PROBED_FILES))
    with NoFollowTree() as tree:
        for folder, name in probed_files:
            with suppress(OSError):
                if tree.stat_path(directory.path, folder, name) is not None:
                    return True
    return not probed_files


def may_have_file(directory_path: bytes, folder: bytes, name: bytes) -> bool:
    """Return whether a crawl directory has something at a path; True if that cannot be determined."""
    with NoFollowTree() as tree, suppress(OSError):
        return tree.stat_path(directory_path, folder, name) is not None
    return True


def retire_mount(database: WritableDatabase, directories: Sequence[CrawlDirectory], path: bytes) -> None:
    """Retire the absent mount at a path: the next scan marks the files as gone that it does not find there.

    Raises NoAbsentMountError if no mount was seen at the path, or if one is still there.
    """
    absolute_path = os.path.abspath(path)
    for directory in directories:
        relative_path = absolute_path[len(directory.path) + 1 :] if absolute_path.startswith(directory.path + b"/") else None
        if relative_path in find_absent_mounts(database, directory):
            recorded_path = relative_path
        elif absolute_path in store.directories.mounts(database, directory.id) and absolute_path not in {
            m.mount_point for m in mounts.read_mounts()
        }:
            recorded_path = absolute_path
        else:
            continue
        with database.transaction() as transaction:
            store.directories.delete_mounts(transaction, directory.id, [recorded_path])
        return
    raise NoAbsentMountError(path=sanitise.to_printable_path(absolute_path))


def _is_mounted(
    database: Database,
    tree: NoFollowTree,
    directory: CrawlDirectory,
    path: bytes,
    recorded_identity: tuple[int, int],
    mount_points: frozenset[bytes],
) -> bool:
    try:
        parent_device = os.fstat(tree.open_folder(directory.path, path.rpartition(b"/")[0])).st_dev
        with tree.list_folder(directory.path, path) as entries:
            stat = os.fstat(tree.open_folder(directory.path, path))
            is_empty = next(entries, None) is None
    except OSError:
        return False
    if to_identity(stat) == recorded_identity:
        return True
    if is_empty or (stat.st_dev == parent_device and path not in mount_points):
        return False
    return has_recorded_file(database, directory, path, store.directories.absent_mounts(database, directory.id).get(path, 1 << 62))


def to_identity(stat: os.stat_result) -> tuple[int, int]:
    """Return (st_dev, st_ino) as signed 64-bit numbers."""
    return _to_int64(stat.st_dev), _to_int64(stat.st_ino)


def _is_empty(path: bytes) -> bool:
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None
    except OSError as error:
        if is_exhausted(error):
            raise
        return True


def _to_int64(number: int) -> int:
    return number if number < 1 << 63 else number - (1 << 64)


def is_below(folder: bytes, top: bytes) -> bool:
    """Return whether a folder is `top` or lies below it; the empty path is the crawl directory itself."""
    return not top or folder == top or folder.startswith(top + b"/")
