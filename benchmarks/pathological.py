"""`python -m benchmarks.pathological`: files made to be slow, at 1, 2, 4, … MB, through the whole program.

Nothing here is a promise of speed: what is looked for is growth. A file twice as large should take twice as long; the column
`growth` is the exponent between the two largest sizes (1: linear, 2: square), start-up subtracted.
"""

from __future__ import annotations

import hashlib
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

MEGABYTE = 1_000_000
ADDRESS_SPACE = 16 << 30
Filling = Callable[[int], bytes]


def _repeated(unit: str, encoding: str = "utf-8") -> Filling:
    raw = unit.encode(encoding)
    return lambda size: raw * (size // len(raw))


def _article(filling: Filling, *, part: str = "body", claim: bool = True, page: str = "1") -> Filling:
    """An article with the filling as its body, title, author, URL or as a value of its own."""

    def made(size: int) -> bytes:
        filled = filling(size)
        values = {"title": b"t", "author": b"a", "url": f"https://hostile.example/{page}".encode(), "extra": b"x", "body": b"b"}
        values[part] = filled
        lines = [
            b"oid: 901",
            b"aid: " + page.encode(),
            b"crawled_at: 2026-03-02 00:30:00",
            b"published_at: 2026-03-02 09:00",
            b"publisher: p",
        ]
        lines += [b'title: "' + values["title"] + b'"', b"author: " + values["author"], b"url: " + values["url"]]
        lines += [b"note: " + values["extra"]]
        if claim:
            lines += [b"content_hash: " + hashlib.md5(b"another").hexdigest().encode()]
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


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command took: seconds, MiB at most, and what it left with."""

    seconds: float
    memory: float
    code: int
    said: str


def run(folder: Path, *args: str, limit: int = ADDRESS_SPACE, patience: float = 900) -> Ran:
    """`dedup ARGS` in a process of its own that may not take more than `limit` bytes of address space."""
    begun = time.monotonic()
    with (folder / "told").open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "dedup", *args],
            cwd=folder, stdout=told, stderr=subprocess.STDOUT, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )  # fmt: skip
        killer = None
        try:
            deadline = begun + patience
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if time.monotonic() > deadline:
                    process.kill()
                time.sleep(0.02)
        finally:
            del killer
    process.returncode = os.waitstatus_to_exitcode(status)
    said = (folder / "told").read_bytes()[-300:].decode("utf-8", "replace")
    return Ran(time.monotonic() - begun, usage.ru_maxrss / 1024, process.returncode, said)


def measure(folder: Path, filling: Filling, size: int) -> Iterator[tuple[str, Ran]]:
    """Every command that meets a file's content, on two crawls of a page that differ at one end, and another page alike."""
    crawl = folder / "crawl"
    crawl.mkdir()
    (folder / "config.toml").write_text(
        f'[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\nmax_file_bytes = {size + MEGABYTE}\n', encoding="utf-8"
    )
    content = filling(size)
    (crawl / "a.md").write_bytes(content)
    yield "scan", run(folder, "scan")
    yield "verify", run(folder, "verify", "crawl")
    (crawl / "b.md").write_bytes(
        content.replace(b"02 00:30:00", b"03 00:30:00")
        .replace(b"\n\n---\n\n*", b" end\n\n---\n\n*")
        .replace(b"---\n\n", b"---\n\nbegin ", 2)
    )
    (crawl / "c.md").write_bytes(
        content.replace(b"aid: 1", b"aid: 2").replace(b"example/1", b"example/2").replace(b"\n\n---\n\n*", b" other\n\n---\n\n*")
    )
    yield "scan again", run(folder, "scan")
    yield "similar", run(folder, "similar", "crawl/c.md", "-f", "json")
    yield "why", run(folder, "why", "crawl/a.md", "crawl/c.md", "-f", "json")
    yield "history", run(folder, "history", "crawl/a.md", "-f", "json")
    yield "diff", run(folder, "diff", "crawl/a.md", "-f", "json")
    yield "pairs", run(folder, "duplicates", "--pairs", "--passages", "-f", "json")
    yield "dump", run(folder, "dump", "--logical")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--megabytes", "sizes", type=int, multiple=True, default=(1, 2, 4, 8, 16, 32, 50), show_default=True)
@click.option("--only", multiple=True, help="Only the cases with this in their name.")
def main(sizes: tuple[int, ...], only: tuple[str, ...]) -> None:
    """Measure how commands grow with files made to be slow, and print a table."""
    with tempfile.TemporaryDirectory() as empty:
        idle = min(run(Path(empty), "verify", "nothing").seconds for _ in range(3))
    for name, filling in CASES.items():
        if only and not any(o in name for o in only):
            continue
        taken: dict[str, dict[int, Ran]] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory() as folder:
                for command, ran in measure(Path(folder), filling, size * MEGABYTE):
                    taken.setdefault(command, {})[size] = ran
        for command, rans in taken.items():
            *_, x, y = (0, *rans)
            growth = ""
            if x and rans[y].seconds - idle > 1:
                growth = f"{math.log(max(rans[y].seconds - idle, 0.01) / max(rans[x].seconds - idle, 0.01)) / math.log(y / x):.2f}"
            shown = " ".join(f"{r.seconds:8.2f}" for r in rans.values())
            bad = [r for r in rans.values() if r.code not in (0, 1, 2, 3) or "Traceback" in r.said]
            print(
                f"{name:<26} {command:<11} {shown}  {max(r.memory for r in rans.values()):7.0f} MiB  {growth:>5} "
                f"{[r.code for r in rans.values()]} {ascii(bad[0].said[-200:]) if bad else ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
