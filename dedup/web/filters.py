"""How values are shown in pages. Whatever is not shown by one of these goes out on one line with nothing in it that steers, escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from dedup.changes.diff import Operation, render
from dedup.text import times, urls
from dedup.text.format import format_bytes, format_lag
from dedup.text.sanitise import language_tag, to_printable, to_printable_block

_BEGIN = {"ko": Markup('<bdi lang="ko">'), "": Markup('<bdi lang="">')}
_END = Markup("</bdi>")


def format_line(text: str) -> Markup:
    """Text of a crawl, on one line; it turns nothing round that stands beside it."""
    return _BEGIN[language_tag(text)] + escape(to_printable(" ".join(text.split()))) + _END


def format_block(text: str) -> Markup:
    """The same over several lines, in paragraphs."""
    paragraphs = [p for p in to_printable_block(text).split("\n\n") if p.strip()]
    html_paragraphs = [
        Markup("<p>") + Markup("<br>").join(escape(row) for row in p.strip("\n").split("\n")) + Markup("</p>") for p in paragraphs
    ]
    return (
        Markup('<div class="text" dir="auto" lang="{}">').format(language_tag(text)) + Markup("").join(html_paragraphs) + Markup("</div>")
    )


def format_fragment(text: str) -> Markup:
    """A piece of such a text, line ends and all."""
    return Markup("<br>").join(escape(row) for row in to_printable_block(text).split("\n"))


def format_before_after(label: str, before: str, after: str) -> Markup:
    """What was, and what is, for readers of feeds."""
    sides = [Markup("<{0}>{1}</{0}>").format(tag, to_printable(text)) for tag, text in (("del", before), ("ins", after)) if text]
    return Markup("{}: ").format(format_name(label)) + Markup(" → ").join(sides)


def format_diff(operations: Iterable[Operation]) -> Markup:
    """A difference: `<del>`, `<ins>`."""
    return Markup(render.to_html(replace(o, text=to_printable_block(o.text)) for o in operations))  # noqa: S704  it escapes


def format_time(iso: str | None, zone: ZoneInfo, *, seconds: bool = False) -> Markup:
    """A time in `zone`; the reader's browser makes it one of theirs. What was stored is in its title."""
    if not iso:
        return Markup('<span class="none">unknown</span>')
    try:
        local_time = times.to_local(iso, zone)
    except ValueError:
        return format_line(iso)
    text = times.format_time(local_time, with_seconds=seconds)
    return Markup('<time datetime="{iso}" title="{iso}">{label}</time>').format(iso=iso, label=text)


def format_number(value: float | None, digits: int = 0) -> str:
    """1,234"""
    return "–" if value is None else f"{value:,.{digits}f}"


def format_share(value: float | None) -> str:
    """A share as a percentage; less than all is never shown as 100 %."""
    if value is None:
        return "–"
    return f"{min(value * 100, 99.9) if value < 1 else 100:.0f} %" if not 0.995 <= value < 1 else "> 99 %"


def format_time_span(seconds: float | None) -> str:
    """Return a signed time span (`+3:15`), or `–` if it is unknown."""
    return "–" if seconds is None else format_lag(seconds)


def external_link(url: str) -> Markup:
    """An address of the crawl: a link only if it is one for browsers, never with credentials; else as text."""
    address = urls.to_display_url(url)
    if not re.match(r"https?://", address) or to_printable(address) != address or not is_web_url(address):
        return format_line(address)
    return Markup('<a class="external" href="{0}" rel="noreferrer noopener"><bdi>{0}</bdi></a>').format(address)


def is_web_url(url: str) -> bool:
    """Whether it is an address of http or https with a host, as `dedup.text.urls` reads it."""
    return re.match(r"https?://[^\s/?#\\@]+(?:[/?#]|$)", url) is not None


def format_name(name: str) -> str:
    """A name of the program's as words: `time_stamp` is `time stamp`."""
    return name.replace("_", " ")


FILTERS = {
    "inline": format_line, "paragraphs": format_block, "fragment": format_fragment, "diff": format_diff, "external_link": external_link,
    "spaced": format_name, "number": format_number, "percent": format_share, "bytes": format_bytes, "time_span": format_time_span,
}  # fmt: skip
