"""`python -m benchmarks.changes`: the cost of a change, in µs of processor time an article, in addition to reading the new file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import click

from benchmarks.corpus import language
from dedup.changes import diff
from dedup.changes.classify import PageHistory, PageState, classify_change
from dedup.changes.diff import render
from dedup.config import Settings
from dedup.pipeline.recipes import build_change_rules

METADATA = (("author", ""), ("category", ""), ("published_at", "2026-03-05T01:30:00+00:00"), ("publisher", "한빛일보"))


def _edits(bodies: Sequence[str], another: Sequence[str]) -> dict[str, Callable[[int], str]]:
    """Kind of edit → a function from an article's number to its body at the second crawl."""
    return {
        "a blank more": lambda n: bodies[n].replace(" ", "  ", 1),
        "another word": lambda n: " ".join([*(w := bodies[n].split(" "))[: len(w) // 2], "달라진", *w[len(w) // 2 + 1 :]]),
        "a sentence more": lambda n: bodies[n] + " 참석자는 모두 1,204명이었다.",
        "a quarter of the words": lambda n: " ".join(w if k % 4 else w[::-1] for k, w in enumerate(bodies[n].split(" "))),
        "another text": lambda n: another[n],
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--articles", type=click.IntRange(10), default=500, show_default=True, help="Re-crawled articles of each size and edit.")
@click.option("--characters", "sizes", type=int, multiple=True, default=(1_400, 20_000), show_default=True, help="Sizes of bodies.")
def main(articles: int, sizes: tuple[int, ...]) -> None:
    """Measure the classification of changes and the diff that an alert shows, and print a table."""
    rules = build_change_rules(Settings())
    print("| characters | edit | classification | diff of an alert |\n|---:|---|---:|---:|")
    for size in sizes:
        bodies, another = (language.make_bodies(language.korean(), range(n, n + articles), size) for n in (1, 1 + articles))
        for edit, edited in _edits(bodies, another).items():
            pairs = [(was, edited(n)) for n, was in enumerate(bodies)]
            begun = time.process_time()
            for was, now in pairs:
                classify_change(PageState("제목", was, METADATA), PageState("제목", now, METADATA), PageHistory(), rules)
            judged = time.process_time()
            for was, now in pairs:
                render.as_json(render.fold_unchanged(diff.compare(diff.clean(was), diff.clean(now))))
            spent = (judged - begun, time.process_time() - judged)
            print(f"| {size:,} | {edit} | {spent[0] / articles * 1e6:,.0f} µs | {spent[1] / articles * 1e6:,.0f} µs |", flush=True)


if __name__ == "__main__":
    main()
