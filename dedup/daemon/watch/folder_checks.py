"""Find folders that scans visit and inotify does not watch.

A folder is unchecked until it is compared with what the kernel watches. If it is not watched it is a suspect, because watchdog may be
about to watch it, and after WATCH_DELAY_SECONDS it is unwatched. Unwatched folders are checked again now and then."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Container, Mapping

from dedup.daemon.watch.coverage import WatchedInodes, read_watched_inodes
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree
from dedup.pipeline.crawl_directories import CrawlDirectory

WATCH_DELAY_SECONDS = 2.0
"""Seconds that watchdog has to watch a new folder before it counts as unwatched."""
CHECK_INTERVAL_FACTOR = 50
"""Checks take at most 1 / CHECK_INTERVAL_FACTOR of the time."""
CHUNK_FOLDERS = 4096
"""Unchecked folders that are kept before they are checked."""
MAX_EXAMPLES = 5
"""Unwatched folders that are named."""

Location = tuple[int, bytes]
"""(id of a crawl directory, path of a folder relative to it)."""

_log = logging.getLogger("dedup")


class FolderChecks:
    """Checks the folders that scans visit. `descriptors` and `unwatchable` arguments are those of the current observation: its inotify
    instances, and the ids of crawl directories that it cannot watch at all."""

    def __init__(self, directories: Mapping[int, CrawlDirectory]) -> None:
        self._directories = directories
        self._unchecked: list[Location] = []
        self._suspects: dict[Location, float] = {}
        self._unwatched: set[Location] = set()
        self._logged_count = 0
        self._next_check = 0.0

    def add(self, location: Location, descriptors: frozenset[str], unwatchable: Container[int]) -> None:
        """Add a folder that a scan visited. Checks all unchecked folders when there are CHUNK_FOLDERS of them."""
        self._unchecked.append(location)
        if len(self._unchecked) >= CHUNK_FOLDERS:
            self._find_suspects(descriptors, unwatchable)

    def run(self, descriptors: frozenset[str], unwatchable: Container[int]) -> None:
        """Check all folders that are unchecked, suspect or unwatched, unless the last check was too recent for its cost."""
        started_at = time.monotonic()
        if not (self._unchecked or self._suspects or self._unwatched) or started_at < self._next_check:
            return
        self._suspects |= dict.fromkeys(self._unwatched, -WATCH_DELAY_SECONDS)
        self._unchecked += self._suspects
        self._find_suspects(descriptors, unwatchable)
        self._unwatched = {location for location, since in self._suspects.items() if started_at - since >= WATCH_DELAY_SECONDS}
        for location in self._unwatched:
            del self._suspects[location]
        self._log_unwatched()
        self._next_check = time.monotonic() + CHECK_INTERVAL_FACTOR * (time.monotonic() - started_at)

    def has_unwatched(self) -> bool:
        return bool(self._unwatched)

    def describe_unwatched(self) -> tuple[int, list[str]]:
        """Return the number of unwatched folders, and the printable paths of up to MAX_EXAMPLES of them."""
        locations = sorted(self._unwatched) if len(self._unwatched) < CHUNK_FOLDERS else list(self._unwatched)
        return len(self._unwatched), [
            CrawlDirectory(0, os.path.join(self._directories[directory_id].path, folder)).display_path
            for directory_id, folder in locations[:MAX_EXAMPLES]
        ]

    def _find_suspects(self, descriptors: frozenset[str], unwatchable: Container[int]) -> None:
        """Check the unchecked folders: those that exist and are not watched become suspects."""
        try:
            watched_inodes, now = read_watched_inodes(descriptors), time.monotonic()
        except OSError:
            return  # unknown now; the folders stay unchecked
        directory_stats: dict[int, os.stat_result | None] = {}
        unchecked, self._unchecked = self._unchecked, []
        for location in unchecked:
            directory_id, folder = location
            path = self._directories[directory_id].path
            if directory_id not in directory_stats:
                directory_stats[directory_id] = _stat_or_none(path)
            directory_stat = directory_stats[directory_id]
            if directory_stat is None or _is_watched_or_gone(
                path, folder, directory_stat, None if directory_id in unwatchable else watched_inodes
            ):
                self._suspects.pop(location, None)
            else:
                self._suspects.setdefault(location, now)

    def _log_unwatched(self) -> None:
        count, examples = self.describe_unwatched()
        if count > self._logged_count:
            _log.warning("%d folders are not watched (%s, …); timed scans find what changes there", count, examples[0])
        elif self._logged_count and not count:
            _log.info("all folders are watched again")
        self._logged_count = count


def _is_watched_or_gone(path: bytes, folder: bytes, directory_stat: os.stat_result, watched_inodes: WatchedInodes | None) -> bool:
    """Return whether a folder of a crawl directory is watched or no longer exists. `watched_inodes` is None if none of the directory is."""
    try:
        folder_stat = _stat_folder(path, folder) if folder else directory_stat
    except OSError:
        return False  # unknown now; it is checked again
    return folder_stat is None or (watched_inodes is not None and watched_inodes.is_watched(folder_stat, directory_stat))


def _stat_or_none(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)  # a crawl directory may be configured as a symlink
    except OSError:
        return None


def _stat_folder(directory_path: bytes, folder: bytes) -> os.stat_result | None:
    """Return the stat of a folder of a crawl directory, None if it cannot be read. The path may be longer than the kernel accepts.

    Raises OSError if this process is out of descriptors or memory."""
    try:
        try:
            return os.stat(os.path.join(directory_path, folder), follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        with NoFollowTree() as tree:
            return tree.stat_path(directory_path, *os.path.split(folder))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None
