"""Escape untrusted text for the place it is written to.

Crawled text is hostile. Each sink below has one function and one table; nothing else in the program escapes text.

| sink | function | what is neutralised |
|---|---|---|
| terminal, log | `to_printable`, `to_printable_path`, `to_printable_block` | control, format and bidirectional characters |
| JSON | `format_json` | the same characters, as JSON escapes |
| CSV | `format_csv_cell`, `format_csv_row` | the same characters, and spreadsheet formulas |
| chat message, mail header | `to_one_line` | the same characters, line ends, and mentions such as `@everyone` |
| Markdown | `escape_markdown`, `escape_markdown_line`, `escape_markdown_cell` | markup and entities |
| HTML | `escape_html`, `escape_script`, `finalize_html` | markup; `finalize_html` also control characters |
| link | `is_linkable_url`, `escape_mentions` | anything but an http(s) address |
"""

from __future__ import annotations

import csv
import html
import io
import json
import logging
import re
import unicodedata
from typing import Any

# Terminals and logs

_UNSAFE_CATEGORIES = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
"""Unicode categories that can steer a terminal or reorder a line: controls, format characters (bidirectional overrides among them),
surrogates, private use, unassigned, line and paragraph separators."""
_ZERO_WIDTH_JOINERS = frozenset((0x200C, 0x200D))
"""Format characters that scripts and emoji need; they stay."""


class _TerminalTable(dict[int, str]):
    """A `str.translate` table that writes unsafe characters as escapes (`\\x1b`, `\\u202e`)."""

    def __missing__(self, code: int) -> str:
        is_unsafe = unicodedata.category(chr(code)) in _UNSAFE_CATEGORIES and code not in _ZERO_WIDTH_JOINERS
        escaped = chr(code)
        if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in names and arguments
            escaped = f"\\x{code - 0xDC00:02x}"
        elif is_unsafe:
            escaped = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
        self[code] = escaped
        return escaped


_TERMINAL_TABLE = _TerminalTable()


def to_printable(text: str) -> str:
    """Return `text` on one line, with every character that could steer a terminal written as an escape (`\\x1b`, `\\u202e`)."""
    return text if text.isprintable() else text.translate(_TERMINAL_TABLE)


def to_printable_path(path: bytes) -> str:
    """Return a path as text: UTF-8, with other bytes and control characters as `\\xNN`."""
    return to_printable(path.decode("utf-8", "backslashreplace"))


def to_printable_block(text: str) -> str:
    """Return `text` with unsafe characters escaped as in `to_printable`; line ends stay, a tab becomes four spaces."""
    return "\n".join(line.replace("\t", "    ").translate(_TERMINAL_TABLE) for line in text.split("\n"))


class PrintableFormatter(logging.Formatter):
    """Formats a log record as one printable line, whatever its arguments contain."""

    def format(self, record: logging.LogRecord) -> str:
        return to_printable(super().format(record))


# JSON


class _JsonTable(dict[int, str]):
    """A `str.translate` table that writes unsafe characters as JSON escapes. Line ends stay: in JSON they occur between values only."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        escaped = f"\\u{code:04x}" if code < 0x10000 else json.dumps(character)[1:-1]
        self[code] = character if character == "\n" or to_printable(character) == character else escaped
        return self[code]


_JSON_TABLE = _JsonTable()


def format_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as JSON that is safe to print: characters that could steer a terminal are escaped, the rest is not."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text if text.replace("\n", "").isprintable() else text.translate(_JSON_TABLE)


# CSV

_FORMULA_PREFIXES = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of a spreadsheet formula. Some spreadsheets skip leading white space, some accept full-width signs."""


def format_csv_row(cells: list[str]) -> str:
    """Return a row of CSV with its line end (RFC 4180)."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()


def format_csv_cell(value: Any) -> str:
    """Return a value as the text of a CSV cell; an apostrophe precedes text that a spreadsheet would run as a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    text = to_printable(str(value))
    return "'" + text if text.lstrip().startswith(_FORMULA_PREFIXES) else text


# Chat messages and mail headers

_MENTION = re.compile(r"@(?=everyone|here|channel)|(?<![\w.])@(?=[\w&!#])|<(?=[@!#])", re.IGNORECASE)
"""The first character of what notifies people in a chat: Discord's `@everyone`, Slack's `<!channel>`."""
_WORD_JOINER = "\u2060"
_JOINED_MENTION = re.compile("(?<=[@<])\u2060+")


def to_one_line(text: str) -> str:
    """Return `text` as one line for a message or a mail header. Idempotent.

    Unsafe characters are escaped, white space is collapsed, and an invisible word joiner disarms each mention.
    """
    unjoined = _JOINED_MENTION.sub("", " ".join(text.split()))
    return _MENTION.sub(lambda m: m[0] + _WORD_JOINER, to_printable(unjoined))


def truncate(text: str, limit: int) -> str:
    """Truncate `text` to `limit` characters, ending in `…` if anything was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


# Links

_LINKABLE_URL = re.compile(r"https?://[^\s<>\"'`\\|{}^]+")


def is_linkable_url(url: str) -> bool:
    """Return whether `url` may become a link."""
    return url.isprintable() and _LINKABLE_URL.fullmatch(url) is not None


def escape_mentions(url: str) -> str:
    """Return `url` with `@` percent-encoded if it would notify people in a chat."""
    return url.replace("@", "%40") if _MENTION.search(url) else url


# Markdown

_MARKDOWN_TABLE = {ord(character): "\\" + character for character in "\\`*_[]<>~"}
_MARKDOWN_CELL_TABLE = {ord("|"): "\\|"}
_ENTITY = re.compile(r"&(?=#?\w{1,40};)")
_BLOCK_MARKER = re.compile(r"^(\s*)([-+#=>]|\d{1,9}(?=[.)]))")
"""The start of a line that CommonMark would read as a list, heading or quotation."""


def escape_markdown(text: str) -> str:
    """Escape the inline markup of CommonMark in a printable text."""
    return _ENTITY.sub("&amp;", text).translate(_MARKDOWN_TABLE)


def escape_markdown_line(markdown: str) -> str:
    """Escape the start of a line of Markdown so that it begins no list, heading or quotation."""
    return _BLOCK_MARKER.sub(r"\1\\\2", markdown)


def escape_markdown_cell(text: str) -> str:
    """Escape a printable text for a cell of a Markdown table."""
    return escape_markdown(text).translate(_MARKDOWN_CELL_TABLE)


# HTML

_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


def escape_html(text: str) -> str:
    """Escape `text` for HTML content and quoted attributes."""
    return html.escape(text)


def escape_script(json_text: str) -> str:
    """Escape JSON for a `<script>` element, so that no tag or comment begins in it."""
    return json_text.replace("<", "\\u003c")


def finalize_html(value: Any) -> Any:
    """Return the value of a template expression with unsafe characters escaped; markup and values other than text pass unchanged.

    For Jinja's `finalize`, which runs before automatic HTML escaping.
    """
    return to_printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def language_tag(text: str) -> str:
    """Return the `lang` attribute of a text: `ko` if it contains Hangul, else empty (unknown)."""
    return "ko" if _HANGUL.search(text) else ""
