"""docs/input-format.md: the complete file verifies, and the tables of keys and faults have every one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from dedup.model import FaultKind
from tests.builders.command import run
from tests.builders.project import TOP

PAGE = (TOP / "docs" / "input-format.md").read_text("utf-8")
(EXAMPLE,) = re.findall(r"(?s)```markdown\n(.*?)```", PAGE)


def table(heading: str) -> set[str]:
    """The names in the first column of the table after a heading."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {name for row in re.findall(r"(?m)^\| (`.*?) \|", section) for name in re.findall(r"`(\w+)`", row)}


def test_the_complete_file_verifies(tmp_path: Path) -> None:
    (tmp_path / "article.md").write_text(EXAMPLE, "utf-8")
    done = run(tmp_path, "verify", "article.md", "--format", "json")
    assert done.code == 0, done.out
    assert [(row["check_status"], row["digest_recipe"], row["fault"]) for row in done.json()] == [("verified", "sha256(body)", None)]


def test_the_complete_file_has_every_part() -> None:
    assert re.search(r"(?m)^---\n\n# .+\n\n\*\*", EXAMPLE), "a title block"
    assert re.search(r"\n---\n\n\*Crawled at: .*\n\*Source: .*\n\Z", EXAMPLE), "a footer"


KEYS = sorted(table("Keys of the header"))


@pytest.mark.parametrize("key", KEYS)
def test_each_key_makes_a_header(tmp_path: Path, key: str) -> None:
    """A header of other keys alone is none."""
    (tmp_path / "known.md").write_text(f"---\n{key}: 1\n---\n\nBody\n", "utf-8")
    (tmp_path / "unknown.md").write_text("---\nsomething: 1\n---\n\nBody\n", "utf-8")
    rows = {row["path"]: row["fault"] or "" for row in run(tmp_path, "verify", "known.md", "unknown.md", "--format", "json").json()}
    assert not rows["known.md"].startswith("not_an_article")
    assert rows["unknown.md"].startswith("not_an_article")


def test_every_fault_has_a_row() -> None:
    assert table("Files that are not articles") == set(get_args(FaultKind))
