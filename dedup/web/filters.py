"""Jinja filters that format values. `finalize` makes every other string printable on one line, and autoescaping escapes it."""

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
    """Format crawled text on one line, isolated so that its writing direction does not affect the text around it."""
    return _BEGIN[language_tag(text)] + escape(to_printable(" ".join(text.split()))) + _END


def format_block(text: str) -> Markup:
    """Format crawled text as paragraphs with line breaks."""
    paragraphs = [p for p in to_printable_block(text).split("\n\n") if p.strip()]
    html_paragraphs = [
        Markup("<p>") + Markup("<br>").join(escape(row) for row in p.strip("\n").split("\n")) + Markup("</p>") for p in paragraphs
    ]
    return (
        Markup('<div class="text" dir="auto" lang="{}">').format(language_tag(text)) + Markup("").join(html_paragraphs) + Markup("</div>")
    )


def format_fragment(text: str) -> Markup:
    """Format a part of a crawled text, with its line breaks."""
    return Markup("<br>").join(escape(row) for row in to_printable_block(text).split("\n"))


def format_before_after(label: str, before: str, after: str) -> Markup:
    """Format a labelled value before and after a change, for the entries of feeds."""
    sides = [Markup("<{0}>{1}</{0}>").format(tag, to_printable(text)) for tag, text in (("del", before), ("ins", after)) if text]
    return Markup("{}: ").format(format_name(label)) + Markup(" → ").join(sides)


def format_diff(operations: Iterable[Operation]) -> Markup:
    """Format a diff with `<del>` and `<ins>`."""
    return Markup(render.to_html(replace(o, text=to_printable_block(o.text)) for o in operations))  # noqa: S704  to_html escapes


def format_time(iso: str | None, zone: ZoneInfo, *, seconds: bool = False) -> Markup:
    """Format a time in `zone`, with the stored value as its title. The script of the dashboard converts it to the zone of the browser."""
    if not iso:
        return Markup('<span class="none">unknown</span>')
    try:
        local_time = times.to_local(iso, zone)
    except ValueError:
        return format_line(iso)
    text = times.format_time(local_time, with_seconds=seconds)
    return Markup('<time datetime="{iso}" title="{iso}">{label}</time>').format(iso=iso, label=text)


def format_number(value: float | None, digits: int = 0) -> str:
    """Format a number with thousands separators: `1,234`."""
    return "–" if value is None else f"{value:,.{digits}f}"


def format_share(value: float | None) -> str:
    """Format a share as a percentage. A share below 1 is never shown as 100 %."""
    if value is None:
        return "–"
    return f"{min(value * 100, 99.9) if value < 1 else 100:.0f} %" if not 0.995 <= value < 1 else "> 99 %"


def format_time_span(seconds: float | None) -> str:
    """Return a signed time span (`+3:15`), or `–` if it is unknown."""
    return "–" if seconds is None else format_lag(seconds)


def external_link(url: str) -> Markup:
    """Format a crawled URL without credentials: as a link if a browser can open it, else as text."""
    address = urls.to_display_url(url)
    if not re.match(r"https?://", address) or to_printable(address) != address or not is_web_url(address):
        return format_line(address)
    return Markup('<a class="external" href="{0}" rel="noreferrer noopener"><bdi>{0}</bdi></a>').format(address)


def is_web_url(url: str) -> bool:
    """Return whether a URL is http or https and has a host, as `dedup.text.urls` reads it."""
    return re.match(r"https?://[^\s/?#\\@]+(?:[/?#]|$)", url) is not None


def format_name(name: str) -> str:
    """Format an identifier as words: `time_stamp` becomes `time stamp`."""
    return name.replace("_", " ")


FILTERS = {
    "inline": format_line, "paragraphs": format_block, "fragment": format_fragment, "diff": format_diff, "external_link": external_link,
    "spaced": format_name, "number": format_number, "percent": format_share, "bytes": format_bytes, "time_span": format_time_span,
}  # fmt: skip
