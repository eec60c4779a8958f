"""A crawler that goes on whatever happens to others: `python -m tests.builders.crawler CRAWL SEED [whole]`. It does as many things as it is
told to, a number a line, tells how many it has done so far after each, and ends when it is told nothing more.

Thing by thing it lays new pages, re-crawls of pages, near copies of pages; and unless it was asked to leave everything whole it writes
over files, renames and deletes them too.
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
"""Things that it can do."""
PAUSE = 0.015
"""Seconds between two things, about."""
FOLDERS = 7
AGAIN = 3
"""Later crawls and copies of a page, at most: with more of them its passages become boilerplate, and what does, and when, goes by the
order in which they come. A word is another in each: all are well above the thresholds of a match."""


def made(seed: int, number: int) -> ArticleFile:
    """The `number`th article: a page of its own, a later crawl of an earlier one, or a near copy elsewhere."""
    return _made(seed)[number]


@cache
def _made(seed: int) -> list[ArticleFile]:
    rng = random.Random(seed)
    found: list[ArticleFile] = []
    again: list[ArticleFile] = []
    for number in range(MOST):
        crawled = f"2026-03-{2 + number // 1440:02} {number // 60 % 24:02}:{number % 60:02}:00"
        kind = rng.random()
        if kind < 0.4 or not again:
            body = " ".join([f"{number}번", *words(rng, 80)])
            found.append(ArticleFile(body=body, aid=f"{number:010d}", title=f"기사 {number}", crawled_at=crawled))
            again += [found[-1]] * AGAIN
            continue
        of = again.pop(rng.randrange(len(again)))
        text = of.body.split()
        text[rng.randrange(1, len(text))] = words(rng, 1)[0]
        other = ArticleFile(oid="902", aid=f"{number:010d}", title=of.title) if kind < 0.7 else of
        found.append(replace(other, body=" ".join(text), crawled_at=crawled))
    return found


def lay(crawl: str, seed: int, *, whole: bool) -> Iterator[int]:
    """Lay articles; gives how many there are so far, one after the other."""
    rng = random.Random(seed + 1)
    paths: list[str] = []
    for number in range(MOST):
        path, kind = f"{crawl}/{rng.randrange(FOLDERS)}/{number}.md", rng.random()
        if paths and not whole and kind < 0.5:
            other = paths.pop(rng.randrange(len(paths)))
            if kind < 0.25:
                path = other
            elif kind < 0.35:
                os.unlink(other)
            else:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.rename(other, f"{path}.moved.md")
                paths.append(f"{path}.moved.md")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(path, made(seed, number).render().encode(), by_rename=rng.random() < 0.5)
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
    things = lay(sys.argv[1], int(sys.argv[2]), whole="whole" in sys.argv[3:])
    for told in sys.stdin:
        for done in islice(things, int(told)):
            sys.stdout.write(f"{done}\n")
            sys.stdout.flush()
            time.sleep(PAUSE)
