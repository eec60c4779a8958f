"""What is around the database: crawl directories, watches, disk, configuration, clock, packages."""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version

from dedup import store
from dedup.doctor.context import Case, Finding, Severity
from dedup.errors import OverlapError, RecipeChangedError
from dedup.files import leases, mounts
from dedup.files.disk_errors import temporary_folder
from dedup.scan import recipes
from dedup.scan.roots import Root, absent_mounts, check_roots, identity
from dedup.store import schema
from dedup.text import times
from dedup.text.normalise import printable, printable_path

WATCHING, DIRECTORIES, DISK, CONFIGURATION, CLOCK, PACKAGES = "watching", "directories", "disk", "configuration", "clock", "packages"

ROOM = 1_000_000_000
"""Bytes that should be free: room for 150,000 articles and their index entries."""
LEAST_ROOM = 64 << 20
"""Bytes without which writing soon fails: SQLite's log alone takes so many before it is copied back."""
NEWEST = 200
"""Files, the latest that were recorded, whose owners are looked at."""
LEAST_FILES = 100
"""Files that must still be possible: logs, indexes that are made anew, temporary ones."""
AHEAD = timedelta(minutes=5)
"""By how much clocks of several machines may differ without being wrong."""


def watching(case: Case) -> Iterator[Finding]:
    """Whether every folder can have its watch."""
    limits = case.surroundings.limits()
    directories = [d for d in case.directories() if identity(d) is not None]
    folders = sum(case.walked(d).folders for d in directories)
    case.checked[WATCHING] += folders
    late = f"files that arrive there are found by the timer's scan alone, every {case.settings.crawl.scan_interval_seconds:g} s"
    for what, needed, most, said_by, key in (
        ("folders to watch", folders, limits.watches, limits.watches_from, "max_user_watches"),
        ("crawl directories to watch", len(directories), limits.instances, limits.instances_from, "max_user_instances"),
    ):
        if most is None or 4 * needed <= 3 * most:
            continue
        enough = 1 << max(17 if what.startswith("folders") else 7, (2 * needed).bit_length())
        remedy = f"sysctl -w fs.inotify.{key}={enough}, and that line in a file of /etc/sysctl.d to keep it."
        if said_by.startswith("/proc/sys/user/"):
            remedy = f"In the user namespace (the container) that this runs in: echo {enough} > {said_by}; and {remedy}"
        told = f"{what}: {needed:,}, where {most:,} is the most for all processes of this user ({said_by})"
        if needed > most:
            yield Finding(WATCHING, "warning", f"{told}; {late}", remedy)
        else:
            yield Finding(WATCHING, "warning", f"{told}; little is left for others, and for new folders", remedy)


def directories(case: Case) -> Iterator[Finding]:
    """Whether the crawl directories are there, are what they were, and tell of changes."""
    found = case.directories()
    case.look(DIRECTORIES, len(found))
    if not found:
        yield Finding(DIRECTORIES, "warning", "no crawl directory is configured", "Name them in config.toml: [crawl] directories.")
        return
    try:
        check_roots([os.fsdecode(d) for d in found])
    except OverlapError as error:
        yield Finding(DIRECTORIES, "error", str(error), "Take the inner one out of [crawl] directories.")
    known = {path: (device, inode) for path, device, inode in store.integrity.directories(case.database)} if case.database else {}
    mounted = case.surroundings.mounts()
    for directory in found:
        yield from _directory(case, directory, known.get(directory), mounted)
    yield from _unconfigured(case)
    mount = mounts.of(os.fsencode(case.path), mounted)
    if mount is not None and mount.is_network:
        what = f"the database is on a network file system ({mount.type} at {printable_path(mount.at)}), where SQLite's log is not safe"
        yield Finding(DIRECTORIES, "error", what, "Move it to a local disk: [database] path.")


def _unconfigured(case: Case) -> Iterator[Finding]:
    """Crawl directories that the database knows and the configuration does not name."""
    configured = {os.path.realpath(os.fsencode(d)) for d in case.settings.crawl.directories}
    if case.database is None or not configured:
        return
    for row in store.directories.list_all(case.database):
        if os.path.realpath(row.path) in configured or row.forgotten_at is not None or not row.files:
            continue
        case.look(DIRECTORIES, 1)
        shown = printable_path(row.path)
        absent = " and not there" if identity(row.path) is None else ""
        what = f"{shown} is not configured{absent}, and files of it that still count as there: {row.files:,}"
        remedy = f"Configure it; or where it lies elsewhere now 'dedup roots move {shown} NEW'; or 'dedup roots forget {shown}'."
        yield Finding(DIRECTORIES, "warning", what, remedy)


def _directory(case: Case, directory: bytes, known: tuple[int | None, int | None] | None, mounted: list[mounts.Mount]) -> Iterator[Finding]:
    shown = printable_path(directory)
    now = identity(directory)
    if now is None:
        missing = not os.path.isdir(directory)
        what = (
            f"{shown} {'is not there' if missing else 'may not be listed by this user'}: nothing of it is read, and nothing marked as gone"
        )
        remedy = "Mount it, or correct [crawl] directories." if missing else f"Give this user (number {os.geteuid()}) leave to read it."
        yield Finding(DIRECTORIES, "error", what, remedy)
        return
    if known is not None and known[0] is not None and known != now:
        if not os.listdir(directory):
            what = f"{shown} is empty and not the directory it was: nothing of it is marked as gone, it is taken to be not mounted"
            yield Finding(DIRECTORIES, "error", what, "Mount it.")
        else:
            what = f"{shown} is not the directory it was when it was last scanned (moved, mounted anew, restored)"
            yield Finding(DIRECTORIES, "warning", what, "See that it is the one that is meant; the next scan takes it for the one it is.")
    mount = mounts.of(directory, mounted)
    if mount is not None and mount.is_network:
        seconds = f"{case.settings.crawl.scan_interval_seconds:g}"
        what = (
            f"{shown} is on a network file system ({mount.type} at {printable_path(mount.at)}): what other machines write there raises no"
            f" event and is found by the timer's scan alone, every {seconds} s"
        )
        yield Finding(DIRECTORIES, "warning", what, "Run dedup on the machine that holds it, or set crawl.scan_interval_seconds lower.")
    if os.path.realpath(os.fsencode(case.path)).startswith(os.path.realpath(directory) + b"/"):
        what = f"the database lies inside the crawl directory {shown}: 'scan' and 'watch' refuse to write there"
        yield Finding(DIRECTORIES, "error", what, "Stop dedup, move it elsewhere, and correct [database] path.")
    if unlisted := case.walked(directory).unlisted:
        some = ", ".join(map(printable_path, unlisted[:3])) + (", …" if len(unlisted) > 3 else "")
        what = f"folders below {shown} that may not be listed by this user: {len(unlisted):,} ({some})"
        yield Finding(DIRECTORIES, "warning", what, "Give the user that runs dedup leave to read them; until then each is a fault.")


def writers(case: Case) -> Iterator[Finding]:
    """Whether writers of the files can be detected, by the daemon if one runs, else by this user."""
    process = case.writer.process if case.writer else None
    rights = (leases.rights(process) if process else None) or leases.rights()
    if case.database is None or rights is None or rights.may_lease:
        return
    for owner in sorted(_owners(store.integrity.newest_paths(case.database, NEWEST)) - {rights.user}):
        what = (
            f"writers of {leases.subject(owner)} cannot be detected by user {rights.user}: a file that does not show that it is complete"
            f" is read once it has not changed for {case.settings.crawl.unprobed_settle_seconds:g} s"
        )
        yield Finding(DIRECTORIES, "warning", what, leases.REMEDY)


def _owners(paths: Iterable[bytes]) -> set[int]:
    owners = set()
    for path in paths:
        with suppress(OSError):
            owners.add(os.stat(path, follow_symlinks=False).st_uid)
    return owners


def mounted(case: Case) -> Iterator[Finding]:
    """Whether what was mounted in the crawl directories is mounted."""
    if case.database is None:
        return
    keys = store.integrity.directory_keys(case.database)
    roots = [Root(keys[path], path) for path in case.directories() if path in keys]
    for shown in (printable_path(os.path.join(root.path, path)) for root in roots for path in absent_mounts(case.database, root)):
        what = f"{shown} was a mount and is not mounted: nothing of it is marked as gone"
        yield Finding(DIRECTORIES, "error", what, f"Mount it; if it is retired for good: dedup scan --accept-absent {shlex.quote(shown)}")


def disk(case: Case) -> Iterator[Finding]:
    """Whether there is room where the database is, and where SQLite sorts."""
    folder = os.path.dirname(os.path.realpath(case.path))
    beside = sum(os.path.getsize(p) for end in (".index", ".passages") if os.path.exists(p := os.path.realpath(case.path) + end))
    own = os.path.getsize(case.path) if os.path.exists(case.path) else 0
    # the most that is written at once: 'dedup reindex' puts a quarter of the database into its log, and both indexes beside the old
    yield from _room(case, folder, "the database", max(ROOM, own // 4 + 2 * beside), f"the database has {own / 1e9:,.1f} GB")
    temporary = temporary_folder(case.path)
    if temporary is None:
        what = "no folder for SQLite's temporary files can be written"
        yield Finding(DISK, "error", what, "Set SQLITE_TMPDIR to a folder that this user may write.")
    elif os.stat(temporary).st_dev != os.stat(folder).st_dev:
        yield from _room(case, temporary, "temporary files", LEAST_ROOM, "large sorts need it")


def _room(case: Case, folder: str, what_for: str, wanted: int, why: str) -> Iterator[Finding]:
    try:
        space = case.surroundings.space(folder)
    except OSError as error:
        yield Finding(DISK, "error", f"{printable(folder)} cannot be looked at: {error.strerror}", "See that it is there.")
        return
    case.look(DISK, 1)
    free = space.f_bavail * space.f_frsize
    if free < wanted:
        severity: Severity = "error" if free < LEAST_ROOM else "warning"
        what = f"{free / 1e6:,.0f} MB are free for {what_for} in {printable(folder)}, and {wanted / 1e6:,.0f} MB should be: {why}"
        remedy = "Free some, or move it to a larger disk. When the disk is full nothing is recorded, and nothing that was is lost."
        yield Finding(DISK, severity, what, remedy)
    if space.f_files and space.f_favail < LEAST_FILES:
        what = f"files that can still be made in {printable(folder)} (inodes): {space.f_favail:,}"
        yield Finding(DISK, "error", what, "Remove small files that are not needed from that file system.")


def configuration(case: Case) -> Iterator[Finding]:
    """Whether the database was written by the settings in force. (That they are settings at all was seen when they were read.)"""
    database = case.database
    if database is None:
        return
    configured = recipes.configured(case.settings)
    case.look(CONFIGURATION, len(configured))
    for name, recipe in configured.items():
        try:
            recipes.require(database, {name: recipe})
        except RecipeChangedError as error:
            remedy = f"Run '{error.facts['remedy']}', or set the configuration as it was."
            yield Finding(CONFIGURATION, "error", printable(str(error)), remedy)
    waiting = store.rereads.count(database)
    if waiting:
        what = f"files that are still to be read again by the settings in force: {waiting:,}"
        yield Finding(CONFIGURATION, "warning", what, "The next scan reads them; see that their crawl directories are there.")


def clock(case: Case) -> Iterator[Finding]:
    """Whether times that were recorded lie ahead of the clock."""
    database, now = case.database, case.surroundings.now()
    if database is None:
        return
    limit = (datetime.fromisoformat(now) + AHEAD).astimezone(UTC).isoformat()
    case.look(CLOCK, 3)
    written = store.integrity.newest_write(database)
    if written is not None and written > limit:
        what = f"the clock says {now}, and the database was written at {written}: it was set back, or is wrong"
        yield Finding(CLOCK, "error", what, "Set the clock (NTP). Until it has caught up, new files count as not settled.")
    newest = store.integrity.newest_file(database)
    if newest is not None and (at := times.from_ns(newest[0])) > limit:
        what = f"a file was changed in the future: {printable(newest[1])} at {at}"
        yield Finding(CLOCK, "warning", what, "Set the clocks of this machine and of the crawler's.")
    told = store.integrity.count_pages_crawled_after(database, limit)
    if told.number:
        what = f"crawls that lie in the future, and are what their pages show until then: {told.number:,} ({printable(told.names[0])})"
        zone = case.settings.time.crawled_at
        yield Finding(CLOCK, "warning", what, f"See whether crawled_at is printed in another zone than {zone} ([time] crawled_at).")


def packages(case: Case) -> Iterator[Finding]:
    """What the program runs on: remarks, where something is slower than it could be."""
    case.look(PACKAGES, 2)
    if sqlite3.sqlite_version_info < schema.NEEDED_SQLITE:
        needed = ".".join(map(str, schema.NEEDED_SQLITE))
        yield Finding(PACKAGES, "error", f"SQLite {sqlite3.sqlite_version} is too old", f"Install a Python with SQLite {needed} or newer.")
    try:
        version("numba")
    except PackageNotFoundError:
        what = "numba is not installed: signatures are made with numpy, which gives the same and takes longer"
        yield Finding(PACKAGES, "ok", what, "pip install numba, where there is one for this Python.")
