"""Text of a crawl where it goes out: on one line, in Markdown, JSON and CSV. It can neither steer a terminal nor become markup, call
anybody by `@`, or be a formula."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from dedup.text import printable

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


def dumps(value: Any, indent: int | None = None) -> str:
    """JSON; characters that could steer a terminal are escaped, as JSON allows for any character."""
    shown = json.dumps(value, ensure_ascii=False, indent=indent)
    return shown if shown.replace("\n", "").isprintable() else shown.translate(_JSON)


class _Json(dict[int, str]):
    """A `str.translate` table that escapes what could steer, but line ends, which stand between values only."""

    def __missing__(self, code: int) -> str:
        c = chr(code)
        escaped = f"\\u{code:04x}" if code < 0x10000 else json.dumps(c)[1:-1]
        self[code] = c if c == "\n" or printable(c) == c else escaped
        return self[code]


_JSON = _Json()


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
