"""watchdog's observer for inotify, which tells of permissions too, and looks at a new folder once."""

from __future__ import annotations

import os

from watchdog.observers.inotify import InotifyEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask


class Observer(InotifyObserver):
    """One whose emitters are `_Emitter`s."""

    def __init__(self) -> None:
        super().__init__()
        self._emitter_class = _Emitter


class _Emitter(InotifyEmitter):
    """watchdog makes events of changed attributes, but asks the kernel for them only together with every single write."""

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(super().get_event_mask_from_filter() | InotifyConstants.IN_ATTRIB)

    def on_thread_start(self) -> None:
        self._inotify = _Group(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
            follow_symlink=self.watch.follow_symlink,
        )


class _Group(InotifyWatchGroup):
    """Of folders made in one another each has an event of its own, and at each watchdog walks, watches and tells all that is below it
    again: a minute for 300, hours for 1,000. The walk that watched the uppermost has watched the others."""

    _new: bool = False

    def on_event(self, event: InotifyEvent) -> None:
        self._new = event.is_create
        super().on_event(event)

    def _add_all_callbacks(self, path: bytes) -> None:
        if self._new and path in self._active_callbacks_by_path:
            watch = self._active_callbacks_by_path[path]
            self._add_callback(path)
            if self._active_callbacks_by_path.get(path) == watch:
                return  # the very folder that was made: the walk that watched it goes on below it
        super()._add_all_callbacks(path)

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:  # noqa: ARG002
        """Who hears of a folder looks at all of it, and whatever comes into it from now on is watched."""
        return []
