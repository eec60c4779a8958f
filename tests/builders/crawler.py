"""A crawler in its own process: `python -m tests.builders.crawler CRAWL SEED [whole]`.

It reads numbers of steps from standard input, one per line, prints the total number of steps after each step, and ends with the input.
Each step writes a new page, a later crawl of a page or a near copy of one. Without `whole` it also overwrites, renames and deletes files.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice

from tests.builders.crawl import ArticleFile, words

MOST = 4000
"""Number of steps, at most."""
PAUSE = 0.015
"""Seconds between two steps."""
FOLDERS = 7
MAX_DERIVED = 3
"""Later crawls and copies of one page, at most. With more, its passages become boilerplate, which depends on the order of arrival.
Each has one word replaced, so all of them match clearly."""


def article(seed: int, number: int) -> ArticleFile:
    """Return the `number`th article: a new page, a later crawl of an earlier page, or a near copy of one at another publisher."""
    return _made(seed)[number]


@cache
def _made(seed: int) -> list[ArticleFile]:
    rng = random.Random(seed)
    articles: list[ArticleFile] = []
    originals: list[ArticleFile] = []
    for number in range(MOST):
        crawled = f"2026-03-{2 + number // 1440:02} {number // 60 % 24:02}:{number % 60:02}:00"
        choice = rng.random()
        if choice < 0.4 or not originals:
            body = " ".join([f"{number}번", *words(rng, 80)])
            articles.append(ArticleFile(body=body, aid=f"{number:010d}", title=f"기사 {number}", crawled_at=crawled))
            originals += [articles[-1]] * MAX_DERIVED
            continue
        original = originals.pop(rng.randrange(len(originals)))
        text = original.body.split()
        text[rng.randrange(1, len(text))] = words(rng, 1)[0]
        other = ArticleFile(oid="902", aid=f"{number:010d}", title=original.title) if choice < 0.7 else original
        articles.append(replace(other, body=" ".join(text), crawled_at=crawled))
    return articles


def lay(crawl: str, seed: int, *, whole: bool) -> Iterator[int]:
    """Write articles one by one. Yields the number of steps so far."""
    rng = random.Random(seed + 1)
    paths: list[str] = []
    for number in range(MOST):
        path, choice = f"{crawl}/{rng.randrange(FOLDERS)}/{number}.md", rng.random()
        if paths and not whole and choice < 0.5:
            other = paths.pop(rng.randrange(len(paths)))
            if choice < 0.25:
                path = other
            elif choice < 0.35:
                os.unlink(other)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(other, f"{path}.moved.md")
                paths.append(f"{path}.moved.md")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, article(seed, number).render().encode(), by_rename=rng.random() < 0.5)
        paths.append(path)
        yield number + 1


def _write(path: str, text: bytes, *, by_rename: bool) -> None:
    cut = len(text) // 2
    with open(f"{path}.part" if by_rename else path, "wb", buffering=0) as file:
        file.write(text[:cut])
        file.write(text[cut:])
    if by_rename:
        os.rename(f"{path}.part", path)


if __name__ == "__main__":
    steps = lay(sys.argv[1], int(sys.argv[2]), whole="whole" in sys.argv[3:])
    for line in sys.stdin:
        for total in islice(steps, int(line)):
            sys.stdout.write(f"{total}\n")
            sys.stdout.flush()
            time.sleep(PAUSE)
