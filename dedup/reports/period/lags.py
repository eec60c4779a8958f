"""Who published first, who followed, and how long after: counted by clusters."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Self

from dedup.text import times

LEADERS = 12
"""Publishers that a matrix has at most, the others together among them."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How often `follower` ran what `leader` had published first, and the median of the seconds between. None: another publisher than
    those that are named."""

    leader: str | None
    follower: str | None
    followed: int
    median_seconds: int


@dataclass(frozen=True, slots=True)
class Standing:
    """In how many clusters a publisher was the first, and in how many it followed, with the median of the seconds."""

    publisher: str | None
    first: int
    followed: int
    median_seconds: int | None


@dataclass(frozen=True, slots=True)
class Lags:
    """The matrix, row by row, with `named` publishers in the order of rows and columns; `others`: so many more are told together."""

    named: tuple[str, ...]
    others: int
    standings: tuple[Standing, ...]
    matrix: tuple[Lag, ...]

    @classmethod
    def of(cls, races: Iterable[list[tuple[str, str, bool]]], house: str | None = None) -> Self:
        """Of races: (publisher, when it published first, whether that is told of), the earliest first, whose first one leads. With a
        `house`, of those that it led or followed in."""
        seconds: dict[tuple[str, str], array[int]] = {}
        led: Counter[str] = Counter()
        for race in races:
            leader, began, _ = race[0]
            counted = False
            for follower, at, told in race[1:]:
                if told and (house is None or house in (leader, follower)):
                    seconds.setdefault((leader, follower), array("q")).append(int(times.seconds_between(began, at)))
                    counted = True
            led[leader] += counted
        active: Counter[str] = Counter()
        for (leader, follower), lags in seconds.items():
            active[leader] += len(lags)
            active[follower] += len(lags)
        in_order = sorted(active, key=lambda name: (-active[name], name))
        named = in_order if len(in_order) <= LEADERS else in_order[: LEADERS - 1]
        return cls(tuple(named), len(in_order) - len(named), _standings(seconds, led, named), _matrix(seconds, named))


def _matrix(seconds: dict[tuple[str, str], array[int]], named: list[str]) -> tuple[Lag, ...]:
    folded: dict[tuple[str | None, str | None], array[int]] = {}
    for (leader, follower), lags in sorted(seconds.items()):
        key = _named(leader, named), _named(follower, named)
        folded.setdefault(key, array("q")).extend(lags)
    places: dict[str | None, int] = {name: n for n, name in enumerate([*named, None])}
    keys = sorted(folded, key=lambda k: (places[k[0]], places[k[1]]))
    return tuple(Lag(*key, len(folded[key]), round(median(folded[key]))) for key in keys)


def _standings(seconds: dict[tuple[str, str], array[int]], led: Counter[str], named: list[str]) -> tuple[Standing, ...]:
    behind: dict[str | None, array[int]] = {}
    first: Counter[str | None] = Counter()
    for name, times_ in led.items():
        first[_named(name, named)] += times_
    for (_, follower), lags in seconds.items():
        behind.setdefault(_named(follower, named), array("q")).extend(lags)
    told = [n for n in [*named, None] if first[n] or n in behind]
    return tuple(Standing(n, first[n], len(behind.get(n, ())), round(median(behind[n])) if n in behind else None) for n in told)


def _named(name: str, named: list[str]) -> str | None:
    return name if name in named else None
