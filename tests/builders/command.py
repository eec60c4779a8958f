"""Run the command line, in this process or in one of its own; the sample crawl, scanned once."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from dedup.cli import main


@dataclass(frozen=True)
class CommandResult:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """`dedup ARGS` within this process, through the same door as the console script."""
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, encoding="utf-8", newline="") for stream in written)
    argv = ["dedup", *(os.fsdecode(a) for a in args)]
    with contextlib.chdir(cwd), mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = left.code
    out.flush()
    err.flush()
    assert isinstance(code, int)
    return CommandResult(code, written[0].getvalue().decode(), written[1].getvalue().decode())


def command(*args: str | bytes | Path) -> list[str | bytes | Path]:
    """The command line of a `dedup` in a process of its own."""
    return [sys.executable, "-m", "dedup", *args]


def spawn(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """`dedup ARGS` in a process of its own."""
    done = subprocess.run(command(*args), cwd=cwd, capture_output=True, timeout=120, check=False)
    return CommandResult(done.returncode, done.stdout.decode(), done.stderr.decode())


@dataclass(frozen=True)
class SampleCrawl:
    """The sample crawl, laid out and scanned once; tests only read it. Its configuration and database are in `folder`."""

    folder: Path
    scan: CommandResult

    def __call__(self, *args: str | bytes | Path) -> CommandResult:
        return run(self.folder, *args)
