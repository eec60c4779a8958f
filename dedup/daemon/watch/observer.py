"""watchdog's inotify observer, extended: it reports permission changes, walks a new folder once, and can be stopped even if broken."""

from __future__ import annotations

import os
from contextlib import suppress

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from dedup.daemon.watch.coverage import is_inotify_instance


class Observer(InotifyObserver):
    """An observer of `_Emitter`s that share one `_EventReader`."""

    def __init__(self) -> None:
        self._inotify_fd = self._reader = _EventReader()
        BaseObserver.__init__(self, _Emitter, inotify_fd=self._reader)

    @property
    def descriptor(self) -> str:
        """The number of its inotify descriptor, as in /proc/self/fd."""
        return self._reader.descriptor

    def on_thread_start(self) -> None:
        """Start the reader before the emitters."""
        self._reader.start()
        super().on_thread_start()

    def on_thread_stop(self) -> None:
        """Replace a lost descriptor before stopping: otherwise watchdog fails to remove its watches and stops halfway."""
        self._reader.replace_lost_descriptor()
        try:
            super().on_thread_stop()
        finally:
            self._reader.release()


class _Emitter(InotifyEmitter):
    """Subscribes to attribute changes. watchdog handles them, but subscribes only together with events for every write."""

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(super().get_event_mask_from_filter() | InotifyConstants.IN_ATTRIB)

    def on_thread_start(self) -> None:
        self._inotify = _WatchGroup(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )


class _WatchGroup(InotifyWatchGroup):
    """Watches nested new folders once. For each of them watchdog receives an event and walks, watches and reports everything below it
    again: a minute for 300 nested folders, hours for 1,000. The walk of the topmost one has watched the others already."""

    _is_new_folder: bool = False

    def on_event(self, event: InotifyEvent) -> None:
        self._is_new_folder = event.is_create
        super().on_event(event)

    def _add_all_callbacks(self, path: bytes) -> None:
        if self._is_new_folder and path in self._active_callbacks_by_path:
            watch = self._active_callbacks_by_path[path]
            self._add_callback(path)
            if self._active_callbacks_by_path.get(path) == watch:
                return  # this new folder is watched already, by a walk that continues below it
        super()._add_all_callbacks(path)

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:  # noqa: ARG002
        """Return no events for the content of a new folder: the daemon scans all of the folder anyway."""
        return []


class _EventReader(InotifyFD):
    """The thread that reads events. `descriptor` is the number of its inotify descriptor, as in /proc/self/fd."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except OSError:
            with suppress(AttributeError):
                os.close(self._inotify_fd)  # opening the instance succeeded, opening its pipe failed
            raise
        self.descriptor = str(self._inotify_fd)
        self._has_resources = True

    def replace_lost_descriptor(self) -> None:
        """If the inotify instance was closed by other code, use /dev/null in its place: the number may belong to another file now."""
        if not is_inotify_instance(self.descriptor):
            self._inotify_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release(self) -> None:
        """Close its descriptors if the thread has ended: watchdog leaves that to the thread, even to one that died."""
        if not self.is_alive():
            self._close_resources()

    def _close_resources(self) -> None:
        if self._has_resources:
            self._has_resources = False
            super()._close_resources()
