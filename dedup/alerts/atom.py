"""A feed (RFC 4287) of the latest alerts, as a file that is replaced as a whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as Tree  # what is read was written here; nothing else is understood

from dedup import private, times
from dedup.alerts.messages import Entry
from dedup.escaping import is_address

ATOM = "http://www.w3.org/2005/Atom"
TAG = "tag:dedup.invalid,2026:"
"""What ids begin with (RFC 4151)."""
MOST_BYTES = 1 << 26
"""A larger file is none that was written here."""

_A = f"{{{ATOM}}}"


def add(path: Path, entries: Sequence[Entry], most: int) -> None:
    """Put entries into the feed at `path`, made where there is none; of all it keeps the newest `most`. One whose id is known takes the
    place of that. Raises OSError."""
    place = Path(os.path.realpath(path))
    ids = {TAG + entry.id for entry in entries}
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # `dedup alerts test` may write too
        kept = [e for e in _known(place) if e.findtext(f"{_A}id") not in ids]
        made = sorted([_entry(e) for e in entries] + kept, key=lambda e: e.findtext(f"{_A}updated") or "", reverse=True)[:most]
        _replace(place, _feed("feed", "dedup", path.name if path.name.isascii() else "alerts.atom", made))
        os.fsync(folder)
    finally:
        os.close(folder)


def _known(path: Path) -> list[Tree.Element]:
    """The entries of a feed that was written here; none where there is no such."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return []
        read = path.read_bytes()
        if b"<!DOCTYPE" in read or b"<!ENTITY" in read:
            return []
        root = Tree.fromstring(read)  # noqa: S314  without a document type there are no entities
    except (FileNotFoundError, Tree.ParseError):
        return []
    return root.findall(f"{_A}entry") if root.tag == f"{_A}feed" else []


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


def _replace(place: Path, content: bytes) -> None:
    """The file as a whole, durable before it takes its place; others may read it, as it may be served."""
    new = str(place.with_name(f".{place.name}.new"))
    try:
        with open(private.open_own(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(new, place)
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise
