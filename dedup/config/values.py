"""Types of configuration values: each checks one value and raises ValueError with the rest of a sentence that begins with its key."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field

from dedup.rules import EVENT_KINDS
from dedup.text.digests import RECIPES

KEEPABLE_STATES = ("first", "last")
"""States of a page that `[history] keep` can name."""


def env_variable_name(value: str) -> str | None:
    """Return NAME for a value `env:NAME`, which names an environment variable; None for a literal value."""
    match = re.fullmatch(r"env:([A-Za-z_][A-Za-z0-9_]*)", value)
    return match[1] if match else None


def mask_secret(value: str) -> str:
    """Return what may be shown of a value that is, or may contain, a secret.

    `env:NAME` and the empty string are returned unchanged. A literal value becomes `***`, after its URL scheme if it has one.
    """
    if not value or env_variable_name(value) is not None:
        return value
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", value)
    return (scheme[0] if scheme else "") + "***"


def suggest(name: str, names: list[str], cutoff: float) -> str | None:
    """The most similar of some names, if its similarity (0 to 1, by difflib) is at least `cutoff`."""
    return next(iter(difflib.get_close_matches(name, names, 1, cutoff)), None)


def _validate_secret(value: str) -> str:
    """Refuse a malformed `env:NAME`. Taken as a literal, it would be the password or the signing key, and nothing would show it."""
    if re.match(r"\s*env\s*:", value, re.IGNORECASE) and env_variable_name(value) is None:
        raise ValueError(
            "does not name an environment variable; write 'env:NAME', where NAME is ASCII letters, digits and '_', and begins with no digit"
        )
    return value


def _validate_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write one like 'Asia/Seoul' or 'UTC'") from None
    return name


def _validate_known(name: str, names: list[str], noun: str) -> str:
    if name not in names:
        suggestion = suggest(name, names, 0.4)
        hint = f"did you mean {suggestion!r}?" if suggestion else f"use one of {', '.join(names)}"
        raise ValueError(f"{name!r} is not a {noun}; {hint}")
    return name


def _validate_name(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be empty: it would match every article without one")
    return name


def _validate_phrase(phrase: str) -> str:
    if not any(c.isalnum() for c in phrase):
        raise ValueError("must contain a letter or a digit; otherwise it matches almost any text")
    return phrase


def _validate_keep(value: Any) -> Any:
    if value == "all" or (isinstance(value, tuple) and value and all(rule in KEEPABLE_STATES for rule in value)):
        return value
    raise ValueError(f"must be 'all', or a list of any of {', '.join(map(repr, KEEPABLE_STATES))}")


def _validate_address(listen: str) -> str:
    address, colon, port = listen.rpartition(":")
    if listen and not (colon and address and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("is not an address and a port; write them like '127.0.0.1:9464', or '' to switch it off")
    return listen


def _validate_required_address(listen: str) -> str:
    if not listen:
        raise ValueError("must not be empty; write an address and a port like '127.0.0.1:8765'")
    return _validate_address(listen)


def _validate_time_of_day(text: str) -> str:
    if not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("is not a time of day; write one like '08:00'")
    return text


ALL_EVENT_KINDS = sorted({kind for kinds in EVENT_KINDS.values() for kind in kinds})

Secret = Annotated[str, AfterValidator(_validate_secret)]
"""A value that may be a secret, or `env:NAME`."""
Zone = Annotated[str, AfterValidator(_validate_zone)]
"""A time zone of the IANA database."""
OptionalZone = Annotated[str, AfterValidator(lambda name: _validate_zone(name) if name else name)]
"""A time zone, or the empty string."""
RecipeName = Annotated[str, AfterValidator(lambda name: _validate_known(name, list(RECIPES), "recipe"))]
EventKind = Annotated[str, AfterValidator(lambda name: _validate_known(name, ALL_EVENT_KINDS, "kind"))]
Name = Annotated[str, AfterValidator(_validate_name)]
"""A string that is not blank."""
Phrase = Annotated[str, AfterValidator(_validate_phrase)]
"""A string with a letter or a digit."""
KeepRule = Annotated[str | tuple[str, ...], BeforeValidator(_validate_keep)]
Address = Annotated[str, AfterValidator(_validate_address)]
"""ADDRESS:PORT, or the empty string."""
RequiredAddress = Annotated[str, AfterValidator(_validate_required_address)]
TimeOfDay = Annotated[str, AfterValidator(_validate_time_of_day)]
"""HH:MM."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A share from 0 to 1."""
CharacterCount = Annotated[int, Field(ge=20, le=100_000)]
"""Letters and digits. 20 is the length of the shortest shared run."""
