"""Machine code for the innermost loops, compiled by numba once there is enough work to pay for it.

Importing numba takes a third of a second. Compiling takes up to half a minute the first time on a machine; the result is cached on
disk. A few files are processed faster without either. The module therefore counts the work and imports numba at `MIN_WORK`. Without
numba, or on a platform that it does not support, the numpy and Python implementations are used throughout. Results are the same.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar, cast

from dedup.files import secure

MIN_WORK = 1_000
"""Texts from which compiling pays."""

_F = TypeVar("_F", bound=Callable[..., Any])
_log = logging.getLogger("dedup")


class _JitState:
    """State of this process: the work done without numba, and whether numba is in use."""

    work_done = 0
    enabled = False
    unavailable = False
    fallback_folder: str | None = None
    compiled_functions: dict[Callable[..., Any], Callable[..., Any]] = {}  # noqa: RUF012


def set_fallback_folder(database_path: str) -> None:
    """Keep compiled code in a folder next to the database if the user has no state directory."""
    _JitState.fallback_folder = database_path + ".compiled"


def count_work(texts: int) -> bool:
    """Add `texts` to the work done and import numba once the sum reaches `MIN_WORK`. Return whether compiled code is in use."""
    _JitState.work_done += texts
    if not _JitState.enabled and not _JitState.unavailable and _JitState.work_done >= MIN_WORK:
        _enable()
    return _JitState.enabled


def is_enabled() -> bool:
    """Return whether compiled code is in use."""
    return _JitState.enabled


def compiled(function: _F) -> _F:
    """Return the compiled form of a function, or the function itself while numba is not in use. The function must depend on its
    arguments only."""
    if not _JitState.enabled:
        return function
    if function not in _JitState.compiled_functions:
        _JitState.compiled_functions[function] = jit_compile(function)
    return _JitState.compiled_functions[function]  # type: ignore[return-value]


def jit_compile(function: _F) -> _F:
    """Return a function that numba compiles on its first call with each combination of argument types.

    The machine code is cached in a file for the next process. If that fails (full disk, read-only folder, file torn by a power
    cut), the code serves this process only.
    """
    import numba

    dispatcher: Any = numba.njit(nogil=True)(function)
    try:
        dispatcher.enable_caching()
    except (RuntimeError, OSError) as error:  # no folder is writable
        _log.debug("compiled code cannot be cached: %s", error)
    else:
        dispatcher._cache = _FaultTolerantCache(dispatcher._cache)  # noqa: SLF001 - numba raises its own write errors
    return cast("_F", dispatcher)


class _FaultTolerantCache:
    """numba's cache of compiled code, whose errors are ignored."""

    def __init__(self, numba_cache: Any) -> None:
        self._numba_cache = numba_cache

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return self._numba_cache.load_overload(signature, context)
        except Exception:  # unpickling half a file may raise anything: compile again
            with contextlib.suppress(Exception):
                self._numba_cache.flush()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        with contextlib.suppress(Exception):  # disk full, or the file is torn
            self._numba_cache.save_overload(signature, result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numba_cache, name)


def choose_cache_folder() -> str:
    """Return the folder where this process and its children cache compiled code: NUMBA_CACHE_DIR, which is set if it is not."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = _find_cache_folder()
    return os.environ["NUMBA_CACHE_DIR"]


def _enable() -> None:
    folder = choose_cache_folder()
    try:
        import numba  # noqa: F401
    except Exception as error:  # not installed, or broken by an incompatible library
        _JitState.unavailable = True
        _log.info("numba cannot be used (%s): signatures are computed with numpy, which is slower and gives the same results", error)
        return
    _JitState.enabled = True
    if not _has_compiled_code(folder):
        _log.info("compiling the inner loops for this machine; this takes up to half a minute, once")


def _find_cache_folder() -> str:
    """A private folder of this user for compiled code; a temporary one if neither the state directory nor the fallback can be used."""
    state_home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for folder in (os.path.join(state_home, "dedup", "compiled"), _JitState.fallback_folder):
        if folder is not None and secure.ensure_private_folder(folder):  # files there are executed
            return folder
    try:
        folder = tempfile.mkdtemp(prefix="dedup-compiled-")
    except OSError:  # no writable folder: nothing is cached
        return os.path.join(state_home, "dedup", "compiled")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _has_compiled_code(folder: str) -> bool:
    return any(name.endswith(".nbi") for _, _, names in os.walk(folder) for name in names)
