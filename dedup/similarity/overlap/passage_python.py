"""Shared passages by Python's strings and dicts: for few texts, and for platforms that numba does not serve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.similarity.overlap.model import RUN, STEPS, STEPS_BEYOND, STEPS_LONG, Prepared, Shared
from dedup.text.normalise import from_points


def shared(a: Prepared, b: Prepared, masked_a: NDArray[np.bool_], masked_b: NDArray[np.bool_]) -> Shared:
    """See `dedup.similarity.overlap.shared`."""
    one, other = from_points(a.points), from_points(b.points)
    places, theirs = _places(one), _places(other)
    sides = []
    for side, mine, there, masked in ((a, places, theirs, masked_a), (b, theirs, places, masked_b)):
        covered = _covered(len(side.points), [at for run in mine.keys() & there.keys() for at in mine[run]]) & ~masked
        sides.append((int(np.count_nonzero(covered)), int(np.count_nonzero(covered & ~side.quoted))))
    shorter = min(len(p.points) - int(np.count_nonzero(m)) for p, m in ((a, masked_a), (b, masked_b)))
    longest = _longest(one, other, places, masked_a.tolist(), masked_b.tolist())
    return Shared(min(s for s, _ in sides), min(o for _, o in sides), shorter, longest if longest >= RUN else 0)


def runs(points: NDArray[np.uint32]) -> frozenset[str]:
    """Every run of `RUN` characters."""
    return frozenset(_places(from_points(points)))


def runs_in(own: NDArray[np.uint32], there: frozenset[str]) -> NDArray[np.bool_]:
    """See `dedup.similarity.overlap.runs_in`."""
    return _covered(len(own), [at for run, places in _places(from_points(own)).items() if run in there for at in places])


def _places(normalised: str) -> dict[str, list[int]]:
    """Every run of `RUN` characters → where it stands."""
    places: dict[str, list[int]] = {}
    for i in range(len(normalised) - RUN + 1):
        places.setdefault(normalised[i : i + RUN], []).append(i)
    return places


def _covered(length: int, starts: list[int]) -> NDArray[np.bool_]:
    edges = np.zeros(length + 1, np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, [at + RUN for at in starts], -1)
    return np.cumsum(edges[:-1]) > 0


def _longest(a: str, b: str, places: dict[str, list[int]], masked_a: list[bool], masked_b: list[bool]) -> int:
    """The longest stretch of a passage of both in which nothing is masked."""
    characters = len(a) + len(b)
    longest, steps = 0, min(STEPS * characters, STEPS_LONG + STEPS_BEYOND * characters)
    for i in range(len(b) - RUN + 1):
        for j in places.get(b[i : i + RUN], ()):
            if steps < 0:
                return longest
            steps -= 1
            if i and j and a[j - 1] == b[i - 1]:
                continue  # met when it began
            stretch = at = 0
            while i + at < len(b) and j + at < len(a) and a[j + at] == b[i + at]:
                stretch = 0 if masked_a[j + at] or masked_b[i + at] else stretch + 1
                longest = max(longest, stretch)
                at += 1
            steps -= at
    return longest
