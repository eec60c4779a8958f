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

from dedup.alerts.messages import Entry
from dedup.files.atomic import open_folder, replaced
from dedup.text import times
from dedup.text.sanitise import is_address

ATOM = "http://www.w3.org/2005/Atom"
TAG = "tag:dedup.invalid,2026:"
"""What ids begin with (RFC 4151)."""
MOST_BYTES = 1 << 26
"""A larger file is none that was written here."""

_A = f"{{{ATOM}}}"
_OURS = re.compile(rb"""<\?xml [^>]*\?>\s*<feed xmlns="%b">\s*<id>%b""" % (re.escape(ATOM).encode(), re.escape(TAG).encode()))
"""How a feed begins that was written here."""


def add(path: Path, entries: Sequence[Entry], most: int) -> None:
    """Put entries into the feed at `path`, made where there is none; of all it keeps the newest `most`. One whose id is known takes the
    place of that.

    The feed is replaced as a whole, with mode 0644: it may be served. A file that is something else is left as it is, and no link on the
    way to `path` is followed. Raises OSError.
    """
    place = os.path.abspath(path)
    name = path.name if path.name.isascii() else "alerts.atom"
    ids = {TAG + entry.id for entry in entries}
    folder = open_folder(os.path.dirname(place))
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # `dedup alerts test` may write too
        kept: list[Tree.Element] = []

        def known(there: int | None) -> None:
            kept[:] = [] if there is None else [e for e in _known(there, place) if e.findtext(f"{_A}id") not in ids]

        with replaced(place, known, mode=0o644) as file:
            made = sorted([_entry(e) for e in entries] + kept, key=lambda e: e.findtext(f"{_A}updated") or "", reverse=True)[:most]
            file.write(_feed("feed", "dedup", name, made))
    finally:
        os.close(folder)


def _known(there: int, place: str) -> list[Tree.Element]:
    """The entries of a feed that was written here; none of a file that is empty, damaged or too large. Raises OSError for a file that
    is something else."""
    size = os.fstat(there).st_size
    if size and not _OURS.match(os.pread(there, 1024, 0)):
        problem = "it is not replaced: what is there is no feed of dedup; move it away or choose another path"
        raise OSError(errno.EEXIST, problem, place)
    read = os.pread(there, size, 0) if size <= MOST_BYTES else b""
    if b"<!DOCTYPE" in read or b"<!ENTITY" in read:
        return []
    try:
        return Tree.fromstring(read).findall(f"{_A}entry")  # noqa: S314  without a document type there are no entities
    except (Tree.ParseError, ValueError, LookupError):
        return []


def document(entries: Sequence[Entry], name: str, address: str) -> bytes:
    """A feed of entries, the newest first, that is found at an `address`; by its `name` readers know it from others of ours."""
    return _feed(name, f"dedup: {name}", address, [_entry(entry) for entry in entries])


def _feed(name: str, title: str, address: str, entries: Sequence[Tree.Element]) -> bytes:
    Tree.register_namespace("", ATOM)
    feed = Tree.Element(f"{_A}feed")
    _child(feed, "id", TAG + name)
    _child(feed, "title", title)
    _child(feed, "updated", (entries[0].findtext(f"{_A}updated") if entries else None) or _time(datetime.now(UTC).isoformat()))
    Tree.SubElement(feed, f"{_A}link", rel="self", type="application/atom+xml", href=address)
    _child(Tree.SubElement(feed, f"{_A}author"), "name", "dedup")
    feed.extend(entries)
    Tree.indent(feed)
    written: bytes = Tree.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _entry(entry: Entry) -> Tree.Element:
    made = Tree.Element(f"{_A}entry")
    _child(made, "id", TAG + entry.id)
    _child(made, "title", entry.title)
    _child(made, "updated", _time(entry.at))
    if is_address(entry.url):
        Tree.SubElement(made, f"{_A}link", rel="alternate", href=entry.url)
    _child(made, "content", entry.html, type="html")
    return made


def _child(parent: Tree.Element, name: str, text: str, **attributes: str) -> None:
    Tree.SubElement(parent, _A + name, attributes).text = text


def _time(iso: str) -> str:
    """As RFC 3339 has it, in UTC."""
    return times.printed(times.local(iso, UTC), seconds=True).replace(" ", "T") + "Z"
