"""Atomic file replacement: a temporary file replaces its target as a whole, or not at all."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.files.atomic import PART_PREFIX, PartFile, create_part, replace_atomically

pytestmark = pytest.mark.slow


def test_a_part_replaces_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with create_part(str(tmp_path)) as part:
        os.write(part.fd, b"new")
        assert (tmp_path / "a").read_text() == "old"
        part.move_to(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_an_unused_part_is_removed_with_its_block_or_object(tmp_path: Path) -> None:
    with pytest.raises(KeyError), create_part(str(tmp_path)):
        raise KeyError
    part = PartFile.create(str(tmp_path))
    assert len(os.listdir(tmp_path)) == 1
    del part
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_a_part_is_discarded_once(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    part = PartFile.create(str(tmp_path))
    part.discard()
    part.discard()
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


_KILLED = "import os, sys; from dedup.files.atomic import PartFile; part = PartFile.create(sys.argv[1]); os._exit(0)"


def test_parts_of_killed_processes_are_removed_and_parts_in_use_are_kept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=True, timeout=60)
    (leftover,) = os.listdir(tmp_path)
    assert leftover.startswith(PART_PREFIX)
    with create_part(str(tmp_path)) as first, create_part(str(tmp_path)) as second:
        assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(p.path) for p in (first, second))
    assert os.listdir(tmp_path) == []


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    with replace_atomically(str(tmp_path / "a")) as file:
        file.write(b"new")
    assert ((tmp_path / "a").read_text(), stat.S_IMODE((tmp_path / "a").stat().st_mode)) == ("new", 0o640)
