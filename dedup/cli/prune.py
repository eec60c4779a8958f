"""`prune`: old states let their text go, by the rule of [history]."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, on_terminal, plural, print_json, remark, told
from dedup.cli.progress import Progress
from dedup.text.normalise import printable_path

if TYPE_CHECKING:
    from dedup.config import Loaded, Settings
    from dedup.maintenance.retention import Pruned, Rule

_WHY = {"last": "the last of their page", "first": "the first of their page", "there": "what a file that is there holds"}


@click.command()
@click.option("--dry-run", is_flag=True, help="Only tell what would go. Nothing is written, and a daemon may run.")
@click.option("--vacuum", is_flag=True, help="Rewrite the database too, which gives all free room back to the disk. Takes as much again.")
@formats("text", "json")
@common
@click.pass_obj
def prune(options: Common, dry_run: bool, vacuum: bool, form: str) -> None:
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
    from dedup.maintenance.retention import Pruned, doomed, rule_of
    from dedup.store import open_database

    if dry_run and vacuum:
        raise click.UsageError("--dry-run writes nothing, and --vacuum everything anew")
    loaded = options.load()
    settings, pruned, given_back = loaded.settings, Pruned(), 0
    database = settings.database.path
    if not os.path.exists(database):
        raise DatabaseMissingError(path=database)
    if dry_run or (settings.history.keep == "all" and not vacuum):
        with open_database(database) as states:
            rule = rule_of(settings.history, states)
            if rule is None:
                pruned.kept["all"] = store.statistics.count(states, "revisions", "pruned_at IS NULL")
            else:
                for _ in doomed(states, rule, pruned):
                    pass
            free = store.prune.free_bytes(states)
    else:
        rule, given_back, free = _prune(options, settings, pruned, vacuum=vacuum)
    if form == "json":
        keep = settings.history.keep
        print_json(
            {
                "dry_run": dry_run,
                "keep": keep if isinstance(keep, str) else list(keep),
                "since": rule.since if rule else None,
                "pruned": {"states": pruned.states, "pages": pruned.pages, "bytes": pruned.bytes},
                "kept": {why: pruned.kept[why] for why in ("all", "last", "first", "there", "young")},
                "given_back_bytes": given_back,
                "free_bytes": free,
            }
        )
    else:
        _print(loaded, pruned, rule, dry_run=dry_run, given_back=given_back, free=free)


def _prune(options: Common, settings: Settings, pruned: Pruned, *, vacuum: bool) -> tuple[Rule | None, int, int]:
    """(the rule, bytes that were given back to the disk, bytes that are free within the file)."""
    from dedup import store
    from dedup.errors import RecipeChangedError
    from dedup.maintenance.retention import prune as let_go
    from dedup.maintenance.retention import rule_of
    from dedup.matching.matcher import Matcher
    from dedup.scan import recipes
    from dedup.scan.session import matching_of
    from dedup.similarity import jit
    from dedup.store.connection import open_locked
    from dedup.store.lock import Lock
    from dedup.store.ownership import require_own

    path, given_back = settings.database.path, 0
    jit.keep_beside(path)
    require_own(path)
    lock = Lock(path, "prune")
    try:
        with (
            told(options),
            open_locked(path, lock) as database,
            database.work(),
            Progress("prune", "states", shown=on_terminal(options)) as bar,
        ):
            rule, touched = rule_of(settings.history, database), False
            if rule is not None:
                touched = let_go(database, rule, pruned, bar.advance)
            if touched:
                matching = matching_of(settings)
                matcher = Matcher(database, matching, settings.publishers.publishers())
                try:
                    recipes.require(database, recipes.configured(settings, [recipes.MATCHES]))
                except RecipeChangedError:
                    pass  # 'dedup reindex' is to come, and makes the indexes
                else:
                    bar.stage("indexes")
                    lock.doing("making the indexes again")
                    matcher.open()
                    if settings.duplicates.passages:
                        matcher.open_passages()
            bar.stage("room")
            lock.doing("giving free room back")
            given_back = (
                store.prune.rewrite(database)
                if vacuum
                else store.prune.release_pages(database, lambda n: bar.beside("pages given back", n))
            )
            return rule, given_back, store.prune.free_bytes(database)
    except KeyboardInterrupt:
        remark(options, f"Until then the text of {plural(pruned.states, 'state')} was pruned.")
        raise
    finally:
        lock.release()


def _print(loaded: Loaded, pruned: Pruned, rule: Rule | None, *, dry_run: bool, given_back: int, free: int) -> None:
    if rule is None:
        file = printable_path(os.fsencode(loaded.file.absolute())) if loaded.file else "a configuration"
        click.echo(f'Nothing is pruned: [history] keep is "all". To let old states go, write into {file}, for example:')
        click.echo('[history]\nkeep = ["first", "last"]\ndays = 365')
    else:
        would = "would be pruned" if dry_run else "pruned"
        size = f"{pruned.bytes / 1e6:,.1f} MB of text"
        click.echo(f"{plural(pruned.states, 'state')} of {plural(pruned.pages, 'page')} {would}, {size}")
        why = _WHY | {"young": f"seen at {rule.since[:19].replace('T', ' ')} (UTC) or later"}
        for reason, words in why.items():
            if pruned.kept[reason]:
                click.echo(f"  {plural(pruned.kept[reason], 'state')} kept: {words}")
    for line in _room(dry_run=dry_run, given_back=given_back, free=free):
        click.echo(line)


def _room(*, dry_run: bool, given_back: int, free: int) -> Any:
    if given_back:
        yield f"{given_back / 1e6:,.1f} MB were given back to the disk"
    if free and not dry_run:
        yield f"{free / 1e6:,.1f} MB are free within the database and used for what comes; 'dedup prune --vacuum' gives them back too"
