"""Rows of `dedup export` as dictionaries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.builders.command import run


def rows(folder: Path, *args: str | Path) -> list[dict[str, Any]]:
    ran = run(folder, "export", *args)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]
