"""`search`: which pages say something, now or in an earlier text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dedup.cli.common import Common, common, formats, plural, print_csv, print_json_array, remark
from dedup.text.normalise import printable

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.search import Hit, Reach
    from dedup.search.highlight import Pieces
    from dedup.store import Database

COLUMNS = ("url", "title", "publisher", "crawled_at", "current", "state", "text", "pruned_at")


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many texts, the newest.")
@formats("text", "json", "csv")
@common
@click.pass_obj
def search(options: Common, query: tuple[str, ...], limit: int, form: str) -> None:
    """Find texts, of today or of earlier revisions, by what stands in title, body, URL or publisher; the last recorded come first.

    All words of QUERY must be there, in any order. Hangul is found from two syllables on, wherever they stand in a word; words of
    other scripts are found whole, or with * by how they begin. Upper and lower case are the same.

    \b
    "새솔시 예산"    these words, one behind the other
    -공식          without this word (quote the query, or write -- before it: it would be taken for an option)
    title:예산      in the title alone; so url:906 and publisher:한빛

    \b
    dedup search 예산안 의결
    dedup search '"salmon pens" -opinion publisher:courier'
    """
    from dedup.errors import QueryError
    from dedup.search import parse, plain
    from dedup.store import open_database

    settings = options.load().settings
    asked = " ".join(query)
    if problem := parse(asked).problem:
        raise QueryError(query=asked[:80], problem=problem)
    with open_database(settings.database.path) as database:
        hits, far, more = _found(database, settings, asked, limit)
    if form == "json":
        print_json_array(_row(hit) for hit in hits)
    elif form == "csv":
        print_csv(COLUMNS, (_row(hit) | {"text": None if hit.text is None else plain(hit.text)} for hit in hits))
    else:
        for hit in hits:
            _print(hit)
        click.echo(plural(len(hits), "text") + (", and there are more; --limit shows them" if more else ""))
    if far.held < far.all:
        remark(
            options, f"Search reaches {far.held:,} of {far.all:,} texts; 'dedup scan' and 'dedup watch' go on, 'reindex --search' ends it."
        )


def _found(database: Database, settings: Settings, asked: str, limit: int) -> tuple[list[Hit], Reach, bool]:
    """(so many hits, how far search reaches, whether there are more). Raises SearchUnavailableError."""
    from dedup.errors import SearchUnavailableError
    from dedup.search import find

    hits: list[Hit] = []
    before = far = None
    while True:
        page = find(database, settings.publishers.publishers(), asked, before, limit - len(hits))
        if page.problem:
            raise SearchUnavailableError(problem=page.problem)
        hits += page.hits
        far = far or page.reach  # later, this reader may be behind the index
        before = page.next
        if before is None or len(hits) == limit:
            return hits, far, before is not None


def _row(hit: Hit) -> dict[str, Any]:
    from dedup.reports.history import STATE_RECIPE
    from dedup.search import plain

    return {
        "url": hit.url,
        "title": plain(hit.title),
        "publisher": hit.publisher,
        "crawled_at": hit.crawled_at,
        "current": hit.current,
        "state": f"{STATE_RECIPE}:{hit.state.hex()}",
        "text": None if hit.text is None else [{"text": text, "hit": is_hit} for text, is_hit in hit.text],
        "pruned_at": hit.pruned_at,
    }


def _print(hit: Hit) -> None:
    earlier = "" if hit.current else "  (an earlier text)"
    who = f"{printable(hit.publisher)}: " if hit.publisher else ""
    click.echo(f"{hit.crawled_at[:19].replace('T', ' ')}  {who}{_shown(hit.title)}{earlier}")
    click.echo(f"    {printable(hit.url)}")
    click.echo(f"    its text was pruned on {(hit.pruned_at or '')[:10]}" if hit.text is None else f"    {_shown(hit.text)}")


def _shown(pieces: Pieces) -> str:
    return "".join(click.style(printable(text), fg="yellow", bold=True) if is_hit else printable(text) for text, is_hit in pieces)
