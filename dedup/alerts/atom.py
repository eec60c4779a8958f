"""A feed (RFC 4287) of the latest alerts, as a file that is replaced as a whole."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Tree  # what is read was written here; nothing else is understood

from dedup.alerts.messages import FeedEntry
from dedup.files.atomic import open_folder, replace_atomically
from dedup.text import times
from dedup.text.sanitise import is_linkable_url

ATOM_NAMESPACE = "http://www.w3.org/2005/Atom"
ID_PREFIX = "tag:dedup.invalid,2026:"
"""What ids begin with (RFC 4151)."""
MAX_BYTES = 1 << 26
"""A larger file is none that was written here."""

_NAMESPACE_PREFIX = f"{{{ATOM_NAMESPACE}}}"
_OWN_FEED_START = re.compile(
    rb"""<\?xml [^>]*\?>\s*<feed xmlns="%b">\s*<id>%b""" % (re.escape(ATOM_NAMESPACE).encode(), re.escape(ID_PREFIX).encode())
)
"""How a feed begins that was written here."""


def add_entries(path: Path, entries: Sequence[FeedEntry], limit: int) -> None:
    """Put entries into the feed at `path`, made where there is none; of all it keeps the newest `limit`. One whose id is known takes the
    place of that.

    The feed is replaced as a whole, with mode 0644: it may be served. A file that is something else is left as it is, and no link on the
    way to `path` is followed. Raises OSError.
    """
    absolute_path = os.path.abspath(path)
    name = path.name if path.name.isascii() else "alerts.atom"
    ids = {ID_PREFIX + entry.id for entry in entries}
    folder = open_folder(os.path.dirname(absolute_path))
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # `dedup alerts test` may write too
        existing: list[Tree.Element] = []

        def known(there: int | None) -> None:
            existing[:] = (
                [] if there is None else [e for e in _read_entries(there, absolute_path) if e.findtext(f"{_NAMESPACE_PREFIX}id") not in ids]
            )

        with replace_atomically(absolute_path, known, mode=0o644) as file:
            elements = sorted(
                [_entry_element(e) for e in entries] + existing, key=lambda e: e.findtext(f"{_NAMESPACE_PREFIX}updated") or "", reverse=True
            )[:limit]
            file.write(_feed_to_xml("feed", "dedup", name, elements))
    finally:
        os.close(folder)


def _read_entries(descriptor: int, path: str) -> list[Tree.Element]:
    """The entries of a feed that was written here; none of a file that is empty, damaged or too large. Raises OSError for a file that
    is something else."""
    size = os.fstat(descriptor).st_size
    if size and not _OWN_FEED_START.match(os.pread(descriptor, 1024, 0)):
        problem = "it is not replaced: what is there is no feed of dedup; move it away or choose another path"
        raise OSError(errno.EEXIST, problem, path)
    content = os.pread(descriptor, size, 0) if size <= MAX_BYTES else b""
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        return []
    try:
        return Tree.fromstring(content).findall(f"{_NAMESPACE_PREFIX}entry")  # noqa: S314  without a document type there are no entities
    except (Tree.ParseError, ValueError, LookupError):
        return []


def render_feed(entries: Sequence[FeedEntry], name: str, address: str) -> bytes:
    """A feed of entries, the newest first, that is found at an `address`; by its `name` readers know it from others of ours."""
    return _feed_to_xml(name, f"dedup: {name}", address, [_entry_element(entry) for entry in entries])


def _feed_to_xml(name: str, title: str, address: str, entries: Sequence[Tree.Element]) -> bytes:
    Tree.register_namespace("", ATOM_NAMESPACE)
    feed = Tree.Element(f"{_NAMESPACE_PREFIX}feed")
    _add_child(feed, "id", ID_PREFIX + name)
    _add_child(feed, "title", title)
    _add_child(
        feed,
        "updated",
        (entries[0].findtext(f"{_NAMESPACE_PREFIX}updated") if entries else None) or _format_time(datetime.now(UTC).isoformat()),
    )
    Tree.SubElement(feed, f"{_NAMESPACE_PREFIX}link", rel="self", type="application/atom+xml", href=address)
    _add_child(Tree.SubElement(feed, f"{_NAMESPACE_PREFIX}author"), "name", "dedup")
    feed.extend(entries)
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
    """As RFC 3339 has it, in UTC."""
    return times.format_time(times.to_local(iso, UTC), with_seconds=True).replace(" ", "T") + "Z"
