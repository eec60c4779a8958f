"""What the tests of the library share: a sample crawl of their own, and programs that import dedup in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.builders.command import run
from tests.builders.project import TOP


def lay_out_sample(folder: Path) -> Path:
    """Write the sample crawl, not scanned yet, and a configuration whose files settle at once. Returns the configuration."""
    assert run(folder, "sample", ".").code == 0
    config = folder / "config.toml"
    config.write_text(config.read_text("utf-8").replace("settle_seconds = 2.0", "settle_seconds = 0.0"), "utf-8")
    return config


def run_program(source: str, cwd: Path = TOP) -> Any:
    """Run a program in a process of its own. Returns the JSON value that it prints; it may print nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=cwd, env={"PYTHONPATH": str(TOP)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return json.loads(done.stdout)
