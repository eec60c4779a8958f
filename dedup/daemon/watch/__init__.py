"""Queue the paths that file system events name. Events only wake the daemon; a scan decides what changed.

watchdog loses events in bursts (inotify's queue overflows, and watchdog drops events itself), silently leaves folders unwatched, dies
silently of exceptions, and does not notice that a crawl directory was removed. So handlers only queue paths, and whatever cannot be
trusted becomes a request to scan everything.
"""

from __future__ import annotations

from dedup.daemon.watch.change_queue import MAX_PATHS, ChangeQueue, PendingPaths
from dedup.daemon.watch.watcher import Watcher

__all__ = ["MAX_PATHS", "ChangeQueue", "PendingPaths", "Watcher"]
