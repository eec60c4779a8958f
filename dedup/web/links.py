"""URLs of the dashboard.

Links name pages by canonical URL and states by digest, never by surrogate key. They are relative, so that the dashboard works under any
path of a reverse proxy.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from dedup.errors import ParameterError
from dedup.text.normalise import is_storable

AREAS = (
    ("overview", "Overview"),
    ("clusters", "Clusters"),
    ("pages", "Pages"),
    ("changes", "Changes"),
    ("checks", "Checks"),
    ("faults", "Faults"),
    ("search", "Search"),
    ("status", "Status"),
)
"""Entries of the navigation: (view, label). The overview is at the root."""
DIGEST_DIGITS = 16
"""Hexadecimal digits of a state digest in a link."""

QueryValue = str | int | bool | None | list[str] | tuple[str, ...]


class Links:
    """Builds links for the page at `path`."""

    def __init__(self, path: str) -> None:
        self.root = "../" * (path.count("/") - 1)

    def to(self, view: str, /, **query: QueryValue) -> str:
        """Return the URL of a view. Empty, None and False parameters are omitted; a list repeats its parameter."""
        parameters: list[tuple[str, str]] = []
        for name, value in query.items():
            values = value if isinstance(value, list | tuple) else (value,)
            parameters += [(name.rstrip("_"), "1" if v is True else str(v)) for v in values if v not in (None, False, "")]
        path = self.root + ("" if view == "overview" else view)
        return (path or "./") + (f"?{urlencode(parameters)}" if parameters else "")

    def static(self, name: str, version: str) -> str:
        """Return the URL of a static file. It contains the version, so that browsers may cache the file forever."""
        return f"{self.root}static/{name}?v={version}"

    def page(self, url: str, **query: QueryValue) -> str:
        """Return the URL of the page with a canonical URL."""
        return self.to("page", url=url, **query)

    def compare(self, url: str, from_: str, to: str, **query: QueryValue) -> str:
        """Return the URL of the comparison of two states of a page, given by digests with or without recipe."""
        return self.to("compare", url=url, from_=short_digest(from_), to=short_digest(to), **query)

    def change(self, change: Mapping[str, Any], **query: QueryValue) -> str:
        """Return the URL of the comparison of the two states of a change, given as JSON."""
        return self.compare(change["url"], change["state_digest_before"], change["state_digest_after"], **query)

    def pair(self, a: str, b: str, **query: QueryValue) -> str:
        """Return the URL of two articles side by side."""
        return self.to("pair", a=a, b=b, **query)


def short_digest(digest: str) -> str:
    """Return a digest as links contain it: without recipe, truncated to DIGEST_DIGITS."""
    return digest.rpartition(":")[2][:DIGEST_DIGITS]


def parse_digest(text: str, name: str = "cursor", problem: str = "is not a valid cursor; start again without it") -> bytes:
    """Return the digest of hexadecimal digits in the parameter `name`. Raises ParameterError with `problem`."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ParameterError(name=name, problem=problem) from None


def encode_cursor(*values: Any) -> str:
    """Return an opaque cursor for the end of a page of a list."""
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...] | None:
    """Return the values of a cursor, which must have these types, or None for an empty one. Raises ParameterError for an invalid one."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or [type(v) for v in values] != list(types) or not all(map(is_storable, values)):
        raise ParameterError(name="cursor", problem="is not a valid cursor; start again without it")
    return tuple(values)
