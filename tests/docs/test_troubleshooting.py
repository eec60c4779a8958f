"""docs/troubleshooting.md has every error message, and names only commands, options and settings that exist."""

from __future__ import annotations

import re
from typing import get_args

import click
import pytest

from dedup import errors
from dedup.config import Settings, flatten
from dedup.daemon.health_file import DegradationReason
from tests.builders.project import TOP, command

PAGE = (TOP / "docs" / "troubleshooting.md").read_text("utf-8")
ERRORS = sorted(
    (e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.DedupError) and e is not errors.DedupError),
    key=lambda e: e.__name__,
)
ENTRIES = dict(re.findall(r"(?m)^`(.+)`\n: (\S.*)$", PAGE))
"""Message as the page has it → the first line of what it says about it."""


def test_messages_are_entries() -> None:
    assert len(ENTRIES) >= len(ERRORS)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.__name__)
def test_every_error_message_has_an_entry(error: type[errors.DedupError]) -> None:
    """The message with its placeholders in capitals."""
    places = re.findall(r"\{(\w+)\}", error.message)
    assert error.message.format(**{name: name.upper() for name in places}) in ENTRIES


@pytest.mark.parametrize("example", sorted(set(re.findall(r"`dedup ([a-z][^`]*)`", " ".join(PAGE.split())))))
def test_every_command_line_is_one(example: str) -> None:
    words = example.split()
    found = command(words[0])
    if isinstance(found, click.Group) and len(words) > 1:
        found = command(f"{words[0]} {words[1]}")
    options = {name for p in found.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("-")} <= options


def test_every_setting_is_one() -> None:
    keys = {key for key, _ in flatten(Settings())}
    named = {f"{section}.{key}" for section, key in re.findall(r"`\[(\w+)\] (\w+)", PAGE)}
    assert named
    assert named <= keys


def test_every_reason_of_a_degraded_daemon_is_one() -> None:
    reasons = re.findall(r"with the\s+reason `(\w+)`", PAGE)
    assert reasons
    assert set(reasons) <= set(get_args(DegradationReason))
