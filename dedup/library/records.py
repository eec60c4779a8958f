"""Frozen dataclasses that convert to and from the JSON of a report."""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self, Union, cast, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Record:
    """Base of the answers. A field is a key of the JSON, in the same order."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record in its documented JSON form: dicts, lists, strings, numbers, booleans and None."""
        return {f.name: _to_json(getattr(self, f.name)) for f in fields(self)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Self:
        """Return the record of a JSON object. Raises TypeError unless its keys are the fields."""
        hints = _type_hints(cast("Hashable", cls))
        if row.keys() != hints.keys():
            raise TypeError(f"{cls.__name__} has other fields than its JSON: {sorted(row.keys() ^ hints.keys())}")
        return cls(**{key: _from_json(hints[key], value) for key, value in row.items()})


@lru_cache(maxsize=64)
def _type_hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def _to_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    return value


def _from_json(hint: Any, value: Any) -> Any:
    """Return a JSON value as the type `hint`: records, tuples, mappings and unions with None are converted; all else is kept."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _from_json(next(argument for argument in arguments if argument is not types.NoneType), value)
    if origin is tuple:
        return tuple(_from_json(arguments[0], item) for item in value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _from_json(arguments[1], item) for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict(value)
    return value
