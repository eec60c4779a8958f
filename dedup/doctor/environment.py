"""Check what surrounds the database: crawl directories, inotify, disk, configuration, clock and packages."""

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
from dedup.pipeline import recipes
from dedup.pipeline.crawl_directories import CrawlDirectory, check_directories, find_absent_mounts, read_identity
from dedup.store import schema
from dedup.text import times
from dedup.text.format import format_megabytes
from dedup.text.sanitise import to_printable, to_printable_path

WATCHES, DIRECTORIES, DISK, CONFIGURATION, CLOCK, PACKAGES = "watches", "directories", "disk", "configuration", "clock", "packages"

RECOMMENDED_FREE_BYTES = 1_000_000_000
"""Bytes that should be free: enough for 150,000 articles and their index entries."""
MIN_FREE_BYTES = 64 << 20
"""Bytes below which writing soon fails: SQLite's log alone reaches this size before it is copied back."""
MAX_NEWEST_FILES = 200
"""Newest recorded files whose owners are checked."""
MIN_FREE_INODES = 100
"""Inodes that must be free, for logs, rebuilt indexes and temporary files."""
MAX_CLOCK_SKEW = timedelta(minutes=5)
"""Difference between the clocks of machines that is not reported."""


def check_watches(context: CheckContext) -> Iterator[Finding]:
    """Check that inotify's limits allow a watch for every folder."""
    limits = context.probes.read_inotify_limits()
    directories = [d for d in context.crawl_directories() if read_identity(d) is not None]
    folder_count = sum(context.folder_counts(d).folders for d in directories)
    context.checked_counts[WATCHES] += folder_count
    consequence = f"files that arrive in the others are found only by timed scans, every {context.settings.crawl.scan_interval_seconds:g} s"
    for label, needed, limit, source, setting in (
        ("folders to watch", folder_count, limits.max_watches, limits.watches_source, "max_user_watches"),
        ("crawl directories to watch", len(directories), limits.max_instances, limits.instances_source, "max_user_instances"),
    ):
        if limit is None or 4 * needed <= 3 * limit:
            continue
        suggested = 1 << max(17 if label.startswith("folders") else 7, (2 * needed).bit_length())
        remedy = f"Run sysctl -w fs.inotify.{setting}={suggested}; to make it permanent, write the setting to a file in /etc/sysctl.d."
        if source.startswith("/proc/sys/user/"):
            remedy = f"In the user namespace (container) of this process, run echo {suggested} > {source}. On the host: {remedy}"
        message = f"{label}: {needed:,}, with a limit of {limit:,} for all processes of this user ({source})"
        if needed > limit:
            yield Finding(WATCHES, "warning", f"{message}; {consequence}", remedy)
        else:
            yield Finding(WATCHES, "warning", f"{message}; little is left for new folders and other programs", remedy)


def check_crawl_directories(context: CheckContext) -> Iterator[Finding]:
    """Check that the crawl directories exist, are the recorded ones, and can be watched."""
    paths = context.crawl_directories()
    context.add_checked(DIRECTORIES, len(paths))
    if not paths:
        yield Finding(DIRECTORIES, "warning", "no crawl directory is configured", "Add one to config.toml: [crawl] directories.")
        return
    try:
        check_directories([os.fsdecode(d) for d in paths])
    except DirectoriesOverlapError as error:
        yield Finding(DIRECTORIES, "error", str(error), "Remove the inner one from [crawl] directories.")
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
            f"the database is on a network file system ({mount.type} at {to_printable_path(mount.mount_point)}), where SQLite's log is"
            " not safe"
        )
        yield Finding(DIRECTORIES, "error", message, "Move it to a local disk: [database] path.")


def _check_unconfigured(context: CheckContext) -> Iterator[Finding]:
    """Find recorded crawl directories that are not configured."""
    configured = {os.path.realpath(os.fsencode(d)) for d in context.settings.crawl.directories}
    if context.database is None or not configured:
        return
    for row in store.directories.list_all(context.database):
        if os.path.realpath(row.path) in configured or row.retired_at is not None or not row.file_count:
            continue
        context.add_checked(DIRECTORIES, 1)
        path_text = to_printable_path(row.path)
        absence = " and does not exist" if read_identity(row.path) is None else ""
        message = f"{path_text} is not configured{absence}, but some of its files still count as present: {row.file_count:,}"
        remedy = (
            f"Configure it. If it was moved, run 'dedup directories move {path_text} NEW'; to retire it,"
            f" 'dedup directories retire {path_text}'."
        )
        yield Finding(DIRECTORIES, "warning", message, remedy)


def _check_directory(
    context: CheckContext, directory: bytes, stored_identity: tuple[int | None, int | None] | None, current_mounts: list[mounts.Mount]
) -> Iterator[Finding]:
    path_text = to_printable_path(directory)
    current_identity = read_identity(directory)
    if current_identity is None:
        missing = not os.path.isdir(directory)
        problem = "does not exist" if missing else "cannot be listed by this user"
        message = f"{path_text} {problem}: its files are not read, and none is marked as gone"
        remedy = "Mount it, or correct [crawl] directories." if missing else f"Allow this user (id {os.geteuid()}) to read it."
        yield Finding(DIRECTORIES, "error", message, remedy)
        return
    if stored_identity is not None and stored_identity[0] is not None and stored_identity != current_identity:
        if not os.listdir(directory):
            message = f"{path_text} is empty and not the recorded directory: it counts as not mounted, and none of its files as gone"
            yield Finding(DIRECTORIES, "error", message, "Mount it.")
        else:
            message = f"{path_text} is not the directory of the last scan (it was moved, remounted or restored)"
            yield Finding(DIRECTORIES, "warning", message, "Check that it is the right one; the next scan accepts it.")
    mount = mounts.find_mount(directory, current_mounts)
    if mount is not None and mount.is_network:
        seconds = f"{context.settings.crawl.scan_interval_seconds:g}"
        message = (
            f"{path_text} is on a network file system ({mount.type} at {to_printable_path(mount.mount_point)}): there are no events for"
            f" what other machines write, so only timed scans find it, every {seconds} s"
        )
        yield Finding(DIRECTORIES, "warning", message, "Run dedup on the machine that has the disk, or lower crawl.scan_interval_seconds.")
    if os.path.realpath(os.fsencode(context.path)).startswith(os.path.realpath(directory) + b"/"):
        message = f"the database is inside the crawl directory {path_text}: 'scan' and 'watch' refuse to write there"
        yield Finding(DIRECTORIES, "error", message, "Stop dedup, move the database elsewhere, and correct [database] path.")
    if unlisted := context.folder_counts(directory).unreadable:
        examples = ", ".join(map(to_printable_path, unlisted[:3])) + (", …" if len(unlisted) > 3 else "")
        message = f"folders below {path_text} that this user cannot list: {len(unlisted):,} ({examples})"
        yield Finding(DIRECTORIES, "warning", message, "Allow the user that runs dedup to read them; until then each is a fault.")


def check_writers(context: CheckContext) -> Iterator[Finding]:
    """Check that writers of the files can be detected, by the daemon if one is running, else by this user."""
    process = context.writer.process_id if context.writer else None
    rights = (leases.read_rights(process) if process else None) or leases.read_rights()
    if context.database is None or rights is None or rights.has_cap_lease:
        return
    for owner in sorted(_file_owners(store.integrity.newest_paths(context.database, MAX_NEWEST_FILES)) - {rights.user_id}):
        message = (
            f"user {rights.user_id} cannot detect writers of {leases.describe_files(owner)}: a file that does not show that it is complete"
            f" is read after it has not changed for {context.settings.crawl.unprobed_settle_seconds:g} s"
        )
        yield Finding(DIRECTORIES, "warning", message, leases.REMEDY)


def _file_owners(paths: Iterable[bytes]) -> set[int]:
    owners = set()
    for path in paths:
        with suppress(OSError):
            owners.add(os.stat(path, follow_symlinks=False).st_uid)
    return owners


def check_mounts(context: CheckContext) -> Iterator[Finding]:
    """Check that everything that was mounted in the crawl directories is mounted."""
    if context.database is None:
        return
    directory_ids = store.integrity.directory_ids(context.database)
    known_directories = [CrawlDirectory(directory_ids[path], path) for path in context.crawl_directories() if path in directory_ids]
    for path_text in (
        to_printable_path(os.path.join(root.path, path))
        for root in known_directories
        for path in find_absent_mounts(context.database, root)
    ):
        message = f"{path_text} was a mount and is not mounted: none of its files is marked as gone"
        yield Finding(
            DIRECTORIES, "error", message, f"Mount it. If it was removed for good, run dedup scan --accept-absent {shlex.quote(path_text)}"
        )


def check_disk(context: CheckContext) -> Iterator[Finding]:
    """Check the free space for the database and for SQLite's temporary files."""
    folder = os.path.dirname(os.path.realpath(context.path))
    index_bytes = sum(os.path.getsize(p) for end in (".index", ".passages") if os.path.exists(p := os.path.realpath(context.path) + end))
    database_bytes = os.path.getsize(context.path) if os.path.exists(context.path) else 0
    # 'dedup reindex' needs the most: a quarter of the database for the log, and both indexes twice
    yield from _check_free_space(
        context,
        folder,
        "the database",
        max(RECOMMENDED_FREE_BYTES, database_bytes // 4 + 2 * index_bytes),
        f"the database has {database_bytes / 1e9:,.1f} GB",
    )
    temporary_path = find_temporary_folder(context.path)
    if temporary_path is None:
        message = "no folder for SQLite's temporary files is writable"
        yield Finding(DISK, "error", message, "Set SQLITE_TMPDIR to a folder that this user may write to.")
    elif os.stat(temporary_path).st_dev != os.stat(folder).st_dev:
        yield from _check_free_space(context, temporary_path, "temporary files", MIN_FREE_BYTES, "large sorts need it")


def _check_free_space(context: CheckContext, folder: str, purpose: str, needed_bytes: int, reason: str) -> Iterator[Finding]:
    try:
        space = context.probes.read_space(folder)
    except OSError as error:
        yield Finding(DISK, "error", f"the free space of {to_printable(folder)} cannot be read: {error.strerror}", "Check that it exists.")
        return
    context.add_checked(DISK, 1)
    free_bytes = space.f_bavail * space.f_frsize
    if free_bytes < needed_bytes:
        severity: Severity = "error" if free_bytes < MIN_FREE_BYTES else "warning"
        message = (
            f"{format_megabytes(free_bytes, 0)} are free for {purpose} in {to_printable(folder)},"
            f" and {format_megabytes(needed_bytes, 0)} should be: {reason}"
        )
        remedy = "Free space, or use a larger disk. While the disk is full nothing is recorded; nothing recorded before is lost."
        yield Finding(DISK, severity, message, remedy)
    if space.f_files and space.f_favail < MIN_FREE_INODES:
        message = f"files that can still be created in {to_printable(folder)} (inodes): {space.f_favail:,}"
        yield Finding(DISK, "error", message, "Delete unneeded files from that file system.")


def check_configuration(context: CheckContext) -> Iterator[Finding]:
    """Check that the database was written with the settings in force."""
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
        message = f"files that must be read again with the settings in force: {reread_count:,}"
        yield Finding(CONFIGURATION, "warning", message, "The next scan reads them; check that their crawl directories exist.")


def check_clock(context: CheckContext) -> Iterator[Finding]:
    """Check that no recorded time is ahead of the clock."""
    database, now = context.database, context.probes.current_time()
    if database is None:
        return
    limit = (datetime.fromisoformat(now) + MAX_CLOCK_SKEW).astimezone(UTC).isoformat()
    context.add_checked(CLOCK, 3)
    written_at = store.integrity.newest_write(database)
    if written_at is not None and written_at > limit:
        message = f"the clock shows {now}, but the database was written at {written_at}: the clock was set back, or is wrong"
        yield Finding(CLOCK, "error", message, "Set the clock (NTP). Until it passes that time, new files count as unsettled.")
    newest = store.integrity.newest_file(database)
    if newest is not None and (changed_at := times.from_ns(newest.time_ns)) > limit:
        message = f"a file has a modification time in the future: {to_printable(newest.path)}, {changed_at}"
        yield Finding(CLOCK, "warning", message, "Set the clocks of this machine and of the crawler's machine.")
    future_crawls = store.integrity.pages_crawled_after(database, limit)
    if future_crawls.count:
        message = (
            f"pages whose current sighting has a time in the future: {future_crawls.count:,} ({to_printable(future_crawls.examples[0])})"
        )
        zone = context.settings.time.crawled_at
        yield Finding(CLOCK, "warning", message, f"Check whether crawled_at uses a time zone other than {zone} ([time] crawled_at).")


def check_packages(context: CheckContext) -> Iterator[Finding]:
    """Check SQLite's version, and report a missing numba."""
    context.add_checked(PACKAGES, 2)
    if sqlite3.sqlite_version_info < schema.MIN_SQLITE_VERSION:
        required = ".".join(map(str, schema.MIN_SQLITE_VERSION))
        yield Finding(
            PACKAGES, "error", f"SQLite {sqlite3.sqlite_version} is too old", f"Install a Python with SQLite {required} or newer."
        )
    try:
        version("numba")
    except PackageNotFoundError:
        message = "numba is not installed: numpy computes signatures, with equal results but more slowly"
        yield Finding(PACKAGES, "ok", message, "Run pip install numba, if it supports this version of Python.")
