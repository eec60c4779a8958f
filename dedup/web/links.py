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
DIGITS = 16
"""Hexadecimal digits of a state's digest by which a link names it."""

Value = str | int | bool | None | list[str] | tuple[str, ...]


class Links:
    """Addresses as they are written in the page at `path`."""

    def __init__(self, path: str) -> None:
        self.root = "../" * (path.count("/") - 1)

    def to(self, view: str, /, **query: Value) -> str:
        """The address of a view; what is empty, None or False is left out of it, a list is a parameter for each."""
        given: list[tuple[str, str]] = []
        for name, value in query.items():
            several = value if isinstance(value, list | tuple) else (value,)
            given += [(name.rstrip("_"), "1" if v is True else str(v)) for v in several if v not in (None, False, "")]
        place = self.root + ("" if view == "overview" else view)
        return (place or "./") + (f"?{urlencode(given)}" if given else "")

    def static(self, name: str, version: str) -> str:
        """The address of a file that is shipped; another version has another."""
        return f"{self.root}static/{name}?v={version}"

    def page(self, url: str, **query: Value) -> str:
        """The page of a canonical URL."""
        return self.to("page", url=url, **query)

    def compare(self, url: str, from_: str, to: str, **query: Value) -> str:
        """Two states of a page, named by their digests (with or without the recipe before them)."""
        return self.to("compare", url=url, from_=state(from_), to=state(to), **query)

    def pair(self, a: str, b: str, **query: Value) -> str:
        """Two articles beside each other."""
        return self.to("pair", a=a, b=b, **query)


def state(digest: str) -> str:
    """A digest as a link has it."""
    return digest.rpartition(":")[2][:DIGITS]


def digest(digits: str, name: str = "after", problem: str = "is no place in this list; begin again without it") -> bytes:
    """The digest that the hexadecimal digits of a parameter stand for. Raises ParameterError, which tells the `problem`."""
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ParameterError(name=name, problem=problem) from None


def key(*values: Any) -> str:
    """Where a page of a list ended, as an opaque word."""
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).decode().rstrip("=")


def unkey(word: str, *kinds: type) -> tuple[Any, ...] | None:
    """What `key` was given, of these kinds; None of an empty word. Raises ParameterError for one that it did not make."""
    if not word:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(word + "=" * (-len(word) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        found = None
    if not isinstance(found, list) or [type(v) for v in found] != list(kinds) or not all(map(is_storable, found)):
        raise ParameterError(name="after", problem="is no place in this list; begin again without it")
    return tuple(found)
