"""Errors of `config.toml` as one line each."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ValidationError

from dedup.config.model import AlertRuleConfig, ChannelConfig, PublisherAliasConfig, Settings, UrlRuleConfig
from dedup.config.values import suggest
from dedup.errors import ConfigError

_TABLE_MODELS: dict[int | str, type[BaseModel]] = {
    "rules": UrlRuleConfig,
    "aliases": PublisherAliasConfig,
    "alerts": AlertRuleConfig,
    "channels": ChannelConfig,
}
"""Keys whose value is a list or table of tables, and the model of those."""


def to_config_error(error: ValidationError, file: str) -> ConfigError:
    """The first of pydantic's errors as a ConfigError. An unknown key comes before any other error."""
    first_error = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    return ConfigError(file=file, key=".".join(map(str, first_error["loc"])), problem=_format_problem(first_error))


def _format_problem(error: Any) -> str:
    location = error["loc"]
    if error["type"] == "extra_forbidden":
        suggestion = suggest(str(location[-1]), _sibling_keys(location), 0.3)
        hint = f"; did you mean {'.'.join([*map(str, location[:-1]), suggestion])!r}?" if suggestion else ""
        return f"there is no such key{hint}"
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = re.sub(r"(?i)\btuple should have at least 1 item.*", "must have at least 1 item", message).replace("tuple", "list")
    if location[0] == "channels" or location[:2] == ("web", "token"):  # the value may contain a secret
        return message
    value = list(error["input"]) if isinstance(error["input"], tuple) else error["input"]
    return message if repr(value) in message else f"{message} (it is {value!r})"


def _sibling_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that are valid where the last part of a location is."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if part in _TABLE_MODELS:
            model = _TABLE_MODELS[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
