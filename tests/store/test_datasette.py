"""The database in Datasette, with the metadata that dedup ships."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.builders.command import run

pytestmark = pytest.mark.system

METADATA = files("dedup") / "share" / "datasette.yaml"
VIEWS = ("articles", "cluster_details", "matching_pages", "history", "change_details", "alert_deliveries", "summaries")
QUERIES = (
    "first_and_followers?publisher=",
    "copies_by_publisher",
    "silent_edits",
    "most_edited",
    "mismatches",
    f"history_of_a_page?url={quote('https://n.news.naver.com/mnews/article/903/0000100015', safe='')}",
    "articles_per_hour",
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasette")
    assert run(folder, "sample", "sample").code == 0
    assert run(folder / "sample", "scan").code == 0
    return folder / "sample" / "dedup.db"


def get_json(database: Path, path: str) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", "datasette", str(database), "--metadata", str(METADATA), "--get", path]
    result = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return json.loads(result.stdout)


def test_every_query_and_view_of_the_metadata_exists(database: Path) -> None:
    answer = get_json(database, "/dedup.json")
    assert {q["name"] for q in answer["queries"]} == {q.partition("?")[0] for q in QUERIES}
    assert {v["name"] for v in answer["views"]} >= set(VIEWS) - {"summaries"}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_has_rows_on_the_sample(database: Path, query: str) -> None:
    path, _, parameters = query.partition("?")
    answer = get_json(database, f"/dedup/{path}.json?_shape=objects&{parameters}")
    assert answer["ok"]
    assert answer["rows"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_its_facets(database: Path, view: str) -> None:
    answer = get_json(database, f"/dedup/{view}.json?_shape=objects")
    assert answer["facet_results"]
    assert bool(answer["rows"]) == (view != "alert_deliveries")
