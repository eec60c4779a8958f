"""What several test files share: running the command line, in this process or in one of its own, and the sample crawl."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlite_utils import Database

from dedup import process
from dedup.similarity import jit
from dedup.store import connection, schema
from dedup.store.ownership import APPLICATION_ID
from tests.builders.command import Sampled, run
from tests.builders.summaries import CONFIG

collect_ignore = [] if find_spec("playwright") and find_spec("axe_playwright_python") else ["web/test_browser.py"]
"""What drives a browser comes with the extra `dev`; the README's test command, which leaves these tests out, does without."""

process.prepare_for_scanning()


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither a configuration nor compiled code of the user's own takes part in a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("home")))
        if "NUMBA_CACHE_DIR" not in os.environ:  # compiled once a run, not once a test
            patch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_children() -> None:
    """Run under nohup, or in the background of a script, the tests' own processes would not hear them: that they are ignored is
    inherited, a handler is not."""
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True, scope="session")
def _databases_cost_little() -> Iterator[None]:
    """Within this process a new database is a copy of one that the migrations made once a run, and a commit does not wait for the
    disk: only a power failure could tell. Processes of their own do both as they are."""
    made, of, migrate = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), schema.migrations, schema.migrate
    made.execute("PRAGMA auto_vacuum=INCREMENTAL")
    made.execute(f"PRAGMA application_id={APPLICATION_ID}")
    migrate(Database(made))

    def copied(db: Database) -> None:
        if schema.migrations is of and db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            made.backup(db.conn)
        else:
            migrate(db)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrate", copied)
        patch.setattr(connection, "SYNCHRONOUS", "OFF")
        yield
    made.close()


@pytest.fixture
def crawl(tmp_path: Path) -> Path:
    """An empty crawl directory."""
    (tmp_path / "crawl").mkdir()
    return tmp_path / "crawl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty crawl directory and a configuration for it."""
    (tmp_path / "crawl").mkdir()
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Where a database may be made, outside the crawl directory."""
    return tmp_path / "dedup.db"


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Sampled:
    folder = tmp_path_factory.mktemp("sampled")
    assert run(folder, "sample", ".").code == 0
    config = folder / "config.toml"
    config.write_text(config.read_text("utf-8").replace("settle_seconds = 2.0", "settle_seconds = 0.0"), "utf-8")
    return Sampled(folder, run(folder, "scan", "--format", "json"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms without numba, however much there is to do."""
    monkeypatch.setattr(jit._JitState, "enabled", False)
    monkeypatch.setattr(jit._JitState, "unavailable", True)


@pytest.fixture
def machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled forms where numba is, however little there is to do: what signs a few hundred articles is quicker so, since it is
    compiled once a run."""
    there = find_spec("numba") is not None
    monkeypatch.setattr(jit._JitState, "enabled", there)
    monkeypatch.setattr(jit._JitState, "unavailable", not there)


@pytest.fixture(params=["plain", "compiled"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once in the forms without numba, once in the compiled ones."""
    monkeypatch.setattr(jit._JitState, "enabled", request.param == "compiled")
    monkeypatch.setattr(jit._JitState, "unavailable", request.param == "plain")
    return str(request.param)
