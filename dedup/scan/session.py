"""What scanning and watching share: the database held for writing, and the configuration as the work needs it."""

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
from dedup.scan import recipes
from dedup.scan.directories import require_unmoved
from dedup.scan.events import Policy
from dedup.scan.extract import ExtractOptions
from dedup.scan.recipes import build_change_rules
from dedup.scan.roots import CrawlDirectory, check_directories, locate_directories
from dedup.similarity import jit
from dedup.store import Database, WritableDatabase, open_writable
from dedup.text.digests import RECIPES
from dedup.text.normalise import to_printable_path

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Session:
    """An open database with everything needed to take files into it. `selection`: the folders of crawl directories that are scanned, where
    it is not all of them."""

    database: WritableDatabase
    settings: Settings
    options: ExtractOptions
    matcher: Matcher
    policy: Policy
    directories: tuple[CrawlDirectory, ...]
    alert_on_import: bool = False
    selection: tuple[tuple[CrawlDirectory, bytes], ...] = ()
    unprobed_owners: set[int] = field(default_factory=set)
    """Owners of files whose writers could not be detected (NO_LEASE_SUPPORT: of files on a file system without leases)."""

    @property
    def scopes(self) -> tuple[tuple[CrawlDirectory, bytes], ...]:
        """What is scanned: (crawl directory, folder in it, empty for all of it)."""
        return self.selection or tuple((root, b"") for root in self.directories)

    def warn_unprobed(self, owner: int) -> None:
        """Log that writers of these files cannot be detected, the first time it is found."""
        if owner not in self.unprobed_owners:
            self.unprobed_owners.add(owner)
            _log.warning("%s", leases.format_warning(owner, self.settings.crawl.unprobed_settle_seconds))


def build_extract_options(settings: Settings) -> ExtractOptions:
    """What `extract_files` needs to know of the configuration."""
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
    """What makes a match, by the configuration."""
    return MatchCriteria(settings.duplicates)


def build_policy(settings: Settings) -> Policy:
    """How changes are judged, and which of what happens is told."""
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
    """The database held for writing by this process, its recipes those of the configuration, but for those named in `exempt_recipes`,
    which the caller is about to apply. `configured_directories`: the configured directories, where those of `settings` were named in their
    place; a folder of a known or configured one is then a part of it.

    Raises NoDirectoryError, DirectoriesOverlapError, DatabaseInsideError, DirectoryInsideError, DirectoryContainsError,
    SubdirectoryMissingError, RecipeChangedError and the errors of opening.
    """
    directory_paths = check_directories(settings.crawl.directories)
    _require_outside(settings.database.path, directory_paths)
    options = build_extract_options(settings)
    matching = build_matching(settings)
    jit.set_fallback_folder(settings.database.path)
    with open_writable(settings.database.path, purpose) as database:
        _warn_killed_predecessor(database)
        _warn_exposed_path(settings.database.path)
        configured_recipes = {name: recipe for name, recipe in recipes.configured_recipes(settings).items() if name not in exempt_recipes}
        recipes.require_recipes(database, configured_recipes)
        known_paths = [*store.directories.active_ids(database), *(os.path.abspath(os.fsencode(d)) for d in configured_directories or ())]
        locations = locate_directories(
            directory_paths, list(dict.fromkeys(known_paths)), allow_subfolders=configured_directories is not None
        )
        require_unmoved(database, [directory for directory, _ in locations])
        directories = _register_directories(database, configured_recipes, list(dict.fromkeys(directory for directory, _ in locations)))
        directory_by_path = {directory.path: directory for directory in directories}
        selection = tuple((directory_by_path[path], folder) for path, folder in locations)
        for directory, folder in selection:
            _require_folder(database, directory, folder)
        if configured_directories is None:
            _warn_unconfigured_directories(database, directories)
        retry_faults(database, settings)
        matcher = Matcher(database, matching, settings.publishers.build_publishers())
        if loss_warning := describe_lost_texts(database):
            _log.warning("%s", loss_warning)
            matcher.open_candidate_index()  # which puts the index right: it is said once
        yield Session(database, settings, options, matcher, build_policy(settings), directories, alert_on_import, selection)


def _register_directories(
    database: WritableDatabase, configured_recipes: dict[str, str], paths: Sequence[bytes]
) -> tuple[CrawlDirectory, ...]:
    """The crawl directories at these paths, with the recipes kept. Where all of it is known nothing is written: there might be no
    room, and the work that follows says so again and again, where a start would fail once."""
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
    """Queue files with faults for reading where settings, or another version of the program, may have cured them. Returns how many."""
    recipe = recipes.faults_recipe(settings)
    if store.settings.get(database, recipes.FAULTS) == recipe:
        return 0
    with database.transaction() as transaction:
        count = store.rereads.queue_faults(transaction)
        store.settings.put(transaction, recipes.FAULTS, recipe)
    if count:
        _log.info("settings that read files, or the program, changed: %d files with faults are read again", count)
    return count


def describe_lost_texts(database: Database) -> str | None:
    """What the candidate index tells of a database that came before this one: another that lay here, or a later state of it. None
    where it tells of none."""
    state = read_state(database.lsh_index_path())
    if state is None or not state.last_text:
        return None
    _, last_text = store.batches.latest(database)
    message_start = f"Beside the database {to_printable_path(os.fsencode(database.path))} lies the index of"
    if state.uuid != uuid.UUID(store.settings.get(database, "uuid") or "0" * 32).bytes:
        if last_text:
            return None
        return f"{message_start} another one, which held {state.last_text:,} texts; this one is new or was emptied. {_RESTORE_HINT}"
    if state.token != NO_COMMIT and state.last_text > last_text and store.batches.last_text_of_token(database, state.token) is None:
        return (
            f"{message_start} a later state of it, with {state.last_text - last_text:,} texts more: an older copy was put in its place, or"
            f" its log was lost. Files that are still there are taken in again; what no file shows any more is lost. {_RESTORE_HINT}"
        )
    return None


_RESTORE_HINT = "If that was not meant, stop and restore a newer backup; 'dedup doctor' tells whether this one is sound."


def _require_outside(database: str, directories: Sequence[bytes]) -> None:
    """Raise DatabaseInsideError where a database would be written into a crawl directory."""
    mount_table = mounts.read_mounts()
    device, folder = mounts.locate(os.path.dirname(os.path.realpath(os.fsencode(database))), mount_table)
    for directory in directories:
        other, path = mounts.locate(directory, mount_table)
        if device == other and f"{os.fsdecode(folder)}/".startswith(f"{os.fsdecode(path).rstrip('/')}/"):
            raise DatabaseInsideError(database=to_printable_path(os.fsencode(database)), directory=to_printable_path(directory))


def _require_folder(database: Database, directory: CrawlDirectory, folder: bytes) -> None:
    """Raise SubdirectoryMissingError for a folder that is not there and of which nothing is recorded: it was probably misspelt."""
    path = os.path.join(directory.path, folder)
    if folder and not os.path.isdir(path) and (os.path.lexists(path) or not store.files.folders(database, directory.id, folder)):
        raise SubdirectoryMissingError(path=to_printable_path(path), directory=directory.display_path)


def _warn_unconfigured_directories(database: Database, directories: Sequence[CrawlDirectory]) -> None:
    """Crawl directories that the database knows and the configuration does not name: their files still count as there."""
    if store.directories.active_ids(database).keys() <= {root.path for root in directories}:
        return
    for row in store.directories.list_all(database):
        if row.retired_at is None and row.file_count and row.id not in {root.id for root in directories}:
            message = "%s is not configured, and %d files of it still count as there; see 'dedup roots --help'"
            _log.warning(message, to_printable_path(row.path), row.file_count)


def _warn_exposed_path(path: str) -> None:
    exposed_path = secure.find_world_writable(path)
    if exposed_path is not None:
        message = "anybody may write to %s and so put something else in the place of the database; take that right away (chmod o-w)"
        _log.warning(message, to_printable_path(os.fsencode(exposed_path)))


def _warn_killed_predecessor(database: WritableDatabase) -> None:
    """Whoever held the database before and was killed left word of what it was at."""
    predecessor = database.lock.previous_holder
    if predecessor is None:
        return
    if predecessor.activity:
        _log.warning(
            "%s was killed while %s; what it had committed stands, the rest is looked at again",
            predecessor.description,
            predecessor.activity,
        )
    else:
        _log.info("%s was killed, with nothing half done", predecessor.description)
