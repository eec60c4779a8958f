"""Temporary files that take the place of others: whole, or not at all."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.files.atomic import PART_PREFIX, PartFile, create_part, replace_atomically


def test_a_part_takes_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with create_part(str(tmp_path)) as part:
        os.write(part.fd, b"new")
        assert (tmp_path / "a").read_text() == "old"
        part.move_to(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_a_part_that_is_not_renamed_goes_with_its_block_or_its_object(tmp_path: Path) -> None:
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


def test_parts_of_killed_processes_are_removed_and_those_in_use_are_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=True, timeout=60)
    (left,) = os.listdir(tmp_path)
    assert left.startswith(PART_PREFIX)
    with create_part(str(tmp_path)) as one, create_part(str(tmp_path)) as other:
        assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(p.path) for p in (one, other))
    assert os.listdir(tmp_path) == []


def test_a_file_is_replaced_with_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    with replace_atomically(str(tmp_path / "a")) as file:
        file.write(b"new")
    assert ((tmp_path / "a").read_text(), stat.S_IMODE((tmp_path / "a").stat().st_mode)) == ("new", 0o640)
