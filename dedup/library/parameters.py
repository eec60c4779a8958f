"""Checks of arguments. Callers without a type checker may pass anything."""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from dedup.errors import ParameterError
from dedup.text import times


def to_utc(name: str, value: object) -> str | None:
    """Return a time as ISO 8601 in UTC; one without an offset is UTC. Raises ParameterError."""
    if value is None:
        return None
    text = value.isoformat() if isinstance(value, datetime) else value
    utc = times.to_utc(text, UTC) if isinstance(text, str) else None
    if utc is None:
        raise ParameterError(name=name, problem=f"{value!r} is not a time; write it like 2026-03-02 or 2026-03-02T09:00:00+09:00")
    return utc


def to_known(name: str, values: object, known: Collection[str]) -> frozenset[str]:
    """Return values that must all be among the `known` ones. Raises ParameterError."""
    if isinstance(values, str):
        values = (values,)
    if not isinstance(values, Iterable):
        raise ParameterError(name=name, problem=f"{values!r} is not a collection of names")
    result = frozenset(values)
    if unknown := sorted(map(repr, result - set(known))):
        raise ParameterError(name=name, problem=f"{unknown[0]} is not one of {', '.join(known)}")
    return result


def to_text(name: str, value: object) -> str | None:
    """Return text, or None. Raises ParameterError for anything else."""
    if value is None or isinstance(value, str):
        return value
    raise ParameterError(name=name, problem=f"{value!r} is not text")


def to_share(name: str, value: object) -> float:
    """Return a number from 0 to 1. Raises ParameterError."""
    if isinstance(value, int | float) and 0 <= value <= 1:
        return value
    raise ParameterError(name=name, problem=f"{value!r} is not a number from 0 to 1")


def to_digest(name: str, value: object) -> bytes:
    """Return the bytes of a hexadecimal digest. Raises ParameterError."""
    if isinstance(value, str) and re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", value):
        return bytes.fromhex(value)
    raise ParameterError(name=name, problem=f"{value!r} does not consist of pairs of hexadecimal digits")


def require_main_thread(name: str) -> None:
    """Raise ParameterError unless this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise ParameterError(name=name, problem="only the main thread can change settings of the process")
