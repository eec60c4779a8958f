"""File system events as notes of what to look at. Events wake; a scan decides.

watchdog loses events in bursts (inotify's queue overflows and it drops its own), leaves folders unwatched without a word,
dies quietly of exceptions, and does not notice when a crawl directory goes. So handlers only note paths, and whatever cannot
be trusted becomes a note to scan everything.
"""

from __future__ import annotations

from dedup.daemon.watch.change_queue import MAX_PATHS, ChangeQueue, PendingPaths
from dedup.daemon.watch.watcher import Watcher

__all__ = ["MAX_PATHS", "ChangeQueue", "PendingPaths", "Watcher"]
