"""Counting the folders of a crawl directory: each of them wants a watch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree

PROGRESS_INTERVAL = 200
"""Folders between two words of progress."""


@dataclass(slots=True)
class FolderCounts:
    """How many folders a directory has, itself among them, and those that may not be listed; links are not followed."""

    folders: int = 0
    unreadable: list[bytes] = field(default_factory=list)


def count_folders(directory: bytes, progress: Callable[[int], None] = lambda _: None) -> FolderCounts:
    """Every folder that can be reached; one that goes meanwhile is none."""
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
