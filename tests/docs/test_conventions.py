"""The house rules: layers, documentation, start-up, errors. Each test here holds a promise of the design."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.resources import files
from pathlib import Path

import click
import pytest

from dedup import errors, store
from dedup.cli import COMMANDS, cli
from dedup.config import AlertRuleConfig, ChannelConfig, Settings, flatten, load
from dedup.store import open_database
from tests.builders.crawl import ArticleFile
from tests.builders.project import MODULES, PACKAGE, TOP, command

LAYERS = (
    ("errors", "model"),
    ("runtime", "text", "files"),
    ("charts", "similarity", "changes", "rules", "formats"),
    ("config", "index", "store"),
    ("matching", "search", "alerts"),
    ("pipeline",),
    ("maintenance",),
    ("daemon", "doctor"),
    ("reports",),
    ("web", "library"),
    ("cli",),
    ("__main__",),
)
"""Packages and modules directly below `dedup`: each imports only from the rows above its own."""
LAYER = {name: number for number, row in enumerate(LAYERS) for name in row}
BELOW_ALL = "__init__"  # holds the version, and the public names, which it imports when they are used


def imported(tree: ast.AST, module: str, *, package: bool, known: frozenset[str]) -> Iterator[str]:
    """Modules among the `known` that a source imports, wherever in it and for whatever purpose."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                above = parts[: len(parts) - node.level + package]
                base = ".".join([*above, base]) if base else ".".join(above)
            if base in known:
                for name in node.names:
                    inner = f"{base}.{name.name}"
                    yield inner if inner in known else base


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    tree = ast.parse(path.read_text("utf-8"))
    if module == "dedup":
        tree.body = [node for node in tree.body if not is_for_types(node)]
    return set(imported(tree, module, package=path.name == "__init__.py", known=frozenset(MODULES)))


def is_for_types(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, which no program runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def top(module: str) -> str:
    return module.split(".")[1] if "." in module else BELOW_ALL


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import dedup.store", {"dedup.store"}),
        ("from dedup import store, times", {"dedup.store", "dedup.times"}),
        ("from dedup import __version__", {"dedup"}),
        ("from dedup.store import rows", {"dedup.store.rows"}),
        ("from . import rows", {"dedup.store.rows"}),
        ("from .rows import Row", {"dedup.store.rows"}),
        ("from .. import times", {"dedup.times"}),
        ("import os, json", set()),
        ("def f():\n    from dedup import times", {"dedup.times"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dedup.times import now", {"dedup.times"}),
    ],
)
def test_the_reader_of_imports_sees_every_form(source: str, expected: set[str]) -> None:
    known = frozenset({"dedup", "dedup.store", "dedup.store.rows", "dedup.times"})
    assert set(imported(ast.parse(source), "dedup.store.writing", package=False, known=known)) == expected


def test_every_module_has_a_layer() -> None:
    assert {top(m) for m in MODULES} - {BELOW_ALL} == LAYER.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_lower_layers_only(module: str) -> None:
    own = top(module)
    for other in imports_of(module):
        theirs = top(other)
        if theirs in (own, BELOW_ALL):
            continue
        assert own != BELOW_ALL, f"{module} imports {other}"
        assert LAYER[theirs] < LAYER[own], f"{module} (layer {LAYER[own]}) imports {other} (layer {LAYER[theirs]})"


def test_modules_import_each_other_without_cycles() -> None:
    graph = {module: imports_of(module) - {module} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)  # raises CycleError where there is one


# Documentation

KEYS = [key for key, _ in flatten(Settings()) if "." in key]
TABLES = [key for key, _ in flatten(Settings()) if "." not in key]
"""What is made of tables that users name or add; the shipped file shows them in comments."""


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    assert sorted(path.stem for path in (TOP / "docs" / "commands").iterdir()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_a_command_describes_it_and_is_in_the_index(name: str) -> None:
    page = (TOP / "docs" / "commands" / f"{name}.md").read_text("utf-8")
    directive = f".. click:: dedup.cli.{COMMANDS[name].module}:{name}\n   :prog: dedup {name}\n   :nested: full\n"
    assert page.startswith(f"# {name}\n")
    assert directive in page
    assert "](../json.md#" in page
    index = (TOP / "docs" / "commands.md").read_text("utf-8")
    assert f"| [`dedup {name}`](commands/{name}.md) | {COMMANDS[name].summary} |\n" in index
    assert f"\ncommands/{name}\n" in index


def _whole_names() -> list[str]:
    names = []
    for name in COMMANDS:
        inner = command(name)
        names += [f"{name} {word}" for word in inner.commands] if isinstance(inner, click.Group) else [name]
    return names


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    told = command(name).help or ""
    first, _, rest = told.strip().partition("\n")
    assert first
    assert rest.strip(), f"'dedup {name} --help' says no more than its first line"


@pytest.mark.parametrize("name", _whole_names())
def test_every_option_explains_itself(name: str) -> None:
    options = [p for p in (*command(name).params, *cli.params) if isinstance(p, click.Option)]
    assert options
    assert [o.name for o in options if not (o.help or "").strip()] == []


@pytest.mark.parametrize("name", _whole_names())
def test_every_command_speaks_json(name: str) -> None:
    (form,) = (p for p in command(name).params if p.name == "output_format")
    assert isinstance(form.type, click.Choice)
    assert "json" in form.type.choices


def test_the_group_lists_the_commands_that_there_are() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "no-such-command") is None


_OPTIMISED = """
import json, sys
from tests.docs.test_conventions import _whole_names, command
from dedup.cli import cli
print(json.dumps({name: command(name).help for name in _whole_names()} | {"": cli.help}))
"""


@pytest.mark.system
def test_help_is_the_same_where_python_leaves_docstrings_out() -> None:
    found = [
        subprocess.run(
            [sys.executable, *options, "-c", _OPTIMISED], cwd=TOP, capture_output=True, text=True, timeout=120, check=True
        ).stdout
        for options in ((), ("-OO",))
    ]
    assert {name: (told or "").split() for name, told in json.loads(found[0]).items()} == {
        name: (told or "").split() for name, told in json.loads(found[1]).items()
    }
    assert all(json.loads(found[0]).values())


@pytest.mark.system
def test_what_goes_wrong_is_said_the_same_where_python_leaves_docstrings_out(tmp_path: Path) -> None:
    """With an exit code, a message and, in a database that a scan made, the same rows."""
    ArticleFile().write(tmp_path / "crawl")
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    for arguments in (
        ("-d", "none.db", "status"),
        ("-c", "none.toml", "scan"),
        ("history", "https://a.example/none"),
        ("scan",),
        ("status",),
    ):
        found = [
            subprocess.run(
                [sys.executable, *options, "-m", "dedup", *arguments],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            for options in (("-OO",), ())
        ]
        assert [f.returncode for f in found] == [found[0].returncode] * 2
        assert found[0].stderr == found[1].stderr
    assert found[0].stdout == found[1].stdout
    assert "1 file" in found[0].stdout


# Configuration


def test_the_shipped_configuration_is_the_defaults() -> None:
    shipped = load(str(TOP / "config.toml"))
    expected = Settings()
    for (key, value), (_, default) in zip(flatten(shipped.settings), flatten(expected), strict=True):
        wanted = str(TOP / default) if key == "database.path" else default
        assert value == wanted, key


def test_the_shipped_configuration_names_each_key() -> None:
    shipped = load(str(TOP / "config.toml"))
    assert [key for key, origin in shipped.origins.items() if origin == "default"] == TABLES == ["alerts", "channels"]
    assert list(shipped.origins) == KEYS + TABLES


def test_what_the_shipped_configuration_shows_in_comments_loads_once_they_are_taken_away(tmp_path: Path) -> None:
    """Every key of a rule and of a channel is among it, with a line on it."""
    lines = (TOP / "config.toml").read_text("utf-8").splitlines()
    begin = lines.index("# [channels.mail]")
    shown = [line.removeprefix("# ") for line in lines[begin:] if re.match(r"# (\[|[a-z_]+ = )", line)]
    (tmp_path / "config.toml").write_text("\n".join(shown), "utf-8")
    settings = load(str(tmp_path / "config.toml")).settings
    assert {c.kind for c in settings.channels.values()} == {"apprise", "webhook", "command", "atom", "log"}
    assert set(AlertRuleConfig.model_fields) == settings.alerts[0].model_fields_set
    assert set(ChannelConfig.model_fields) == {key for c in settings.channels.values() for key in c.model_fields_set}
    assert all("#" in line for line in shown if not re.match(r"\[|(name|url|secret|kind|command|path) = ", line)), shown


def test_the_shipped_configuration_explains_each_key() -> None:
    """Each key has a comment on its line, or above it."""
    lines = (TOP / "config.toml").read_text("utf-8").splitlines()
    for key in KEYS:
        name = key.split(".")[1]
        at = next(i for i, line in enumerate(lines) if re.match(rf"{name} = |\[\[.*\.{name}\]\]", line))
        above = next(line for line in reversed(lines[:at]) if line)
        assert "#" in lines[at] or above.startswith("#"), key


def test_the_configuration_that_travels_with_the_program_is_the_same() -> None:
    assert files("dedup").joinpath("share/config.toml").read_bytes() == (TOP / "config.toml").read_bytes()


# Start-up

HEAVY = {"scipy", "numpy", "sqlite_utils", "datasketch", "numba", "jinja2", "pyarrow"}


def loaded(folder: Path, *args: str) -> set[str]:
    """The packages that `dedup ARGS` imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dedup", *args], cwd=folder, capture_output=True, text=True, timeout=120, check=True
    )
    found = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in found, "the list of imports was not understood"
    return found


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(tmp_path: Path, option: str) -> None:
    assert loaded(tmp_path, option) & HEAVY == set()


def test_a_small_scan_signs_without_what_only_larger_work_or_datasketch_needs(crawl: Path, tmp_path: Path) -> None:
    ArticleFile(body="본문이 한 문단으로 길게 이어진다. " * 10).write(crawl)
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert loaded(tmp_path, "scan") & HEAVY == {"numpy", "sqlite_utils"}
    with open_database(str(tmp_path / "dedup.db")) as database:
        assert store.statistics.count(database, "texts", "signature IS NOT NULL") == 1


# Files


def project_files() -> list[Path]:
    found = [p for p in TOP.iterdir() if p.is_file() and p.suffix != ".db" and ".db" not in p.name]
    for folder in ("dedup", "tests", "docs", ".ci"):
        for inner, folders, names in os.walk(TOP / folder):
            folders[:] = [f for f in folders if f != "__pycache__"]
            found += [Path(inner, name) for name in names]
    return found


def test_no_file_speaks_of_places_outside_the_project() -> None:
    """The words are put together here so that this file does not hold them."""
    forbidden = [
        "sha" + "red/",
        "/wo" + "rk/",
        "py" + "pi.org",
        "python" + "hosted",
        "index" + "-url",
        "find" + "-links",
        "/op" + "t/py",
    ]
    paths = project_files()
    assert PACKAGE / "errors.py" in paths
    assert Path(__file__) in paths
    meant = [(str(p.relative_to(TOP)), f) for p in paths for f in forbidden if f.encode() in p.read_bytes()]
    assert meant == []


# Errors

ERRORS = sorted(
    (e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.DedupError)),
    key=lambda e: e.__name__,
)


def all_errors(base: type[errors.DedupError]) -> Iterator[type[errors.DedupError]]:
    for inner in base.__subclasses__():
        yield inner
        yield from all_errors(inner)


def test_every_error_is_in_the_one_module() -> None:
    assert set(all_errors(errors.DedupError)) | {errors.DedupError} == set(ERRORS)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_has_a_message_and_an_exit_code(error: type[errors.DedupError]) -> None:
    message = vars(error).get("message")  # not its docstring, which Python leaves out under -OO
    assert isinstance(message, str)
    assert message.strip()
    assert error.exit_code in (2, 3)
    places = re.findall(r"\{(\w+)\}", message)
    told = str(error(**{name: f"<{name}>" for name in places}))
    assert all(f"<{name}>" in told for name in places)
    assert "{" not in told
    assert "\n" not in told
