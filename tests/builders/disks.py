"""Small file systems that tests mount, fill, break and repair."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.builders.privileges import give
from tests.builders.processes import wait_until

_GETFLAGS, _SETFLAGS, _SHUTDOWN = 0x80086601, 0x40086602, 0x8004587D
_IMMUTABLE = 0x10
_WITHOUT_LOG = 2


@contextmanager
def memory(place: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of this size at `place`."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "dedup-test", place)
    give(place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Remount a folder read-only."""
    _mount("--bind", place, place)
    try:
        _mount("-o", "remount,bind,ro", place)
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


class Image:
    """An ext4 file system in a file, mounted at `place`. It becomes read-only on an error."""

    def __init__(self, place: Path) -> None:
        if os.geteuid() or not shutil.which("mkfs.ext4"):
            pytest.skip("needs root and mkfs.ext4")
        self.place, self._file = place, place.with_name(place.name + ".img")
        place.mkdir()
        with self._file.open("wb") as file:
            file.truncate(32 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._file], check=True)
        self.mount()

    def mount(self) -> None:
        _mount("-o", "loop,errors=remount-ro", self._file, self.place)
        give(self.place)

    def error(self) -> None:
        """Make ext4 report an error, so that the file system becomes read-only (trigger_fs_error)."""
        device = subprocess.run(["findmnt", "-no", "SOURCE", self.place], capture_output=True, text=True, check=True).stdout.strip()
        trigger = Path("/sys/fs/ext4") / Path(device).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel has no trigger_fs_error")
        trigger.write_text("1")

    def die(self) -> None:
        """Shut down the device: reading what is not cached fails (EXT4_IOC_SHUTDOWN)."""
        folder = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(folder)

    def repair(self) -> None:
        """Unmount it, run e2fsck and mount it again. Fails if it cannot be unmounted."""
        subprocess.run(["umount", self.place], check=True)
        wait_until(self._is_detached)  # until then the kernel may still write the error to the file
        check = subprocess.run(["e2fsck", "-fy", self._file], capture_output=True, text=True, check=False)
        assert check.returncode < 4, check.stdout
        self.mount()

    def _is_detached(self) -> bool:
        return not subprocess.run(["losetup", "--associated", self._file], capture_output=True, check=True).stdout

    def close(self) -> None:
        """Unmount it lazily."""
        subprocess.run(["umount", "-l", self.place], check=False, capture_output=True)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Image]:
    """An ext4 file system mounted at `disk`."""
    disk = Image(tmp_path / "disk")
    try:
        yield disk
    finally:
        disk.close()


def fill(disk: Path, leaving: int = 0) -> Path:
    """Fill the disk except for about `leaving` KiB. Returns the file that fills it."""
    ballast = disk / "ballast"
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        block = b"x" * 4096
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > leaving * 1024:
            os.write(fd, block)
    finally:
        os.close(fd)
    return ballast


def immutable(path: Path, *, on: bool) -> None:
    """Set or clear the immutable flag (chattr +i), which blocks writing even through open descriptors."""
    fd = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("q", fcntl.ioctl(fd, _GETFLAGS, bytes(8)))
        fcntl.ioctl(fd, _SETFLAGS, struct.pack("q", flags | _IMMUTABLE if on else flags & ~_IMMUTABLE))
    finally:
        os.close(fd)


def _mount(*args: Any) -> None:
    process = subprocess.run(["mount", *args], capture_output=True, text=True, check=False)
    if process.returncode:
        pytest.skip(f"mounting is not permitted here: {process.stderr.strip()}")
