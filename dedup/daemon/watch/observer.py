"""watchdog's observer for inotify, which tells of permissions too, looks at a new folder once, and can be ended whatever of it is
broken."""

from __future__ import annotations

import os
from contextlib import suppress

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from dedup.daemon.watch.coverage import is_inotify_instance


class Observer(InotifyObserver):
    """One of `_Emitter`s and a `_EventReader`."""

    def __init__(self) -> None:
        self._inotify_fd = self._reader = _EventReader()
        BaseObserver.__init__(self, _Emitter, inotify_fd=self._reader)

    @property
    def descriptor(self) -> str:
        """Of its inotify instance, as /proc names it."""
        return self._reader.descriptor

    def on_thread_start(self) -> None:
        """The reader first."""
        self._reader.start()
        super().on_thread_start()

    def on_thread_stop(self) -> None:
        """What is lost is replaced first: watchdog stops half way where it cannot remove what it watched."""
        self._reader.replace_lost_descriptor()
        try:
            super().on_thread_stop()
        finally:
            self._reader.release()


class _Emitter(InotifyEmitter):
    """watchdog makes events of changed attributes, but asks the kernel for them only together with every single write."""

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
    """Of folders made in one another each has an event of its own, and at each watchdog walks, watches and tells all that is below it
    again: a minute for 300, hours for 1,000. The walk that watched the uppermost has watched the others."""

    _is_new_folder: bool = False

    def on_event(self, event: InotifyEvent) -> None:
        self._is_new_folder = event.is_create
        super().on_event(event)

    def _add_all_callbacks(self, path: bytes) -> None:
        if self._is_new_folder and path in self._active_callbacks_by_path:
            watch = self._active_callbacks_by_path[path]
            self._add_callback(path)
            if self._active_callbacks_by_path.get(path) == watch:
                return  # the very folder that was made: the walk that watched it goes on below it
        super()._add_all_callbacks(path)

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:  # noqa: ARG002
        """Who hears of a folder looks at all of it, and whatever comes into it from now on is watched."""
        return []


class _EventReader(InotifyFD):
    """The thread that reads events. `descriptor` is its inotify instance, as /proc names it."""

    def __init__(self) -> None:
        try:
            super().__init__()
        except OSError:
            with suppress(AttributeError):
                os.close(self._inotify_fd)  # there was room for the instance, and none for the pipe beside it
            raise
        self.descriptor = str(self._inotify_fd)
        self._has_resources = True

    def replace_lost_descriptor(self) -> None:
        """Where the instance was closed under it, have something to be read from and closed in its place: the number may be
        somebody else's by now."""
        if not is_inotify_instance(self.descriptor):
            self._inotify_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release(self) -> None:
        """Close what it holds, once it has ended: watchdog leaves that to the thread, even to one that died."""
        if not self.is_alive():
            self._close_resources()

    def _close_resources(self) -> None:
        if self._has_resources:
            self._has_resources = False
            super()._close_resources()
