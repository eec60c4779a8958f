"""Run `dedup` commands in this process or in a new one."""

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
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def run(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """Run `dedup ARGS` in this process, through the entry point of the console script."""
    streams = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, encoding="utf-8", newline="") for stream in streams)
    argv = ["dedup", *(os.fsdecode(a) for a in args)]
    with contextlib.chdir(cwd), mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
    out.flush()
    err.flush()
    assert isinstance(code, int)
    return CommandResult(code, streams[0].getvalue().decode(), streams[1].getvalue().decode())


def command(*args: str | bytes | Path) -> list[str | bytes | Path]:
    """Return the command line that starts `dedup ARGS` as a new process."""
    return [sys.executable, "-m", "dedup", *args]


def spawn(cwd: Path, *args: str | bytes | Path) -> CommandResult:
    """Run `dedup ARGS` in a new process."""
    process = subprocess.run(command(*args), cwd=cwd, capture_output=True, timeout=120, check=False)
    return CommandResult(process.returncode, process.stdout.decode(), process.stderr.decode())


@dataclass(frozen=True)
class SampleCrawl:
    """The sample crawl, scanned once in `folder`. Tests only read it. Calling it runs a command in `folder`."""

    folder: Path
    scan: CommandResult

    def __call__(self, *args: str | bytes | Path) -> CommandResult:
        return run(self.folder, *args)
