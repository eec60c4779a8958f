"""docs/glossary.md has every name by which the program shows a thing of its field, and no banned word is anywhere.

The names are collected from the program: tables, columns of views, values of `Literal` types, options, and keys of the JSON Schemas.
"""

from __future__ import annotations

import ast
import json
import re
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest
from pydantic import BaseModel
from sqlite_utils import Database

from dedup.cli import cli
from dedup.config import AlertRuleConfig, ChannelConfig, Settings
from dedup.store import schema
from tests.builders.project import MODULES, PACKAGE, TOP

GLOSSARY = (TOP / "docs" / "glossary.md").read_text("utf-8")
BODY, _, INDEX = GLOSSARY.partition("\n## Index\n")
TERMS = {
    f"{term}{remark}" for line in re.findall(r"(?m)^(\*\*.+)\n: ", BODY) for term, remark in re.findall(r"\*\*(.+?)\*\*( \([^)]*\))?", line)
} | set(re.findall(r"\*\*(.+?)\*\*", BODY))
"""Terms that have an entry."""
ROWS = dict(re.findall(r"(?m)^\| ([^`|]+?) \| (`.+`) \|$", INDEX))
"""Index: term → its names."""
INDEXED = {name for names in ROWS.values() for name in re.findall(r"`([^`]+)`", names)}

PLAIN_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
    a after all at b before bytes config created_at database_bytes dry-run dry_run encoding example examples fail-on file files filters
    finished_at first folder_hex folders follow force format from full has_more_changes has_more_copies header hour hourly_histograms
    hours id interval is_today label last level limit listen message name_hex next_cursor next_revisions_cursor old open origin other
    output path path_hex paths_hex points present_files problem query quick quiet sample_files script seconds shell size subject table
    time times to vacuum value verbose version yes zone
    """,
    )
)
"""Names that are plain words: anybody understands them where they occur. Reviewed by hand."""
INTERNAL_TYPES = frozenset({"Align", "ColumnType", "FileOutcome", "LeaseState", "ObjectKind", "PieceKind", "RepairKind", "TokenKind"})
"""`Literal` types whose values never leave the program."""


# Names of the program


def database_names() -> Iterator[str]:
    database = Database(memory=True)
    schema.migrations.apply(database)
    yield from (name for name in database.table_names() if not name.startswith("_"))
    for view in database.views:
        yield view.name
        yield from (column.name for column in view.columns)


def literal_values() -> Iterator[str]:
    """Values of `Literal` types with a name, and of those in the configuration."""
    for module in MODULES:
        if module.endswith("__main__"):
            continue
        for name, value in vars(import_module(module)).items():
            if get_origin(value) is Literal and name not in INTERNAL_TYPES and not name.startswith("_"):
                yield from map(str, get_args(value))
    for model in (AlertRuleConfig, ChannelConfig, *(type(value) for _, value in Settings() if isinstance(value, BaseModel))):
        for annotation in typing.get_type_hints(model, include_extras=True).values():
            yield from _values_in(annotation)


def _values_in(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    for inner in get_args(annotation):
        if not isinstance(inner, str):
            yield from _values_in(inner)


def options(found: click.Command = cli) -> Iterator[str]:
    yield from (name.lstrip("-") for p in found.params if isinstance(p, click.Option) for name in p.opts if name.startswith("--"))
    if isinstance(found, click.Group):
        for name in found.list_commands(click.Context(found)):
            inner = found.get_command(click.Context(found), name)
            assert inner is not None
            yield from options(inner)


def json_keys() -> Iterator[str]:
    """The keys of all JSON output. Other tests hold the schemas to real output."""
    paths = sorted((PACKAGE / "share" / "schemas").glob("*.json"))
    assert paths
    for path in paths:
        yield from schema_keys(json.loads(path.read_text("utf-8")))


def schema_keys(value: Any) -> Iterator[str]:
    """The names of all properties in a JSON Schema."""
    if isinstance(value, dict):
        yield from value.get("properties", {})
        for inner in value.values():
            yield from schema_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schema_keys(inner)


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Every name, as the glossary spells it: options without dashes before them."""
    return {*database_names(), *literal_values(), *options(), *json_keys()}


def test_every_name_is_in_the_index_or_a_plain_word(names: set[str]) -> None:
    assert " ".join(sorted(names - INDEXED - PLAIN_WORDS)) == ""


def test_no_plain_word_is_in_the_index_or_gone(names: set[str]) -> None:
    assert " ".join(sorted(PLAIN_WORDS & INDEXED)) == ""
    assert " ".join(sorted(PLAIN_WORDS - names)) == ""


def test_the_index_leads_to_entries_and_names_what_there_is(names: set[str]) -> None:
    assert " ".join(sorted(ROWS.keys() - TERMS)) == ""
    assert " ".join(sorted(INDEXED - names)) == ""


# Words

BANNED = ("told", "tell", "tells", "telling", "stand", "stands", "stood", "standing", "anew", "alike", "house", "stealth", "stealthy")
"""Words of an earlier vocabulary. Each has a plain one: show, report, list, send; be, lie; again; similar; publisher; silent."""
BANNED_PHRASES = ("(?<!there )is none", "(?<!there )are none", "goes by", "lets go", "owns up")
ALLOWED = ("stderr_file.tell()", "{% if content.body is none %}", "told reporters", "stands for every name")
"""Exact phrases in which a banned word is legitimate."""
TEXT_SUFFIXES = (".py", ".md", ".html", ".css", ".js", ".toml", ".yaml", ".service", ".json")


def text_files() -> Iterator[Path]:
    yield from (TOP / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "config.toml"))
    for folder in (PACKAGE, TOP / "docs"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in TEXT_SUFFIXES and "sample" not in path.relative_to(TOP).parts:
                yield path


def find_banned(text: str) -> list[str]:
    """The banned words and phrases of a text, also where a name consists of several words (`told_by`, `was_told`, `tellAll`)."""
    for phrase in ALLOWED:
        text = text.replace(phrase, "")
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)).casefold()
    found = re.findall(rf"\b(?:{'|'.join(BANNED)})\b", words)
    phrases = re.findall(rf"\b(?:{'|'.join(BANNED_PHRASES)})\b", " ".join(text.split()))
    return found + phrases


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is told once.", ["told"]),
        ("def was_told(): ...", ["told"]),
        ("class ToldBy: ...", ["told"]),
        ("the warehouse stood\nempty", ["stood"]),
        ("its header is\nnone", ["is none"]),
        ("if there is none", []),
        ("understand the standard, household", []),
        ("size = stderr_file.tell()", []),
    ],
)
def test_the_search_for_banned_words_finds_them(text: str, found: list[str]) -> None:
    assert find_banned(text) == found


def test_no_banned_word_is_anywhere() -> None:
    paths = list(text_files())
    assert PACKAGE / "model.py" in paths
    assert PACKAGE / "web" / "templates" / "base.html" in paths
    assert {str(p.relative_to(TOP)): found for p in paths if (found := find_banned(p.read_text("utf-8")))} == {}


def test_a_change_has_parts_and_no_channels() -> None:
    """A channel is a target of alerts."""
    for path in (PACKAGE / "changes").rglob("*.py"):
        assert not re.search(r"(?i)\bchannels?\b", path.read_text("utf-8").replace("_", " ")), path
    database = Database(memory=True)
    schema.migrations.apply(database)
    columns = {column.name for name in ("changes", "change_details") for column in database[name].columns}
    assert "parts" in columns
    assert not {name for name in columns if "channel" in name}


def docstrings(source: str) -> Iterator[str]:
    """The docstrings of a module, its classes and functions, and the strings below its assignments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_docstring_is_understood_without_its_neighbours(module: str) -> None:
    """It does not begin with "The same"."""
    assert [text for text in docstrings(MODULES[module].read_text("utf-8")) if text.lstrip().startswith("The same")] == []
