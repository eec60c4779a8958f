"""Virtual environments for measured packages. An environment is created once, kept, and recreated when its requirements change."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_READY = "ready.json"
"""Written last. An environment without it is incomplete."""


class UnavailableError(Exception):
    """A package could not be installed or run. The message is the last line of the reason."""


def prepare(folder: Path, requirements: Sequence[str], timeout_seconds: float = 3600) -> Path:
    """Return the interpreter of an environment in `folder` in which pip installed `requirements`."""
    python = folder.resolve() / "bin" / "python"
    wanted = {"python": sys.version, "requirements": list(requirements)}
    ready = folder / _READY
    if ready.is_file() and python.exists() and json.loads(ready.read_text(encoding="utf-8")) == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _call([sys.executable, "-m", "venv", str(folder)], timeout_seconds)
    _call([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements], timeout_seconds)
    ready.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def _call(command: list[str], timeout_seconds: float) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"not installed after {timeout_seconds:,.0f} s") from None
    if done.returncode:
        raise UnavailableError(last_line(done.stderr) or last_line(done.stdout) or f"exit code {done.returncode}")


def last_line(text: str) -> str:
    """Return the last line of an error output that is not blank, without addresses, cut to 200 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"https?://\S+", "…", lines[-1])[:200] if lines else ""
