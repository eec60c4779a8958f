"""Suggestions for mistyped command names and option values. click makes its own for option names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Choice = click.Choice[str]
else:
    _Choice = click.Choice  # click 8.1 has no generic form


def format_suggestion(word: str, candidates: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the candidate closest to `word`, or an empty string if none is close."""
    from difflib import get_close_matches

    matches = get_close_matches(word, list(candidates), n=1)
    return f" Did you mean '{matches[0]}'?" if matches else ""


class CommandGroup(click.Group):
    """A group of commands that suggests the closest name for one it does not have."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            raise click.UsageError(f"No such command '{name}'.{format_suggestion(name, self.list_commands(ctx))}", ctx=ctx)
        return super().resolve_command(ctx, args)


class SuggestingChoice(_Choice):
    """An option value out of a list. The message for any other value suggests the closest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            message = error.message + format_suggestion(str(value), self.choices)
            raise click.BadParameter(message, ctx=error.ctx, param=error.param) from None
