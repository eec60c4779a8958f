"""The session that scanning and watching share: a database open for writing, and the settings in the form that the work needs."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from dedup import store
from dedup.config import Settings
from dedup.errors import DatabaseInsideError, SubdirectoryMissingError
from dedup.files import leases, mounts, secure
from dedup.formats import ReadOptions
from dedup.index.hashtable import read_state
from dedup.matching.matcher import Matcher
from dedup.matching.thresholds import MatchCriteria
from dedup.model import NO_COMMIT
from dedup.pipeline import recipes
from dedup.pipeline.crawl_directories import CrawlDirectory, check_directories, locate_directories
from dedup.pipeline.events import Policy
from dedup.pipeline.extract import ExtractOptions
from dedup.pipeline.moved_directories import require_unmoved
from dedup.pipeline.recipes import build_change_rules
from dedup.similarity import jit
from dedup.store import Database, WritableDatabase, open_writable
from dedup.text.digests import RECIPES
from dedup.text.sanitise import to_printable_path

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Session:
    """A database open for writing, with everything needed to record files. `selection`: the (crawl directory, folder) pairs to scan; empty
    for all crawl directories."""

    database: WritableDatabase
    settings: Settings
    options: ExtractOptions
    matcher: Matcher
    policy: Policy
    directories: tuple[CrawlDirectory, ...]
    alert_on_import: bool = False
    selection: tuple[tuple[CrawlDirectory, bytes], ...] = ()
    unprobed_owners: set[int] = field(default_factory=set)
    """Owners of files whose writers could not be detected (NO_LEASE_SUPPORT: the file system supports no leases)."""

    @property
    def scopes(self) -> tuple[tuple[CrawlDirectory, bytes], ...]:
        """Return the (crawl directory, folder in it) pairs to scan; the folder is empty for a whole crawl directory."""
        return self.selection or tuple((directory, b"") for directory in self.directories)

    def warn_unprobed(self, owner: int) -> None:
        """Log, once per owner, that writers of the owner's files cannot be detected."""
        if owner not in self.unprobed_owners:
            self.unprobed_owners.add(owner)
            _log.warning("%s", leases.format_warning(owner, self.settings.crawl.unprobed_settle_seconds))


def build_extract_options(settings: Settings) -> ExtractOptions:
    """Build the options of `extract_files` from the settings."""
    return ExtractOptions(
        read_options=ReadOptions(
            recipes=tuple(RECIPES[name] for name in settings.integrity.recipes),
            published_zone=ZoneInfo(settings.time.published_at),
            crawled_zone=ZoneInfo(settings.time.crawled_at),
        ),
        canonicaliser=settings.urls.build_canonicaliser(),
        max_file_bytes=settings.crawl.max_file_bytes,
        min_characters=settings.duplicates.min_characters,
        num_perm=settings.duplicates.num_perm,
        passages=settings.duplicates.passages,
        unprobed_settle_seconds=settings.crawl.unprobed_settle_seconds,
    )


def build_matching(settings: Settings) -> MatchCriteria:
    """Build the criteria of a match from the settings."""
    return MatchCriteria(settings.duplicates)


def build_policy(settings: Settings) -> Policy:
    """Build the policy of classification and alerts from the settings."""
    return Policy(build_change_rules(settings), settings.alert_policy(), settings.publishers.build_publishers())


@contextmanager
def open_session(
    settings: Settings,
    purpose: str,
    *,
    alert_on_import: bool = False,
    exempt_recipes: Collection[str] = (),
    configured_directories: Sequence[str] | None = None,
) -> Iterator[Session]:
    """Open the database for writing, check its recipes against the settings, and register the crawl directories.

    `exempt_recipes` names recipes that the caller is about to apply. `configured_directories`: the configured directories, if the command
    line names other ones in `settings`; those may be folders of known or configured directories.

    Raises NoDirectoryError, DirectoriesOverlapError, DatabaseInsideError, DirectoryInsideError, DirectoryContainsError,
    DirectoryMovedError, SubdirectoryMissingError, RecipeChangedError, and the errors of opening a database.
    """
    directory_paths = check_directories(settings.crawl.directories)
    _require_outside(settings.database.path, directory_paths)
    options, criteria = build_extract_options(settings), build_matching(settings)
    jit.set_fallback_folder(settings.database.path)
    with open_writable(settings.database.path, purpose) as database:
        _warn_killed_predecessor(database)
        _warn_exposed_path(settings.database.path)
        configured_recipes = {name: recipe for name, recipe in recipes.configured_recipes(settings).items() if name not in exempt_recipes}
        recipes.require_recipes(database, configured_recipes)
        selection = _select_folders(database, configured_recipes, directory_paths, configured_directories)
        directories = tuple({directory.id: directory for directory, _ in selection}.values())
        if configured_directories is None:
            _warn_unconfigured_directories(database, directories)
        retry_faults(database, settings)
        matcher = Matcher(database, criteria, settings.publishers.build_publishers())
        if loss_warning := describe_lost_texts(database):
            _log.warning("%s", loss_warning)
            matcher.open_candidate_index()  # this corrects the index, so that the warning is logged only once
        yield Session(database, settings, options, matcher, build_policy(settings), directories, alert_on_import, selection)


def _select_folders(
    database: WritableDatabase,
    configured_recipes: dict[str, str],
    directory_paths: Sequence[bytes],
    configured_directories: Sequence[str] | None,
) -> tuple[tuple[CrawlDirectory, bytes], ...]:
    """Register the crawl directories and store the recipes; returns the (crawl directory, folder) pairs to scan."""
    known_paths = [*store.directories.active_ids(database), *(os.path.abspath(os.fsencode(d)) for d in configured_directories or ())]
    locations = locate_directories(directory_paths, list(dict.fromkeys(known_paths)), allow_subfolders=configured_directories is not None)
    require_unmoved(database, [path for path, _ in locations])
    directories = _register_directories(database, configured_recipes, list(dict.fromkeys(path for path, _ in locations)))
    directories_by_path = {directory.path: directory for directory in directories}
    selection = tuple((directories_by_path[path], folder) for path, folder in locations)
    for directory, folder in selection:
        _require_folder(database, directory, folder)
    return selection


def _register_directories(
    database: WritableDatabase, configured_recipes: dict[str, str], paths: Sequence[bytes]
) -> tuple[CrawlDirectory, ...]:
    """Register the crawl directories at these paths and store the recipes. Nothing is written if all of it is stored.

    A start without a write succeeds on a full disk. The work that follows then reports the full disk, and retries.
    """
    ids_by_path = {path: store.directories.find(database, path) for path in paths}
    if not ids_by_path.keys() <= store.directories.active_ids(database).keys():
        with database.transaction() as transaction:
            store.directories.reinstate(transaction, (number for number in ids_by_path.values() if number is not None))
    if None in ids_by_path.values() or any(store.settings.get(database, key) != recipe for key, recipe in configured_recipes.items()):
        with database.transaction() as transaction:
            for key, recipe in configured_recipes.items():
                store.settings.put(transaction, key, recipe)
            return tuple(
                CrawlDirectory(store.directories.get_or_insert(transaction, path, to_printable_path(path)), path) for path in paths
            )
    return tuple(CrawlDirectory(number, path) for path, number in ids_by_path.items() if number is not None)


def retry_faults(database: WritableDatabase, settings: Settings) -> int:
    """Queue files with faults for reading if the settings or the program that read them changed. Returns the number of files."""
    recipe = recipes.faults_recipe(settings)
    if store.settings.get(database, recipes.FAULTS) == recipe:
        return 0
    with database.transaction() as transaction:
        count = store.rereads.queue_faults(transaction)
        store.settings.put(transaction, recipes.FAULTS, recipe)
    if count:
        _log.info("the program, or settings that files are read with, changed: %d files with faults are read again", count)
    return count


def describe_lost_texts(database: Database) -> str | None:
    """Return a warning if the candidate index belongs to another database or to a later state of this one, else None.

    That happens if the database was replaced by a new or an older one.
    """
    state = read_state(database.lsh_index_path())
    if state is None or not state.last_text:
        return None
    _, last_text = store.batches.latest(database)
    message_start = f"The index next to the database {to_printable_path(os.fsencode(database.path))} belongs to"
    if state.uuid != uuid.UUID(store.settings.get(database, "uuid") or "0" * 32).bytes:
        if last_text:
            return None
        return f"{message_start} another database, which had {state.last_text:,} texts; this one is new or was emptied. {_RESTORE_HINT}"
    if state.token != NO_COMMIT and state.last_text > last_text and store.batches.last_text_of_token(database, state.token) is None:
        return (
            f"{message_start} a later state of it, with {state.last_text - last_text:,} more texts: an older copy replaced it, or its log"
            f" was lost. Files that still exist are recorded again; articles that no file shows any more are lost. {_RESTORE_HINT}"
        )
    return None


_RESTORE_HINT = "If this is not intended, stop and restore a newer backup; 'dedup doctor' checks whether this database is sound."


def _require_outside(database: str, directories: Sequence[bytes]) -> None:
    """Raise DatabaseInsideError if the database lies in a crawl directory."""
    mount_table = mounts.read_mounts()
    device, folder = mounts.locate(os.path.dirname(os.path.realpath(os.fsencode(database))), mount_table)
    for directory in directories:
        other_device, path = mounts.locate(directory, mount_table)
        if device == other_device and f"{os.fsdecode(folder)}/".startswith(f"{os.fsdecode(path).rstrip('/')}/"):
            raise DatabaseInsideError(database=to_printable_path(os.fsencode(database)), directory=to_printable_path(directory))


def _require_folder(database: Database, directory: CrawlDirectory, folder: bytes) -> None:
    """Raise SubdirectoryMissingError for a missing folder of which nothing is recorded: its name is probably misspelt."""
    path = os.path.join(directory.path, folder)
    if folder and not os.path.isdir(path) and (os.path.lexists(path) or not store.files.folders(database, directory.id, folder)):
        raise SubdirectoryMissingError(path=to_printable_path(path), directory=directory.display_path)


def _warn_unconfigured_directories(database: Database, directories: Sequence[CrawlDirectory]) -> None:
    """Warn about stored crawl directories that are not configured: their files still count as present."""
    if store.directories.active_ids(database).keys() <= {directory.path for directory in directories}:
        return
    for row in store.directories.list_all(database):
        if row.retired_at is None and row.file_count and row.id not in {directory.id for directory in directories}:
            message = "%s is not configured, but %d of its files still count as present; see 'dedup directories --help'"
            _log.warning(message, to_printable_path(row.path), row.file_count)


def _warn_exposed_path(path: str) -> None:
    exposed_path = secure.find_world_writable(path)
    if exposed_path is not None:
        message = "every user can write to %s and so replace the database; remove that permission (chmod o-w)"
        _log.warning(message, to_printable_path(os.fsencode(exposed_path)))


def _warn_killed_predecessor(database: WritableDatabase) -> None:
    """Log what the previous writer was doing if it was killed."""
    predecessor = database.lock.previous_holder
    if predecessor is None:
        return
    if predecessor.activity:
        _log.warning(
            "%s was killed while %s; what it had committed is kept, and the rest is examined again",
            predecessor.description,
            predecessor.activity,
        )
    else:
        _log.info("%s was killed while it was idle", predecessor.description)
