"""Lines of a message as text, Markdown and HTML. Whatever comes of a crawl passes through here, and nowhere unescaped: it can neither
steer a terminal or a reader of mail, nor become markup, nor call anybody by `@`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from dedup.text import sanitise
from dedup.text.sanitise import is_address, one_line, uncalling

PieceKind = Literal["plain", "removed", "added", "link", "code"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text, as it came; `link` is an address, `code` a command."""

    kind: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """`label` (words of our own, or empty), then what is to be said."""

    label: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What is said of one thing; the heading may be empty."""

    heading: str
    lines: tuple[Line, ...]


_BLOCK = re.compile(r"^(\s*)([-+#=>]|\d{1,9}(?=[.)]))")


def text(sections: Iterable[Section]) -> str:
    """Plain text: a line each, removed words in [-…-], added ones in {+…+}."""
    return "\n\n".join(_text_section(s) for s in sections) + "\n"


def _text_section(section: Section) -> str:
    lines = [heading] if (heading := one_line(section.heading)) else []
    lines += [(f"{line.label}: " if line.label else "") + "".join(map(_text_piece, line.pieces)) for line in section.lines]
    return "\n".join(lines)


def _text_piece(piece: Piece) -> str:
    if piece.kind == "link" and is_address(piece.text):
        return uncalling(piece.text)
    return _marked(piece.kind, _inner(piece.text))


def _marked(kind: PieceKind, shown: str) -> str:
    return f"[-{shown}-]" if kind == "removed" else f"{{+{shown}+}}" if kind == "added" else shown


def _inner(text: str) -> str:
    """Like `one_line`, keeping a blank at either end: pieces stand beside each other."""
    return f"{' ' if text[:1].isspace() else ''}{one_line(text)}{' ' if text[-1:].isspace() and text.strip() else ''}"


def markdown(sections: Iterable[Section]) -> str:
    """CommonMark; a line each."""
    return "\n\n".join(_markdown_section(s) for s in sections) + "\n"


def _markdown_section(section: Section) -> str:
    lines = [f"**{_markdown(heading)}**"] if (heading := one_line(section.heading)) else []
    for line in section.lines:
        told = "".join(map(_markdown_piece, line.pieces))
        lines.append(f"**{line.label}:** {told}" if line.label else _BLOCK.sub(r"\1\\\2", told))
    return "  \n".join(lines)


def _markdown(text: str) -> str:
    return sanitise.markdown(_inner(text))


def _markdown_piece(piece: Piece) -> str:
    if piece.kind == "link" and is_address(piece.text):
        return f"<{uncalling(piece.text)}>"
    if piece.kind == "code" and "`" not in piece.text and piece.text.strip():
        return f"`{_inner(piece.text)}`"
    shown = _markdown(piece.text)
    return f"\\[-{shown}-\\]" if piece.kind == "removed" else f"{{+{shown}+}}" if piece.kind == "added" else shown


def html(sections: Iterable[Section]) -> str:
    """A fragment of HTML; no attribute holds anything but an address. Removed and added words have their marks beside `<del>` and
    `<ins>`: whoever makes text of it (Apprise for the text of a mail, readers of feeds) leaves the tags out."""
    return "".join(_html_section(s) for s in sections)


def _html_section(section: Section) -> str:
    lines = [f"<b>{escape(heading)}</b>"] if (heading := one_line(section.heading)) else []
    lines += [(f"<b>{escape(line.label)}:</b> " if line.label else "") + "".join(map(_html_piece, line.pieces)) for line in section.lines]
    return f"<p>{'<br>'.join(lines)}</p>"


_TAGS: dict[PieceKind, str] = {"removed": "del", "added": "ins"}
"""Not `code`: of which Apprise makes a line of its own."""


def _html_piece(piece: Piece) -> str:
    if piece.kind == "link" and is_address(piece.text):
        return f'<a href="{escape(piece.text)}">{escape(piece.text)}</a>'
    shown = _marked(piece.kind, escape(_inner(piece.text)))
    tag = _TAGS.get(piece.kind)
    return f"<{tag}>{shown}</{tag}>" if tag else shown


def joined(pieces: Sequence[Sequence[Piece]], between: str) -> tuple[Piece, ...]:
    """Groups of pieces with something between them."""
    found: list[Piece] = []
    for n, group in enumerate(pieces):
        found += [Piece("plain", between)] if n else []
        found += group
    return tuple(found)
