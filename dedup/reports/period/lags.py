"""Follow lags: which publisher was first in each cluster, which ones came later, and by how much."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Self

from dedup.text import times

MAX_LAG_PUBLISHERS = 12
"""Size of the matrix at most. One row and column may combine all other publishers."""


@dataclass(frozen=True, slots=True)
class Lag:
    """In how many `clusters` `first_publisher` was first and `later_publisher` came later, and the median lag in seconds.

    None means any publisher that has no row in the matrix.
    """

    first_publisher: str | None
    later_publisher: str | None
    clusters: int
    median_seconds: int


@dataclass(frozen=True, slots=True)
class PublisherRank:
    """In how many clusters a publisher was first, in how many it came later, and its median lag in seconds."""

    publisher: str | None
    first: int
    later: int
    median_seconds: int | None


@dataclass(frozen=True, slots=True)
class FollowLags:
    """The matrix of lags, row by row.

    `publishers` is the order of rows and columns. `other_publishers` is the number of publishers that are combined as None.
    """

    publishers: tuple[str, ...]
    other_publishers: int
    ranks: tuple[PublisherRank, ...]
    matrix: tuple[Lag, ...]

    @classmethod
    def from_sequences(cls, sequences: Iterable[list[tuple[str, str, bool]]], publisher: str | None = None) -> Self:
        """Count the lags in sequences of (publisher, time of its first article, whether it counts), the earliest first.

        There is one sequence per cluster; its first publisher is the leader. With `publisher`, only lags in which it leads or
        follows are counted.
        """
        lag_seconds: dict[tuple[str, str], array[int]] = {}
        lead_counts: Counter[str] = Counter()
        for sequence in sequences:
            leader, first_at, _ = sequence[0]
            has_follower = False
            for follower, at, is_counted in sequence[1:]:
                if is_counted and (publisher is None or publisher in (leader, follower)):
                    lag_seconds.setdefault((leader, follower), array("q")).append(int(times.seconds_between(first_at, at)))
                    has_follower = True
            lead_counts[leader] += has_follower
        activity: Counter[str] = Counter()
        for (leader, follower), lags in lag_seconds.items():
            activity[leader] += len(lags)
            activity[follower] += len(lags)
        by_activity = sorted(activity, key=lambda name: (-activity[name], name))
        publishers = by_activity if len(by_activity) <= MAX_LAG_PUBLISHERS else by_activity[: MAX_LAG_PUBLISHERS - 1]
        return cls(
            tuple(publishers),
            len(by_activity) - len(publishers),
            _ranks(lag_seconds, lead_counts, publishers),
            _matrix(lag_seconds, publishers),
        )


def _matrix(lag_seconds: dict[tuple[str, str], array[int]], publishers: list[str]) -> tuple[Lag, ...]:
    lags_by_pair: dict[tuple[str | None, str | None], array[int]] = {}
    for (leader, follower), lags in sorted(lag_seconds.items()):
        pair = _name_or_none(leader, publishers), _name_or_none(follower, publishers)
        lags_by_pair.setdefault(pair, array("q")).extend(lags)
    positions: dict[str | None, int] = {name: n for n, name in enumerate([*publishers, None])}
    pairs = sorted(lags_by_pair, key=lambda k: (positions[k[0]], positions[k[1]]))
    return tuple(Lag(*pair, len(lags_by_pair[pair]), round(median(lags_by_pair[pair]))) for pair in pairs)


def _ranks(lag_seconds: dict[tuple[str, str], array[int]], lead_counts: Counter[str], publishers: list[str]) -> tuple[PublisherRank, ...]:
    lags_by_follower: dict[str | None, array[int]] = {}
    first_counts: Counter[str | None] = Counter()
    for name, count in lead_counts.items():
        first_counts[_name_or_none(name, publishers)] += count
    for (_, follower), lags in lag_seconds.items():
        lags_by_follower.setdefault(_name_or_none(follower, publishers), array("q")).extend(lags)
    names = [n for n in [*publishers, None] if first_counts[n] or n in lags_by_follower]
    return tuple(
        PublisherRank(
            n, first_counts[n], len(lags_by_follower.get(n, ())), round(median(lags_by_follower[n])) if n in lags_by_follower else None
        )
        for n in names
    )


def _name_or_none(name: str, publishers: list[str]) -> str | None:
    return name if name in publishers else None
