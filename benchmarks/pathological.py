"""`python -m benchmarks.pathological`: files made to be slow, at 1, 2, 4, … MB, through the whole program.

What is looked for is growth: a file twice as large should take twice as long. The column `growth` is the exponent between the two
largest sizes (1: linear, 2: square). Processor time is measured, so that a busy machine does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import click

from dedup.cli import main as dedup

MEGABYTE = 1_000_000
ADDRESS_SPACE = 16 << 30
Filling = Callable[[int], bytes]


def _repeated(unit: str, encoding: str = "utf-8") -> Filling:
    raw = unit.encode(encoding)
    return lambda size: raw * (size // len(raw))


def _article(filling: Filling, part: str = "body") -> Filling:
    """An article with the filling as its body, title, author, URL or as a value of its own; it claims what it is not, by a digest
    that six recipes could have made."""

    def made(size: int) -> bytes:
        filled = filling(size)
        values = {"title": b"t", "author": b"a", "url": b"https://hostile.example/1", "extra": b"x", "body": b"b"}
        values[part] = filled
        lines = [
            b"oid: 901",
            b"aid: 1",
            b"crawled_at: 2026-03-02 00:30:00",
            b"published_at: 2026-03-02 09:00",
            b"publisher: p",
        ]
        lines += [b'title: "' + values["title"] + b'"', b"author: " + values["author"], b"url: " + values["url"]]
        lines += [b"note: " + values["extra"], b"content_hash: " + hashlib.md5(b"another").hexdigest().encode()]
        head = b"---\n" + b"\n".join(lines) + b"\n---\n\n# " + values["title"] + b"\n\n**p** | 2026-03-02 09:00 | \n\n---\n\n"
        return head + values["body"] + b"\n\n---\n\n*Crawled at: 2026-03-02 00:30:00*\n"

    return made


def _after(head: bytes, filling: Filling) -> Filling:
    return lambda size: head + filling(size)


def _noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(i.to_bytes(8, "little")).digest() for i in range(size // 32))


def _wide(size: int) -> bytes:
    """Letters without any repetition."""
    return b"".join(("%x" % (i * 0x9E3779B97F4A7C15 % (1 << 64))).encode() for i in range(size // 16))


def _words(seed: int) -> Filling:
    """Sentences of words, numbers, names and line ends drawn at random: of two seeds hardly any is the same."""

    def made(size: int) -> bytes:
        drawn = random.Random(seed)
        words = [
            f"{'가나다라마바사아자차카타파하'[drawn.randrange(14)]}{drawn.randrange(4096):x}{end}"
            for end in "은을에 요다.,"
            for _ in range(500)
        ]
        words += [f"{drawn.randrange(10_000):,}원", "“그렇다”고", "김바다 의원", "Ada Kestrel", "not", "않았다.\n", "말했다. "] * 50
        sentences = [" ".join(drawn.choices(words, k=drawn.randrange(3, 30))) for _ in range(size // 60)]
        return " ".join(sentences).encode()[:size].decode("utf-8", "ignore").encode()

    return made


CASES: dict[str, Filling] = {
    "rules": _after(b"---\n", _repeated("---\n")),
    "body of rules": _article(_repeated("\n\n---")),
    "body of &": _article(_repeated("&")),
    "body of &amp;": _article(_repeated("&amp;")),
    "body of &amp;amp;": _article(_repeated("&ampamp;amp;#")),
    "body of &#": _article(_repeated("&#1")),
    "body of &#x": _article(lambda size: b"&#x" + b"f" * size),
    "one line": _article(_repeated("word 가나 ")),
    "one word": _article(_repeated("가나다라마")),
    "one letter": _article(_repeated("a")),
    "unlike letters": _article(_wide),
    "marks": _article(_after("가".encode(), _repeated("\u0301\u0323"))),
    "marks that unfold": _article(_after("가".encode(), _repeated("\u0344\u0f73"))),
    "Hangul in parts": _article(_repeated("\u1112\u1161\u11ab")),
    "letters that unfold": _article(_repeated("ﬁİ")),
    "quotation marks": _article(_repeated("“a ")),
    "header of keys": _after(b"---\n", _repeated("key: value\n")),
    "header of different keys": _after(b"---\n", lambda size: b"".join(b"k%d: v\n" % i for i in range(size // 12))),
    "header of lines": _after(b"---\n", _repeated("x\n")),
    "header and rules": _after(b"---\n", lambda size: b"key: value\n" * (size // 11) + b"---\n\n# t\n" * 30),
    "comments": _article(_repeated("\n\n---\n\n## 댓글 (1)")),
    "brackets": _article(_repeated("[[((<<")),
    "markup": _article(_repeated("<!-- ")),
    "carriage returns": _after(b"---\r", _repeated("\r")),
    "body of carriage returns": _article(_repeated("\r")),
    "words": _article(_words(1)),
    "lines of words": _article(lambda size: _words(2)(size).replace(b" ", b"\n")),
    "one line of words": _article(lambda size: _words(3)(size).replace(b"\n", b"").replace(b". ", b" ")),
    "links": _article(_repeated('* [a](https://a.example/b "c")\n[](')),
    "headings": _article(lambda size: b"".join(b"# Heading %x\n" % (n * 0x9E3779B97F4A7C15 % (1 << 64)) for n in range(size // 27))),
    "blanks": _article(lambda size: b"a" + b" " * size + b"z"),
    "NULs": _after(b"---\n", _repeated("\0")),
    "body of NULs": _article(_repeated("\0")),
    "byte order marks": _article(_repeated("\ufeff")),
    "UTF-16": lambda size: _article(_repeated("가나다 "))(size // 2).decode().encode("utf-16"),
    "CP949 garbage": _after(b"---\n", _repeated("뷁", "cp949")),
    "noise": _after(b"---\n", _noise),
    "URL": _article(_after(b"https://hostile.example/", _repeated("a")), part="url"),
    "URL of parameters": _article(_after(b"https://hostile.example/?", _repeated("a=1&amp;")), part="url"),
    "URL of %25": _article(_after(b"https://hostile.example/%", _repeated("25")), part="url"),
    "title": _article(_repeated("제목 "), part="title"),
    "author": _article(_repeated("김 기자\n\t"), part="author"),
    "other value": _article(_repeated("value: x\n"), part="extra"),
}


def steps(folder: Path, filling: Filling, size: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name, command line) of every command that meets a file's content: on two crawls of a page that differ at both ends of the
    body, another page like the one, and a third crawl that shows quite another text."""
    crawl = folder / "crawl"
    crawl.mkdir()
    (folder / "config.toml").write_text(
        f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\nmax_file_bytes = {2 * size + MEGABYTE}\n', encoding="utf-8"
    )
    content = filling(size)
    (crawl / "a.md").write_bytes(content)
    yield "scan", ("scan",)
    yield "verify", ("verify", "crawl")
    end = b"\n\n---\n\n*Crawled"
    later = content.replace(b"02 00:30:00", b"03 00:30:00").replace(end, b" end" + end).replace(b" | \n\n---\n\n", b" | \n\n---\n\nbegin ")
    (crawl / "b.md").write_bytes(later)
    (crawl / "c.md").write_bytes(content.replace(b"aid: 1", b"aid: 2").replace(b"example/1", b"example/2").replace(end, b" other" + end))
    yield "scan again", ("scan",)
    yield "changes", ("changes", "-f", "json")
    another = _article(_words(9))(size).replace(b"02 00:30:00", b"04 00:30:00")
    (crawl / "d.md").write_bytes(another)
    yield "scan of another text", ("scan",)
    yield "diff to another text", ("diff", "crawl/a.md", "-f", "json")
    yield "similar", ("similar", "crawl/c.md", "-f", "json")
    yield "why", ("why", "crawl/a.md", "crawl/c.md", "-f", "json")
    yield "diff", ("diff", "crawl/a.md", "-f", "json")
    yield "history", ("history", "crawl/a.md", "-f", "json")
    yield "duplicates", ("duplicates", "--pairs", "--passages", "-f", "json")
    yield "dump", ("dump", "--logical")


def measure(name: str, size: int) -> None:
    """Run the commands in this process; a line of JSON for each: name, exit code, seconds of processor time, MiB at most."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for step, args in steps(Path(folder), CASES[name], size):
            begun = time.process_time()
            code = _run(*args)
            told = step, code, time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps(told), flush=True)


def _run(*args: str) -> int:
    with mock.patch.object(sys, "argv", ["dedup", *args]), open(os.devnull, "wb") as nowhere:
        out = io.TextIOWrapper(nowhere, encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                dedup()
            except SystemExit as left:
                return int(left.code or 0)


def measured(name: str, size: int, limit: int) -> dict[str, tuple[int, float, float]]:
    """Step → (exit code, seconds, MiB), of a process that may not take more than `limit` bytes of address space."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
    code += f"from benchmarks.pathological import measure; measure({name!r}, {size})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter
    taken = {step: (left, seconds, memory) for step, left, seconds, memory in map(json.loads, done.stdout.splitlines())}
    if done.returncode:
        sys.exit(f"{name}, {size} bytes, after {', '.join(taken) or 'nothing'}: {done.stderr[-600:]}")
    return taken


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--megabytes", "sizes", type=int, multiple=True, default=(1, 2, 4, 8), show_default=True, help="Sizes of files.")
@click.option("--only", multiple=True, metavar="WORD", help="Only the cases with this in their name.")
@click.option("--limit", type=int, default=16, show_default=True, help="GiB of address space a process may take.")
def main(sizes: tuple[int, ...], only: tuple[str, ...], limit: int) -> None:
    """Measure how the commands grow with files made to be slow, and print a table."""
    print(f"| file | command | {' | '.join(f'{size} MB' for size in sizes)} | growth | memory |")
    print("|---|---|" + "---:|" * (len(sizes) + 2))
    for name in CASES:
        if only and not any(word in name for word in only):
            continue
        taken = {size: measured(name, size * MEGABYTE, limit << 30) for size in sizes}
        for step in taken[sizes[0]]:
            seconds = [taken[size][step][1] for size in sizes]
            growth = (
                f"{math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2]):.2f}"
                if len(sizes) > 1 and seconds[-2] > 0.5
                else ""
            )
            cells = " | ".join(f"{s:.2f} s" for s in seconds)
            print(f"| {name} | {step} | {cells} | {growth} | {taken[sizes[-1]][step][2]:,.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
