"""Machine code for the innermost loops, made by numba once there is enough to do for it to pay.

Importing numba costs a third of a second, compiling two seconds the first time on a machine (kept in a cache after that).
A few files are quicker without. So work is counted, and numba comes in at `MIN_WORK`; where it is not installed, or not
for this platform, the plain forms serve throughout. Results are the same either way.
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
"""Texts from which on compiling pays."""

_F = TypeVar("_F", bound=Callable[..., Any])
_log = logging.getLogger("dedup")


class _JitState:
    """Of this process: what has been done so far without numba, and whether it has come in."""

    work_done = 0
    enabled = False
    unavailable = False
    fallback_folder: str | None = None
    compiled_functions: dict[Callable[..., Any], Callable[..., Any]] = {}  # noqa: RUF012


def set_fallback_folder(database_path: str) -> None:
    """Where compiled code may be kept if the user has no state directory: in a folder beside the database."""
    _JitState.fallback_folder = database_path + ".compiled"


def count_work(texts: int) -> bool:
    """Count `texts` more; whether compiled code is to be used for them (and is there)."""
    _JitState.work_done += texts
    if not _JitState.enabled and not _JitState.unavailable and _JitState.work_done >= MIN_WORK:
        _enable()
    return _JitState.enabled


def is_enabled() -> bool:
    """Whether compiled code is in use."""
    return _JitState.enabled


def compiled(function: _F) -> _F:
    """The compiled form of a function that needs none but its arguments, once numba has come in; until then itself."""
    if not _JitState.enabled:
        return function
    if function not in _JitState.compiled_functions:
        _JitState.compiled_functions[function] = jit_compile(function)
    return _JitState.compiled_functions[function]  # type: ignore[return-value]


def jit_compile(function: _F) -> _F:
    """The form that numba compiles for each kind of arguments when it is first called with them. What it compiled is kept in a file
    for the next process; where that cannot be (a full disk, a folder that became read-only, a file that a power cut left torn)
    it serves this process all the same."""
    import numba

    dispatcher: Any = numba.njit(nogil=True)(function)
    try:
        dispatcher.enable_caching()
    except (RuntimeError, OSError) as error:  # no folder takes files
        _log.debug("compiled code cannot be kept: %s", error)
    else:
        dispatcher._cache = _FaultTolerantCache(dispatcher._cache)  # noqa: SLF001 - numba lets its own errors of writing end the work
    return cast("_F", dispatcher)


class _FaultTolerantCache:
    """numba's files of compiled code, without which everything goes on."""

    def __init__(self, numba_cache: Any) -> None:
        self._numba_cache = numba_cache

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            return self._numba_cache.load_overload(signature, context)
        except Exception:  # whatever unpickling half a file comes to: it is compiled again
            with contextlib.suppress(Exception):
                self._numba_cache.flush()
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        with contextlib.suppress(Exception):  # no room, or half a file still
            self._numba_cache.save_overload(signature, result)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numba_cache, name)


def choose_cache_folder() -> str:
    """Where this process and those it starts keep compiled code: NUMBA_CACHE_DIR, which is set if it is not."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = _find_cache_folder()
    return os.environ["NUMBA_CACHE_DIR"]


def _enable() -> None:
    folder = choose_cache_folder()
    try:
        import numba  # noqa: F401
    except Exception as error:  # not installed, or broken by a library it does not fit: the plain forms serve
        _JitState.unavailable = True
        _log.info("numba cannot be used (%s): signatures are made with numpy, which gives the same and takes longer", error)
        return
    _JitState.enabled = True
    if not _has_compiled_code(folder):
        _log.info("compiling the inner loops for this machine, once; this takes a few seconds")


def _find_cache_folder() -> str:
    """A folder of this user's where compiled code can be kept; the system's temporary one where there is none at all."""
    state_home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for folder in (os.path.join(state_home, "dedup", "compiled"), _JitState.fallback_folder):
        if folder is not None and secure.ensure_private_folder(folder):  # what lies there is run
            return folder
    try:
        folder = tempfile.mkdtemp(prefix="dedup-compiled-")
    except OSError:  # nowhere: nothing is kept
        return os.path.join(state_home, "dedup", "compiled")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _has_compiled_code(folder: str) -> bool:
    return any(name.endswith(".nbi") for _, _, names in os.walk(folder) for name in names)
