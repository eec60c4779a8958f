"""The distribution: its name, its extras, its version, and what a lean installation can do without."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from dedup import __version__
from dedup.runtime.extras import Extra
from tests.builders.command import SampleCrawl, run
from tests.builders.project import TOP

PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def requirements(names: list[str]) -> set[str]:
    """The requirements of extras, with those that they refer to."""
    found: set[str] = set()
    for name in names:
        for requirement in EXTRAS[name]:
            inner = re.fullmatch(r"crawl-dedup\[([a-z,]+)\]", requirement)
            found |= requirements(inner[1].split(",")) if inner else {requirement}
    return found


def test_the_extras_are_those_that_messages_name_and_those_of_development() -> None:
    assert EXTRAS.keys() == {*get_args(Extra), "all", "docs", "test", "fuzz", "dev"}


def test_the_extra_all_has_all_that_the_program_can_use() -> None:
    assert requirements(["all"]) == requirements(list(get_args(Extra)))


def test_extras_refer_to_this_distribution() -> None:
    """Not to `dedup`, which is somebody else's name on the package index."""
    assert PROJECT["name"] == "crawl-dedup"
    assert [r for requirements in EXTRAS.values() for r in requirements if re.match(r"dedup\b", r)] == []
    assert requirements(["dev"]) > requirements(["test"]) > requirements(["all"])


def test_nothing_recommends_an_extra_of_the_other_distribution() -> None:
    """Neither `dedup[web]` nor `pip install dedup`."""
    wrong = re.compile(rb"(?<!crawl-)\bdedup\[[a-z]|pip install (-\S+ )*[\"']?dedup\b(?!/)")
    paths = [p for p in TOP.iterdir() if p.is_file()]
    for folder in ("dedup", "tests", "docs", "benchmarks", ".ci"):
        paths += [Path(inner, name) for inner, _, names in os.walk(TOP / folder) for name in names if not name.endswith(".pyc")]
    assert TOP / "README.md" in paths
    assert [str(p.relative_to(TOP)) for p in paths if p != Path(__file__) and wrong.search(p.read_bytes())] == []


def test_the_changelog_has_the_version() -> None:
    assert f"\n## [{__version__}] - " in (TOP / "CHANGELOG.md").read_text("utf-8")


def test_the_site_needs_only_the_extra_docs() -> None:
    configuration = (TOP / "docs" / "conf.py").read_text("utf-8")
    names = {re.split(r"[<>=~]", requirement)[0].replace("-", "_") for requirement in EXTRAS["docs"]}
    extensions = re.search(r"(?m)^extensions = \[(.*?)\]", configuration, re.DOTALL)
    theme = re.search(r'(?m)^html_theme = "(\w+)"', configuration)
    assert extensions
    assert theme
    used = {name.replace("sphinxcontrib.", "sphinxcontrib_") for name in re.findall(r'"([\w.]+)"', extensions[1])}
    ours = {path.stem for path in (TOP / "docs" / "extensions").glob("*.py")}
    assert {name for name in used - ours if not name.startswith("sphinx.")} | {theme[1], "sphinx"} == names


WITHOUT = """
import pathlib, sys
sys.modules.update(dict.fromkeys(("numba", "llvmlite", "datasketch", "scipy")))
from dedup.similarity import jit
from tests.builders.command import run
jit.MIN_WORK = 1
for words in sys.argv[2:]:
    ran = run(pathlib.Path(sys.argv[1]), *words.split())
    assert (ran.code, jit.is_enabled()) == (0, False), (words, ran)
assert jit._JitState.unavailable
"""
"""As after the `pip uninstall` in docs/operations.md, and as if a few texts were enough to want numba."""
COMMANDS = (
    "scan",
    "duplicates",
    "changes",
    "history https://n.news.naver.com/mnews/article/915/0000100070",
    "search 부두",
    "report",
    "status",
    "doctor",
)


@pytest.mark.system
@pytest.mark.slow
def test_the_commands_work_without_the_packages_that_may_be_removed(sampled: SampleCrawl, tmp_path: Path) -> None:
    assert run(tmp_path, "sample", ".").code == 0
    subprocess.run([sys.executable, "-c", WITHOUT, tmp_path, *COMMANDS], cwd=TOP, timeout=240, check=True)
    assert run(tmp_path, "dump", "--logical").out == sampled("dump", "--logical").out


@pytest.mark.parametrize("name", ["numba", "llvmlite", "datasketch", "scipy"])
def test_the_documentation_names_the_packages_that_may_be_removed(name: str) -> None:
    operations = (TOP / "docs" / "operations.md").read_text("utf-8")
    (line,) = re.findall(r"pip uninstall --yes (.*)", operations)
    assert name in line.split()
