"""When numba comes in, where its code is kept, and that everything goes on without it."""

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
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("work_done", 0), ("enabled", False), ("unavailable", False), ("fallback_folder", None)):
        monkeypatch.setattr(jit._JitState, name, value)


def test_few_texts_are_not_worth_it() -> None:
    assert not jit.count_work(jit.MIN_WORK - 1)
    assert not jit.is_enabled()


def test_many_are_and_it_stays() -> None:
    assert not jit.count_work(jit.MIN_WORK - 1)
    assert jit.count_work(1)
    assert jit.count_work(1)
    assert jit.is_enabled()


def test_a_function_is_itself_until_then() -> None:
    def double(x: int) -> int:
        return 2 * x

    assert jit.compiled(double) is double
    assert jit.count_work(jit.MIN_WORK)


@pytest.mark.parametrize("error", [ImportError("no such module"), OSError("a library does not fit")])
def test_without_numba_the_plain_forms_serve_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kw: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "numba":
            raise error
        return real(name, *args, **kw)

    monkeypatch.setattr(builtins, "__import__", refuse)
    body = " ".join(words(__import__("random").Random(1), 60))
    with caplog.at_level(logging.INFO, "dedup"):
        assert not jit.count_work(jit.MIN_WORK)
        signed = minhash.sign_texts([body], 128, 80)
        assert not jit.count_work(jit.MIN_WORK)
    assert [r.getMessage() for r in caplog.records if "numba" in r.getMessage()] == [
        f"numba cannot be used ({error}): signatures are computed with numpy, which is slower and gives the same results"
    ]
    monkeypatch.undo()
    monkeypatch.setattr(jit._JitState, "enabled", True)
    assert minhash.sign_texts([body], 128, 80) == signed


def _cache(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    try:
        return jit.choose_cache_folder()
    finally:
        os.environ.pop("NUMBA_CACHE_DIR", None)


def test_code_is_kept_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert _cache(monkeypatch) == str(tmp_path / "dedup" / "compiled")


def test_else_beside_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    jit.set_fallback_folder(str(tmp_path / "dedup.db"))
    assert _cache(monkeypatch) == str(tmp_path / "dedup.db.compiled")


def test_else_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    jit.set_fallback_folder(str(tmp_path / "file" / "dedup.db"))
    chosen = _cache(monkeypatch)
    assert os.path.isdir(chosen)
    os.rmdir(chosen)


def test_a_cache_of_the_users_own_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert jit.choose_cache_folder() == str(tmp_path)


def test_the_first_compile_says_so_and_no_other(tmp_path: Path) -> None:
    program = """
import logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from dedup.similarity import jit, minhash
assert jit.count_work(jit.MIN_WORK)
minhash.sign_texts(["a text that is long enough"], 16, 1)
"""
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    told = [subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True).stdout for _ in "12"]
    assert told == ["compiling the inner loops for this machine; this takes a few seconds, once\n", ""]


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


def _hits(tmp_path: Path, how: str, **env: str) -> int:
    """How much of what it needed was kept by an earlier process; a module of its own, for numba keeps none of what has no file."""
    (tmp_path / "doubling.py").write_text(_COMPILES)
    kept = tmp_path / "kept"
    kept.mkdir(exist_ok=True)
    env = {**os.environ, "NUMBA_CACHE_DIR": str(kept), "PYTHONPATH": os.getcwd(), **env}
    return int(subprocess.run([sys.executable, tmp_path / "doubling.py", how], env=env, stdout=subprocess.PIPE, check=True).stdout)


def test_code_that_finds_no_room_serves_and_is_compiled_again_next_time(tmp_path: Path) -> None:
    assert [_hits(tmp_path, how) for how in ("no room", "no room", "room", "room")] == [0, 0, 0, 1]


def test_kept_code_that_is_torn_is_compiled_again(tmp_path: Path) -> None:
    assert _hits(tmp_path, "room") == 0
    for part in ("nbi", "nbc"):
        assert _hits(tmp_path, "room") == 1
        (torn,) = (tmp_path / "kept").rglob("*." + part)
        for size in (7, 0):
            os.truncate(torn, size)
            assert _hits(tmp_path, "no room") == 0
        assert _hits(tmp_path, "room") == 0


def test_code_that_no_folder_takes_serves_all_the_same(tmp_path: Path) -> None:
    """Not the chosen one, not the package's own, not one in a home."""
    (tmp_path / "file").touch()
    program = (
        "import os, sys\nfrom dedup.similarity import jit\nfrom numba.core import caching\n"
        "caching.CacheImpl._locator_classes = [caching.UserProvidedCacheLocator]\n"
        "from dedup.similarity.overlap import jaccard_kernel\nprint(type(jaccard_kernel._insert_first).__name__)\n"
    )
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "file" / "nowhere")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("CPUDispatcher\n", "")


def test_there_need_not_be_a_place_for_temporary_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "mkdtemp", _nowhere)
    assert _cache(monkeypatch) == str(tmp_path / "file" / "dedup" / "compiled")


def _nowhere(**_: str) -> str:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("command", ["status", "duplicates", "scan", "verify crawl", "history 901_0000000001", "dump --logical"])
def test_commands_that_sign_little_or_nothing_never_load_numba(crawl: Path, db: Path, command: str) -> None:
    ArticleFile(body=" ".join(words(__import__("random").Random(1), 60))).write(crawl)
    (crawl.parent / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n[database]\npath = "dedup.db"\n')
    subprocess.run([sys.executable, "-m", "dedup", "scan"], cwd=crawl.parent, capture_output=True, check=True)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dedup", *command.split()], cwd=crawl.parent, capture_output=True, text=True, check=True
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "sqlite_utils" in loaded or "verify" in command
    assert "numba" not in loaded
