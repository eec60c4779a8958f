"""When numba is loaded, where its cache is, and that everything works without it."""

from __future__ import annotations

import builtins
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dedup.similarity import jit, minhash
from tests.builders.crawl import ArticleFile, words


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("work_done", 0), ("enabled", False), ("unavailable", False), ("fallback_folder", None)):
        monkeypatch.setattr(jit._JitState, name, value)


def test_few_texts_do_not_load_numba() -> None:
    assert not jit.count_work(jit.MIN_WORK - 1)
    assert not jit.is_enabled()


def test_many_texts_load_numba_for_good() -> None:
    assert not jit.count_work(jit.MIN_WORK - 1)
    assert jit.count_work(1)
    assert jit.count_work(1)
    assert jit.is_enabled()


def test_a_function_is_uncompiled_until_numba_is_loaded() -> None:
    def double(x: int) -> int:
        return 2 * x

    assert jit.compiled(double) is double
    assert jit.count_work(jit.MIN_WORK)


@pytest.mark.parametrize("error", [ImportError("no such module"), OSError("a library does not fit")])
def test_without_numba_numpy_serves_and_one_line_reports_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kw: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "numba":
            raise error
        return original(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", refuse)
    body = " ".join(words(__import__("random").Random(1), 60))
    with caplog.at_level(logging.INFO, "dedup"):
        assert not jit.count_work(jit.MIN_WORK)
        signatures = minhash.sign_texts([body], 128, 80)
        assert not jit.count_work(jit.MIN_WORK)
    assert [r.getMessage() for r in caplog.records if "numba" in r.getMessage()] == [
        f"numba cannot be used ({error}): signatures are computed with numpy, which is slower and gives the same results"
    ]
    monkeypatch.undo()
    monkeypatch.setattr(jit._JitState, "enabled", True)
    assert minhash.sign_texts([body], 128, 80) == signatures


def choose_cache_folder(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    try:
        return jit.choose_cache_folder()
    finally:
        os.environ.pop("NUMBA_CACHE_DIR", None)


def test_the_cache_is_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert choose_cache_folder(monkeypatch) == str(tmp_path / "dedup" / "compiled")


def test_without_a_usable_state_directory_the_cache_is_beside_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    jit.set_fallback_folder(str(tmp_path / "dedup.db"))
    assert choose_cache_folder(monkeypatch) == str(tmp_path / "dedup.db.compiled")


def test_without_any_usable_folder_the_cache_is_a_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    jit.set_fallback_folder(str(tmp_path / "file" / "dedup.db"))
    chosen = choose_cache_folder(monkeypatch)
    assert os.path.isdir(chosen)
    os.rmdir(chosen)


def test_a_cache_that_the_user_configured_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert jit.choose_cache_folder() == str(tmp_path)


@pytest.mark.system
def test_only_the_first_compilation_is_logged(tmp_path: Path) -> None:
    program = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from dedup.similarity import jit, minhash
assert jit.count_work(jit.MIN_WORK)
minhash.sign_texts(["a text that is long enough"], 16, 1)
"""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    outputs = [subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout for _ in "12"]
    assert outputs == ["compiling the inner loops for this machine; this takes up to half a minute, once\n", ""]


_COMPILES = """
import resource, sys
from dedup.similarity import jit
def double(x):
    return 2 * x
compiled = jit.jit_compile(double)
if sys.argv[1] == "no room":
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
assert compiled(21) == 42
assert compiled.signatures
print(sum(compiled.stats.cache_hits.values()))
"""


def count_cache_hits(tmp_path: Path, mode: str, **env: str) -> int:
    """Number of cache hits in a new process. Numba caches functions of a module with a file only."""
    (tmp_path / "doubling.py").write_text(_COMPILES)
    cache = tmp_path / "kept"
    cache.mkdir(exist_ok=True)
    env = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.getcwd(), **env}
    return int(subprocess.run([sys.executable, tmp_path / "doubling.py", mode], env=env, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.system
def test_code_that_cannot_be_cached_works_and_is_compiled_again(tmp_path: Path) -> None:
    assert [count_cache_hits(tmp_path, how) for how in ("no room", "no room", "room", "room")] == [0, 0, 0, 1]


@pytest.mark.system
def test_truncated_cached_code_is_compiled_again(tmp_path: Path) -> None:
    assert count_cache_hits(tmp_path, "room") == 0
    for part in ("nbi", "nbc"):
        assert count_cache_hits(tmp_path, "room") == 1
        (file,) = (tmp_path / "kept").rglob("*." + part)
        for size in (7, 0):
            os.truncate(file, size)
            assert count_cache_hits(tmp_path, "no room") == 0
        assert count_cache_hits(tmp_path, "room") == 0


def test_code_works_if_no_folder_can_be_a_cache(tmp_path: Path) -> None:
    """The configured folder, the package's folder and the home are all unusable."""
    (tmp_path / "file").touch()
    program = (
        "import os, sys\nfrom dedup.similarity import jit\nfrom numba.core import caching\n"
        "caching.CacheImpl._locator_classes = [caching.UserProvidedCacheLocator]\n"
        "from dedup.similarity.overlap import jaccard_kernel\nprint(type(jaccard_kernel._insert_first).__name__)\n"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "nowhere")}
    result = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("CPUDispatcher\n", "")


def test_without_a_temporary_folder_the_state_directory_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "mkdtemp", fail_with_full_disk)
    assert choose_cache_folder(monkeypatch) == str(tmp_path / "file" / "dedup" / "compiled")


def fail_with_full_disk(**_: str) -> str:
    raise OSError(28, "No space left on device")


@pytest.mark.system
@pytest.mark.parametrize("command", ["status", "duplicates", "scan", "verify crawl", "history 901_0000000001", "dump --logical"])
def test_commands_that_sign_few_texts_never_load_numba(crawl: Path, db: Path, command: str) -> None:
    ArticleFile(body=" ".join(words(__import__("random").Random(1), 60))).write(crawl)
    (crawl.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[database]\npath = "dedup.db"\n')
    subprocess.run([sys.executable, "-m", "dedup", "scan"], cwd=crawl.parent, capture_output=True, check=True)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dedup", *command.split()], cwd=crawl.parent, capture_output=True, text=True, check=True
    )
    packages = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "sqlite_utils" in packages or "verify" in command
    assert "numba" not in packages
