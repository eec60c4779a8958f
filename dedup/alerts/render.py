"""Lines of a message as text, Markdown and HTML. Whatever comes of a crawl passes through here, and nowhere unescaped: it can neither
steer a terminal or a reader of mail, nor become markup, nor call anybody by `@`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dedup.text import sanitise
from dedup.text.sanitise import escape_html, escape_mentions, is_linkable_url, to_one_line

PieceKind = Literal["plain", "removed", "added", "link", "code"]


@dataclass(frozen=True, slots=True)
class MessagePiece:
    """A run of text, as it came; `link` is an address, `code` a command."""

    kind: PieceKind
    text: str


@dataclass(frozen=True, slots=True)
class MessageLine:
    """`label` (words of our own, or empty), then what is to be said."""

    label: str
    pieces: tuple[MessagePiece, ...]


@dataclass(frozen=True, slots=True)
class MessageSection:
    """What is said of one thing; the heading may be empty."""

    heading: str
    lines: tuple[MessageLine, ...]


def to_text(sections: Iterable[MessageSection]) -> str:
    """Plain text: a line each, removed words in [-…-], added ones in {+…+}."""
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
    """Like `to_one_line`, keeping a blank at either end: pieces stand beside each other."""
    return f"{' ' if text[:1].isspace() else ''}{to_one_line(text)}{' ' if text[-1:].isspace() and text.strip() else ''}"


def to_markdown(sections: Iterable[MessageSection]) -> str:
    """CommonMark; a line each."""
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
    """A fragment of HTML; no attribute holds anything but an address. Removed and added words have their marks beside `<del>` and
    `<ins>`: whoever makes text of it (Apprise for the text of a mail, readers of feeds) leaves the tags out."""
    return "".join(_html_section(s) for s in sections)


def _html_section(section: MessageSection) -> str:
    lines = [f"<b>{escape_html(heading)}</b>"] if (heading := to_one_line(section.heading)) else []
    for line in section.lines:
        label = f"<b>{escape_html(line.label)}:</b> " if line.label else ""
        lines.append(label + "".join(map(_html_piece, line.pieces)))
    return f"<p>{'<br>'.join(lines)}</p>"


_TAGS: dict[PieceKind, str] = {"removed": "del", "added": "ins"}
"""Not `code`: of which Apprise makes a line of its own."""


def _html_piece(piece: MessagePiece) -> str:
    if piece.kind == "link" and is_linkable_url(piece.text):
        return f'<a href="{escape_html(piece.text)}">{escape_html(piece.text)}</a>'
    content = _mark_edit(piece.kind, escape_html(_flatten_keeping_ends(piece.text)))
    tag = _TAGS.get(piece.kind)
    return f"<{tag}>{content}</{tag}>" if tag else content


def join_pieces(pieces: Sequence[Sequence[MessagePiece]], separator: str) -> tuple[MessagePiece, ...]:
    """Groups of pieces with something between them."""
    result: list[MessagePiece] = []
    for n, group in enumerate(pieces):
        result += [MessagePiece("plain", separator)] if n else []
        result += group
    return tuple(result)
