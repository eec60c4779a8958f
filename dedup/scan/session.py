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
from dedup.errors import DatabaseInsideError, PartMissingError
from dedup.files import leases, mounts, secure
from dedup.formats import ReadOptions
from dedup.index.hashtable import state_of
from dedup.matching.matcher import Matcher
from dedup.matching.thresholds import Matching
from dedup.model import NO_COMMIT
from dedup.scan import recipes
from dedup.scan.directories import refuse_moved
from dedup.scan.events import Policy
from dedup.scan.extract import Options, collect_rarely, ignore_lease_breaks
from dedup.scan.recipes import rules_of
from dedup.scan.roots import Root, check_roots, placed
from dedup.similarity import jit
from dedup.store import Database, WritableDatabase, open_writable
from dedup.text.digests import RECIPES
from dedup.text.normalise import printable_path

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class Session:
    """An open database with everything needed to take files into it. `parts`: the folders of crawl directories that are scanned, where
    it is not all of them."""

    database: WritableDatabase
    settings: Settings
    options: Options
    matcher: Matcher
    policy: Policy
    roots: tuple[Root, ...]
    alert_on_import: bool = False
    parts: tuple[tuple[Root, bytes], ...] = ()
    unprobed: set[int] = field(default_factory=set)
    """Owners of files whose writers could not be detected (NO_LEASES: of files on a file system without leases)."""

    @property
    def places(self) -> tuple[tuple[Root, bytes], ...]:
        """What is scanned: (crawl directory, folder in it, empty for all of it)."""
        return self.parts or tuple((root, b"") for root in self.roots)

    def note_unprobed(self, owner: int) -> None:
        """Log that writers of these files cannot be detected, the first time it is found."""
        if owner not in self.unprobed:
            self.unprobed.add(owner)
            _log.warning("%s", leases.warning(owner, self.settings.crawl.unprobed_settle_seconds))


def options_of(settings: Settings) -> Options:
    """What `examine` needs to know of the configuration."""
    return Options(
        read=ReadOptions(
            recipes=tuple(RECIPES[name] for name in settings.integrity.recipes),
            published_zone=ZoneInfo(settings.time.published_at),
            crawled_zone=ZoneInfo(settings.time.crawled_at),
        ),
        urls=settings.urls.canonicaliser(),
        max_file_bytes=settings.crawl.max_file_bytes,
        min_characters=settings.duplicates.min_characters,
        num_perm=settings.duplicates.num_perm,
        passages=settings.duplicates.passages,
        unprobed_settle_seconds=settings.crawl.unprobed_settle_seconds,
    )


def matching_of(settings: Settings) -> Matching:
    """What makes a match, by the configuration."""
    return Matching(settings.duplicates)


def policy_of(settings: Settings) -> Policy:
    """How changes are judged, and which of what happens is told."""
    return Policy(rules_of(settings), settings.alerting(), settings.publishers.publishers())


@contextmanager
def open_session(
    settings: Settings,
    purpose: str,
    *,
    alert_on_import: bool = False,
    applying: Collection[str] = (),
    within: Sequence[str] | None = None,
) -> Iterator[Session]:
    """The database held for writing by this process, its recipes those of the configuration, but for those named in `applying`,
    which the caller is about to apply. `within`: the configured directories, where those of `settings` were named in their place; a
    folder of a known or configured one is then a part of it.

    Raises NoDirectoryError, OverlapError, DatabaseInsideError, RootInsideError, RootContainsError, PartMissingError, RecipeChangedError
    and the errors of opening.
    """
    paths = check_roots(settings.crawl.directories)
    _require_outside(settings.database.path, paths)
    options = options_of(settings)
    matching = matching_of(settings)
    ignore_lease_breaks()
    collect_rarely()
    jit.keep_beside(settings.database.path)
    with open_writable(settings.database.path, purpose) as database:
        _tell_of_predecessor(database)
        _tell_of_exposure(settings.database.path)
        configured = {name: recipe for name, recipe in recipes.configured(settings).items() if name not in applying}
        recipes.require(database, configured)
        known = [*store.directories.in_use(database), *(os.path.abspath(os.fsencode(d)) for d in within or ())]
        places = placed(paths, list(dict.fromkeys(known)), parts=within is not None)
        refuse_moved(database, [root for root, _ in places])
        roots = _enter(database, configured, list(dict.fromkeys(root for root, _ in places)))
        by_path = {root.path: root for root in roots}
        parts = tuple((by_path[path], folder) for path, folder in places)
        for root, folder in parts:
            _require_part(database, root, folder)
        if within is None:
            _tell_of_unconfigured(database, roots)
        retry_faults(database, settings)
        matcher = Matcher(database, matching, settings.publishers.publishers())
        if lost := lost_since(database):
            _log.warning("%s", lost)
            matcher.open()  # which puts the index right: it is said once
        yield Session(database, settings, options, matcher, policy_of(settings), roots, alert_on_import, parts)


def _enter(database: WritableDatabase, configured: dict[str, str], paths: Sequence[bytes]) -> tuple[Root, ...]:
    """The crawl directories at these paths, with the recipes kept. Where all of it is known nothing is written: there might be no
    room, and the work that follows says so again and again, where a start would fail once."""
    known = {path: store.directories.find(database, path) for path in paths}
    if not known.keys() <= store.directories.in_use(database).keys():
        with database.transaction() as transaction:
            store.directories.reinstate(transaction, (number for number in known.values() if number is not None))
    if None in known.values() or any(store.settings.get(database, key) != recipe for key, recipe in configured.items()):
        with database.transaction() as transaction:
            for key, recipe in configured.items():
                store.settings.put(transaction, key, recipe)
            return tuple(Root(store.directories.get_or_insert(transaction, path, printable_path(path)), path) for path in paths)
    return tuple(Root(number, path) for path, number in known.items() if number is not None)


def retry_faults(database: WritableDatabase, settings: Settings) -> int:
    """Queue files with faults for reading where settings, or another version of the program, may have cured them. Returns how many."""
    recipe = recipes.faults_recipe(settings)
    if store.settings.get(database, recipes.FAULTS) == recipe:
        return 0
    with database.transaction() as transaction:
        number = store.rereads.queue_faults(transaction)
        store.settings.put(transaction, recipes.FAULTS, recipe)
    if number:
        _log.info("settings that read files, or the program, changed: %d files with faults are read again", number)
    return number


def lost_since(database: Database) -> str | None:
    """What the candidate index tells of a database that came before this one: another that lay here, or a later state of it. None
    where it tells of none."""
    state = state_of(database.index_path())
    if state is None or not state.last_text:
        return None
    _, last = store.batches.latest(database)
    told = f"Beside the database {printable_path(os.fsencode(database.path))} lies the index of"
    if state.uuid != uuid.UUID(store.settings.get(database, "uuid") or "0" * 32).bytes:
        if last:
            return None
        return f"{told} another one, which held {state.last_text:,} texts; this one is new or was emptied. {_RESTORE}"
    if state.token != NO_COMMIT and state.last_text > last and store.batches.last_text(database, state.token) is None:
        return (
            f"{told} a later state of it, with {state.last_text - last:,} texts more: an older copy was put in its place, or its log"
            f" was lost. Files that are still there are taken in again; what no file shows any more is lost. {_RESTORE}"
        )
    return None


_RESTORE = "If that was not meant, stop and restore a newer backup; 'dedup doctor' tells whether this one is sound."


def _require_outside(database: str, directories: Sequence[bytes]) -> None:
    """Raise DatabaseInsideError where a database would be written into a crawl directory."""
    mounted = mounts.read()
    device, folder = mounts.location(os.path.dirname(os.path.realpath(os.fsencode(database))), mounted)
    for directory in directories:
        other, path = mounts.location(directory, mounted)
        if device == other and f"{os.fsdecode(folder)}/".startswith(f"{os.fsdecode(path).rstrip('/')}/"):
            raise DatabaseInsideError(database=printable_path(os.fsencode(database)), directory=printable_path(directory))


def _require_part(database: Database, root: Root, folder: bytes) -> None:
    """Raise PartMissingError for a folder that is not there and of which nothing is recorded: it was probably misspelt."""
    path = os.path.join(root.path, folder)
    if folder and not os.path.isdir(path) and (os.path.lexists(path) or not store.files.folders(database, root.id, folder)):
        raise PartMissingError(path=printable_path(path), root=root.shown)


def _tell_of_unconfigured(database: Database, roots: Sequence[Root]) -> None:
    """Crawl directories that the database knows and the configuration does not name: their files still count as there."""
    if store.directories.in_use(database).keys() <= {root.path for root in roots}:
        return
    for row in store.directories.list_all(database):
        if row.forgotten_at is None and row.files and row.id not in {root.id for root in roots}:
            told = "%s is not configured, and %d files of it still count as there; see 'dedup roots --help'"
            _log.warning(told, printable_path(row.path), row.files)


def _tell_of_exposure(path: str) -> None:
    place = secure.exposed(path)
    if place is not None:
        told = "anybody may write to %s and so put something else in the place of the database; take that right away (chmod o-w)"
        _log.warning(told, printable_path(os.fsencode(place)))


def _tell_of_predecessor(database: WritableDatabase) -> None:
    """Whoever held the database before and was killed left word of what it was at."""
    left = database.lock.left
    if left is None:
        return
    if left.doing:
        _log.warning("%s was killed while %s; what it had committed stands, the rest is looked at again", left.holder, left.doing)
    else:
        _log.info("%s was killed, with nothing half done", left.holder)
