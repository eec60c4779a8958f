"""`prune`: old states let their text go, by the rule of [history]."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import (
    CommonOptions,
    common_options,
    format_option,
    log_to_stderr,
    print_json,
    print_note,
    shows_progress,
)
from dedup.cli.progress import ProgressBar
from dedup.text.format import format_count, format_megabytes
from dedup.text.sanitise import to_printable_path

if TYPE_CHECKING:
    from dedup.config import LoadedSettings, Settings
    from dedup.maintenance.retention import PruneResult, RetentionRule

_KEEP_REASONS = {"last": "the last of their page", "first": "the first of their page", "on_disk": "a file on disk has them"}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only show what would be pruned. Nothing is written, and a daemon may run.")
@click.option("--vacuum", is_flag=True, help="Rewrite the database too, which gives all free room back to the disk. Takes as much again.")
@format_option("text", "json")
@common_options
@click.pass_obj
def prune(options: CommonOptions, dry_run: bool, vacuum: bool, output_format: str) -> None:
    """Let the text of old states of pages go, as [history] in the configuration says; nothing else ever does.

    A state keeps its title, digest, crawls, changes and matches, so that 'dedup history' still tells it and a file that shows it
    again is known; its text comes back with such a file. What stays is the last state of every page, what a file that is there
    holds, what was seen within 'days' before the last crawl, and what 'keep' names. Text that is gone comes back from a backup
    only: make one first.

    \b
    dedup prune --dry-run
    dedup backup /srv/backup/dedup.db && dedup prune
    """
    from dedup import store
    from dedup.errors import DatabaseMissingError
    from dedup.maintenance.retention import PruneResult, build_retention_rule, find_prunable
    from dedup.store import open_database

    if dry_run and vacuum:
        raise click.UsageError("--dry-run writes nothing, and --vacuum everything anew")
    loaded = options.load()
    settings, pruned, released_bytes = loaded.settings, PruneResult(), 0
    path = settings.database.path
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    if dry_run or (settings.history.keep == "all" and not vacuum):
        with open_database(path) as database:
            rule = build_retention_rule(settings.history, database)
            if rule is None:
                pruned.kept_by_reason["all"] = store.statistics.count_unpruned_revisions(database)
            else:
                for _ in find_prunable(database, rule, pruned):
                    pass
            free_bytes = store.prune.free_bytes(database)
    else:
        rule, released_bytes, free_bytes = _prune(options, settings, pruned, vacuum=vacuum)
    if output_format == "json":
        keep = settings.history.keep
        print_json(
            {
                "dry_run": dry_run,
                "keep": keep if isinstance(keep, str) else list(keep),
                "since": rule.since if rule else None,
                "pruned": {"revisions": pruned.states, "pages": pruned.pages, "bytes": pruned.body_bytes},
                "kept": {why: pruned.kept_by_reason[why] for why in ("all", "last", "first", "on_disk", "recent")},
                "released_bytes": released_bytes,
                "free_bytes": free_bytes,
            }
        )
    else:
        _print(loaded, pruned, rule, dry_run=dry_run, released_bytes=released_bytes, free_bytes=free_bytes)


def _prune(options: CommonOptions, settings: Settings, pruned: PruneResult, *, vacuum: bool) -> tuple[RetentionRule | None, int, int]:
    """(the rule, bytes that were given back to the disk, bytes that are free within the file)."""
    from dedup import store
    from dedup.errors import RecipeChangedError
    from dedup.maintenance.retention import build_retention_rule
    from dedup.maintenance.retention import prune as prune_revisions
    from dedup.matching.matcher import Matcher
    from dedup.scan import recipes
    from dedup.scan.session import build_matching
    from dedup.similarity import jit
    from dedup.store.connection import open_locked
    from dedup.store.lock import Lock
    from dedup.store.ownership import require_dedup_database

    path, released_bytes = settings.database.path, 0
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
            rule, has_changes = build_retention_rule(settings.history, database), False
            if rule is not None:
                has_changes = prune_revisions(database, rule, pruned, bar.advance)
            if has_changes:
                matching = build_matching(settings)
                matcher = Matcher(database, matching, settings.publishers.build_publishers())
                try:
                    recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.MATCHES]))
                except RecipeChangedError:
                    pass  # 'dedup reindex' is to come, and makes the indexes
                else:
                    bar.stage("indexes")
                    lock.set_activity("rebuilding indexes")
                    matcher.open_candidate_index()
                    if settings.duplicates.passages:
                        matcher.open_passage_index()
            bar.stage("free space")
            lock.set_activity("releasing free space")
            released_bytes = (
                store.prune.vacuum(database)
                if vacuum
                else store.prune.release_pages(database, lambda n: bar.count_other("pages released", n))
            )
            return rule, released_bytes, store.prune.free_bytes(database)
    except KeyboardInterrupt:
        print_note(options, f"Until then the text of {format_count(pruned.states, 'revision')} was pruned.")
        raise
    finally:
        lock.release()


def _print(
    loaded: LoadedSettings, pruned: PruneResult, rule: RetentionRule | None, *, dry_run: bool, released_bytes: int, free_bytes: int
) -> None:
    if rule is None:
        file = to_printable_path(os.fsencode(loaded.file.absolute())) if loaded.file else "a configuration"
        click.echo(f'Nothing is pruned: [history] keep is "all". To let old states go, write into {file}, for example:')
        click.echo('[history]\nkeep = ["first", "last"]\ndays = 365')
    else:
        outcome = "would be pruned" if dry_run else "pruned"
        size = f"{format_megabytes(pruned.body_bytes)} of text"
        click.echo(f"{format_count(pruned.states, 'revision')} of {format_count(pruned.pages, 'page')} {outcome}, {size}")
        reasons = _KEEP_REASONS | {"recent": f"seen at {rule.since[:19].replace('T', ' ')} (UTC) or later"}
        for reason, explanation in reasons.items():
            if pruned.kept_by_reason[reason]:
                click.echo(f"  {format_count(pruned.kept_by_reason[reason], 'revision')} kept: {explanation}")
    for line in _space_lines(dry_run=dry_run, released_bytes=released_bytes, free_bytes=free_bytes):
        click.echo(line)


def _space_lines(*, dry_run: bool, released_bytes: int, free_bytes: int) -> Any:
    if released_bytes:
        yield f"{format_megabytes(released_bytes)} were given back to the disk"
    if free_bytes and not dry_run:
        size = format_megabytes(free_bytes)
        yield f"{size} are free within the database and used for what comes; 'dedup prune --vacuum' gives them back too"
