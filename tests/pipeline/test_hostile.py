"""Hostile input: the laws of `tests.fuzz` for arbitrary bytes, and every command and page over a crawl full of attacks."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import feedparser
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.cli import COMMANDS
from tests.builders import scans as running
from tests.builders.command import CommandResult, command, run
from tests.builders.crawl import ArticleFile, words
from tests.builders.daemon import watching
from tests.builders.hostile import ALL, BIDI, ESCAPES, MARKUP, SECRET, TERMINAL, URLS
from tests.builders.html_pages import check as check_page
from tests.builders.html_pages import client_of
from tests.fuzz import laws
from tests.fuzz.seeds import DICTIONARY, SEEDS

pytestmark = pytest.mark.slow

# The laws


def mutated(name: str) -> st.SearchStrategy[bytes]:
    """A seed with parts replaced by keywords of the formats, random bytes, or other seeds."""
    pieces = st.one_of(st.sampled_from(DICTIONARY).map(str.encode), st.binary(max_size=6), st.sampled_from(SEEDS[name]))
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 60), pieces), min_size=1, max_size=6)

    def mix(seed: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
        for where, length, piece in edits:
            at = int(where * len(seed))
            seed = seed[:at] + piece + seed[at + length :]
        return seed[:20_000]

    return st.builds(mix, st.sampled_from(SEEDS[name]), edits)


def anything(name: str) -> st.SearchStrategy[bytes]:
    texts = st.lists(st.one_of(st.sampled_from(DICTIONARY), st.text(max_size=8)), max_size=20).map("".join)
    encodings = st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp949"])
    encoded = st.builds(
        lambda text, encoding: text.encode(encoding, "replace" if encoding == "cp949" else "surrogatepass"), texts, encodings
    )
    return st.one_of(mutated(name), encoded, encoded.map(b"---\n".__add__), st.binary(max_size=200))


QUICK = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@given(anything("reader"))
@QUICK
def test_any_file_is_a_recordable_article_or_one_fault(raw: bytes) -> None:
    laws.reader(raw)


@given(anything("urls"))
@QUICK
def test_canonicalisation_of_any_url_is_idempotent_and_hides_credentials(raw: bytes) -> None:
    laws.addresses(raw)


@given(anything("times"))
@QUICK
def test_any_time_parses_to_a_time_that_round_trips_or_to_none(raw: bytes) -> None:
    laws.clock(raw)


@pytest.mark.system
@given(anything("diffs"), anything("text"))
@QUICK
def test_the_diff_of_any_two_texts_leads_from_one_to_the_other(raw: bytes, other: bytes) -> None:
    laws.difference(raw + b"\n\n" + other)


@given(anything("text"))
@QUICK
def test_any_text_can_be_compared_and_displayed(raw: bytes) -> None:
    laws.words(raw)


REGRESSIONS = [(name, entry, raw) for name in laws.TARGETS for entry, raw in laws.found(name)]


@pytest.mark.parametrize(
    ("name", "raw"), [(name, raw) for name, _, raw in REGRESSIONS], ids=[f"{name} {entry}" for name, entry, _ in REGRESSIONS]
)
def test_an_input_that_once_broke_a_law_passes(name: str, raw: bytes) -> None:
    laws.TARGETS[name](raw)


@pytest.mark.parametrize("name", laws.TARGETS)
def test_every_fuzz_seed_passes_its_law(name: str) -> None:
    for raw in SEEDS[name]:
        laws.TARGETS[name](raw)


# The whole program

FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1", "＋1", "－1", "＠1", "=cmd|' /C calc'!A0"]


@pytest.fixture(scope="module")
def hostile_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scanned crawl with an attack in every value, and with copies, near copies, revisions and faults."""
    folder = tmp_path_factory.mktemp("hostile")
    crawl = folder / "crawl"
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[duplicates]\nboilerplate_articles = 3\n')
    rng = random.Random(7)
    story, boilerplate = words(rng, 120, korean=False), " ".join(words(rng, 40))
    for number, url in enumerate(URLS):
        formula = FORMULAS[number % len(FORMULAS)]
        body = " ".join([*(story if number % 2 else words(rng, 120)), str(number)]) + f"\n\n{ALL}\n\n{boilerplate}"
        for day in (1, 2) if number < 5 else (1,):
            article = ArticleFile(
                body=body if day == 1 else body.replace(str(number), f"{number} {ALL}"),
                title=f"{formula}{ALL}{day}",
                publisher=f"=1+1{BIDI}{MARKUP}",
                author=f"{formula}{ALL}",
                category=f"{formula}{ALL}",
                oid="901" if number != 7 else ESCAPES,
                aid=f"{number:04}",
                url=url,
                claim=f"{formula}{ALL}" if number == 3 else None,
                published_at=f"yesterday {ALL}" if number == 4 else "2026-03-02 09:00",
                crawled_at=f"2026-03-0{day} 00:30:00",
                extra=(("source_url", url), (f"via_{number}", f"https://me:{SECRET}@hostile.example/{BIDI}")),
            )
            name = os.fsencode(f"{number}{day}{formula}{ALL}".replace("/", "%").replace("\0", ""))[:200]
            directory = os.fsencode(crawl) + os.fsencode(f"/{formula[:1].strip() or 'x'}{TERMINAL}{BIDI}")
            os.makedirs(directory, exist_ok=True)
            with open(directory + b"/" + name + b"\xff.md", "wb") as file:
                file.write(article.render().encode())
    (crawl / f"fault{TERMINAL}{BIDI}.md").write_bytes(b"no article")
    assert run(folder, "scan").code == 0
    return folder


def crawl_files(folder: Path) -> list[bytes]:
    return [os.path.join(place, name) for place, _, names in os.walk(os.fsencode(folder / "crawl")) for name in names]


def command_lines(folder: Path) -> Iterator[tuple[str | bytes, ...]]:
    """Arguments for every command, over pages and files of the crawl."""
    pages = [row["url"] for row in run(folder, "duplicates", "--pairs", "-f", "json").json() for row in (row["a"], row["b"])]
    files = crawl_files(folder)
    names = [row["name"] for row in run(folder, "boilerplate", "list", "-f", "json").json()]
    assert pages
    assert names
    yield from ((name,) for name in ("init", "config"))
    yield ("sample", f"laid out {TERMINAL}")
    yield from (("completion", "bash"), ("completion", f"none {TERMINAL}"))
    yield from (("scan",), ("scan", "crawl"), ("scan", f"crawl/{TERMINAL}"))
    yield from (("verify", "crawl"), ("verify", "-v", "crawl"), ("verify", f"none{ALL.replace('/', '')}"))
    yield from (("duplicates",), ("duplicates", "--pairs"), ("duplicates", "--all-revisions"), ("duplicates", "--publisher", f"=1+1{ALL}"))
    yield from (("similar", path) for path in files[::3])
    yield from (("why", a, b) for a, b in zip(files[::4], files[1::4], strict=False))
    yield from (("why", f"https://me:{SECRET}@none.example/", files[0]), ("why", pages[0], pages[-1]))
    yield ("boilerplate", "list")
    yield from (("boilerplate", word, names[0]) for word in ("allow", "mask"))
    yield ("boilerplate", "mask", "--publisher", f"=1{ALL}", "--text", f"a passage of more than twenty letters {ALL}")
    yield from ((name, wanted) for name in ("history", "diff") for wanted in dict.fromkeys([*pages, *files[::4], *URLS]))
    yield from (
        ("changes", "--min-severity", "trivial", *more)
        for more in ((), ("--expand-incidents",), ("--url", f"*{ALL}*"), ("--publisher", ALL))
    )
    yield from (("diff", files[0], files[1], *more) for more in ((), ("--format", "unified"), ("--format", "side"), ("--format", "html")))
    yield from (("report", *more) for more in ((), ("--publisher", f"=1+1{BIDI}{MARKUP}"), ("-f", "html"), ("-f", "markdown")))
    tables = ("articles", "matches", "clusters", "changes", "keep", "drop")
    yield from (
        ("export", table, *more) for table in tables for more in ((), ("--all-revisions",), ("--prefer", ALL), ("--publisher", ALL))
    )
    yield from (("export", "articles", "-f", "parquet"), ("export", "keep", "-f", "parquet", "-o", f"laid out {TERMINAL}.parquet"))
    yield from (("search", word) for word in ("script", "alert*", '"onerror alert"', "url:hostile", "title:drop", ALL.replace("\0", "")))
    yield from (("reindex", "--search"), ("reindex", "--summaries"))
    yield ("reindex", "--changes")
    yield from (("history", f"https://me:{SECRET}@none.example/{ALL}"), ("diff", f"me:{SECRET}@none.example"))
    yield from (("status",), ("status", "--faults"))
    yield from (("reindex",), ("reindex", "--urls"), ("reindex", "--readings"))
    yield from (
        ("directories",),
        ("directories", "list"),
        ("directories", "move", "crawl", f"none {TERMINAL}{BIDI}"),
        ("directories", "retire", f"none {TERMINAL}"),
    )
    yield from (("prune", "--dry-run"), ("prune",), ("prune", "--vacuum"))
    yield ("dump", "--logical")
    yield from (("doctor",), ("doctor", "--quick"), ("doctor", "--repair"))
    yield from (("backup", f"backup {TERMINAL}{BIDI}.db"), ("restore", f"backup {TERMINAL}{BIDI}.db"), ("restore", f"none {TERMINAL}"))
    yield from (("alerts", "list"), ("alerts", "list", "--rule", f"={ALL}"), ("alerts", "show", f"none {ALL}"), ("alerts", "send"))
    yield from (("alerts", "retry", f"none {ALL}"), ("alerts", "retry", "--dead"), ("alerts", "test", f"none {ALL}"))
    yield from (("serve", f"--{TERMINAL}{BIDI}"), ("serve", "--listen", f"{ALL}:0"))  # its pages have their own test
    yield ("watch", f"--{TERMINAL}{BIDI}")  # its log has its own test


def control_characters(raw: str) -> set[str]:
    """Control and bidirectional characters: a terminal may obey them."""
    return {c for c in raw if unicodedata.category(c) in laws.STEERING and c not in "\n\u200c\u200d"}


def check_output(args: tuple[str | bytes, ...], result: CommandResult) -> None:
    output = result.out + result.err
    if "markdown" in args:
        output = output.replace("@\u2060", "@").replace("<\u2060", "<")  # they defuse mentions and HTML
    assert not control_characters(output.replace("\r\n", "\n")), (args, control_characters(output))
    assert SECRET not in output or SECRET in ascii(args), (args, output)
    assert "Traceback" not in output
    assert result.code in (0, 1, 2, 3)
    if "json" in args and args[0] != "dump" and result.out:
        json.loads(result.out)
    if "csv" in args:
        cells = [cell for row in csv.reader(io.StringIO(result.out)) for cell in row]
        assert not [c for c in cells if c.lstrip().startswith(laws.FORMULA) and not re.fullmatch(r"-?[0-9.]+", c)], args


@pytest.mark.system
def test_the_output_of_every_command_is_safe(hostile_crawl: Path) -> None:
    """Neither control or bidirectional characters nor credentials in the output, JSON that parses, CSV without formulas. A message may
    repeat an argument, but not its credentials."""
    commands: set[str] = set()
    escaped = 0
    for args in command_lines(hostile_crawl):
        commands.add(str(args[0]))
        for form in ("text", "json", "csv"):
            result = run(hostile_crawl, *args, *(() if form == "text" else ("-f", form)))
            if "is not one of" in result.err and form != "text":
                continue
            check_output((*args, form), result)
            if args[0] in ("history", "diff", "why"):
                assert SECRET not in result.out + result.err, (args, form)
            escaped += "\\x1b" in result.out or "\\u001b" in result.out
    assert commands == set(COMMANDS), "add new commands to `command_lines`"
    assert escaped > 40, "the attacks are displayed"


def test_no_credentials_are_stored(hostile_crawl: Path) -> None:
    """Neither in the database nor in the files beside it."""
    files = [path for path in hostile_crawl.iterdir() if path.name.startswith("dedup.db")]
    assert len(files) >= 2
    assert [path.name for path in files if path.is_file() and SECRET.encode() in path.read_bytes()] == []
    dump = run(hostile_crawl, "dump", "--logical").out
    assert "hostile.example" in dump
    assert "DROP TABLE" in dump


def test_a_host_with_lookalike_letters_is_shown_as_punycode(hostile_crawl: Path) -> None:
    result = run(hostile_crawl, "history", "https://аpple.example/b")
    assert result.out.startswith("https://xn--pple-43d.example/b\n")
    assert "аpple" not in result.out


@pytest.mark.system
def test_every_page_of_the_dashboard_is_safe(hostile_crawl: Path) -> None:
    """Every page for every article, with attacks in every parameter. An attack is displayed as text only."""
    with client_of(hostile_crawl) as site:
        urls = [row["url"] for row in running.dump(hostile_crawl / "dedup.db", "pages")]
        assert len(urls) > 8
        addresses = [
            "/changes?min_severity=trivial",
            "/changes?expand_incidents=1&min_severity=trivial",
            "/changes.atom",
            "/faults",
            "/status",
            f"/{quote(ALL)}",
        ]
        addresses += [f"/{view}?url={quote(url, safe='')}" for url in urls for view in ("page", "compare")]
        addresses += [f"/compare?url={quote(url, safe='')}&view=side-by-side&full=1" for url in urls]
        addresses += [f"/pair?a={quote(a, safe='')}&b={quote(b, safe='')}" for a, b in itertools.pairwise(urls)]
        for name in ("url", "cursor", "from", "view", "a", "kind", "since", "publisher", "format", ALL):
            addresses += [f"/{view}?{quote(name)}={quote(ALL, safe='')}" for view in ("page", "compare", "pair", "changes", "faults")]
        addresses += [f"/{quote(ALL)}", f"/compare?url=x&from={quote(ALL)}", f"/page?url=https://me:{SECRET}@none.example/{quote(ALL)}"]
        escaped = 0
        for address in addresses:
            response = site.get(address)
            assert response.status_code in (200, 400, 404), (address, response.text)
            assert not control_characters(response.text.replace("\r\n", "\n")), address
            assert SECRET not in response.text or SECRET in address.partition("url=")[2], address
            if response.headers["content-type"].startswith("text/html"):
                page = check_page(response.text)
                assert {e.tag for e in page.elements} <= TAGS, {e.tag for e in page.elements} - TAGS
                assert {name for e in page.elements for name in e.attributes} <= ATTRIBUTES
                assert [
                    e for e in page.elements if "alert(" in str({k: v for k, v in e.attributes.items() if k not in QUOTING_ATTRIBUTES})
                ] == []
                escaped += "&lt;script&gt;" in response.text
            elif "atom" in address:
                assert not feedparser.parse(response.content).bozo
            json_response = site.get(address + ("&" if "?" in address else "?") + "format=json")
            if "atom" not in address and "format=%" not in address:
                assert json.loads(json_response.text)
            assert not control_characters(json_response.text), address
        assert escaped > 40, "the attacks are displayed"


TAGS = frozenset(
    """html head meta title link script body a header nav ul li form label input button main footer p span code h1 h2 h3 dl div dt dd
    section table caption thead tbody tr th td time small figure figcaption svg desc line text circle ol article del ins bdi mark
    details summary select option br b""".split()  # noqa: SIM905
)
ATTRIBUTES = frozenset(
    """lang charset name content rel type href src defer class id for action method role placeholder maxlength autocomplete spellcheck value
    title datetime scope aria-label aria-labelledby aria-current aria-hidden tabindex data-label data-zone data-move data-short selected
    checked dir reversed colspan width height x y x1 y1 x2 y2 cx cy r blocking""".split()  # noqa: SIM905
)
QUOTING_ATTRIBUTES = ("href", "value", "title", "aria-label")
"""Attributes that may quote user input."""


@pytest.mark.system
@pytest.mark.parametrize("options", [(), ("--format", "json"), ("-v",)], ids=str)
def test_the_log_of_the_daemon_is_safe(hostile_crawl: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    """The daemon logs each file that arrives while it runs."""
    (tmp_path / "crawl").mkdir()
    with watching(tmp_path / "crawl", tmp_path / "dedup.db", *options) as daemon:
        shutil.copytree(hostile_crawl / "crawl", tmp_path / "crawl/come", symlinks=True)
        daemon.wait_until(lambda: daemon.recorded() > 10)
        assert daemon.leave(signal.SIGTERM) == 0
    log = daemon.log.decode()
    assert not control_characters(log)
    assert SECRET not in log
    assert "hostile.example" in log
    if "json" in options:
        assert all(json.loads(line)["message"] for line in log.splitlines())


# The crawl directory


def tree_state(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Metadata of every entry below a folder, except access times."""
    entries: dict[bytes, tuple[object, ...]] = {}
    for directory, folders, names in os.walk(os.fsencode(folder)):
        for name in (b".", *folders, *names):
            path = os.path.join(directory, name)
            stat = os.lstat(path)
            values = (stat.st_mode, stat.st_ino, stat.st_nlink, stat.st_uid, stat.st_gid, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            attributes = tuple(os.listxattr(path, follow_symlinks=False))
            entries[path] = (*values, attributes, os.readlink(path) if os.path.islink(path) else None)
    return entries


@pytest.mark.system
def test_commands_write_only_where_they_say(hostile_crawl: Path, tmp_path: Path) -> None:
    (hostile_crawl / "crawl/link.md").symlink_to(hostile_crawl / "config.toml")
    before, names_before = tree_state(hostile_crawl / "crawl"), {path.name for path in hostile_crawl.iterdir()}
    for args in command_lines(hostile_crawl):
        run(hostile_crawl, *args)
    with watching(hostile_crawl / "crawl", tmp_path / "dedup.db") as daemon:
        daemon.wait_until(lambda: daemon.recorded() > 10)
        daemon.leave()
    assert tree_state(hostile_crawl / "crawl") == before
    new_names = {path.name for path in hostile_crawl.iterdir()} - names_before
    assert {name for name in new_names if not name.startswith(("dedup.db", "laid out ", "backup "))} == set()
    assert not Path("/tmp/escaped").exists()


# Size

PATHOLOGICAL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from benchmarks.pathological import CASES, measure
for name in CASES:
    print(name, flush=True)
    measure(name, int(sys.argv[2]))
"""


@pytest.mark.system
def test_every_command_handles_files_made_to_be_slow(tmp_path: Path) -> None:
    """The process is limited to 4 GiB of address space, most of it for compiled code. `python -m benchmarks.pathological` measures how
    time and memory grow."""
    result = subprocess.run(
        [sys.executable, "-c", PATHOLOGICAL, str(4 << 30), "60000"], capture_output=True, text=True, timeout=280, check=False
    )
    assert result.returncode == 0, result.stdout[-300:] + result.stderr[-2000:]
    steps = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]
    assert len(steps) > 300
    assert {code for step, code, *_ in steps if step.startswith("scan")} == {0}
    assert {code for _, code, *_ in steps} <= {0, 1, 3}


def test_a_crawled_file_is_never_executed(crawl: Path, db: Path, tmp_path: Path) -> None:
    """Neither because it is executable nor because Python or a shell would load a file of its name."""
    marker = tmp_path / "proof"
    for name in ("a.md", "sitecustomize.py", "dedup.py", "conftest.py", "config.toml", "$(touch proof).md", "`touch proof`.md", "-rf.md"):
        path = crawl / name
        path.write_text(f"#!/bin/sh\ntouch {marker}\n")
        path.chmod(0o777)
    result = subprocess.run(command("scan", crawl, "-d", db), cwd=tmp_path, capture_output=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert not marker.exists()
    assert not (crawl / "proof").exists()
    assert {row["kind"] for row in running.dump(db, "faults")} == {"not_an_article"}
