"""The examples of the documentation are what the program prints.

A block of the language `console` whose first line is `$ dedup …` runs in a fresh copy of the sample crawl. The copy is scanned with
`--alert-on-import`, unless the block begins with `dedup scan`. Each `$` line is a command of the shell; what follows it, up to the next
one, is what it prints on standard output, then on standard error. A line `…` matches any number of lines, and `…` at the end of a
line the rest of the line. Paths of the crawl, ports, durations, sizes, random ids, and times outside the week of the sample are not
compared.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.builders.command import run
from tests.builders.project import TOP

FOLDER = "/home/minji"
"""The folder of the sample in the documentation. The sample is in `sample` below it."""
ANY_LINES = "…"
SERVING = re.compile(r"dedup (?:-\S+ )*(serve|watch)\b")
"""A command that runs until it is stopped."""
SHELL_SYNTAX = re.compile(r"[|&;<>$*?]")
"""What only a shell understands. Commands without it run in this process, which is quicker."""
_TIME = r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\+00:00|\+0000| KST)?)?"
_NOT_COMPARED = (
    (r"\d{8}T\d{6}Z", "STAMP"),
    (rf"(?!2026-03-0[1-7]){_TIME}", "TIME"),
    (r"\d+(?:\.\d+)? (?:s|seconds|ms)\b", "DURATION"),
    (r'("seconds": )[\d.]+', r"\1DURATION"),
    (r'("(?:bytes|database_bytes|index_bytes)": )\d+', r"\1SIZE"),
    (r"[\d,]+(?:\.\d+)? [kMG]?B\b", "SIZE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"(Database )[0-9a-f]{8}\b", r"\1ID"),
    (r"(accepted, id )[0-9a-f]{32}", r"\1ID"),
    (r"(database +ok: )\d+ SQLite pages", r"\1N SQLite pages"),
)


class Example(NamedTuple):
    """A command, and the lines that it prints."""

    command: str
    lines: tuple[str, ...]


class Block(NamedTuple):
    """A block of examples, and where it is."""

    place: str
    examples: tuple[Example, ...]


def blocks(path: Path) -> Iterator[Block]:
    for match in re.finditer(r"^```console\n(\$ dedup .*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        line = path.read_text("utf-8").count("\n", 0, match.start()) + 1
        examples: list[Example] = []
        for text in match[1].splitlines():
            if text.startswith("$ "):
                examples.append(Example(text.removeprefix("$ "), ()))
            else:
                examples[-1] = Example(examples[-1].command, (*examples[-1].lines, text))
        yield Block(f"{path.relative_to(TOP)}:{line}", tuple(examples))


BLOCKS = [block for path in (TOP / "README.md", *sorted((TOP / "docs").rglob("*.md"))) for block in blocks(path)]


def normalised(text: str) -> str:
    for pattern, replacement in _NOT_COMPARED:
        text = re.sub(pattern, replacement, text)
    return text


def pattern_of(lines: tuple[str, ...]) -> str:
    """A regular expression for the output that shown lines match."""
    parts = []
    for line in lines:
        if line.strip() == ANY_LINES:
            parts.append(r"(?:.*\n)*?")
        elif line.endswith(ANY_LINES):
            parts.append(re.escape(normalised(line.removesuffix(ANY_LINES))) + r".*\n")
        else:
            parts.append(re.escape(normalised(line)) + r"\n")
    return "".join(parts)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with `dedup` on its path."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "dedup"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dedup "$@"\n', "utf-8")
    script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(TOP), "COLUMNS": "120", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[bool, Path]]:
    """A folder to run examples in, and what to copy there: the sample crawl as it is laid out, and scanned."""
    top = tmp_path_factory.mktemp("home")
    home = top / "minji"
    home.mkdir()
    assert run(home, "sample", "sample").code == 0
    shutil.copytree(home, top / "laid-out")
    assert run(home / "sample", "scan", "--alert-on-import").code == 0
    shutil.copytree(home, top / "scanned")
    return home, {False: top / "laid-out", True: top / "scanned"}


def printed(command: str, lines: tuple[str, ...], folder: Path, environment: dict[str, str]) -> str:
    """What a command prints: all of it, or of one that runs until it is stopped as many lines as are shown."""
    if not SERVING.match(command) and command.startswith("dedup ") and not SHELL_SYNTAX.search(command):
        ran = run(folder, *shlex.split(command, comments=True)[1:])
        return ran.out + ran.err
    if not SERVING.match(command):
        shell = ["/bin/bash", "-c", command]
        done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)
        return done.stdout.decode() + done.stderr.decode()
    shell = ["/bin/bash", "-c", f"exec {command} --listen 127.0.0.1:0" if "serve" in command else f"exec {command}"]
    with subprocess.Popen(shell, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        read = b""
        deadline = time.monotonic() + 60
        try:
            while read.count(b"\n") < len(lines):
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
                assert ready, read.decode()
                more = os.read(process.stdout.fileno(), 65536)
                assert more, read.decode()
                read += more
        finally:
            process.kill()
    return "".join(line + "\n" for line in read.decode().splitlines()[: len(lines)])


@pytest.mark.system
@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_an_example_shows_what_the_program_prints(
    block: Block, layouts: tuple[Path, dict[bool, Path]], environment: dict[str, str]
) -> None:
    home, sources = layouts
    shutil.rmtree(home)
    shutil.copytree(sources[not re.match(r"dedup scan\b", block.examples[0].command)], home)
    if block.examples[0].command == "dedup watch":
        assert run(home / "sample", "scan").code == 0  # waits until the files of the copy have settled
    for command, lines in block.examples:
        output = printed(command.replace(FOLDER, str(home)), lines, home / "sample", environment)
        shown = normalised(output.replace(str(home), FOLDER))
        assert "Traceback" not in output
        assert "dedup: " not in output or any("dedup: " in line for line in lines), f"{command}\n{output}"
        assert re.fullmatch(pattern_of(lines), shown if not shown or shown.endswith("\n") else shown + "\n"), f"{command}\n{output}"


def test_there_is_an_example_for_every_way_to_look_at_articles() -> None:
    """The blocks are found, and their first words are commands."""
    commands = {example.command.split()[1] for block in BLOCKS for example in block.examples if example.command.startswith("dedup ")}
    assert commands >= {"scan", "duplicates", "similar", "why", "history", "diff", "changes", "search", "status", "report", "export"}


@pytest.mark.parametrize(
    ("shown", "output", "fits"),
    [
        (("a", "…", "d"), "a\nb\nc\nd\n", True),
        (("a", "…", "d"), "a\nd\n", True),
        (("a", "d"), "a\nb\nd\n", False),
        (("abc…",), "abcdef\n", True),
        (("a.c",), "abc\n", False),
        (("0.1 s at 2026-03-11 06:00",), "12.5 s at 2027-01-02 03:04\n", True),
        (("2026-03-04 06:00",), "2026-03-04 06:01\n", False),
    ],
)
def test_what_a_shown_line_matches(shown: tuple[str, ...], output: str, fits: bool) -> None:
    assert bool(re.fullmatch(pattern_of(shown), normalised(output))) is fits
