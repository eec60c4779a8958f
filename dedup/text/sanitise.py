"""Text of a crawl where it goes out: on one line, in Markdown, JSON and CSV. It can neither steer a terminal nor become markup, call
anybody by `@`, or be a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from dedup.text.normalise import printable, printable_json

_ADDRESS = re.compile(r"https?://[^\s<>\"'`\\|{}^]+")
_CALLS = re.compile(r"@(?=everyone|here|channel)|(?<![\w.])@(?=[\w&!#])|<(?=[@!#])", re.IGNORECASE)
"""Where chats would call somebody: Discord's `@everyone`, Slack's `<!channel>`."""
_MARKDOWN = re.compile(r"[\\`*_\[\]<>~]")
_ENTITY = re.compile(r"&(?=#?\w{1,40};)")
_JOINER = "\u2060"
_JOINED = re.compile("(?<=[@<])\u2060+")


def one_line(text: str) -> str:
    """Text of a crawl on one line, fit to be shown: what steers is spelt out, line ends are blanks, nobody is called (by a word joiner,
    which is not seen). Doing it again changes nothing."""
    bare = _JOINED.sub("", " ".join(text.split()))
    return _CALLS.sub(lambda m: m[0] + _JOINER, printable(bare))


def cut(text: str, most: int) -> str:
    """So many characters of it at most."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def is_address(url: str) -> bool:
    """Whether it is an address that may be made a link."""
    return url.isprintable() and _ADDRESS.fullmatch(url) is not None


def uncalling(url: str) -> str:
    """An address that calls nobody."""
    return url.replace("@", "%40") if _CALLS.search(url) else url


def markdown(shown: str) -> str:
    """What is fit to be shown, as text of CommonMark."""
    return _MARKDOWN.sub(r"\\\g<0>", _ENTITY.sub("&amp;", shown))


dumps = printable_json


def csv_line(cells: list[str]) -> str:
    """A row of CSV (RFC 4180) with its line end."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How formulas begin in spreadsheets, some of which skip blanks first or take full-width signs too."""


def cell(value: Any) -> str:
    """A value as a cell of CSV; what a spreadsheet would take for a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    shown = printable(str(value))
    return "'" + shown if shown.lstrip().startswith(_FORMULA) else shown
