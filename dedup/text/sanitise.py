"""Text of a crawl where it goes out: on one line, in Markdown, JSON and CSV. It can neither steer a terminal nor become markup, call
anybody by `@`, or be a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from dedup.text.normalise import to_printable, to_printable_json

_LINKABLE_URL = re.compile(r"https?://[^\s<>\"'`\\|{}^]+")
_MENTION = re.compile(r"@(?=everyone|here|channel)|(?<![\w.])@(?=[\w&!#])|<(?=[@!#])", re.IGNORECASE)
"""Where chats would call somebody: Discord's `@everyone`, Slack's `<!channel>`."""
_MARKDOWN_CHARACTER = re.compile(r"[\\`*_\[\]<>~]")
_ENTITY = re.compile(r"&(?=#?\w{1,40};)")
_WORD_JOINER = "\u2060"
_JOINED_MENTION = re.compile("(?<=[@<])\u2060+")


def to_one_line(text: str) -> str:
    """Text of a crawl on one line, fit to be shown: what steers is spelt out, line ends are blanks, nobody is called (by a word joiner,
    which is not seen). Doing it again changes nothing."""
    unjoined = _JOINED_MENTION.sub("", " ".join(text.split()))
    return _MENTION.sub(lambda m: m[0] + _WORD_JOINER, to_printable(unjoined))


def truncate(text: str, limit: int) -> str:
    """So many characters of it at most."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def is_linkable_url(url: str) -> bool:
    """Whether it is an address that may be made a link."""
    return url.isprintable() and _LINKABLE_URL.fullmatch(url) is not None


def escape_mentions(url: str) -> str:
    """An address that calls nobody."""
    return url.replace("@", "%40") if _MENTION.search(url) else url


def escape_markdown(text: str) -> str:
    """What is fit to be shown, as text of CommonMark."""
    return _MARKDOWN_CHARACTER.sub(r"\\\g<0>", _ENTITY.sub("&amp;", text))


format_json = to_printable_json


def format_csv_row(cells: list[str]) -> str:
    """A row of CSV (RFC 4180) with its line end."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


_FORMULA_PREFIXES = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How formulas begin in spreadsheets, some of which skip blanks first or take full-width signs too."""


def format_csv_cell(value: Any) -> str:
    """A value as a cell of CSV; what a spreadsheet would take for a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    text = to_printable(str(value))
    return "'" + text if text.lstrip().startswith(_FORMULA_PREFIXES) else text
