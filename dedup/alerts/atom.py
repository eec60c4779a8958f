"""Atom feeds (RFC 4287). The feed of a channel is a file that each delivery writes whole; the dashboard serves a feed of changes."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Tree  # builds XML only, parses none

from dedup.alerts.messages import FeedEntry
from dedup.files.atomic import replace_atomically
from dedup.text import times
from dedup.text.sanitise import is_linkable_url

ATOM_NAMESPACE = "http://www.w3.org/2005/Atom"
ID_PREFIX = "tag:dedup.invalid,2026:"
"""Prefix of the id of every feed and entry (RFC 4151)."""

_NAMESPACE_PREFIX = f"{{{ATOM_NAMESPACE}}}"
_OWN_FEED_START = re.compile(
    rb"""<\?xml [^>]*\?>\s*<feed xmlns="%b">\s*<id>%b""" % (re.escape(ATOM_NAMESPACE).encode(), re.escape(ID_PREFIX).encode())
)
"""Matches the start of a feed that this module wrote."""


def write_feed(path: Path, entries: Sequence[FeedEntry], timeout_seconds: float) -> None:
    """Write a feed of `entries`, newest first, to `path` in place of the feed that is there.

    The file is replaced atomically. Its mode is 0644, so that a web server may serve it. No link in `path` is followed. After
    `timeout_seconds` nothing is replaced: a write that hung does not undo a later one. Raises OSError, also for an existing file that is
    not a feed of dedup.
    """
    absolute_path = os.path.abspath(path)
    deadline = time.monotonic() + timeout_seconds

    def check(existing_fd: int | None) -> None:
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "timed out", absolute_path)
        if existing_fd is not None and not _is_own_feed(existing_fd):
            problem = "not replaced: the existing file is not a feed of dedup; move it away or choose another path"
            raise OSError(errno.EEXIST, problem, absolute_path)

    address = path.name if path.name.isascii() else "alerts.atom"
    with replace_atomically(absolute_path, check, mode=0o644) as file:
        file.write(render_feed(entries, "feed", "dedup", address))


def _is_own_feed(descriptor: int) -> bool:
    """Return whether a file is empty or starts as a feed of dedup does. Damage further on does not matter: the file is replaced."""
    return os.fstat(descriptor).st_size == 0 or _OWN_FEED_START.match(os.pread(descriptor, 1024, 0)) is not None


def render_feed(entries: Sequence[FeedEntry], name: str, title: str, address: str) -> bytes:
    """Return a feed as XML in UTF-8. The entries keep their order.

    `name` makes the id of the feed, `address` is its own URL, absolute or relative. The feed is as recent as its newest entry, or as now
    if it is empty.
    """
    Tree.register_namespace("", ATOM_NAMESPACE)
    feed = Tree.Element(f"{_NAMESPACE_PREFIX}feed")
    _add_child(feed, "id", ID_PREFIX + name)
    _add_child(feed, "title", title)
    updated_times = [_format_time(entry.at) for entry in entries] or [_format_time(datetime.now(UTC).isoformat())]
    _add_child(feed, "updated", max(updated_times))
    Tree.SubElement(feed, f"{_NAMESPACE_PREFIX}link", rel="self", type="application/atom+xml", href=address)
    _add_child(Tree.SubElement(feed, f"{_NAMESPACE_PREFIX}author"), "name", "dedup")
    feed.extend(map(_entry_element, entries))
    Tree.indent(feed)
    xml: bytes = Tree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _entry_element(entry: FeedEntry) -> Tree.Element:
    element = Tree.Element(f"{_NAMESPACE_PREFIX}entry")
    _add_child(element, "id", ID_PREFIX + entry.id)
    _add_child(element, "title", entry.title)
    _add_child(element, "updated", _format_time(entry.at))
    if is_linkable_url(entry.url):
        Tree.SubElement(element, f"{_NAMESPACE_PREFIX}link", rel="alternate", href=entry.url)
    _add_child(element, "content", entry.html, type="html")
    return element


def _add_child(parent: Tree.Element, name: str, text: str, **attributes: str) -> None:
    Tree.SubElement(parent, _NAMESPACE_PREFIX + name, attributes).text = text


def _format_time(iso: str) -> str:
    """Return a time as RFC 3339 in UTC, in whole seconds."""
    return times.format_time(times.to_local(iso, UTC), with_seconds=True).replace(" ", "T") + "Z"
