"""Count the folders of a crawl directory: each needs a watch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree

PROGRESS_INTERVAL = 200
"""Folders between two progress reports."""


@dataclass(slots=True)
class FolderCounts:
    """The number of folders in a directory, itself included, and the paths of those that cannot be listed. Symlinks are not followed."""

    folders: int = 0
    unreadable: list[bytes] = field(default_factory=list)


def count_folders(directory: bytes, progress: Callable[[int], None] = lambda _: None) -> FolderCounts:
    """Count the folders of a directory. A folder that is removed during the walk is not counted."""
    counts = FolderCounts()
    pending = [b""]
    while pending:
        folder = pending.pop()
        try:
            with NoFollowTree() as tree, tree.list_folder(directory, folder) as entries:
                pending += [os.path.join(folder, os.fsencode(e.name)) for e in entries if e.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if is_exhausted(error):
                raise
            counts.unreadable.append(os.path.join(directory, folder) if folder else directory)
        counts.folders += 1
        if counts.folders % PROGRESS_INTERVAL == 0:
            progress(PROGRESS_INTERVAL)
    progress(counts.folders % PROGRESS_INTERVAL)
    return counts
