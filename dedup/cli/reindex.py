"""`reindex`: what is recorded, by the settings in force."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dedup.cli.common import Common, common, formats, on_terminal, plural, print_json, remark, told
from dedup.cli.progress import Progress
from dedup.store import Database

if TYPE_CHECKING:
    from dedup.config import Settings

STEPS = ("matches", "urls", "changes", "readings", "summaries", "search")
"""What can be done, in the order in which it is done."""


@click.command()
@click.option("--matches", is_flag=True, help="Recompute signatures and matches by [duplicates] and [publishers].")
@click.option("--urls", is_flag=True, help="Regroup the pages by the rules of [urls].")
@click.option("--changes", is_flag=True, help="Judge every change again by [changes].")
@click.option("--readings", is_flag=True, help="Read every recorded file again by [time] and [integrity].")
@click.option("--summaries", is_flag=True, help="Sum up every page and make the clusters again.")
@click.option("--search", is_flag=True, help="Make the search index again.")
@formats("text", "json")
@common
@click.pass_obj
def reindex(options: Common, matches: bool, urls: bool, changes: bool, readings: bool, summaries: bool, search: bool, form: str) -> None:
    """Apply the settings in force to what is recorded.

    Without an option it does all that is pending: what 'dedup scan' refuses for after a setting changed. Where nothing is pending it
    recomputes signatures and matches. No alert is made of it. Each step happens completely or not at all, except --readings: a run
    of that can be ended, and the next run or scan goes on where it was.

    \b
    dedup reindex
    dedup reindex --readings
    """
    from dedup.errors import DatabaseMissingError
    from dedup.scan import recipes
    from dedup.store import open_database

    asked = zip(STEPS, (matches, urls, changes, readings, summaries, search), strict=True)
    given = [name for name, flag in asked if flag]
    if len(given) > 1:
        raise click.UsageError("--matches, --urls, --changes, --readings, --summaries and --search are several steps; name one, or none")
    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    pending: list[recipes.Pending] = []
    if not given:
        with open_database(settings.database.path) as reader:
            pending = recipes.pending(reader, recipes.configured(settings))
        wanted = {str(p.recipe.step) for p in pending} or {"matches"}
        given = [name for name in STEPS if name in wanted and not (name == "matches" and "urls" in wanted)]
    for p in pending:
        remark(options, f"{p.recipe.what[0].upper()}{p.recipe.what[1:].rstrip(',')} changed (--{p.recipe.step}).")
    counts: dict[str, int] = {}
    with told(options):
        for name in given:
            found = _readings(options, settings) if name == "readings" else _derived(options, settings, name)
            if form == "text":
                click.echo(_sentence(name, found))
            if found.get("failed"):
                remark(options, f"The program failed on {plural(found['failed'], 'text')}: they have exact copies only. See the log above.")
            counts |= found
    if form == "json":
        print_json(counts)


def _derived(options: Common, settings: Settings, name: str) -> dict[str, int]:
    """Recompute what is derived from the records alone; returns counts."""
    from dedup.maintenance import summaries
    from dedup.maintenance.reindex import reindex_changes, reindex_signatures, reindex_urls
    from dedup.matching.matcher import Matcher
    from dedup.scan import recipes
    from dedup.scan.session import matching_of, options_of
    from dedup.store import open_writable

    chosen, matching = options_of(settings), matching_of(settings)
    shown = on_terminal(options)
    with open_writable(settings.database.path, "reindex") as database, Progress("reindex", "done", shown=shown) as progress:
        matcher = Matcher(database, matching, settings.publishers.publishers())
        publishers = recipes.configured(settings, [recipes.PUBLISHERS])[recipes.PUBLISHERS]
        if name == "search":
            return _make_index(database, progress)
        if name == "urls":
            return reindex_urls(database, chosen, matcher, recipes.rules_of(settings), progress.advance, publishers=publishers)
        if name == "changes":
            return reindex_changes(database, recipes.rules_of(settings), progress.advance)
        if name == "summaries":
            return {"pages": summaries.work_all_again(database, settings, progress.advance)}
        recipes.require(database, recipes.configured(settings, [recipes.URLS]))
        return reindex_signatures(database, chosen, matcher, progress.advance, publishers=publishers)


def _readings(options: Common, settings: Settings) -> dict[str, int]:
    """Read files again, of the recorded crawl directories where none is configured; returns counts."""
    from dedup import store
    from dedup.maintenance import summaries
    from dedup.maintenance.reindex import reindex_readings
    from dedup.scan import recipes
    from dedup.scan.session import open_session
    from dedup.store import open_database

    if not settings.crawl.directories:
        with open_database(settings.database.path) as reader:
            recorded = tuple(os.fsdecode(path) for path in store.directories.in_use(reader))
        settings = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"directories": recorded})})
    with (
        open_session(settings, "reindex", applying=[recipes.READINGS]) as session,
        Progress("reindex", "files read again", shown=on_terminal(options)) as progress,
    ):
        progress.expect(store.rereads.count(session.database) or store.statistics.count(session.database, "files", "gone = 0"))
        counts = reindex_readings(session, progress.advance)
        summaries.work_all_off(session.database, settings, lambda n: progress.beside("summing up", n))
        return counts


def _sentence(name: str, counts: dict[str, int]) -> str:
    """What a step did, for people."""
    if name == "search":
        return f"{plural(counts['entered'], 'text')} can be found."
    if name == "urls":
        unplaceable = counts["unplaceable"]
        moved = f"{plural(counts['moved'], 'reading')} of {counts['readings']:,} belong to another page now."
        left = f" {plural(unplaceable, 'address', 'addresses')} name no page by these rules; the next scan reads those files again."
        return moved + (left if unplaceable else "")
    if name == "changes":
        return f"{counts['judged']:,} of {plural(counts['changes'], 'change')} judged."
    if name == "summaries":
        return f"{plural(counts['pages'], 'page')} summed up."
    if name == "readings":
        left = f"; {plural(counts['waiting'], 'file')} could not be reached, and the next scan reads them" if counts["waiting"] else ""
        return f"{plural(counts['reread'], 'file')} read again{left}."
    return f"{plural(counts['texts'], 'text')} signed again, {plural(counts['matches'], 'match', 'matches')} found."


def _make_index(database: Database, progress: Progress) -> dict[str, int]:
    from dedup import store
    from dedup.search import make_again

    progress.expect(store.statistics.count(database, "revisions"))
    return {"entered": make_again(database, progress.advance)}
