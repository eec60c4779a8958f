"""The published JSON Schemas: validation of an output, and the keys that a schema declares and an output shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

SHARED = "defs"
"""Name of the schema that holds what others refer to. It describes no output by itself."""
SCHEMAS: dict[str, dict[str, Any]] = {
    path.name.removesuffix(".json"): json.loads(path.read_text("utf-8"))
    for path in sorted(files("dedup").joinpath("share/schemas").iterdir(), key=lambda p: p.name)
}
_REGISTRY: Registry[Any] = Registry().with_resources((f"{name}.json", Resource.from_contents(schema)) for name, schema in SCHEMAS.items())
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = ("items", "additionalProperties")


class Node(NamedTuple):
    """A place in a schema: the name of the schema, and a JSON pointer in it."""

    schema: str
    pointer: str

    def inner(self, *steps: str | int) -> Node:
        return Node(self.schema, self.pointer + "".join("/" + str(s).replace("~", "~0").replace("/", "~1") for s in steps))

    @property
    def value(self) -> dict[str, Any]:
        found: Any = SCHEMAS[self.schema]
        for step in self.pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
        assert isinstance(found, dict), self
        return found

    @property
    def target(self) -> Node | None:
        """The place to which `$ref` leads, if there is one."""
        reference = self.value.get("$ref")
        if reference is None:
            return None
        file, _, pointer = reference.partition("#")
        return Node(file.removesuffix(".json") or self.schema, pointer)


def errors(schema: str, output: Any) -> list[str]:
    """What an output has against a schema, each with the place in the output."""
    return [f"{error.json_path}: {error.message}" for error in _validator(Node(schema, "")).iter_errors(output)]


@cache
def _validator(node: Node) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"{node.schema}.json#{node.pointer}"}, registry=_REGISTRY)


def nodes(node: Node) -> Iterator[Node]:
    """A place in a schema and all below it, without following references."""
    yield node
    value = node.value
    for keyword in ("properties", "$defs"):
        for name in value.get(keyword, {}):
            yield from nodes(node.inner(keyword, name))
    for keyword in _LISTS:
        for position in range(len(value.get(keyword, []))):
            yield from nodes(node.inner(keyword, position))
    for keyword in _SINGLE:
        if isinstance(value.get(keyword), dict):
            yield from nodes(node.inner(keyword))


def keys(schema: str) -> list[Node]:
    """The keys that a schema declares."""
    return [node for node in nodes(Node(schema, "")) if node.pointer.rpartition("/")[0].endswith("/properties")]


def keys_shown(node: Node, output: Any) -> Iterator[Node]:
    """The declared keys that occur in a valid output."""
    value = node.value
    if node.target is not None:
        yield from keys_shown(node.target, output)
    for position in range(len(value.get("allOf", []))):
        yield from keys_shown(node.inner("allOf", position), output)
    for keyword in ("anyOf", "oneOf"):
        for position in range(len(value.get(keyword, []))):
            if _validator(inner := node.inner(keyword, position)).is_valid(output):
                yield from keys_shown(inner, output)
    if isinstance(output, dict):
        declared = value.get("properties", {})
        for name in output.keys() & declared.keys():
            yield node.inner("properties", name)
            yield from keys_shown(node.inner("properties", name), output[name])
        if isinstance(value.get("additionalProperties"), dict):
            for name in output.keys() - declared.keys():
                yield from keys_shown(node.inner("additionalProperties"), output[name])
    if isinstance(output, list):
        first = len(value.get("prefixItems", []))
        for position, item in enumerate(output):
            if position < first:
                yield from keys_shown(node.inner("prefixItems", position), item)
            elif isinstance(value.get("items"), dict):
                yield from keys_shown(node.inner("items"), item)
