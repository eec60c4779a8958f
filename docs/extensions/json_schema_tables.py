"""The directive `json-schema`: the description and the keys of a published JSON Schema, as tables.

Its argument is the name of a file in `dedup/share/schemas`, without `.json`. The name `defs` gives the shared definitions, to which the
tables of the other schemas link.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

Schema = dict[str, Any]
SHARED = "defs"
_PART = "_keys"
"""Ending of the names of definitions that are only parts of others. Tables contain their keys."""


def load(name: str) -> Schema:
    """Return a published schema."""
    schema: Schema = json.loads(files("dedup").joinpath(f"share/schemas/{name}.json").read_text("utf-8"))
    return schema


class _Renderer:
    """Renders one schema as MyST Markdown."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = load(name)
        self._shared: Schema = load(SHARED)["$defs"]
        self._own: Schema = {} if name == SHARED else self.root.get("$defs", {})

    def lines(self) -> Iterator[str]:
        if self.name == SHARED:
            yield from (f"Schema: `{SHARED}.json`.", "")
            for name in sorted(self._shared):
                if not name.endswith(_PART):
                    yield from (f"({_label(name)})=", "", f"`{name}`: {self._shared[name]['description']}", "")
                    yield from self._value(self._shared[name])
            return
        yield from (f"{self.root['description']} Schema: `{self.name}.json`.", "")
        yield from self._value(self.root)

    def _value(self, schema: Schema) -> Iterator[str]:
        """Yield what there is to say about a value besides its description."""
        if "oneOf" in schema:
            for variant in schema["oneOf"]:
                yield from (f"{variant['description']}:", "")
                yield from self._table(variant, "")
        elif "enum" in schema:
            yield from (f"Values: {', '.join(f'`{value}`' for value in schema['enum'])}.", "")
        elif "$ref" in schema:
            yield from (f"An object: {self._type(schema)}.", "")
        elif schema.get("type") == "array" and "items" in schema and schema["items"] is not False:
            items = schema["items"]
            if "$ref" in items or ("properties" not in self._resolve(items) | items and "allOf" not in items):
                yield from (f"An array: each item is {self._type(items)}.", "")
            else:
                yield from ("An array of objects:", "")
                yield from self._table(items, "")
        elif "properties" in schema or "allOf" in schema:
            yield from self._table(schema, "")

    def _table(self, schema: Schema, prefix: str) -> Iterator[str]:
        yield from ("| key | type | description |", "|---|---|---|")
        yield from self._rows(schema, prefix)
        yield ""

    def _rows(self, schema: Schema, prefix: str) -> Iterator[str]:
        for key, value in self._properties(schema):
            yield f"| `{prefix}{key}` | {self._type(value)} | {self._describe(value)} |".replace("\n", " ")
            yield from self._inner_rows(value, f"{prefix}{key}")

    def _properties(self, schema: Schema) -> Iterator[tuple[str, Schema]]:
        """Yield the keys of an object, those of the definitions that it is composed of first."""
        for part in schema.get("allOf", ()):
            yield from self._properties(self._resolve(part))
        yield from schema.get("properties", {}).items()

    def _inner_rows(self, value: Schema, prefix: str) -> Iterator[str]:
        """Yield the rows of objects that are described in place, not by reference to a shared definition."""
        if _name(value) in self._own:
            value = self._resolve(value)
        for choice in value.get("anyOf", ()):
            yield from self._inner_rows(choice, prefix)
        if isinstance(value.get("items"), dict):
            yield from self._inner_rows(value["items"], f"{prefix}[]")
        if isinstance(value.get("additionalProperties"), dict):
            yield from self._inner_rows(value["additionalProperties"], f"{prefix}.*")
        if "properties" in value or "allOf" in value:
            yield from self._rows(value, f"{prefix}.")

    def _describe(self, value: Schema) -> str:
        description = value.get("description") or self._resolve(value).get("description", "")
        enum = f" One of {', '.join(f'`{v}`' if v != '' else 'the empty string' for v in value['enum'])}." if "enum" in value else ""
        condition = f" Present {value['x-condition']}." if "x-condition" in value else ""
        return f"{description}{enum}{condition}".replace("|", "\\|")

    def _type(self, value: Schema) -> str:
        if "$ref" in value:
            name = _name(value)
            return "object" if name in self._own else f"[{name}](#{_label(name)})"
        if "anyOf" in value:
            return " or ".join(self._type(choice) for choice in value["anyOf"])
        if "enum" in value:
            return "integer" if all(isinstance(v, int) for v in value["enum"]) else "string"
        if "const" in value:
            return f"`{json.dumps(value['const'])}`"
        if isinstance(value.get("type"), list):
            return " or ".join(value["type"])
        if value.get("type") == "array" and isinstance(value.get("items"), dict):
            return f"array of {self._type(value['items'])}"
        if value.get("type") == "object" and isinstance(value.get("additionalProperties"), dict):
            return f"object: name → {self._type(value['additionalProperties'])}"
        return str(value.get("type", "object" if "allOf" in value else "any"))

    def _resolve(self, value: Schema) -> Schema:
        """Return what `$ref` refers to, the first choice of `anyOf`, or else the value itself."""
        if "anyOf" in value:
            return self._resolve(value["anyOf"][0])
        if "$ref" not in value:
            return value
        found: Schema = self._own.get(_name(value)) or self._shared[_name(value)]
        return found


def _name(value: Schema) -> str:
    """Return the name of the definition that `$ref` refers to, or an empty string."""
    return str(value.get("$ref", "")).rpartition("/")[2]


def _label(definition: str) -> str:
    return "json-" + definition.replace("_", "-")


class JsonSchemaDirective(SphinxDirective):
    """Inserts the description and the keys of a schema."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.env.note_dependency(str(files("dedup").joinpath(f"share/schemas/{name}.json")))
        container = nodes.container(classes=["json-schema"])
        lines = list(_Renderer(name).lines())
        self.state.nested_parse(StringList(lines, source=f"{name}.json"), self.content_offset, container)
        return [container]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("json-schema", JsonSchemaDirective)
    return {"parallel_read_safe": True}
