"""Secrets of channels: looked up when they are needed, and never told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from dedup.config import env_variable_name
from dedup.errors import ChannelError
from dedup.text.sanitise import to_printable

_MIN_PART_CHARACTERS = 4
"""Characters from which a part of a secret is taken out of what is told; shorter ones would take words apart."""
MAX_ERROR_CHARACTERS = 300
"""Characters of what is told of an error."""


def resolve_secret(value: str, channel: str) -> str:
    """A value of the configuration, or that of the environment variable which it names. Raises ChannelError where the variable is not set
    or holds nothing but blanks."""
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
    """What may be told of an error: on one line, not long, and with nothing in it of any secret."""
    parts = sorted({part for secret in secrets for part in _secret_parts(secret)}, key=len, reverse=True)
    for part in parts:
        message = message.replace(part, "***")
    message = to_printable(" ".join(message.split()))
    return message if len(message) <= MAX_ERROR_CHARACTERS else message[: MAX_ERROR_CHARACTERS - 1] + "…"


def _secret_parts(secret: str) -> set[str]:
    """A secret, and where it is an address, what of it may be one: user, password, path, parameters; the host is none, unless it
    is all there is (Apprise puts tokens there)."""
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
