"""Checks of arguments that the types of a function do not express."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from dedup.errors import ParameterError
from dedup.text import times


def to_utc(name: str, value: str | datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC; one without an offset is UTC. Raises ParameterError."""
    if value is None:
        return None
    utc = times.to_utc(value.isoformat() if isinstance(value, datetime) else value, UTC)
    if utc is None:
        raise ParameterError(name=name, problem=f"{value!r} is not a time; write it like 2026-03-02 or 2026-03-02T09:00:00+09:00")
    return utc


def to_known(name: str, values: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """Return values that must all be among the `known` ones. Raises ParameterError."""
    if isinstance(values, str):
        values = (values,)
    result = frozenset(values)
    if unknown := sorted(result - set(known)):
        raise ParameterError(name=name, problem=f"{unknown[0]!r} is not one of {', '.join(known)}")
    return result


def require_main_thread(name: str) -> None:
    """Raise ParameterError unless this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise ParameterError(name=name, problem="only the main thread can change settings of the process")
