"""Turn watchdog's events into entries of the change queue."""

from __future__ import annotations

import os

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from dedup.daemon.watch.change_queue import ChangeQueue
from dedup.pipeline.crawl_directories import CrawlDirectory

EVENT_TYPES: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
    DirAttribEvent,
]


class EventHandler(FileSystemEventHandler):
    """Queues the paths of events in one crawl directory. `base_path` is the directory's path with symlinks resolved.

    Runs in watchdog's thread: it never raises, never blocks and never reads a file."""

    def __init__(self, directory: CrawlDirectory, base_path: bytes, change_queue: ChangeQueue) -> None:
        self._directory, self._base_path, self._change_queue = directory, base_path, change_queue

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._record_writer(event)
            for path in (event.src_path, event.dest_path):
                if path:
                    self._queue_path(os.fsencode(path), event)
        except Exception:  # an exception would silently end watchdog's thread
            self._change_queue.request_full_scan("an event could not be read")

    def _record_writer(self, event: FileSystemEvent) -> None:
        directory_id, path = self._directory.id, self._relative(os.fsencode(event.src_path))
        if isinstance(event, FileCreatedEvent):
            self._change_queue.record_opened(directory_id, path)
        elif isinstance(event, FileClosedEvent):
            self._change_queue.record_closed(directory_id, path)
        elif isinstance(event, FileMovedEvent):
            self._change_queue.record_renamed(directory_id, path, self._relative(os.fsencode(event.dest_path)))

    def _relative(self, path: bytes) -> bytes:
        return path[len(self._base_path) + 1 :]

    def _queue_path(self, path: bytes, event: FileSystemEvent) -> None:
        if path != self._base_path and not path.startswith(self._base_path + b"/"):
            return
        relative = self._relative(path)
        if isinstance(event, DirAttribEvent):
            self._change_queue.add_permission_change(self._directory.id, relative)
        elif not relative:
            self._change_queue.request_full_scan("a crawl directory itself changed")
        elif event.is_directory:
            self._change_queue.add_folder(self._directory.id, relative)
        else:
            self._change_queue.add_file(self._directory.id, relative)
