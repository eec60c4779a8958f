"""Articles as files in a crawl directory, exactly as the crawler writes them."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpus.mixture import DAY, Article, articles, between

SETTLED = 3600
"""Seconds by which modification times are in the past, so that every file is settled."""


def _escape(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text.replace("'", "&#x27;").replace("`", "&#x60;").replace("=", "&#x3D;")


def render(article: Article) -> str:
    """Return the file's text as the crawler writes it."""
    return _rendered(article, hashlib.sha256(article.body.encode()).hexdigest())


def _rendered(article: Article, digest: str) -> str:
    title, url = _escape(article.title), _escape(article.url)
    return (
        f'---\nid: {article.oid}_{article.aid}\ntitle: "{title}"\ncategory: {article.category}\npublisher: {article.publisher}\n'
        f"author: {article.author}\npublished_at: {article.published_at}\ncrawled_at: {article.crawled_at}\nurl: {url}\n"
        f"oid: {article.oid}\naid: {article.aid}\ncontent_hash: {digest}\n---\n\n"
        f"# {title}\n\n**{article.publisher}** | {article.published_at} | {article.category}\n\n---\n\n"
        f"{_escape(article.body)}\n\n---\n\n*Crawled at: {article.crawled_at}*\n*Source: [원문 보기]({url})*\n"
    )


@dataclass(frozen=True, slots=True)
class Written:
    """Counts of `write`. `body_bytes` is the UTF-8 size of the bodies alone."""

    files: int
    folders: int
    """folders that did not exist before"""
    file_bytes: int
    body_bytes: int


def write(root: Path, made: Iterable[Article], progress: Callable[[int], None] | None = None) -> Written:
    """Write one file for each article under `root`/YYYY/MM/DD, last modified an hour ago. `progress` receives the count every 1,000
    files."""
    stamp = (time.time_ns() // 10**9 - SETTLED) * 10**9
    files = new = file_bytes = body_bytes = 0
    folders: dict[str, int] = {}
    try:
        for article in made:
            folder = article.folder
            if folder not in folders:
                if len(folders) == 8:  # descriptors kept open; at most two days are written in turn
                    os.close(folders.pop(next(iter(folders))))
                path = root / folder
                with contextlib.suppress(FileExistsError):
                    path.mkdir(parents=True)
                    new += 1
                folders[folder] = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            body = article.body.encode()
            content = _rendered(article, hashlib.sha256(body).hexdigest()).encode()
            file = os.open(article.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folders[folder])
            try:
                os.write(file, content)
                os.utime(file, ns=(stamp, stamp))
            finally:
                os.close(file)
            files += 1
            file_bytes += len(content)
            body_bytes += len(body)
            if progress is not None and files % 1000 == 0:
                progress(files)
    finally:
        for descriptor in folders.values():
            os.close(descriptor)
    return Written(files, new, file_bytes, body_bytes)


def lay_out(
    root: Path,
    number: int,
    seed: int = 1,
    kind: str = "mixed",
    *,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Written:
    """Write a corpus. Several processes write the same files as one; each writes whole days.

    A file system may create files slowly after many were deleted in the last minutes (ext4 avoids recently freed inodes): write to
    a new place, or wait.
    """
    if processes == 1 or number <= 4 * DAY:
        return write(root, articles(number, seed, kind), progress)
    sums = Written(0, 0, 0, 0)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        days = [pool.submit(_day, root, first, min(first + DAY, number), seed, kind) for first in range(0, number, DAY)]
        for day in as_completed(days):
            part = day.result()
            sums = Written(
                sums.files + part.files,
                sums.folders + part.folders,
                sums.file_bytes + part.file_bytes,
                sums.body_bytes + part.body_bytes,
            )
            if progress is not None:
                progress(sums.files)
    return sums


def _day(root: Path, first: int, last: int, seed: int, kind: str) -> Written:
    return write(root, between(first, last, seed, kind))
