"""Rows of `dedup export` as dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders.command import run
from tests.builders.summaries import CONFIG


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crawl").mkdir()
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def rows(folder: Path, *args: str | Path) -> list[dict[str, Any]]:
    result = run(folder, "export", *args)
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]
