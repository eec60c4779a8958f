"""Manual pages, made from the help of the commands when a wheel is built: `dedup(1)` and one page for each command.

    python -m dedup.cli.man_pages DIRECTORY

writes them into a directory. The markup is man(7), which groff and mandoc read.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import click

from dedup import __version__
from dedup.cli import COMMAND_GROUPS, cli

_LINE_WIDTH = 78
"""Characters of a source line at most; mandoc warns about lines of more than 80 bytes."""
_ESCAPES = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"})
"""Characters that roff interprets, or that groff replaces with typographic ones, which cannot be pasted into a shell."""
_OPTION_NAME = re.compile(r"(?<![\w-])--?\w[\w-]*")
_METAVAR = re.compile(r"\b[A-Z][A-Z ]*\b")


def render_pages(date: str) -> dict[str, str]:
    """Return the source of every page by its file name. `date` is the date of the manual (ISO 8601)."""
    return {f"{_page_name(ctx)}.1": render_page(ctx, date) for ctx in _walk(_context(cli, "dedup"))}


def write_pages(directory: str) -> list[str]:
    """Write every page into a directory, which is created if necessary, and return the file names.

    The date is that of SOURCE_DATE_EPOCH, as for everything else in a reproducible build, or today.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    pages = render_pages(time.strftime("%Y-%m-%d", time.gmtime(int(epoch) if epoch else None)))
    Path(directory).mkdir(parents=True, exist_ok=True)
    for name, source in pages.items():
        Path(directory, name).write_text(source, "utf-8")
    return list(pages)


def _walk(ctx: click.Context) -> Iterator[click.Context]:
    """A context for a command and for every command below it."""
    yield ctx
    for inner in _subcommands(ctx).values():
        yield from _walk(inner)


def _subcommands(ctx: click.Context) -> dict[str, click.Context]:
    if not isinstance(ctx.command, click.Group):
        return {}
    commands = {name: ctx.command.get_command(ctx, name) for name in ctx.command.list_commands(ctx)}
    return {name: _context(command, name, ctx) for name, command in commands.items() if command is not None}


def _context(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    return click.Context(command, parent=parent, info_name=name, **command.context_settings)


def _page_name(ctx: click.Context) -> str:
    return ctx.command_path.replace(" ", "-")


def render_page(ctx: click.Context, date: str) -> str:
    """Return the source of the page of one command. A context names the command and its parents."""
    name = _page_name(ctx)
    summary, *paragraphs = _paragraphs(ctx.command.help)
    lines = [
        f'.TH {_escape(name.upper())} 1 {date} "dedup {_escape(__version__)}" "dedup manual"',
        ".nh",  # a hyphenated name cannot be pasted into a shell
        ".ad l",
        ".SH NAME",
        f"{_escape(name)} \\- {_escape(summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_escape(ctx.command_path)}",
        *_fill(" ".join(ctx.command.collect_usage_pieces(ctx))),
    ]
    sections: dict[str, list[str]] = {"DESCRIPTION": [], "COMMANDS": list(_render_commands(ctx)), "OPTIONS": list(_render_options(ctx))}
    for paragraph in paragraphs + _paragraphs(ctx.command.epilog):
        section, text = _section_of(paragraph)
        sections.setdefault(section, []).extend(_render_paragraph(text, follows=bool(sections.get(section))))
    sections["SEE ALSO"] = _render_references(ctx)
    for heading in sorted(sections, key=_SECTIONS.index):
        if sections[heading]:
            lines += [f'.SH "{heading}"' if " " in heading else f".SH {heading}", *sections[heading]]
    return "\n".join(lines) + "\n"


_SECTIONS = ("DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "EXAMPLES", "SEE ALSO")
"""Sections after the synopsis, in the order of man-pages(7)."""
_HEADINGS = {"Examples:": "EXAMPLES", "Exit codes:": "EXIT STATUS"}
"""Beginnings of paragraphs of a help text that become sections of their own."""


def _paragraphs(text: str | None) -> list[str]:
    return [p for p in re.split(r"\n\s*\n", inspect.cleandoc(text or "")) if p.strip()]


def _section_of(paragraph: str) -> tuple[str, str]:
    """Return the section of a paragraph of a help text, and the paragraph without the words that announce the section."""
    mark, text = ("\b\n", paragraph[2:]) if paragraph.startswith("\b\n") else ("", paragraph)
    for words, section in _HEADINGS.items():
        if text.startswith(words):
            return section, mark + text.removeprefix(words).lstrip(" ").lstrip("\n")
    return "DESCRIPTION", paragraph


def _render_paragraph(text: str, *, follows: bool) -> list[str]:
    """Render a paragraph; lines after click's mark `\\b` stay as they are. `follows`: another one precedes it in its section."""
    separator = [".PP"] if follows else []
    if not text.startswith("\b\n"):
        return [*separator, *_fill(text)]
    return [*separator, ".nf", *(_guard(_escape(line)) for line in textwrap.dedent(text[2:]).rstrip().split("\n")), ".fi"]


def _render_options(ctx: click.Context) -> Iterator[str]:
    for parameter in ctx.command.get_params(ctx):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
            names, explanation = record
            yield from (".TP", _mark_up(names), *_fill(explanation))


def _render_commands(ctx: click.Context) -> Iterator[str]:
    """The commands of a group, with the headings of `dedup --help` in the page of the program."""
    contexts = _subcommands(ctx)
    for heading, names in COMMAND_GROUPS.items() if ctx.command is cli else [("", contexts)]:
        if heading:
            yield f'.SS "{_escape(heading)}"'
        for name in names:
            inner = contexts[name]
            yield from (".TP", f"\\fB{_escape(_page_name(inner))}\\fR(1)", *_fill(_paragraphs(inner.command.help)[0]))


def _render_references(ctx: click.Context) -> list[str]:
    """The page of the program, and that of the group that has the command."""
    names: list[str] = []
    while ctx.parent is not None:
        ctx = ctx.parent
        names.insert(0, f".BR {_escape(_page_name(ctx))} (1)")
    return [f"{name} ," for name in names[:-1]] + names[-1:]


def _mark_up(names: str) -> str:
    """Render the names of an option in bold and its placeholder in italics."""
    parts: list[str] = []
    end = 0
    for match in _OPTION_NAME.finditer(names):
        parts += [_METAVAR.sub(r"\\fI\g<0>\\fR", _escape(names[end : match.start()])), f"\\fB{_escape(match[0])}\\fR"]
        end = match.end()
    parts.append(_METAVAR.sub(r"\\fI\g<0>\\fR", _escape(names[end:])))
    return "".join(parts).replace("|", r"|\:")  # a line may end after a bar


def _fill(text: str) -> list[str]:
    """Render running text in short lines."""
    words = _escape(" ".join(text.split()))
    return [_guard(line) for line in textwrap.wrap(words, _LINE_WIDTH, break_long_words=False, break_on_hyphens=False)]


def _guard(line: str) -> str:
    """Return a line of escaped text so that it is not taken for a request."""
    return f"\\&{line}" if line.startswith(".") else line


def _escape(text: str) -> str:
    return text.translate(_ESCAPES)


if __name__ == "__main__":
    write_pages(sys.argv[1])
