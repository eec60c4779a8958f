"""The database as Datasette shows it, by the metadata that are shipped."""

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
VIEWS = ("articles", "cluster_details", "duplicates", "history", "change_details", "alert_deliveries", "summaries")
QUESTIONS = (
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


def asked(database: Path, path: str) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", "datasette", str(database), "--metadata", str(METADATA), "--get", path]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_every_question_and_view_of_the_metadata_is_there_and_answers(database: Path) -> None:
    found = asked(database, "/dedup.json")
    assert {q["name"] for q in found["queries"]} == {q.partition("?")[0] for q in QUESTIONS}
    assert {v["name"] for v in found["views"]} >= set(VIEWS) - {"summaries"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_has_rows_on_the_sample(database: Path, question: str) -> None:
    path, _, query = question.partition("?")
    found = asked(database, f"/dedup/{path}.json?_shape=objects&{query}")
    assert found["ok"]
    assert found["rows"]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_has_its_facets(database: Path, view: str) -> None:
    found = asked(database, f"/dedup/{view}.json?_shape=objects")
    assert found["facet_results"]
    assert bool(found["rows"]) == (view != "alert_deliveries")
