"""The published JSON Schemas describe what the program prints: every output validates, and every key that they declare occurs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
import pytest
from jsonschema import Draft202012Validator

from dedup import model
from dedup.changes.evidence import EvidenceKind
from dedup.cli import COMMANDS
from dedup.cli.alerts import DELIVERY_STATUSES
from dedup.daemon.health_file import DegradationReason, Phase
from dedup.reports.export import schema as tables
from dedup.rules import DigestReason
from dedup.similarity import jit
from dedup.web.views import VIEWS
from tests.builders.json_outputs import JsonOutput, collect
from tests.builders.json_schemas import SCHEMAS, SHARED, Node, errors, keys, keys_shown, nodes
from tests.builders.project import command

pytestmark = pytest.mark.slow

OUTPUTS = sorted(SCHEMAS.keys() - {SHARED})
KEYS = [key for schema in SCHEMAS for key in keys(schema)]


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[JsonOutput]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jit._JitState, "enabled", False)  # there is too little to do for compiled code
        patch.setattr(jit._JitState, "unavailable", True)
        return collect(tmp_path_factory.mktemp("outputs"))


# The schemas by themselves


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_schema_is_valid_and_says_what_it_describes(schema: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[schema])
    assert SCHEMAS[schema]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMAS[schema]["title"]
    assert SCHEMAS[schema]["description"].endswith(".")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_reference_leads_to_a_definition(schema: str) -> None:
    for node in nodes(Node(schema, "")):
        assert node.target is None or node.target.value


def description(node: Node) -> str:
    """That of a key, or else of what it refers to."""
    value = node.value
    if "description" in value:
        return str(value["description"])
    target = node.target or node.inner("anyOf", 0)
    return description(target)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_key_has_a_description(schema: str) -> None:
    assert [key for key in keys(schema) if not description(key).endswith(".")] == []


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_object_is_closed_and_what_is_not_always_there_has_its_condition(schema: str) -> None:
    for node in nodes(Node(schema, "")):
        value = node.value
        if "properties" in value or "allOf" in value:
            is_part = node.pointer.endswith("_keys")  # other definitions add keys, and close the whole
            closing = "unevaluatedProperties" if "allOf" in value else "additionalProperties"
            assert is_part or value[closing] is False, node
        for name, inner in value.get("properties", {}).items():
            assert (name in value["required"]) != ("x-condition" in inner), node.inner("properties", name)


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        ("relation", get_args(model.Relation)),
        ("check_status", get_args(model.CheckStatus)),
        ("mismatch_cause", get_args(model.MismatchCause)),
        ("sighting_status", get_args(model.SightingStatus)),
        ("time_source", get_args(model.TimeSource)),
        ("change_kind", get_args(model.ChangeKind)),
        ("severity", get_args(model.Severity)),
        ("fault_kind", get_args(model.FaultKind)),
        ("boilerplate_status", get_args(model.Masking)),
        ("alert_topic", get_args(model.AlertTopic)),
        ("evidence_kind", get_args(EvidenceKind)),
        ("digest_reason", get_args(DigestReason)),
        ("delivery_status", DELIVERY_STATUSES),
        ("daemon_phase", get_args(Phase)),
        ("degradation_reason", get_args(DegradationReason)),
    ],
)
def test_the_values_of_a_key_are_those_of_the_program(definition: str, values: tuple[str, ...]) -> None:
    assert tuple(SCHEMAS[SHARED]["$defs"][definition]["enum"]) == values


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("export-articles", tables.ARTICLES_SCHEMA),
        ("export-matches", tables.MATCHES_SCHEMA),
        ("export-clusters", tables.CLUSTERS_SCHEMA),
        ("export-changes", tables.CHANGES_SCHEMA),
    ],
)
def test_the_keys_of_an_exported_row_are_the_columns_of_the_table(schema: str, columns: tuple[tables.ExportColumn, ...]) -> None:
    assert list(SCHEMAS[schema]["properties"]) == [column.name for column in columns]


# The schemas and what the program prints


@pytest.mark.system
@pytest.mark.parametrize("schema", OUTPUTS)
def test_every_output_validates(schema: str, outputs: list[JsonOutput]) -> None:
    found = [output for output in outputs if output.schema == schema]
    assert found
    assert [(output.source, problem) for output in found for problem in errors(schema, output.value)] == []


def test_every_key_occurs_unless_its_schema_says_that_it_depends(outputs: list[JsonOutput]) -> None:
    shown = {key for output in outputs for key in keys_shown(Node(output.schema, ""), output.value)}
    assert [key for key in KEYS if key not in shown and "x-condition" not in key.value] == []


def test_no_output_of_a_command_or_page_is_without_a_schema(outputs: list[JsonOutput]) -> None:
    expected = {name for name in COMMANDS if not isinstance(command(name), click.Group)}
    for name in COMMANDS:
        group = command(name)
        expected |= {f"{name} {inner}" for inner in group.commands} if isinstance(group, click.Group) else set()
    pages = {view.path for view in VIEWS} - {"/changes.atom"}
    assert {output.source for output in outputs} - {"file", "directories"} == expected | pages


@pytest.mark.parametrize("change", ["another key", "a missing key", "another type"])
def test_an_output_that_differs_does_not_validate(change: str, outputs: list[JsonOutput]) -> None:
    """The validator follows references to shared definitions, and closes what is composed of them."""
    counts: dict[str, Any] = next(dict(output.value) for output in outputs if output.schema == "scan")
    assert errors("scan", counts) == []
    if change == "another key":
        counts["surprise"] = 1
    elif change == "a missing key":
        del counts["files"]
    else:
        counts["files"] = "87"
    assert errors("scan", counts) != []


# The documentation


def test_the_page_on_json_has_every_schema_once() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8")
    named = [line.removeprefix("```{json-schema} ") for line in page.splitlines() if line.startswith("```{json-schema} ")]
    assert sorted(named) == sorted(SCHEMAS)
