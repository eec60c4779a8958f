"""Machine code for the innermost loops, made by numba once there is enough to do for it to pay.

Importing numba costs a third of a second, compiling two seconds the first time on a machine (kept in a cache after that).
A few files are quicker without. So work is counted, and numba comes in at `ENOUGH`; where it is not installed, or not
for this platform, the plain forms serve throughout. Results are the same either way.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

from dedup import private

ENOUGH = 1_000
"""Texts from which on compiling pays."""

_F = TypeVar("_F", bound=Callable[..., Any])
_log = logging.getLogger("dedup")


class _State:
    """Of this process: what has been done so far without numba, and whether it has come in."""

    done = 0
    engaged = False
    missing = False
    beside: str | None = None
    functions: dict[Callable[..., Any], Callable[..., Any]] = {}  # noqa: RUF012


def keep_beside(database: str) -> None:
    """Where compiled code may be kept if the user has no state directory: in a folder beside the database."""
    _State.beside = database + ".compiled"


def worth(texts: int) -> bool:
    """Count `texts` more; whether compiled code is to be used for them (and is there)."""
    _State.done += texts
    if not _State.engaged and not _State.missing and _State.done >= ENOUGH:
        _engage()
    return _State.engaged


def engaged() -> bool:
    """Whether compiled code is in use."""
    return _State.engaged


def of(function: _F) -> _F:
    """The compiled form of a function that needs none but its arguments, once numba has come in; until then itself."""
    if not _State.engaged:
        return function
    if function not in _State.functions:
        import numba

        _State.functions[function] = numba.njit(cache=True, nogil=True)(function)
    return _State.functions[function]  # type: ignore[return-value]


def choose_cache() -> str:
    """Where this process and those it starts keep compiled code: NUMBA_CACHE_DIR, which is set if it is not."""
    if "NUMBA_CACHE_DIR" not in os.environ:
        os.environ["NUMBA_CACHE_DIR"] = _cache_folder()
    return os.environ["NUMBA_CACHE_DIR"]


def _engage() -> None:
    folder = choose_cache()
    try:
        import numba  # noqa: F401
    except Exception as error:  # not installed, or broken by a library it does not fit: the plain forms serve
        _State.missing = True
        _log.info("numba cannot be used (%s): signatures are made with numpy, which gives the same and takes longer", error)
        return
    _State.engaged = True
    if not _holds_code(folder):
        _log.info("compiling the inner loops for this machine, once; this takes a few seconds")


def _cache_folder() -> str:
    """A folder of this user's where compiled code can be kept; the system's temporary one where there is none at all."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    for folder in (os.path.join(state, "dedup", "compiled"), _State.beside):
        if folder is not None and private.own_folder(folder):  # what lies there is run
            return folder
    folder = tempfile.mkdtemp(prefix="dedup-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _holds_code(folder: str) -> bool:
    return any(name.endswith(".nbi") for _, _, names in os.walk(folder) for name in names)
