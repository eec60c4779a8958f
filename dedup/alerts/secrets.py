"""Secrets of channels: looked up when they are needed, and never told."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlsplit

from dedup.config import variable
from dedup.errors import ChannelError
from dedup.text.normalise import printable

_LEAST = 4
"""Characters from which a part of a secret is taken out of what is told; shorter ones would take words apart."""
MOST = 300
"""Characters of what is told of an error."""


def reveal(value: str, channel: str) -> str:
    """A value of the configuration, or that of the environment variable which it names. Raises ChannelError where the variable is not set
    or holds nothing but blanks."""
    name = variable(value)
    if name is None:
        return value
    found = os.environ.get(name)
    if found is None or not found.strip():
        raise ChannelError(channel=channel, problem=f"the environment variable {name} is {'not set' if found is None else 'empty'}")
    return found


def without(told: str, secrets: Iterable[str]) -> str:
    """What may be told of an error: on one line, not long, and with nothing in it of any secret."""
    parts = sorted({part for secret in secrets for part in _parts(secret)}, key=len, reverse=True)
    for part in parts:
        told = told.replace(part, "***")
    told = printable(" ".join(told.split()))
    return told if len(told) <= MOST else told[: MOST - 1] + "…"


def _parts(secret: str) -> set[str]:
    """A secret, and where it is an address, what of it may be one: user, password, path, parameters; the host is none, unless it
    is all there is (Apprise puts tokens there)."""
    found = {secret}
    try:
        split = urlsplit(secret)
        if split.scheme and split.netloc:
            found |= {split.username or "", split.password or "", *split.path.split("/"), *(v for _, v in parse_qsl(split.query))}
            if split.scheme not in ("http", "https", "mailto", "mailtos", "json", "jsons"):
                found.add(split.hostname or "")
                found.add(split.netloc.rpartition("@")[2])
    except ValueError:
        pass
    return {part for each in found for part in (each, unquote(each)) if len(part) >= _LEAST}
