"""Long comparisons in machine code with heartbeats in between. Importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba.extending import overload

from dedup.runtime.heartbeat import beat
from dedup.similarity.jit import jit_compile
from dedup.similarity.overlap.model import MIN_PIECEWISE_CHARACTERS, WORK_PER_PIECE

_T = TypeVar("_T")


@overload(beat)
def _compiled_beat() -> Any:
    """`beat` within machine code, which cannot call Python: no operation."""
    return lambda: None


def run_piecewise(function: Callable[..., _T]) -> Callable[..., _T]:
    """Return a function without the last parameter (`piece`) of `function`, which compares two texts in compiled pieces and calls
    `beat` between them.

    For short texts, `function` itself is compiled too: this saves the calls between the pieces and has no heartbeats. From
    `MIN_PIECEWISE_CHARACTERS` characters of both texts on, it runs as Python. Both forms come from the same source lines, so
    results are equal.
    """
    compiled = jit_compile(function)

    def wrapper(a: Any, b: Any, *rest: Any) -> _T:
        return (function if len(a) + len(b) >= MIN_PIECEWISE_CHARACTERS else compiled)(a, b, *rest, WORK_PER_PIECE)

    return wrapper
