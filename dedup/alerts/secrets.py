"""Secrets of channels. They are read when a message is sent, and removed from errors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from dedup.config import env_variable_name
from dedup.errors import ChannelError
from dedup.text.sanitise import to_printable

_MIN_PART_CHARACTERS = 4
"""Length from which a part of a secret is removed from errors. Shorter parts occur in ordinary words."""
MAX_ERROR_CHARACTERS = 300
"""Length to which an error is truncated."""


def resolve_secret(value: str, channel: str) -> str:
    """Return a configured value, or that of the environment variable that it names (`env:NAME`).

    Raises ChannelError if the variable is not set or blank.
    """
    name = env_variable_name(value)
    if name is None:
        return value
    variable_value = os.environ.get(name)
    if variable_value is None or not variable_value.strip():
        raise ChannelError(
            channel=channel, problem=f"the environment variable {name} is {'not set' if variable_value is None else 'empty'}"
        )
    return variable_value


def redact(message: str, secrets: Iterable[str]) -> str:
    """Return an error on one line, truncated, with `***` in place of each part of a secret."""
    parts = sorted({part for secret in secrets for part in _secret_parts(secret)}, key=len, reverse=True)
    for part in parts:
        message = message.replace(part, "***")
    message = to_printable(" ".join(message.split()))
    return message if len(message) <= MAX_ERROR_CHARACTERS else message[: MAX_ERROR_CHARACTERS - 1] + "…"


def _secret_parts(secret: str) -> set[str]:
    """Return the secret and, if it is a URL, those parts of it that may be secret: user, password, path segments, parameter values.

    The host counts only for schemes of Apprise that put a token there.
    """
    parts = {secret}
    try:
        split = urlsplit(secret)
        if split.scheme and split.netloc:
            parts |= {split.username or "", split.password or "", *split.path.split("/"), *(v for _, v in parse_qsl(split.query))}
            if split.scheme not in ("http", "https", "mailto", "mailtos", "json", "jsons"):
                parts.add(split.hostname or "")
                parts.add(split.netloc.rpartition("@")[2])
    except ValueError:
        pass
    return {part for each in parts for part in (each, unquote(each)) if len(part) >= _MIN_PART_CHARACTERS}
