"""Capture what a library reports only in its log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LogRecordCallback = Callable[[logging.LogRecord], None]


class _CallbackHandler(logging.Handler):
    def __init__(self, on_record: LogRecordCallback) -> None:
        super().__init__(logging.WARNING)
        self._on_record = on_record

    def emit(self, record: logging.LogRecord) -> None:
        self._on_record(record)


@contextmanager
def capture_log(name: str, on_record: LogRecordCallback) -> Iterator[None]:
    """Call `on_record` with each record of the logger `name` from WARNING on, in the thread that logs it.

    The records go nowhere else, neither within the block nor after it: they may contain secrets, such as parts of an address.
    """
    logger = logging.getLogger(name)
    logger.propagate = False
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())  # without a handler, logging writes to standard error
    handler = _CallbackHandler(on_record)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
