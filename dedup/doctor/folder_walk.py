"""Counting the folders of a crawl directory: each of them wants a watch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import Beneath

EVERY = 200
"""Folders between two words of progress."""


@dataclass(slots=True)
class Walked:
    """How many folders a directory has, itself among them, and those that may not be listed; links are not followed."""

    folders: int = 0
    unlisted: list[bytes] = field(default_factory=list)


def walk(directory: bytes, progress: Callable[[int], None] = lambda _: None) -> Walked:
    """Every folder that can be reached; one that goes meanwhile is none."""
    walked = Walked()
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            with Beneath() as beneath, beneath.listed(directory, folder) as entries:
                waiting += [os.path.join(folder, os.fsencode(e.name)) for e in entries if e.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if is_exhausted(error):
                raise
            walked.unlisted.append(os.path.join(directory, folder) if folder else directory)
        walked.folders += 1
        if walked.folders % EVERY == 0:
            progress(EVERY)
    progress(walked.folders % EVERY)
    return walked
