"""`search`: search current and earlier texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.cli.common import CommonOptions, common_options, format_option, print_csv, print_json_array, print_note
from dedup.text.format import format_count
from dedup.text.sanitise import to_printable

if TYPE_CHECKING:
    from dedup.search import SearchHit
    from dedup.search.highlight import HighlightedText

COLUMNS = ("url", "title", "publisher", "crawled_at", "current", "state_digest", "snippet", "pruned_at")


@click.command()
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of texts to print.")
@format_option("text", "json", "csv")
@common_options
@click.pass_obj
def search(options: CommonOptions, query: tuple[str, ...], limit: int, output_format: str) -> None:
    """Search current and earlier texts.

    Searches title, body, URL and publisher of all revisions. Prints the most recently recorded texts first, with a snippet.
    All words of QUERY must occur, in any order and case. Two or more Hangul syllables match anywhere in a word; words of other
    scripts match as a whole, or with a trailing * as a prefix.

    \b
    Query syntax:
      "새솔시 예산"    the words as a phrase
      -공식          without this word (quote the query or put -- before it)
      title:예산      in the title only; also url:906 and publisher:한빛

    \b
    Examples:
      dedup search 자동화 부두
      dedup search '"salmon pens" -opinion publisher:courier'
    """
    from dedup.reports.search import find_hits, hit_as_json, require_query
    from dedup.search import pieces_to_text
    from dedup.store import open_database

    settings = options.load().settings
    query_text = " ".join(query)
    require_query(query_text)
    with open_database(settings.database.path) as database:
        found = find_hits(database, settings, query_text, limit)
    hits, coverage = found.hits, found.coverage
    if output_format == "json":
        print_json_array(map(hit_as_json, hits))
    elif output_format == "csv":
        print_csv(COLUMNS, (hit_as_json(hit) | {"snippet": None if hit.snippet is None else pieces_to_text(hit.snippet)} for hit in hits))
    else:
        for hit in hits:
            _print(hit)
        click.echo(format_count(len(hits), "text") + (", and more; see --limit" if found.has_more else ""))
    if coverage.indexed < coverage.total:
        print_note(
            options,
            f"Search reaches {coverage.indexed:,} of {coverage.total:,} texts; 'dedup scan' and 'dedup watch' add more,"
            " 'dedup reindex --search' adds all.",
        )


def _print(hit: SearchHit) -> None:
    suffix = "" if hit.current else "  (earlier revision)"
    prefix = f"{to_printable(hit.publisher)}: " if hit.publisher else ""
    click.echo(f"{hit.crawled_at[:19].replace('T', ' ')}  {prefix}{_format_pieces(hit.title)}{suffix}")
    click.echo(f"    {to_printable(hit.url)}")
    click.echo(f"    its text was pruned on {(hit.pruned_at or '')[:10]}" if hit.snippet is None else f"    {_format_pieces(hit.snippet)}")


def _format_pieces(pieces: HighlightedText) -> str:
    return "".join(click.style(to_printable(text), fg="yellow", bold=True) if is_hit else to_printable(text) for text, is_hit in pieces)
