"""`reindex`: what is derived, again."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dedup.cli.common import Common, common, formats, on_terminal, plural, print_json, remark, told
from dedup.cli.progress import Progress

if TYPE_CHECKING:
    from dedup.store import Writer


@click.command()
@click.option("--urls", is_flag=True, help="Regroup the pages by the rules of [urls] in force.")
@click.option("--changes", is_flag=True, help="Judge every change again by the settings of [changes] in force.")
@click.option("--summaries", "summed", is_flag=True, help="Sum up every page again, and make the clusters of reports and dashboard anew.")
@click.option("--search", is_flag=True, help="Make the search index anew, all of it at once.")
@formats("text", "json")
@common
@click.pass_obj
def reindex(options: Common, urls: bool, changes: bool, summed: bool, search: bool, form: str) -> None:
    """Recompute signatures and matches by the settings in force; with --urls, which page each crawl belongs to; with --changes,
    what kind of change each change is; with --summaries, what reports and the dashboard are made of; with --search, what 'dedup
    search' finds.

    Needed after a change of [duplicates] or [urls]; until then `scan` refuses. After one of [changes] new changes are judged by
    it, and those of before only by --changes. All of it happens or nothing does, and it makes no alert.
    """
    from dedup.errors import DatabaseMissingError
    from dedup.ingest import Matcher, reindex_changes, reindex_signatures, reindex_urls, summaries
    from dedup.ingest.session import matching_of, options_of, require_recipes, rules_of
    from dedup.store import open_writer

    if urls + changes + summed + search > 1:
        raise click.UsageError("--urls, --changes, --summaries and --search are several things to do; run one after the other")
    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    chosen, matching = options_of(settings), matching_of(settings)
    shown = on_terminal(options)
    with told(options), open_writer(settings.database.path, "reindex") as store, Progress("reindex", "done", shown=shown) as progress:
        matcher = Matcher(store, matching, settings.publishers.publishers())
        if search:
            counts = _make_index(store, progress)
        elif urls:
            require_recipes(store, urls=None, matches=matching.recipe)
            counts = reindex_urls(store, chosen, matcher, rules_of(settings), progress.advance)
        elif changes:
            counts = reindex_changes(store, rules_of(settings), progress.advance)
        elif summed:
            counts = {"pages": summaries.work_all_again(store, settings, progress.advance)}
        else:
            require_recipes(store, urls=chosen.urls.recipe, matches=None)
            counts = reindex_signatures(store, chosen, matcher, progress.advance)
    if form == "json":
        print_json(counts)
    elif search:
        click.echo(f"{plural(counts['entered'], 'text')} can be found.")
    elif urls:
        click.echo(f"{plural(counts['moved'], 'reading')} of {counts['readings']:,} belong to another page now.")
    elif changes:
        click.echo(f"{counts['judged']:,} of {plural(counts['changes'], 'change')} judged.")
    elif summed:
        click.echo(f"{plural(counts['pages'], 'page')} summed up.")
    else:
        click.echo(f"{plural(counts['texts'], 'text')} signed again, {plural(counts['matches'], 'match', 'matches')} found.")
        if counts["failed"]:
            remark(options, f"The program failed on {plural(counts['failed'], 'text')}: they have exact copies only. See the log above.")


def _make_index(store: Writer, progress: Progress) -> dict[str, int]:
    from dedup.search import make_again

    progress.expect(store.count("revisions"))
    return {"entered": make_again(store, progress.advance)}
