"""One of several processes that rewrite files of a crawl directory: `python -m tests.builders.rewriter CRAWL WRITER FIRST`."""

from __future__ import annotations

import os
import random
import sys
from functools import cache

from tests.builders.crawl import ArticleFile, words

WRITERS = 8
PATHS = 200
TIMES = 150
"""Versions that each process writes."""


@cache
def _text_of(place: int) -> str:
    return " ".join(words(random.Random(place), 200))


def version(place: int, writer: int, n: int) -> ArticleFile:
    """Return the `n`th version of a writer. Its text names the writer."""
    body = f"기사 {place}의 {writer}번 필자 {n}판. {_text_of(place)} 끝 {n}"
    crawled_at = f"2026-03-02 {n // 60 % 24:02}:{n % 60:02}:{writer:02}"
    return ArticleFile(body=body, aid=f"{place:010d}", title=f"기사 {place}", crawled_at=crawled_at)


def rewrite(crawl: str, writer: int, first: int) -> None:
    """Write `TIMES` versions from `first` on: to its own files in place, or over any file by renaming. Each takes two writes."""
    rng = random.Random(writer * 10_000 + first)
    for n in range(first, first + TIMES):
        by_rename = rng.random() < 0.3
        place = rng.randrange(PATHS) if by_rename else rng.randrange(PATHS // WRITERS) * WRITERS + writer
        text = version(place, writer, n).render().encode()
        path = f"{crawl}/{place % 5}/{place}.md"
        cut = rng.randrange(len(text))
        with open(f"{path}.{writer}" if by_rename else path, "wb", buffering=0) as file:
            file.write(text[:cut])
            file.write(text[cut:])
        if by_rename:
            os.rename(f"{path}.{writer}", path)


if __name__ == "__main__":
    rewrite(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
