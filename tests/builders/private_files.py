"""Files that an attacker may put in place of a private file."""

from __future__ import annotations

import os
import stat as modes
from pathlib import Path


def mode_of(path: Path) -> int:
    return modes.S_IMODE(path.lstat().st_mode)


KINDS = ["link", "dangling link", "hard link", "fifo", "folder"]


def plant(place: Path, kind: str) -> Path:
    """Put an entry of this kind at `place`. Returns the path of the file that it refers to, or of an unrelated file."""
    target = place.parent / "precious"
    if kind != "dangling link":
        target.write_text("precious")
        target.chmod(0o600)
    if kind in ("link", "dangling link"):
        place.symlink_to(target)
    elif kind == "hard link":
        os.link(target, place)
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()
    return target


def unharmed(target: Path, kind: str) -> bool:
    return target.read_text() == "precious" if kind != "dangling link" else not target.exists()
