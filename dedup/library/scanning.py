"""Scan crawl directories once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from dedup.library.parameters import require_main_thread
from dedup.library.scans import ScanResult
from dedup.library.settings import SettingsSource, StrPath, resolve_settings
from dedup.maintenance.full_scan import run_full_scan
from dedup.pipeline.session import open_session
from dedup.runtime import process


def scan(
    settings: SettingsSource = None,
    *,
    directories: Iterable[StrPath] = (),
    database: StrPath | None = None,
    alert_on_import: bool = False,
    accept_absent: Iterable[StrPath] = (),
    stop: threading.Event | None = None,
    prepare_process: bool = False,
) -> ScanResult:
    """Compare the crawl directories with the database and record what differs, as `dedup scan` does. Returns the counts.

    `settings` are Settings, or the path of a configuration file; without them the built-in values are used. `directories` and `database`
    replace those of the settings; a folder inside a configured directory is scanned as part of it. Alerts of the first scan of a directory
    are written only if `alert_on_import` is true; no alert is sent. Files of the mounts `accept_absent` are marked as gone.

    A scan waits for files that are still being written, up to twice `settle_seconds`. It ends early, after the batch in progress, once
    `stop` is set by another thread. It starts worker processes for more than 20,000 files.

    With `prepare_process` garbage is collected less often, for the rest of the process; only the main thread can do that.

    Raises DatabaseBusyError if another process writes to the database, NoDirectoryError without a directory, RecipeChangedError after a
    change of settings that needs `dedup reindex`, and other subclasses of DedupError. A directory that cannot be seen is no error; see
    `ScanResult.absent`.
    """
    paths = tuple(os.fspath(path) for path in directories)
    resolved = resolve_settings(settings, directories=paths, database=database)
    if prepare_process:
        require_main_thread("prepare_process")
        process.prepare_for_scanning()
    configured_directories = resolve_settings(settings).crawl.directories if paths else None
    with open_session(resolved, "scan", alert_on_import=alert_on_import, configured_directories=configured_directories) as session:
        counts = run_full_scan(session, accept_absent=[os.fspath(path) for path in accept_absent], stop=stop).counts
    return ScanResult.from_dict({**counts.as_json(), "absent": counts.absent_directories + counts.absent_mounts})
