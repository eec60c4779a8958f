"""A Sphinx extension: replaces the `{settings}` block of a page with a reference of every configuration key.

The reference is Markdown made of `dedup.config.model`, so that no generated text is checked in. Sphinx is imported by nothing here:
tests call `render` without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dedup.config import model
from dedup.rules import EVENT_KINDS

BLOCK = "```{settings}\n```\n"
"""What the page has where the reference goes."""
MAX_DEFAULT_CHARACTERS = 60
"""A longer default is shown below its table."""
TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}


def setup(app: Any) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.connect("source-read", replace_block)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def replace_block(app: Any, _page: str, source: list[str]) -> None:
    """Handle Sphinx's event `source-read`: `source` is a list of one text, which is replaced."""
    if BLOCK in source[0]:
        source[0] = source[0].replace(BLOCK, render())
        app.env.note_dependency(model.__file__)
        app.env.note_dependency(__file__)


def render() -> str:
    """Return the reference: a section for each table of the configuration, in the order of the shipped file."""
    parts = []
    for name, field in model.Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, model.ConfigSection):
            parts += [f"### `[{name}]`", *_render_table(field.annotation, name)]
    parts += ["### `[[alerts]]`", *_render_table(model.AlertRuleConfig, "alerts"), *_render_event_kinds()]
    parts += ["### `[channels.NAME]`", *_render_table(model.ChannelConfig, "channels.NAME"), *_render_channel_keys()]
    return "\n\n".join(parts) + "\n"


def _render_table(section: type[BaseModel], prefix: str) -> Iterator[str]:
    """A sentence on the section, the table of its keys, long defaults, and the tables of tables inside it."""
    yield _describe(section)
    schemas = section.model_json_schema()["properties"]
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    inner: list[tuple[str, type[BaseModel]]] = []
    defaults = []
    for key, field in section.model_fields.items():
        tables = _table_model(field)
        if tables:
            inner.append((f"{prefix}.{key}", tables))
        default = "required" if field.is_required() else f"`{_to_toml(field.default)}`"
        if len(default) > MAX_DEFAULT_CHARACTERS:
            defaults.append(f"```toml\n[{prefix}]\n{key} = {_to_toml_lines(field.default)}\n```")
            default = "below"
        type_text = f"tables, see `[[{prefix}.{key}]]`" if tables else _describe_type(schemas[key])
        rows.append(f"| `{key}` | {type_text} | {default} | {_escape(field.description or '')} |")
    yield "\n".join(rows)
    yield from defaults
    for name, tables in inner:
        yield f"#### `[[{name}]]`"
        yield from _render_table(tables, name)


def _describe(section: type[BaseModel]) -> str:
    """The section's docstring without its name: `[crawl]`: which files are read → Which files are read."""
    text = " ".join((section.__doc__ or "").split()).partition(": ")[2]
    return text[:1].upper() + text[1:].partition(", see `dedup.")[0].rstrip(".") + "."


def _table_model(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a list of tables."""
    return next((a for a in get_args(field.annotation) if isinstance(a, type) and issubclass(a, BaseModel)), None)


def _describe_type(schema: dict[str, Any]) -> str:
    """Type and range of a value, from its JSON Schema."""
    if "anyOf" in schema:
        return " or ".join(_describe_type(s) for s in schema["anyOf"] if s != {"type": "null"})
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema["type"] == "array":
        items = {k: v for k, v in schema["items"].items() if k != "minLength"}
        return f"list of {_describe_type(items)}" + (", at least one" if schema.get("minItems") else "")
    text = TYPES[schema["type"]]
    if "minimum" in schema:
        text += f", {schema['minimum']:,} to {schema['maximum']:,}" if "maximum" in schema else f", {schema['minimum']:,} or more"
    elif "exclusiveMinimum" in schema:
        text += f", above {schema['exclusiveMinimum']:,}, to {schema['maximum']:,}"
    return text + (f", at most {schema['maxLength']} characters" if "maxLength" in schema else "")


def _to_toml(value: Any) -> str:
    if value is None:
        return "absent"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_to_toml, value)) + "]"
    if isinstance(value, BaseModel):
        return "{ " + ", ".join(f"{key} = {_to_toml(inner)}" for key, inner in value) + " }"
    return json.dumps(value, ensure_ascii=False)


def _to_toml_lines(value: Any) -> str:
    return "[\n" + "".join(f"    {_to_toml(item)},\n" for item in value) + "]" if isinstance(value, tuple) else _to_toml(value)


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _render_event_kinds() -> Iterator[str]:
    yield "Topics, and the kinds that `kinds` may name for each:"
    rows = [f"| `{topic}` | {', '.join(f'`{kind}`' for kind in kinds)} |" for topic, kinds in EVENT_KINDS.items()]
    yield "\n".join(["| topic | kinds |", "|---|---|", *rows])


def _render_channel_keys() -> Iterator[str]:
    yield "Keys that a channel uses besides `kind`. A key that its kind does not use is an error:"
    rows = [f"| `{kind}` | {', '.join(f'`{key}`' for key in keys) or 'none'} |" for kind, keys in model.KEYS_BY_CHANNEL_KIND.items()]
    yield "\n".join(["| kind | keys |", "|---|---|", *rows])
