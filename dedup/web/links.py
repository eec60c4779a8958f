"""Addresses of pages: made here and nowhere else. They name pages by canonical URL, states by digest, nothing by a surrogate key, and
are relative, so that they hold beneath whatever path a reverse proxy serves them."""

from __future__ import annotations

import base64
import binascii
import json
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
"""What the navigation leads to: (name of the view, what it is called); the overview is at the root."""
DIGEST_DIGITS = 16
"""Hexadecimal digits of a state's digest by which a link names it."""

QueryValue = str | int | bool | None | list[str] | tuple[str, ...]


class Links:
    """Addresses as they are written in the page at `path`."""

    def __init__(self, path: str) -> None:
        self.root = "../" * (path.count("/") - 1)

    def to(self, view: str, /, **query: QueryValue) -> str:
        """The address of a view; what is empty, None or False is left out of it, a list is a parameter for each."""
        parameters: list[tuple[str, str]] = []
        for name, value in query.items():
            values = value if isinstance(value, list | tuple) else (value,)
            parameters += [(name.rstrip("_"), "1" if v is True else str(v)) for v in values if v not in (None, False, "")]
        path = self.root + ("" if view == "overview" else view)
        return (path or "./") + (f"?{urlencode(parameters)}" if parameters else "")

    def static(self, name: str, version: str) -> str:
        """The address of a file that is shipped; another version has another."""
        return f"{self.root}static/{name}?v={version}"

    def page(self, url: str, **query: QueryValue) -> str:
        """The page of a canonical URL."""
        return self.to("page", url=url, **query)

    def compare(self, url: str, from_: str, to: str, **query: QueryValue) -> str:
        """Two states of a page, named by their digests (with or without the recipe before them)."""
        return self.to("compare", url=url, from_=short_digest(from_), to=short_digest(to), **query)

    def pair(self, a: str, b: str, **query: QueryValue) -> str:
        """Two articles beside each other."""
        return self.to("pair", a=a, b=b, **query)


def short_digest(digest: str) -> str:
    """A digest as a link has it."""
    return digest.rpartition(":")[2][:DIGEST_DIGITS]


def parse_digest(text: str, name: str = "cursor", problem: str = "is not a valid cursor; start again without it") -> bytes:
    """The digest that the hexadecimal digits of a parameter stand for. Raises ParameterError with the `problem`."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ParameterError(name=name, problem=problem) from None


def encode_cursor(*values: Any) -> str:
    """Where a page of a list ended, as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> tuple[Any, ...] | None:
    """The values that `encode_cursor` was given, of these types; None for an empty cursor. Raises ParameterError for an invalid one."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        values = None
    if not isinstance(values, list) or [type(v) for v in values] != list(types) or not all(map(is_storable, values)):
        raise ParameterError(name="cursor", problem="is not a valid cursor; start again without it")
    return tuple(values)
