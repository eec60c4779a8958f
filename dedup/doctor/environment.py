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
from dedup.doctor.context import CheckContext, Finding, Severity
from dedup.errors import DirectoriesOverlapError, RecipeChangedError
from dedup.files import leases, mounts
from dedup.files.disk_errors import find_temporary_folder
from dedup.scan import recipes
from dedup.scan.roots import CrawlDirectory, check_directories, find_absent_mounts, read_identity
from dedup.store import schema
from dedup.text import times
from dedup.text.format import format_megabytes
from dedup.text.sanitise import to_printable, to_printable_path

WATCHES, DIRECTORIES, DISK, CONFIGURATION, CLOCK, PACKAGES = "watches", "directories", "disk", "configuration", "clock", "packages"

RECOMMENDED_FREE_BYTES = 1_000_000_000
"""Bytes that should be free: room for 150,000 articles and their index entries."""
MIN_FREE_BYTES = 64 << 20
"""Bytes without which writing soon fails: SQLite's log alone takes so many before it is copied back."""
MAX_NEWEST_FILES = 200
"""Files, the latest that were recorded, whose owners are looked at."""
MIN_FREE_INODES = 100
"""Files that must still be possible: logs, indexes that are made anew, temporary ones."""
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""By how much clocks of several machines may differ without being wrong."""


def check_watches(context: CheckContext) -> Iterator[Finding]:
    """Whether every folder can have its watch."""
    limits = context.probes.read_inotify_limits()
    directories = [d for d in context.crawl_directories() if read_identity(d) is not None]
    folder_count = sum(context.folder_counts(d).folders for d in directories)
    context.checked_counts[WATCHES] += folder_count
    consequence = f"files that arrive there are found by the timer's scan alone, every {context.settings.crawl.scan_interval_seconds:g} s"
    for label, needed, limit, source, setting in (
        ("folders to watch", folder_count, limits.max_watches, limits.watches_source, "max_user_watches"),
        ("crawl directories to watch", len(directories), limits.max_instances, limits.instances_source, "max_user_instances"),
    ):
        if limit is None or 4 * needed <= 3 * limit:
            continue
        suggested = 1 << max(17 if label.startswith("folders") else 7, (2 * needed).bit_length())
        remedy = f"sysctl -w fs.inotify.{setting}={suggested}, and that line in a file of /etc/sysctl.d to keep it."
        if source.startswith("/proc/sys/user/"):
            remedy = f"In the user namespace (the container) that this runs in: echo {suggested} > {source}; and {remedy}"
        message = f"{label}: {needed:,}, where {limit:,} is the most for all processes of this user ({source})"
        if needed > limit:
            yield Finding(WATCHES, "warning", f"{message}; {consequence}", remedy)
        else:
            yield Finding(WATCHES, "warning", f"{message}; little is left for others, and for new folders", remedy)


def check_crawl_directories(context: CheckContext) -> Iterator[Finding]:
    """Whether the crawl directories are there, are what they were, and tell of changes."""
    paths = context.crawl_directories()
    context.add_checked(DIRECTORIES, len(paths))
    if not paths:
        yield Finding(DIRECTORIES, "warning", "no crawl directory is configured", "Name them in config.toml: [crawl] directories.")
        return
    try:
        check_directories([os.fsdecode(d) for d in paths])
    except DirectoriesOverlapError as error:
        yield Finding(DIRECTORIES, "error", str(error), "Take the inner one out of [crawl] directories.")
    identities = (
        {path: (device, inode) for path, device, inode in store.integrity.directories(context.database)} if context.database else {}
    )
    current_mounts = context.probes.read_mounts()
    for directory in paths:
        yield from _check_directory(context, directory, identities.get(directory), current_mounts)
    yield from _check_unconfigured(context)
    mount = mounts.find_mount(os.fsencode(context.path), current_mounts)
    if mount is not None and mount.is_network:
        message = (
            f"the database is on a network file system ({mount.type} at {to_printable_path(mount.mount_point)}), where SQLite's log is not"
            " safe"
        )
        yield Finding(DIRECTORIES, "error", message, "Move it to a local disk: [database] path.")


def _check_unconfigured(context: CheckContext) -> Iterator[Finding]:
    """Crawl directories that the database knows and the configuration does not name."""
    configured = {os.path.realpath(os.fsencode(d)) for d in context.settings.crawl.directories}
    if context.database is None or not configured:
        return
    for row in store.directories.list_all(context.database):
        if os.path.realpath(row.path) in configured or row.retired_at is not None or not row.file_count:
            continue
        context.add_checked(DIRECTORIES, 1)
        path_text = to_printable_path(row.path)
        absence = " and not there" if read_identity(row.path) is None else ""
        message = f"{path_text} is not configured{absence}, and files of it that still count as there: {row.file_count:,}"
        remedy = f"Configure it; or where it lies elsewhere now 'dedup roots move {path_text} NEW'; or 'dedup roots forget {path_text}'."
        yield Finding(DIRECTORIES, "warning", message, remedy)


def _check_directory(
    context: CheckContext, directory: bytes, stored_identity: tuple[int | None, int | None] | None, current_mounts: list[mounts.Mount]
) -> Iterator[Finding]:
    path_text = to_printable_path(directory)
    current_identity = read_identity(directory)
    if current_identity is None:
        missing = not os.path.isdir(directory)
        problem = "is not there" if missing else "may not be listed by this user"
        message = f"{path_text} {problem}: nothing of it is read, and nothing marked as gone"
        remedy = "Mount it, or correct [crawl] directories." if missing else f"Give this user (number {os.geteuid()}) leave to read it."
        yield Finding(DIRECTORIES, "error", message, remedy)
        return
    if stored_identity is not None and stored_identity[0] is not None and stored_identity != current_identity:
        if not os.listdir(directory):
            message = f"{path_text} is empty and not the directory it was: nothing of it is marked as gone, it is taken to be not mounted"
            yield Finding(DIRECTORIES, "error", message, "Mount it.")
        else:
            message = f"{path_text} is not the directory it was when it was last scanned (moved, mounted anew, restored)"
            yield Finding(
                DIRECTORIES, "warning", message, "See that it is the one that is meant; the next scan takes it for the one it is."
            )
    mount = mounts.find_mount(directory, current_mounts)
    if mount is not None and mount.is_network:
        seconds = f"{context.settings.crawl.scan_interval_seconds:g}"
        message = (
            f"{path_text} is on a network file system ({mount.type} at {to_printable_path(mount.mount_point)}): what other machines write"
            f" there raises no event and is found by the timer's scan alone, every {seconds} s"
        )
        yield Finding(DIRECTORIES, "warning", message, "Run dedup on the machine that holds it, or set crawl.scan_interval_seconds lower.")
    if os.path.realpath(os.fsencode(context.path)).startswith(os.path.realpath(directory) + b"/"):
        message = f"the database lies inside the crawl directory {path_text}: 'scan' and 'watch' refuse to write there"
        yield Finding(DIRECTORIES, "error", message, "Stop dedup, move it elsewhere, and correct [database] path.")
    if unlisted := context.folder_counts(directory).unreadable:
        examples = ", ".join(map(to_printable_path, unlisted[:3])) + (", …" if len(unlisted) > 3 else "")
        message = f"folders below {path_text} that may not be listed by this user: {len(unlisted):,} ({examples})"
        yield Finding(DIRECTORIES, "warning", message, "Give the user that runs dedup leave to read them; until then each is a fault.")


def check_writers(context: CheckContext) -> Iterator[Finding]:
    """Whether writers of the files can be detected, by the daemon if one runs, else by this user."""
    process = context.writer.process_id if context.writer else None
    rights = (leases.read_rights(process) if process else None) or leases.read_rights()
    if context.database is None or rights is None or rights.has_cap_lease:
        return
    for owner in sorted(_file_owners(store.integrity.newest_paths(context.database, MAX_NEWEST_FILES)) - {rights.user_id}):
        message = (
            f"writers of {leases.describe_files(owner)} cannot be detected by user {rights.user_id}: a file that does not show that it is"
            f" complete is read once it has not changed for {context.settings.crawl.unprobed_settle_seconds:g} s"
        )
        yield Finding(DIRECTORIES, "warning", message, leases.REMEDY)


def _file_owners(paths: Iterable[bytes]) -> set[int]:
    owners = set()
    for path in paths:
        with suppress(OSError):
            owners.add(os.stat(path, follow_symlinks=False).st_uid)
    return owners


def check_mounts(context: CheckContext) -> Iterator[Finding]:
    """Whether what was mounted in the crawl directories is mounted."""
    if context.database is None:
        return
    directory_ids = store.integrity.directory_ids(context.database)
    known_directories = [CrawlDirectory(directory_ids[path], path) for path in context.crawl_directories() if path in directory_ids]
    for path_text in (
        to_printable_path(os.path.join(root.path, path))
        for root in known_directories
        for path in find_absent_mounts(context.database, root)
    ):
        message = f"{path_text} was a mount and is not mounted: nothing of it is marked as gone"
        yield Finding(
            DIRECTORIES, "error", message, f"Mount it; if it is retired for good: dedup scan --accept-absent {shlex.quote(path_text)}"
        )


def check_disk(context: CheckContext) -> Iterator[Finding]:
    """Whether there is room where the database is, and where SQLite sorts."""
    folder = os.path.dirname(os.path.realpath(context.path))
    index_bytes = sum(os.path.getsize(p) for end in (".index", ".passages") if os.path.exists(p := os.path.realpath(context.path) + end))
    database_bytes = os.path.getsize(context.path) if os.path.exists(context.path) else 0
    # the most that is written at once: 'dedup reindex' puts a quarter of the database into its log, and both indexes beside the old
    yield from _check_free_space(
        context,
        folder,
        "the database",
        max(RECOMMENDED_FREE_BYTES, database_bytes // 4 + 2 * index_bytes),
        f"the database has {database_bytes / 1e9:,.1f} GB",
    )
    temporary_path = find_temporary_folder(context.path)
    if temporary_path is None:
        message = "no folder for SQLite's temporary files can be written"
        yield Finding(DISK, "error", message, "Set SQLITE_TMPDIR to a folder that this user may write.")
    elif os.stat(temporary_path).st_dev != os.stat(folder).st_dev:
        yield from _check_free_space(context, temporary_path, "temporary files", MIN_FREE_BYTES, "large sorts need it")


def _check_free_space(context: CheckContext, folder: str, purpose: str, needed_bytes: int, reason: str) -> Iterator[Finding]:
    try:
        space = context.probes.read_space(folder)
    except OSError as error:
        yield Finding(DISK, "error", f"{to_printable(folder)} cannot be looked at: {error.strerror}", "See that it is there.")
        return
    context.add_checked(DISK, 1)
    free_bytes = space.f_bavail * space.f_frsize
    if free_bytes < needed_bytes:
        severity: Severity = "error" if free_bytes < MIN_FREE_BYTES else "warning"
        message = (
            f"{format_megabytes(free_bytes, 0)} are free for {purpose} in {to_printable(folder)},"
            f" and {format_megabytes(needed_bytes, 0)} should be: {reason}"
        )
        remedy = "Free some, or move it to a larger disk. When the disk is full nothing is recorded, and nothing that was is lost."
        yield Finding(DISK, severity, message, remedy)
    if space.f_files and space.f_favail < MIN_FREE_INODES:
        message = f"files that can still be made in {to_printable(folder)} (inodes): {space.f_favail:,}"
        yield Finding(DISK, "error", message, "Remove small files that are not needed from that file system.")


def check_configuration(context: CheckContext) -> Iterator[Finding]:
    """Whether the database was written by the settings in force. (That they are settings at all was seen when they were read.)"""
    database = context.database
    if database is None:
        return
    configured = recipes.configured_recipes(context.settings)
    context.add_checked(CONFIGURATION, len(configured))
    for name, recipe in configured.items():
        try:
            recipes.require_recipes(database, {name: recipe})
        except RecipeChangedError as error:
            remedy = f"Run '{error.facts['remedy']}', or set the configuration as it was."
            yield Finding(CONFIGURATION, "error", to_printable(str(error)), remedy)
    reread_count = store.rereads.count(database)
    if reread_count:
        message = f"files that are still to be read again by the settings in force: {reread_count:,}"
        yield Finding(CONFIGURATION, "warning", message, "The next scan reads them; see that their crawl directories are there.")


def check_clock(context: CheckContext) -> Iterator[Finding]:
    """Whether times that were recorded lie ahead of the clock."""
    database, now = context.database, context.probes.current_time()
    if database is None:
        return
    limit = (datetime.fromisoformat(now) + MAX_CLOCK_SKEW).astimezone(UTC).isoformat()
    context.add_checked(CLOCK, 3)
    written_at = store.integrity.newest_write(database)
    if written_at is not None and written_at > limit:
        message = f"the clock says {now}, and the database was written at {written_at}: it was set back, or is wrong"
        yield Finding(CLOCK, "error", message, "Set the clock (NTP). Until it has caught up, new files count as not settled.")
    newest = store.integrity.newest_file(database)
    if newest is not None and (changed_at := times.from_ns(newest.time_ns)) > limit:
        message = f"a file was changed in the future: {to_printable(newest.path)} at {changed_at}"
        yield Finding(CLOCK, "warning", message, "Set the clocks of this machine and of the crawler's.")
    future_crawls = store.integrity.pages_crawled_after(database, limit)
    if future_crawls.count:
        message = (
            f"crawls that lie in the future, and are what their pages show until then: {future_crawls.count:,}"
            f" ({to_printable(future_crawls.examples[0])})"
        )
        zone = context.settings.time.crawled_at
        yield Finding(CLOCK, "warning", message, f"See whether crawled_at is printed in another zone than {zone} ([time] crawled_at).")


def check_packages(context: CheckContext) -> Iterator[Finding]:
    """What the program runs on: remarks, where something is slower than it could be."""
    context.add_checked(PACKAGES, 2)
    if sqlite3.sqlite_version_info < schema.MIN_SQLITE_VERSION:
        required = ".".join(map(str, schema.MIN_SQLITE_VERSION))
        yield Finding(
            PACKAGES, "error", f"SQLite {sqlite3.sqlite_version} is too old", f"Install a Python with SQLite {required} or newer."
        )
    try:
        version("numba")
    except PackageNotFoundError:
        message = "numba is not installed: signatures are made with numpy, which gives the same and takes longer"
        yield Finding(PACKAGES, "ok", message, "pip install numba, where there is one for this Python.")
