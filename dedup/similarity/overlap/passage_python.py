"""Shared passages with Python's strings and dicts: for few texts, and for platforms without numba."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dedup.similarity.overlap.model import (
    LONG_TEXT_STEPS,
    LONG_TEXT_STEPS_PER_CHARACTER,
    MAX_STEPS_PER_CHARACTER,
    RUN_CHARACTERS,
    PreparedText,
    SharedPassages,
)
from dedup.text.normalise import from_points


def measure_passages(a: PreparedText, b: PreparedText, masked_a: NDArray[np.bool_], masked_b: NDArray[np.bool_]) -> SharedPassages:
    """Return what two texts share. See `dedup.similarity.overlap.measure_passages`."""
    text_a, text_b = from_points(a.points), from_points(b.points)
    positions_a, positions_b = _run_positions(text_a), _run_positions(text_b)
    sides = []
    for side, own_positions, other_positions, masked in ((a, positions_a, positions_b, masked_a), (b, positions_b, positions_a, masked_b)):
        covered = (
            _mark_covered(len(side.points), [at for run in own_positions.keys() & other_positions.keys() for at in own_positions[run]])
            & ~masked
        )
        sides.append((int(np.count_nonzero(covered)), int(np.count_nonzero(covered & ~side.is_quoted))))
    shorter = min(len(p.points) - int(np.count_nonzero(m)) for p, m in ((a, masked_a), (b, masked_b)))
    longest = _longest_passage(text_a, text_b, positions_a, masked_a.tolist(), masked_b.tolist())
    return SharedPassages(min(s for s, _ in sides), min(o for _, o in sides), shorter, longest if longest >= RUN_CHARACTERS else 0)


def list_runs(points: NDArray[np.uint32]) -> frozenset[str]:
    """Return every run of `RUN_CHARACTERS` characters."""
    return frozenset(_run_positions(from_points(points)))


def mark_passages(text: NDArray[np.uint32], passage_runs: frozenset[str]) -> NDArray[np.bool_]:
    """Return a mask of the characters in runs that the passages contain. See `dedup.similarity.overlap.mark_passages`."""
    return _mark_covered(
        len(text), [at for run, places in _run_positions(from_points(text)).items() if run in passage_runs for at in places]
    )


def _run_positions(normalised: str) -> dict[str, list[int]]:
    """Every run of `RUN_CHARACTERS` characters → its positions."""
    positions: dict[str, list[int]] = {}
    for i in range(len(normalised) - RUN_CHARACTERS + 1):
        positions.setdefault(normalised[i : i + RUN_CHARACTERS], []).append(i)
    return positions


def _mark_covered(length: int, starts: list[int]) -> NDArray[np.bool_]:
    edges = np.zeros(length + 1, np.int64)
    np.add.at(edges, starts, 1)
    np.add.at(edges, [at + RUN_CHARACTERS for at in starts], -1)
    return np.cumsum(edges[:-1]) > 0


def _longest_passage(a: str, b: str, positions: dict[str, list[int]], masked_a: list[bool], masked_b: list[bool]) -> int:
    """Length of the longest stretch without masked characters in a common passage."""
    characters = len(a) + len(b)
    longest, steps = 0, min(MAX_STEPS_PER_CHARACTER * characters, LONG_TEXT_STEPS + LONG_TEXT_STEPS_PER_CHARACTER * characters)
    for i in range(len(b) - RUN_CHARACTERS + 1):
        for j in positions.get(b[i : i + RUN_CHARACTERS], ()):
            if steps < 0:
                return longest
            steps -= 1
            if i and j and a[j - 1] == b[i - 1]:
                continue  # counted when it began
            stretch = offset = 0
            while i + offset < len(b) and j + offset < len(a) and a[j + offset] == b[i + offset]:
                stretch = 0 if masked_a[j + offset] or masked_b[i + offset] else stretch + 1
                longest = max(longest, stretch)
                offset += 1
            steps -= offset
    return longest
