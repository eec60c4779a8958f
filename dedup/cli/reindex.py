"""`reindex`: apply the settings in force to recorded data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dedup.cli.common import CommonOptions, common_options, format_option, log_to_stderr, print_json, print_note, shows_progress
from dedup.cli.progress import ProgressBar
from dedup.runtime import process
from dedup.text.format import format_count

if TYPE_CHECKING:
    from dedup.config import Settings
    from dedup.store import Database

STEPS = ("matches", "urls", "changes", "readings", "summaries", "search")
"""Steps of reindexing, in the order in which they run."""


@click.command()
@click.option("--matches", is_flag=True, help="Recompute signatures and matches after a change of [duplicates] or [publishers].")
@click.option("--urls", is_flag=True, help="Regroup readings into pages after a change of [urls].")
@click.option("--changes", is_flag=True, help="Reclassify every change after a change of [changes].")
@click.option("--readings", is_flag=True, help="Reread every recorded file after a change of [time] or [integrity].")
@click.option("--summaries", is_flag=True, help="Rebuild the summaries of pages and the clusters.")
@click.option("--search", is_flag=True, help="Rebuild the search index.")
@format_option("text", "json")
@common_options
@click.pass_obj
def reindex(
    options: CommonOptions, matches: bool, urls: bool, changes: bool, readings: bool, summaries: bool, search: bool, output_format: str
) -> None:
    """Apply changed settings to recorded articles.

    'dedup scan' refuses to run after a change of a setting on which recorded data depends. Without an option, reindex runs
    every step that such changes require, or recomputes signatures and matches if none is pending. An option runs one step.
    Prints what each step did. Sends no alerts. A step takes effect completely or not at all, except --readings: if that is
    interrupted, the next run or scan continues it.

    \b
    Examples:
      dedup reindex
      dedup reindex --readings
    """
    from dedup.errors import DatabaseMissingError

    flags = zip(STEPS, (matches, urls, changes, readings, summaries, search), strict=True)
    steps = [step for step, flag in flags if flag]
    if len(steps) > 1:
        raise click.UsageError("give at most one of --matches, --urls, --changes, --readings, --summaries and --search")
    settings = options.load().settings
    if not os.path.exists(settings.database.path):
        raise DatabaseMissingError(path=settings.database.path)
    counts: dict[str, int] = {}
    with log_to_stderr(options):
        for step in steps or _pending_steps(options, settings):
            step_counts = _reread_files(options, settings) if step == "readings" else _reindex_derived(options, settings, step)
            if output_format == "text":
                click.echo(_format_result(step, step_counts))
            if failed := step_counts.get("failed"):
                print_note(
                    options,
                    f"An internal error occurred on {format_count(failed, 'text')}: only their exact copies are found. See the log above.",
                )
            counts |= step_counts
    if output_format == "json":
        print_json(counts)


def _pending_steps(options: CommonOptions, settings: Settings) -> list[str]:
    """Return the steps that changed settings require, and print those settings. `urls` includes `matches`, the default step."""
    from dedup.pipeline import recipes
    from dedup.store import open_database

    with open_database(settings.database.path) as reader:
        pending = recipes.find_pending_recipes(reader, recipes.configured_recipes(settings))
    for p in pending:
        print_note(options, f"{p.recipe.description[0].upper()}{p.recipe.description[1:].rstrip(',')} changed (--{p.recipe.step}).")
    pending_steps = {str(p.recipe.step) for p in pending} or {"matches"}
    return [step for step in STEPS if step in pending_steps and not (step == "matches" and "urls" in pending_steps)]


def _reindex_derived(options: CommonOptions, settings: Settings, step: str) -> dict[str, int]:
    """Recompute what is derived from the records alone. Returns counts by name."""
    from dedup.maintenance import summaries
    from dedup.maintenance.reindex import reindex_changes, reindex_signatures, reindex_urls
    from dedup.matching.matcher import Matcher
    from dedup.pipeline import recipes
    from dedup.pipeline.session import build_extract_options, build_matching
    from dedup.store import open_writable

    read_options, matching = build_extract_options(settings), build_matching(settings)
    is_shown = shows_progress(options)
    with open_writable(settings.database.path, "reindex") as database, ProgressBar("reindex", "done", is_shown=is_shown) as progress:
        matcher = Matcher(database, matching, settings.publishers.build_publishers())
        publishers = recipes.configured_recipes(settings, [recipes.PUBLISHERS])[recipes.PUBLISHERS]
        if step == "search":
            return _rebuild_search_index(database, progress)
        if step == "urls":
            return reindex_urls(
                database, read_options, matcher, recipes.build_change_rules(settings), progress.advance, publishers=publishers
            )
        if step == "changes":
            return reindex_changes(database, recipes.build_change_rules(settings), progress.advance)
        if step == "summaries":
            return {"pages": summaries.rebuild_summaries(database, settings, progress.advance)}
        recipes.require_recipes(database, recipes.configured_recipes(settings, [recipes.URLS]))
        return reindex_signatures(database, read_options, matcher, progress.advance, publishers=publishers)


def _reread_files(options: CommonOptions, settings: Settings) -> dict[str, int]:
    """Reread files of the configured crawl directories, or of the recorded ones if none is configured. Returns counts by name."""
    from dedup import store
    from dedup.maintenance import summaries
    from dedup.maintenance.reindex import reindex_readings
    from dedup.pipeline import recipes
    from dedup.pipeline.session import open_session
    from dedup.store import open_database

    process.prepare_for_scanning()
    if not settings.crawl.directories:
        with open_database(settings.database.path) as reader:
            directories = tuple(os.fsdecode(path) for path in store.directories.active_ids(reader))
        settings = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"directories": directories})})
    with (
        open_session(settings, "reindex", exempt_recipes=[recipes.READINGS]) as session,
        ProgressBar("reindex", "files re-read", is_shown=shows_progress(options)) as progress,
    ):
        progress.expect(store.rereads.count(session.database) or store.files.count_present(session.database))
        counts = reindex_readings(session, progress.advance)
        summaries.update_all_summaries(session.database, settings, lambda n: progress.count_other("summarising", n))
        return counts


def _format_result(step: str, counts: dict[str, int]) -> str:
    """Return a sentence on what a step did."""
    if step == "search":
        return f"{format_count(counts['indexed_texts'], 'text')} indexed."
    if step == "urls":
        without_page = counts["readings_without_page"]
        summary = f"{format_count(counts['moved'], 'reading')} of {counts['readings']:,} now belong to another page."
        remainder = f" {format_count(without_page, 'address', 'addresses')} name no page by these rules; the next scan rereads their files."
        return summary + (remainder if without_page else "")
    if step == "changes":
        return f"{counts['classified']:,} of {format_count(counts['changes'], 'change')} classified."
    if step == "summaries":
        return f"{format_count(counts['pages'], 'page')} summarised."
    if step == "readings":
        remainder = (
            f"; {format_count(counts['unreachable_files'], 'file')} could not be reached; the next scan reads them"
            if counts["unreachable_files"]
            else ""
        )
        return f"{format_count(counts['reread_files'], 'file')} reread{remainder}."
    return f"{format_count(counts['texts'], 'signature')} recomputed, {format_count(counts['matches'], 'match', 'matches')} found."


def _rebuild_search_index(database: Database, progress: ProgressBar) -> dict[str, int]:
    from dedup import store
    from dedup.search import rebuild

    progress.expect(store.statistics.count(database, "revisions"))
    return {"indexed_texts": rebuild(database, progress.advance)}
