"""`python -m benchmarks.pathological`: files crafted to be slow, through the whole program.

`growth` measures every command at 1, 2, 4, … MB: a file twice as large should take twice as long. Its column `growth` is the exponent
between the two largest sizes (1: linear, 2: quadratic).

`limit` measures files of the default `max_file_bytes` against two limits: seconds of processor time of one command, and seconds of
processor time between two heartbeats. Each command is a process of its own, so the start of Python counts too.

`batch` measures several pages with similar texts that arrive together.

Times are processor time, which other processes hardly affect.
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
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click

from dedup.cli import main as dedup
from dedup.runtime import heartbeat

MEGABYTE = 1_000_000
ADDRESS_SPACE = 16 << 30
Filling = Callable[[int], bytes]


def _repeated(unit: str, encoding: str = "utf-8") -> Filling:
    raw = unit.encode(encoding)
    return lambda size: raw * (size // len(raw))


def _article(filling: Filling, part: str = "body") -> Filling:
    """An article with the filling as its body, title, author, URL or another value. Its digest is wrong, of a length that six recipes
    have."""

    def made(size: int) -> bytes:
        filled = filling(size)
        values = {"title": b"t", "author": b"a", "url": b"https://hostile.example/1", "extra": b"x", "body": b"b", "publisher": b"p"}
        values |= {"published": b"2026-03-02 09:00", "oid": b"901", "claim": hashlib.md5(b"another").hexdigest().encode()}
        values[part] = filled
        lines = [
            b"oid: " + values["oid"],
            b"aid: 1",
            b"crawled_at: 2026-03-02 00:30:00",
            b"published_at: " + values["published"],
            b"publisher: " + values["publisher"],
        ]
        lines += [b'title: "' + values["title"] + b'"', b"author: " + values["author"], b"url: " + values["url"]]
        lines += [b"note: " + values["extra"], b"content_hash: " + values["claim"]]
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
    """Sentences of words, numbers, names and line ends drawn at random. Two seeds have hardly any sentence in common."""

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


def _drawn(vocabulary: list[str], seed: int, between: str = " ") -> Filling:
    """Words drawn at random from a vocabulary."""

    def made(size: int) -> bytes:
        width = sum(len(word.encode()) for word in vocabulary) / len(vocabulary) + len(between)
        return between.join(random.Random(seed).choices(vocabulary, k=int(size / width))).encode()

    return made


def _period(words: int) -> Filling:
    """A stretch of numbered words, repeated."""
    return _repeated(" ".join(f"n{number:x}" for number in range(words)) + ". ")


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
    "one header line": _after(b"---\n", _repeated("x")),
    "other value of colons": _article(_repeated(": "), part="extra"),
    "title of quotation marks": _article(_repeated('\\"'), part="title"),
    "title of brackets": _article(_repeated("[1] "), part="title"),
    "nested brackets": _article(lambda size: b"[" * (size // 2) + b"]" * (size // 2)),
    "nested Hangul": _article(lambda size: "(나".encode() * (size // 5) + b")" * (size // 5)),
    "nested quotations": _article(lambda size: "“나 ".encode() * (size // 14) + "” ".encode() * (size // 8)),
    "kinds of quotation marks": _article(_repeated("『“「'‘\"")),
    "quoted words": _article(_repeated("“나” ")),
    "references of digits": _article(lambda size: b"&#" + b"7" * size + b";"),
    "references without end": _article(_repeated("&#x1F916")),
    "references to nothing": _article(_repeated("&#x110000;&#0;")),
    "beginnings of names": _article(_repeated("&DoubleLongLeftRightArro")),
    "names without end": _article(_repeated("&ampere&notit&copysign ")),
    "one syllable": _article(_repeated("나")),
    "unlike syllables": _article(_drawn([chr(code) for code in range(0xAC00, 0xD7A4)], 4, "")),
    "one letter a line": _article(_repeated("b\n")),
    "letters in lines": _article(_drawn(list("bcdfghjklmnpqrstvwxz"), 5, "\n")),
    "words in lines": _article(_drawn([f"w{number}" for number in range(30)], 6, "\n")),
    "one mark": _article(_after("나".encode(), _repeated("\u0301"))),
    "marks of many classes": _article(_drawn([chr(code) for code in range(0x300, 0x34F)], 7, "")),
    "marks on letters": _article(_repeated("q\u0323\u0307" + "\u0300" * 25)),
    "marks of Tibetan": _article(_repeated("\u0f71\u0f72\u0f74\u0f80")),
    "joiners": _article(_repeated("\u200c\u200d\u2060")),
    "emoji": _article(_repeated("👨\u200d👩\u200d👧")),
    "flags": _article(_repeated("🇰🇷")),
    "controls of direction": _article(_repeated("\u202d\u2067\u202c")),
    "hard blanks": _article(_after(b"a", _repeated("\u00a0\u3000"))),
    "tabs and line ends": _article(_after(b"a", _repeated("\n\t "))),
    "line ends": _article(_after(b"a", _repeated("\n"))),
    "unusual line ends": _article(_repeated("\x0c\x85\u2028\u2029b")),
    "short sentences": _article(_repeated("b. ")),
    "ends of sentences": _article(_repeated("! ")),
    "dots": _article(_repeated(".")),
    "questions": _article(_repeated("!?")),
    "one number": _article(_repeated("7")),
    "numbers": _article(_repeated("7,")),
    "dates": _article(_repeated("2027-08-09 ")),
    "amounts": _article(_repeated("3억 5천만원 ")),
    "corrections": _article(_repeated("[정정] ")),
    "openings of corrections": _article(_repeated("(바로잡습니다: ")),
    "corrections in English": _article(_repeated("Corrected: ")),
    "error pages": _article(_repeated("404 not found ")),
    "lines of crawls": _article(_repeated("*Crawled at: 2027-08-09 10:11:12*\n")),
    "lines of sources": _article(_repeated("*Source: [h](http://h.example/)*\n")),
    "title blocks": _article(_repeated("**P** | 2027 | \n\n---\n\n")),
    "lists of comments": _article(_repeated("- **b** (2027-08-09): c\n")),
    "credits": _article(_repeated("사진=한빛 제공\n")),
    "time stamps": _article(_repeated("입력 2027-08-09 10:11\n")),
    "names": _article(_repeated("김바다 의원 ")),
    "negations": _article(_repeated("하지 않았다 ")),
    "capitals": _article(_repeated("a Bcd Efg ")),
    "URL of folders": _article(_after(b"https://hostile.example/", _repeated("b/../")), part="url"),
    "URL of hosts": _article(lambda size: b"https://" + b"b." * (size // 2) + b"example/", part="url"),
    "URL of users": _article(lambda size: b"https://" + b"b@" * (size // 2) + b"example/", part="url"),
    "URL of trackers": _article(_after(b"https://hostile.example/?", _repeated("utm_b=2&")), part="url"),
    "authors": _article(_repeated("이기자 · b@c.example, "), part="author"),
    "publisher": _article(_repeated("물빛"), part="publisher"),
    "time": _article(_repeated("2027-08-09 "), part="published"),
    "time of digits": _article(_repeated("7"), part="published"),
    "claim": _article(_repeated("b"), part="claim"),
    "claim of names": _article(_repeated("md5:"), part="claim"),
    "id": _article(_repeated("7"), part="oid"),
    "four words": _article(_drawn(["나무", "물", "바다", "하늘빛"], 8)),
    "hundred words": _article(_drawn([f"v{number}" for number in range(100)], 9)),
    "many words": _article(_drawn([f"v{number}" for number in range(40_000)], 10)),
    "short period": _article(_period(150)),
    "long period": _article(_period(1_600)),
    "periods of periods": _article(lambda size: (_period(40)(4_000) + b"z" + _period(41)(4_000)) * (size // 8_000)),
    "wide forms": _article(_repeated("Ｂ２")),
    "ligatures": _article(_repeated("\ufdfa")),
    "Hangul in parts without a vowel": _article(_repeated("\u1112\u11ab\u1161")),
    "Latin-1": _after(_article(_repeated("b"))(2_000).split(b"b" * 2_000)[0], lambda size: b"\xe9b " * (size // 3)),
    "damaged UTF-8": _after(_article(_repeated("b"))(2_000).split(b"b" * 2_000)[0], lambda size: b"\xea\xe9\x9f\xb0" * (size // 4)),
    "CP949": _after(_article(_repeated("b"))(2_000).split(b"b" * 2_000)[0], _repeated("나무들 ", "cp949")),
    "elements": _article(_repeated("<p>")),
    "openings of links": _article(_repeated("[b](")),
    "openings of pictures": _article(_repeated("![")),
    "backslashes": _article(_repeated("\\")),
    "backquotes": _article(_repeated("`")),
    "asterisks": _article(_repeated("*")),
    "underscores": _article(_repeated("_b")),
    "bars": _article(_repeated("|")),
    "addresses": _article(_repeated("b.c@d.example ")),
}


def steps(folder: Path, filling: Filling, size: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return (name, command line) of every command that reads a file's content: for two crawls of a page that differ at both ends of
    the body, another page like the first, and a third crawl with a quite different text."""
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
    """Run the commands in this process. Print a line of JSON for each: name, exit code, seconds of processor time, peak MiB."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for step, args in steps(Path(folder), CASES[name], size):
            begun = time.process_time()
            code = _run(*args)
            figures = step, code, time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps(figures), flush=True)


def _run(*args: str) -> int:
    with mock.patch.object(sys, "argv", ["dedup", *args]), open(os.devnull, "wb") as nowhere:
        out = io.TextIOWrapper(nowhere, encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                dedup()
            except SystemExit as left:
                return int(left.code or 0)


def measured(name: str, size: int, limit: int) -> dict[str, tuple[int, float, float]]:
    """Return step → (exit code, seconds, MiB) of a process with at most `limit` bytes of address space."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))\n"
    code += f"from benchmarks.pathological import measure; measure({name!r}, {size})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - this interpreter
    taken = {step: (left, seconds, memory) for step, left, seconds, memory in map(json.loads, done.stdout.splitlines())}
    if done.returncode:
        sys.exit(f"{name}, {size} bytes, after {', '.join(taken) or 'nothing'}: {done.stderr[-600:]}")
    return taken


LIMIT_SECONDS = 10.0
"""Seconds of processor time for one command and one file of the default `max_file_bytes`, at most."""
LIMIT_SILENCE = 5.0
"""Seconds of processor time between two heartbeats, at most."""
_END = b"\n\n---\n\n*Crawled"


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one command: exit code, seconds of processor time, the most of them between two heartbeats, MiB of memory."""

    code: int
    seconds: float
    silence: float
    memory: float


def page(content: bytes, number: int, day: int, begin: bytes = b"", end: bytes = b"") -> bytes:
    """Return an article of `CASES` as another page, or crawled on another day, with text before and after its body."""
    made = content.replace(b"02 00:30:00", b"%02d 00:30:00" % day).replace(b"example/1", b"example/%d" % number)
    made = made.replace(b"\naid: 1\n", b"\naid: %d\n" % number).replace(b" | \n\n---\n\n", b" | \n\n---\n\n" + begin, 1)
    head, found, foot = made.rpartition(_END)
    return head + end + found + foot if found else made + end


def crawls(folder: Path, filling: Filling, size: int, *, reading: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return (name, command line): a page is crawled, crawled later with its text slightly changed, another page has a similar text,
    and the first page shows a quite different one. With `reading`, commands and pages that show these follow; `GET` is a page of the
    dashboard."""
    crawl, content = folder / "crawl", filling(size)
    crawl.mkdir()
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', encoding="utf-8")
    (crawl / "a.md").write_bytes(content)
    yield "first crawl", ("scan",)
    (crawl / "b.md").write_bytes(page(content, 1, 3, b"begin ", b" end"))
    yield "second crawl", ("scan",)
    (crawl / "c.md").write_bytes(page(content, 2, 3, b"start ", b" finish"))
    yield "another page", ("scan",)
    if reading:
        yield "diff", ("diff", "crawl/a.md", "--format", "unified")
        yield "why", ("why", "crawl/a.md", "crawl/c.md")
        yield "similar", ("similar", "crawl/c.md")
        yield "verify", ("verify", "crawl")
        yield "search", ("search", "begin")
        for view in ("page", "compare", "compare?view=sides", "pair"):
            yield view, ("GET", view)
    (crawl / "d.md").write_bytes(page(_article(_words(9))(size), 1, 4))
    yield "another text", ("scan",)
    if reading:
        yield "diff to another text", ("diff", "crawl/a.md", "--format", "unified")


def batch(folder: Path, filling: Filling, size: int, pages: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return (name, command line) for scanning several pages with similar texts at once."""
    (folder / "crawl").mkdir()
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', encoding="utf-8")
    for number in range(1, pages + 1):
        made = page(filling(size), number, 2, b"begin %d " % number, b" end %d" % number)
        (folder / "crawl" / f"{number}.md").write_bytes(made)
    yield f"{pages} pages", ("scan",)


def alone(*args: str) -> None:
    """Run one command in this process and print its `Cost` as JSON."""
    begun = last = time.process_time()
    silence = 0.0

    def listen() -> None:
        nonlocal last, silence
        now = time.process_time()
        silence, last = max(silence, now - last), now

    with heartbeat.listen_to_beats(listen):
        code = _asked(args[1]) if args[0] == "GET" else _run("--quiet", *args)
    listen()
    print(json.dumps((code, last - begun, silence, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)), flush=True)


def _asked(view: str) -> int:
    """Request a view of the pages of `crawls` from the dashboard; 0 for a response."""
    from starlette.testclient import TestClient

    from dedup.config import load
    from dedup.web.app import create_app

    view, _, how = view.partition("?")
    with contextlib.closing(sqlite3.connect("dedup.db")) as database:
        urls = [url for (url,) in database.execute("SELECT url FROM pages ORDER BY id")]
    asked = {"a": urls[0], "b": urls[-1]} if view == "pair" else {"url": urls[0]}
    answer = TestClient(create_app(load().settings), base_url="http://127.0.0.1:8765").get(f"/{view}?{how}", params=asked)
    return 0 if answer.status_code == 200 else answer.status_code


def costs(name: str, size: int, steps_of: Callable[[Path, Filling, int], Iterator[tuple[str, tuple[str, ...]]]]) -> dict[str, Cost]:
    """Return step → its cost. Each step runs in a process of its own."""
    found: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as folder:
        for step, args in steps_of(Path(folder), CASES[name], size):
            code = f"from benchmarks.pathological import alone; alone(*{args!r})"
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
            done = subprocess.run(  # noqa: S603 - this interpreter
                [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder, env=environment
            )
            if done.returncode:
                sys.exit(f"{name}, {size} bytes, {step}: {done.stderr[-600:]}")
            found[step] = Cost(*json.loads(done.stdout.splitlines()[-1]))
    return found


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def main(context: click.Context) -> None:
    """Measure files crafted to be slow; without a command, how the time grows."""
    if context.invoked_subcommand is None:
        context.invoke(growth)


_only = click.option("--only", multiple=True, metavar="WORD", help="Only the cases with this in their name.")


def _chosen(only: tuple[str, ...]) -> list[str]:
    return [name for name in CASES if not only or any(word in name for word in only)]


@main.command()
@click.option("--megabytes", "sizes", type=int, multiple=True, default=(1, 2, 4, 8), show_default=True, help="Sizes of files.")
@_only
@click.option("--limit", type=int, default=16, show_default=True, help="GiB of address space a process may take.")
def growth(sizes: tuple[int, ...], only: tuple[str, ...], limit: int) -> None:
    """Measure how the time of the commands grows with the size of files crafted to be slow, and print a table."""
    print(f"| file | command | {' | '.join(f'{size} MB' for size in sizes)} | growth | memory |")
    print("|---|---|" + "---:|" * (len(sizes) + 2))
    for name in _chosen(only):
        taken = {size: measured(name, size * MEGABYTE, limit << 30) for size in sizes}
        for step in taken[sizes[0]]:
            seconds = [taken[size][step][1] for size in sizes]
            exponent = (
                f"{math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2]):.2f}"
                if len(sizes) > 1 and seconds[-2] > 0.5
                else ""
            )
            cells = " | ".join(f"{s:.2f} s" for s in seconds)
            print(f"| {name} | {step} | {cells} | {exponent} | {taken[sizes[-1]][step][2]:,.0f} MiB |", flush=True)


@main.command()
@click.option("--bytes", "size", type=int, default=9_700_000, show_default=True, help="Size of the files' bodies.")
@_only
@click.option("--reading", is_flag=True, help="Measure the commands and pages that show such texts as well.")
def limit(size: int, only: tuple[str, ...], *, reading: bool) -> None:
    """Measure each case at its largest size, and print a table. Exit with 1 if a limit is exceeded."""
    passed = False
    header: list[str] = []
    for name in _chosen(only):
        taken = costs(name, size, lambda *given: crawls(*given, reading=reading))
        if not header:
            header = list(taken)
            print(f"| file | {' | '.join(header)} | longest silence | memory |")
            print("|---|" + "---:|" * (len(header) + 2))
        passed |= _print_costs(name, taken)
    sys.exit(passed)


@main.command("batch")
@click.option("--bytes", "size", type=int, default=9_700_000, show_default=True, help="Size of the files' bodies.")
@click.option("--pages", type=int, default=7, show_default=True, help="Pages with similar texts.")
@_only
def batch_(size: int, pages: int, only: tuple[str, ...]) -> None:
    """Measure pages with similar texts that arrive at once. Exit with 1 if a limit is exceeded (that of time is for each page)."""
    passed = False
    print("| file | all pages | longest silence | memory |\n|---|---:|---:|---:|")
    for name in _chosen(only):
        passed |= _print_costs(name, costs(name, size, lambda *given: batch(given[0], given[1], given[2], pages)), pages)
    sys.exit(passed)


def _print_costs(name: str, taken: dict[str, Cost], pages: int = 1) -> bool:
    """Print a row and return whether a limit is exceeded."""
    seconds = [cost.seconds for cost in taken.values()]
    silence = max(cost.silence for step, cost in taken.items() if (cost.seconds and "crawl" in step) or "page" in step or "text" in step)
    cells = [f"{s:.1f} s" + (" (!)" if s > pages * LIMIT_SECONDS else "") for s in seconds]
    cells.append(f"{silence:.1f} s" + (" (!)" if silence > LIMIT_SILENCE else ""))
    print(f"| {name} | {' | '.join(cells)} | {max(cost.memory for cost in taken.values()):,.0f} MiB |", flush=True)
    return any("(!)" in cell for cell in cells)


if __name__ == "__main__":
    main()
