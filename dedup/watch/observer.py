"""watchdog's observer for inotify, which tells of permissions too."""

from __future__ import annotations

from watchdog.observers.inotify import InotifyEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, Mask


class Observer(InotifyObserver):
    """One whose emitters are `_Emitter`s."""

    def __init__(self) -> None:
        super().__init__()
        self._emitter_class = _Emitter


class _Emitter(InotifyEmitter):
    """watchdog makes events of changed attributes, but asks the kernel for them only together with every single write."""

    def get_event_mask_from_filter(self) -> Mask:
        return Mask(super().get_event_mask_from_filter() | InotifyConstants.IN_ATTRIB)
