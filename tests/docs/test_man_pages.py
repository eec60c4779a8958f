"""Manual pages: one for each command, complete, and read without a warning by groff and mandoc."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dedup import __version__
from dedup.cli import COMMAND_GROUPS, COMMANDS
from dedup.cli.man_pages import render_page, render_pages, write_pages
from tests.builders.project import command

pytestmark = pytest.mark.slow


def command_names() -> Iterator[str]:
    """Every command by its words; the program itself is the empty string."""
    yield ""
    for name in COMMANDS:
        yield name
        inner = command(name)
        if isinstance(inner, click.Group):
            yield from (f"{name} {word}" for word in inner.commands)


NAMES = list(command_names())
PAGES = render_pages("2026-03-04")


def file_name(name: str) -> str:
    return "-".join(["dedup", *name.split()]) + ".1"


def text_of(page: str, folder: Path) -> str:
    """A page as a reader sees it, in lines of a width that breaks none of the examples."""
    path = folder / "page.1"
    path.write_text(page, "utf-8")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "200", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(["man", "-l", str(path)], capture_output=True, text=True, env=environment, timeout=60, check=True)
    return re.sub(r".\x08", "", done.stdout)


def test_every_command_has_a_page() -> None:
    assert sorted(PAGES) == sorted(map(file_name, NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_begins_with_what_whatis_reads(name: str) -> None:
    """`dedup-scan \\- Summary` under NAME, and the version in the footer."""
    lines = PAGES[file_name(name)].splitlines()
    stem = file_name(name).removesuffix(".1").replace("-", r"\-")
    assert lines[0] == f'.TH {stem.upper()} 1 2026-03-04 "dedup {__version__}" "dedup manual"'
    (heading,) = (number for number, line in enumerate(lines) if line == ".SH NAME")
    assert lines[heading + 1].startswith(f"{stem} \\- ")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_a_page_contains_every_option_and_every_example(name: str, tmp_path: Path) -> None:
    text = text_of(PAGES[file_name(name)], tmp_path)
    shown = command(name)
    context = click.Context(shown, info_name="dedup", parent=click.Context(command("")) if name else None)
    records = [p.get_help_record(context) for p in shown.params]
    for names, explanation in (record for record in records if record):
        assert " ".join(names.split()) in text
        assert "".join(explanation.split()) in "".join(text.split())
    examples = re.findall(r"^ *dedup .*$", (shown.help or "").partition("Examples:")[2], re.MULTILINE)
    assert examples
    lines = [line.strip() for line in text.splitlines()]
    assert [e for e in examples if e.strip() not in lines] == []


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_the_page_of_the_program_has_the_commands_by_heading(tmp_path: Path) -> None:
    text = text_of(PAGES["dedup.1"], tmp_path)
    words = [word for heading, names in COMMAND_GROUPS.items() for word in (f"   {heading}\n", *(f"dedup-{name}(1)\n" for name in names))]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


ODD = """Print.

.hidden files, 'quoted' and `escaped`, C:\\new and ~/^caret stay.

\b
Examples:
  .hidden --flag 'a b' "c" \\n ~ ^ `x` -- .end
  'quoted first'
"""


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_no_character_of_a_help_text_is_taken_for_markup(tmp_path: Path) -> None:
    text = text_of(render_page(click.Context(click.Command("odd", help=ODD), info_name="odd"), "2026-03-04"), tmp_path)
    lines = [line.strip() for line in text.splitlines()]
    for line in ODD.splitlines():
        if line not in ("Print.", "", "\b", "Examples:"):
            assert line.strip() in lines


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_groff_has_nothing_to_warn_of(tmp_path: Path) -> None:
    for name, page in PAGES.items():
        (tmp_path / name).write_text(page, "utf-8")
    environment = os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    paths = sorted(str(p) for p in tmp_path.iterdir())
    done = subprocess.run(["man", "--warnings=all", "-l", *paths], capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert done.stderr == ""


@pytest.mark.system
@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
def test_mandoc_has_nothing_to_warn_of(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in write_pages(str(tmp_path))]
    done = subprocess.run(["mandoc", "-T", "lint", *paths], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_a_build_is_reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1772582400")
    assert sorted(write_pages(str(tmp_path / "man"))) == sorted(PAGES)
    assert {p.name: p.read_text("utf-8") for p in (tmp_path / "man").iterdir()} == PAGES
