"""Long comparisons in machine code that give signs of life. Importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba.extending import overload

from dedup.heartbeat import beat
from dedup.similarity.jit import jit_compile
from dedup.similarity.overlap.model import MIN_PIECEWISE_CHARACTERS, WORK_PER_PIECE

_T = TypeVar("_T")


@overload(beat)
def _compiled_beat() -> Any:
    """What `beat` is within machine code, which cannot call Python: nothing."""
    return lambda: None


def run_piecewise(function: Callable[..., _T]) -> Callable[..., _T]:
    """A function (a, b, …, piece) of two texts whose loops are machine code and which calls `beat` between their pieces; the form
    returned takes no `piece`.

    For short texts all of it is compiled, which saves the calls between the pieces and gives no beats. For texts of
    `MIN_PIECEWISE_CHARACTERS` characters together it runs as Python. Both forms are made from the same lines, so that the results are the
    same.
    """
    compiled = jit_compile(function)

    def wrapper(a: Any, b: Any, *rest: Any) -> _T:
        return (function if len(a) + len(b) >= MIN_PIECEWISE_CHARACTERS else compiled)(a, b, *rest, WORK_PER_PIECE)

    return wrapper
