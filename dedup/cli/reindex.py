"""`reindex`: what is derived, again."""

from __future__ import annotations

import click

from dedup.cli.common import Common, common, formats, on_terminal, plural, print_json, told
from dedup.cli.progress import Progress


@click.command()
@click.option("--urls", is_flag=True, help="Regroup the pages by the rules of [urls] in force.")
@formats("text", "json")
@common
@click.pass_obj
def reindex(options: Common, urls: bool, form: str) -> None:
    """Recompute signatures and matches by the settings in force, or with --urls, which page each crawl belongs to.

    Needed after a change of [duplicates] or [urls]; until then `scan` refuses. All of it happens or nothing does, and it
    makes no alert.
    """
    import os

    from dedup.errors import DatabaseMissingError
    from dedup.ingest import Matcher, reindex_signatures, reindex_urls
    from dedup.ingest.session import matching_of, options_of, require_recipes
    from dedup.store import open_writer

    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    chosen, matching = options_of(settings), matching_of(settings)
    shown = on_terminal(options)
    with told(options), open_writer(settings.database.path, "reindex") as store, Progress("reindex", "done", shown=shown) as progress:
        matcher = Matcher(store, matching, settings.publishers.publishers())
        if urls:
            require_recipes(store, urls=None, matches=matching.recipe)
            counts = reindex_urls(store, chosen, matcher, progress.advance)
        else:
            require_recipes(store, urls=chosen.urls.recipe, matches=None)
            counts = reindex_signatures(store, chosen, matcher, progress.advance)
    if form == "json":
        print_json(counts)
    elif urls:
        click.echo(f"{plural(counts['moved'], 'reading')} of {counts['readings']:,} belong to another page now.")
    else:
        click.echo(f"{plural(counts['texts'], 'text')} signed again, {plural(counts['matches'], 'match', 'matches')} found.")
