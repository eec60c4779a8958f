"""`prune`: delete the text of old revisions by the rule of [history]."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr, print_json, print_note, shows_progress
from dedup.cli.progress import ProgressBar
from dedup.text.format import format_count, format_megabytes
from dedup.text.sanitise import to_printable_path

if TYPE_CHECKING:
    from dedup.config import LoadedSettings, Settings
    from dedup.maintenance.retention import PruneResult, RetentionRule
    from dedup.store import WritableDatabase
    from dedup.store.lock import Lock

_KEEP_REASONS = {"last": "the last of their page", "first": "the first of their page", "on_disk": "a file on disk has them"}
"""Rule → why it keeps revisions."""


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be pruned. Writes nothing; 'dedup watch' may run.")
@click.option(
    "--vacuum", is_flag=True, help="Then rewrite the database to return all free space to the disk. Needs as much free space again."
)
@format_option("text", "json")
@common_options
@click.pass_obj
def prune(options: CommonOptions, dry_run: bool, vacuum: bool, output_format: str) -> None:
    """Delete the text of old revisions.

    Which revisions lose their text is set by [history] in config.toml. No other command deletes text. A pruned revision keeps
    its title, digest, crawls, changes and matches, and 'dedup history' still lists it; a file that shows it again brings its
    text back. The text is kept for the last revision of each page, for revisions that a file on disk contains, for revisions
    seen within 'days' before the last crawl, and for those that 'keep' names. Only a backup restores deleted text: make one
    first. Prints what was pruned and kept, and the space freed.

    \b
    Examples:
      dedup prune --dry-run
      dedup backup /srv/backup/dedup.db && dedup prune
    """
    from dedup.errors import DatabaseMissingError

    if dry_run and vacuum:
        raise click.UsageError("--dry-run writes nothing, --vacuum rewrites the database; use only one of them")
    loaded = options.load()
    settings = loaded.settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    is_preview = dry_run or (settings.history.keep == "all" and not vacuum)
    outcome = _preview(settings) if is_preview else _prune(options, settings, vacuum=vacuum)
    if output_format == "json":
        print_json(_as_json(settings, outcome, dry_run=dry_run))
    else:
        _print(loaded, outcome, dry_run=dry_run)


class _Outcome(NamedTuple):
    """The rule (None: everything is kept), what it prunes, the bytes returned to the disk, and those free inside the database file."""

    rule: RetentionRule | None
    pruned: PruneResult
    released_bytes: int
    free_bytes: int


def _preview(settings: Settings) -> _Outcome:
    """Return what `prune` would do. Writes nothing."""
    from dedup import store
    from dedup.maintenance.retention import PruneResult, build_retention_rule, find_prunable
    from dedup.store import open_database

    pruned = PruneResult()
    with open_database(settings.database.path) as database:
        rule = build_retention_rule(settings.history, database)
        if rule is None:
            pruned.kept_by_reason["all"] = store.statistics.count_unpruned_revisions(database)
        else:
            for _ in find_prunable(database, rule, pruned):
                pass
        return _Outcome(rule, pruned, 0, store.prune.free_bytes(database))


def _prune(options: CommonOptions, settings: Settings, *, vacuum: bool) -> _Outcome:
    """Prune, rebuild the indexes, and free space."""
    from dedup import store
    from dedup.maintenance.retention import PruneResult, build_retention_rule
    from dedup.maintenance.retention import prune as prune_revisions
    from dedup.similarity import jit
    from dedup.store.connection import open_locked
    from dedup.store.lock import Lock
    from dedup.store.ownership import require_dedup_database

    path, pruned = settings.database.path, PruneResult()
    jit.set_fallback_folder(path)
    require_dedup_database(path)
    lock = Lock(path, "prune")
    try:
        with (
            log_to_stderr(options),
            open_locked(path, lock) as database,
            database.translate_errors(),
            ProgressBar("prune", "revisions", is_shown=shows_progress(options)) as bar,
        ):
            rule = build_retention_rule(settings.history, database)
            if rule is not None and prune_revisions(database, rule, pruned, bar.advance):
                _rebuild_indexes(database, settings, lock, bar)
            bar.stage("free space")
            lock.set_activity("releasing free space")
            released_bytes = (
                store.prune.vacuum(database)
                if vacuum
                else store.prune.release_pages(database, lambda n: bar.count_other("pages released", n))
            )
            return _Outcome(rule, pruned, released_bytes, store.prune.free_bytes(database))
    except KeyboardInterrupt:
        print_note(options, f"Before that, the text of {format_count(pruned.states, 'revision')} was pruned.")
        raise
    finally:
        lock.release()


def _rebuild_indexes(database: WritableDatabase, settings: Settings, lock: Lock, bar: ProgressBar) -> None:
    """Rebuild the candidate and passage indexes, unless a 'dedup reindex' is pending that rebuilds them."""
    from dedup.errors import RecipeChangedError
    from dedup.matching.matcher import Matcher
    from dedup.pipeline import recipes
    from dedup.pipeline.session import build_matching

    matcher = Matcher(database, build_matching(settings), settings.publishers.build_publishers())
    try:
        recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
    except RecipeChangedError:
        return
    bar.stage("indexes")
    lock.set_activity("rebuilding indexes")
    matcher.open_candidate_index()
    if settings.duplicates.passages:
        matcher.open_passage_index()


def _as_json(settings: Settings, outcome: _Outcome, *, dry_run: bool) -> dict[str, Any]:
    keep, pruned = settings.history.keep, outcome.pruned
    return {
        "dry_run": dry_run,
        "keep": keep if isinstance(keep, str) else list(keep),
        "since": outcome.rule.since if outcome.rule else None,
        "pruned": {"revisions": pruned.states, "pages": pruned.pages, "bytes": pruned.body_bytes},
        "kept": {reason: pruned.kept_by_reason[reason] for reason in ("all", "last", "first", "on_disk", "recent")},
        "released_bytes": outcome.released_bytes,
        "free_bytes": outcome.free_bytes,
    }


def _print(loaded: LoadedSettings, outcome: _Outcome, *, dry_run: bool) -> None:
    rule, pruned = outcome.rule, outcome.pruned
    if rule is None:
        file = to_printable_path(os.fsencode(loaded.file.absolute())) if loaded.file else "a configuration"
        click.echo(f'Nothing is pruned: [history] keep is "all". To prune old revisions, write into {file}, for example:')
        click.echo('[history]\nkeep = ["first", "last"]\ndays = 365')
    else:
        verb = "would be pruned" if dry_run else "pruned"
        size = f"{format_megabytes(pruned.body_bytes)} of text"
        click.echo(f"{format_count(pruned.states, 'revision')} of {format_count(pruned.pages, 'page')} {verb}, {size}")
        reasons = _KEEP_REASONS | {"recent": f"seen at {rule.since[:19].replace('T', ' ')} (UTC) or later"}
        for reason, explanation in reasons.items():
            if pruned.kept_by_reason[reason]:
                click.echo(f"  {format_count(pruned.kept_by_reason[reason], 'revision')} kept: {explanation}")
    if outcome.released_bytes:
        click.echo(f"{format_megabytes(outcome.released_bytes)} were returned to the disk")
    if outcome.free_bytes and not dry_run:
        free = f"{format_megabytes(outcome.free_bytes)} are free inside the database and will be reused"
        click.echo(f"{free}; 'dedup prune --vacuum' returns them to the disk")
