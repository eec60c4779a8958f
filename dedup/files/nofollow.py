"""Open files below a crawl directory folder by folder, without following links.

A user who may write there cannot make dedup read a file elsewhere, not even by replacing a folder with a link during a scan. The crawl
directory itself and the folders above it may be links: the operator named them.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Self

from dedup.files.descriptors import is_exhausted

_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class NoFollowTree:
    """Opens folders below crawl directories. The last one stays open, because files arrive folder by folder."""

    def __init__(self) -> None:
        self._open_path: tuple[bytes, bytes] | None = None
        self._folder_fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the open folder."""
        if self._open_path is not None:
            os.close(self._folder_fd)
            self._open_path = None

    def open_folder(self, root: bytes, folder: bytes) -> int:
        """Return a descriptor (O_PATH) of a folder relative to `root`, valid until the next call.

        Raises OSError; NotADirectoryError if a link or a file is on the way.
        """
        if self._open_path != (root, folder):
            self.close()
            self._folder_fd = _open_folder(root, folder)
            self._open_path = (root, folder)
        return self._folder_fd

    @contextlib.contextmanager
    def list_folder(self, root: bytes, folder: bytes) -> Iterator[Iterator[os.DirEntry[str]]]:
        """Iterate over the entries of a folder; names are as `os.fsdecode` returns them.

        Raises OSError as `open_folder` does, and if the folder cannot be listed.
        """
        fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.open_folder(root, folder))
        try:
            with os.scandir(fd) as entries:
                yield entries
        finally:
            os.close(fd)

    def stat_path(self, root: bytes, folder: bytes, name: bytes) -> os.stat_result | None:
        """Return the status of a path (lstat(2)); None if it does not exist or a link is on the way. Raises OSError otherwise."""
        try:
            return os.stat(name, dir_fd=self.open_folder(root, folder), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def walk_files(self, root: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (folder, name) of everything below a directory except folders and links, sorted by name.

        Folders that cannot be listed are skipped.
        """
        folders = [b""]
        while folders:
            folder = folders.pop()
            subfolders, names = [], []
            with contextlib.suppress(OSError), self.list_folder(root, folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        subfolders.append(os.path.join(folder, os.fsencode(entry.name)))
                    elif not entry.is_symlink():
                        names.append(os.fsencode(entry.name))
            yield from ((folder, name) for name in sorted(names))
            folders += sorted(subfolders, reverse=True)


def find_barrier(root: bytes, folder: bytes) -> bytes | None:
    """Return the outermost folder on the way to `folder`, itself included, that this user may not enter, relative to `root`; else None."""
    names = folder.split(b"/") if folder else []
    for depth in range(len(names) + 1):
        try:
            os.stat(os.path.join(root, *names[:depth], b"."))
        except PermissionError:
            return b"/".join(names[:depth])
        except OSError as error:
            if is_exhausted(error):
                raise
            return None
    return None


def _open_folder(root: bytes, folder: bytes) -> int:
    fd = os.open(root, _FOLDER_FLAGS)
    for name in folder.split(b"/") if folder else ():
        try:
            next_fd = os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error
            raise
        finally:
            os.close(fd)
        fd = next_fd
    return fd
