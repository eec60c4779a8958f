"""Rendering of messages as plain text, Markdown and HTML.

Crawled text is escaped here: it cannot control a terminal or a mail reader, become markup, or mention anyone by `@`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dedup.text import sanitise
from dedup.text.sanitise import escape_html, escape_mentions, is_linkable_url, to_one_line

PieceKind = Literal["plain", "removed", "added", "link", "code"]


@dataclass(frozen=True, slots=True)
class MessagePiece:
    """A run of unescaped text. The text of a `link` is its URL, that of `code` a command."""

    kind: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A label, trusted and possibly empty, and the pieces after it."""

    label: str
    pieces: tuple[MessagePiece, ...]


@dataclass(frozen=True, slots=True)
class MessageSection:
    """A heading, possibly empty, and the lines below it."""

    heading: str
    lines: tuple[MessageLine, ...]


def to_text(sections: Iterable[MessageSection]) -> str:
    """Return plain text, one line for each line. Removed words are marked as [-…-], added words as {+…+}."""
    return "\n\n".join(_text_section(s) for s in sections) + "\n"


def _text_section(section: MessageSection) -> str:
    lines = [heading] if (heading := to_one_line(section.heading)) else []
    lines += [(f"{line.label}: " if line.label else "") + "".join(map(_text_piece, line.pieces)) for line in section.lines]
    return "\n".join(lines)


def _text_piece(piece: MessagePiece) -> str:
    if piece.kind == "link" and is_linkable_url(piece.text):
        return escape_mentions(piece.text)
    return _mark_edit(piece.kind, _flatten_keeping_ends(piece.text))


def _mark_edit(kind: PieceKind, content: str) -> str:
    return f"[-{content}-]" if kind == "removed" else f"{{+{content}+}}" if kind == "added" else content


def _flatten_keeping_ends(text: str) -> str:
    """Return text on one line with one blank kept at either end, because pieces are concatenated."""
    return f"{' ' if text[:1].isspace() else ''}{to_one_line(text)}{' ' if text[-1:].isspace() and text.strip() else ''}"


def to_markdown(sections: Iterable[MessageSection]) -> str:
    """Return CommonMark, one line for each line."""
    return "\n\n".join(_markdown_section(s) for s in sections) + "\n"


def _markdown_section(section: MessageSection) -> str:
    lines = [f"**{_escape_markdown(heading)}**"] if (heading := to_one_line(section.heading)) else []
    for line in section.lines:
        content = "".join(map(_markdown_piece, line.pieces))
        lines.append(f"**{line.label}:** {content}" if line.label else sanitise.escape_markdown_line(content))
    return "  \n".join(lines)


def _escape_markdown(text: str) -> str:
    return sanitise.escape_markdown(_flatten_keeping_ends(text))


def _markdown_piece(piece: MessagePiece) -> str:
    if piece.kind == "link" and is_linkable_url(piece.text):
        return f"<{escape_mentions(piece.text)}>"
    if piece.kind == "code" and "`" not in piece.text and piece.text.strip():
        return f"`{_flatten_keeping_ends(piece.text)}`"
    content = _escape_markdown(piece.text)
    return f"\\[-{content}-\\]" if piece.kind == "removed" else f"{{+{content}+}}" if piece.kind == "added" else content


def to_html(sections: Iterable[MessageSection]) -> str:
    """Return an HTML fragment. The only attribute is the `href` of links.

    `<del>` and `<ins>` contain the marks of plain text too, because Apprise (for the text part of a mail) and feed readers drop the tags.
    """
    return "".join(_html_section(s) for s in sections)


def _html_section(section: MessageSection) -> str:
    lines = [f"<b>{escape_html(heading)}</b>"] if (heading := to_one_line(section.heading)) else []
    for line in section.lines:
        label = f"<b>{escape_html(line.label)}:</b> " if line.label else ""
        lines.append(label + "".join(map(_html_piece, line.pieces)))
    return f"<p>{'<br>'.join(lines)}</p>"


_TAGS: dict[PieceKind, str] = {"removed": "del", "added": "ins"}
"""`code` has no tag, because Apprise would put it on a separate line."""


def _html_piece(piece: MessagePiece) -> str:
    if piece.kind == "link" and is_linkable_url(piece.text):
        return f'<a href="{escape_html(piece.text)}">{escape_html(piece.text)}</a>'
    content = _mark_edit(piece.kind, escape_html(_flatten_keeping_ends(piece.text)))
    tag = _TAGS.get(piece.kind)
    return f"<{tag}>{content}</{tag}>" if tag else content


def join_pieces(pieces: Sequence[Sequence[MessagePiece]], separator: str) -> tuple[MessagePiece, ...]:
    """Return the pieces of all groups, with `separator` between the groups."""
    result: list[MessagePiece] = []
    for n, group in enumerate(pieces):
        result += [MessagePiece("plain", separator)] if n else []
        result += group
    return tuple(result)
