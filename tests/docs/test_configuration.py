"""docs/configuration.md: its reference is made of the settings model and has every key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from dedup.config import Settings, flatten, load
from dedup.config.model import AlertRuleConfig, ChannelConfig, PublisherAliasConfig, UrlRuleConfig
from tests.builders.project import TOP

TABLE_MODELS: dict[str, type[BaseModel]] = {
    "publishers.aliases": PublisherAliasConfig,
    "urls.rules": UrlRuleConfig,
    "alerts": AlertRuleConfig,
    "channels.NAME": ChannelConfig,
}
KEYS = [key for key, _ in flatten(Settings()) if "." in key]
KEYS += [f"{name}.{key}" for name, model in TABLE_MODELS.items() for key in model.model_fields]


def extension() -> Any:
    spec = spec_from_file_location("settings_reference", TOP / "docs" / "extensions" / "settings_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE: str = extension().render()


def sections() -> Iterator[tuple[str, str]]:
    """(name of a table of the configuration, the part of the reference about it)."""
    parts = re.split(r"(?m)^#+ `\[{1,2}([A-Za-z.]+)\]{1,2}`$", REFERENCE)
    yield from zip(parts[1::2], parts[2::2], strict=True)


ROWS = {
    f"{section}.{cells[0].strip().strip('`')}": [c.strip() for c in cells]
    for section, text in sections()
    for line in text.split("| topic |")[0].split("| kind | keys |")[0].splitlines()
    if line.startswith("| `")
    for cells in [re.split(r"(?<!\\)\|", line)[1:-1]]
}
"""Dotted key → the cells of its row: key, type, default, meaning."""


def test_every_key_has_a_row_and_every_row_is_a_key() -> None:
    assert sorted(ROWS) == sorted(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_a_row_has_type_default_and_meaning(key: str) -> None:
    _, type_text, default, meaning = ROWS[key]
    assert type_text
    assert default
    assert meaning.endswith((".", '".'))


def test_the_defaults_shown_are_the_defaults() -> None:
    blocks = [tomllib.loads(block) for block in re.findall(r"(?s)```toml\n(.*?)```", REFERENCE)]
    below = {f"{section}.{key}": value for block in blocks for section, keys in block.items() for key, value in keys.items()}
    for key, _ in flatten(Settings()):
        if "." in key:
            shown = ROWS[key][2].strip("`")
            found = below.pop(key) if shown == "below" else tomllib.loads(f"v = {shown}")["v"]
            section, name = key.split(".")
            assert found == Settings().model_dump(mode="json")[section][name], key
    assert below == {}


BOUNDS = {
    "crawl.settle_seconds": (0.0, 3600.0),
    "crawl.workers": (0, 64),
    "duplicates.threshold": (0.3, 1.0),
    "duplicates.copy_coverage": (0.0, 1.0),
    "history.days": (0, 36_500),
}


@pytest.mark.parametrize("key", BOUNDS)
def test_the_range_shown_is_the_range_checked(key: str) -> None:
    section, name = key.split(".")
    bounds = [float(n.replace(",", "")) for n in re.findall(r"[0-9][0-9,.]*", ROWS[key][1])]
    assert tuple(bounds) == BOUNDS[key]
    for bound in BOUNDS[key]:
        assert getattr(getattr(Settings.model_validate({section: {name: bound}}), section), name) == bound
    for outside in (BOUNDS[key][0] - 1, BOUNDS[key][1] + 1):
        with pytest.raises(ValidationError):
            Settings.model_validate({section: {name: outside}})


def test_the_page_has_the_block_that_the_reference_replaces() -> None:
    page = (TOP / "docs" / "configuration.md").read_text("utf-8")
    assert page.count(extension().BLOCK) == 1


def test_the_short_configuration_of_the_page_loads(tmp_path: Path) -> None:
    page = (TOP / "docs" / "configuration.md").read_text("utf-8")
    (example,) = re.findall(r"(?s)```toml\n(.*?)```", page)
    (tmp_path / "config.toml").write_text(example, "utf-8")
    loaded = load(str(tmp_path / "config.toml"))
    assert {key for key, origin in loaded.origins.items() if origin != "default"} == {"crawl.directories", "database.path"}
