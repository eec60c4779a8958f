"""Fixtures for all tests: isolation, fast databases, an empty crawl directory, the scanned sample crawl, and the choice of kernels."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlite_utils import Database

from dedup.runtime import process
from dedup.similarity import jit
from dedup.store import connection, schema
from dedup.store.ownership import APPLICATION_ID
from tests.builders.command import SampleCrawl, run
from tests.builders.summaries import CONFIG

collect_ignore = [] if find_spec("playwright") and find_spec("axe_playwright_python") else ["web/test_browser.py"]
"""The browser tests need packages of the extra `dev`. They are not collected without them."""

process.prepare_for_scanning()


@pytest.fixture(autouse=True, scope="session")
def _isolated_home(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """Hide the user's configuration and compiled kernels from tests. All workers, and later runs, share the kernels that tests compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("home")))
        if "NUMBA_CACHE_DIR" not in os.environ:
            patch.setenv("NUMBA_CACHE_DIR", str(pytestconfig.cache.mkdir("compiled")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _signals_reach_children() -> None:
    """Replace ignored signals by handlers, as under nohup or in the background of a script.

    Child processes inherit that a signal is ignored, but not a handler.
    """
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(autouse=True, scope="session")
def _fast_databases() -> Iterator[None]:
    """Make new databases in this process copies of one migrated database, and do not wait for the disk on commit.

    Other processes migrate and synchronise as usual.
    """
    template = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    original_migrations, migrate = schema.migrations, schema.migrate
    template.execute("PRAGMA auto_vacuum=INCREMENTAL")
    template.execute(f"PRAGMA application_id={APPLICATION_ID}")
    migrate(Database(template))

    def copy_template(db: Database) -> None:
        if schema.migrations is original_migrations and db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
            template.backup(db.conn)
        else:
            migrate(db)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "migrate", copy_template)
        patch.setattr(connection, "SYNCHRONOUS", "OFF")
        yield
    template.close()


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
    """A path for a database, outside of the crawl directory."""
    return tmp_path / "dedup.db"


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> SampleCrawl:
    folder = tmp_path_factory.mktemp("sampled")
    assert run(folder, "sample", ".").code == 0
    config = folder / "config.toml"
    config.write_text(config.read_text("utf-8").replace("settle_seconds = 2.0", "settle_seconds = 0.0"), "utf-8")
    return SampleCrawl(folder, run(folder, "scan", "--format", "json"))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the kernels without numba for any amount of work."""
    monkeypatch.setattr(jit._JitState, "enabled", False)
    monkeypatch.setattr(jit._JitState, "unavailable", True)


@pytest.fixture
def machine_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the compiled kernels for any amount of work, if numba is installed.

    They are compiled once per run, which pays off for tests that sign a few hundred articles.
    """
    is_installed = find_spec("numba") is not None
    monkeypatch.setattr(jit._JitState, "enabled", is_installed)
    monkeypatch.setattr(jit._JitState, "unavailable", not is_installed)


@pytest.fixture(params=["plain", "compiled"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once with the kernels without numba, once with the compiled ones."""
    monkeypatch.setattr(jit._JitState, "enabled", request.param == "compiled")
    monkeypatch.setattr(jit._JitState, "unavailable", request.param == "plain")
    return str(request.param)
