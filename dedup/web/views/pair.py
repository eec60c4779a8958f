"""Two articles beside each other, with the passages that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dedup import reports
from dedup.errors import ParameterError
from dedup.reports import explain
from dedup.store import Database
from dedup.web.render import Answer, Asked

TEXT = 200_000
"""Characters of either text that are shown."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A run of one side's text, and the numbers of the passages that it is part of; `begins`: those that begin with it."""

    text: str
    passages: tuple[int, ...]
    begins: tuple[int, ...]


def view(database: Database, asked: Asked) -> Answer:
    """Pages `a` and `b`, as they are now or in a revision (`a_revision`, `b_revision`): what is alike in them, and why they are told as
    copies of each other or are not."""
    if not asked.text("a") or not asked.text("b"):
        return Answer("pair.html", "Two articles", {"a": None, "b": None, "passages": []})
    sides = [_side(database, asked, name) for name in ("a", "b")]
    found = explain.explain(database, asked.settings, *sides)
    passages = [{"a": p["a"], "b": p["b"], "characters": p["characters"]} for p in found["passages"]]
    told = {**found, "passages": passages}
    more = {
        "texts": {
            name: list(_stretches(side.body[:TEXT], [(p[name][0], p[name][1]) for p in passages]))
            for name, side in zip("ab", sides, strict=True)
        },
        "cut": any(len(side.body) > TEXT for side in sides),
    }  # fmt: skip
    return Answer("pair.html", "Two articles", told, more)


def _side(database: Database, asked: Asked, name: str) -> explain.Side:
    page = reports.find_page(database, asked.settings.urls.canonicaliser(), asked.text(name), None)
    given = asked.text(f"{name}_revision")
    if given and not (given.isascii() and given.isdigit() and len(given) < 7):
        raise ParameterError(name=f"{name}_revision", problem="must be the number of a revision")
    return explain.from_page(database, asked.settings, page, int(given) if given else None)


def _stretches(body: str, passages: Sequence[tuple[int, int]]) -> Iterator[Stretch]:
    """The text cut where a passage begins or ends."""
    cuts: dict[int, tuple[list[int], list[int]]] = {}
    for number, (begin, end) in enumerate(passages, 1):
        if begin < len(body):
            cuts.setdefault(begin, ([], []))[0].append(number)
            cuts.setdefault(min(end, len(body)), ([], []))[1].append(number)
    within: list[int] = []
    at = 0
    begun: tuple[int, ...] = ()
    for place in [*sorted(cuts), len(body)]:
        if place > at:
            yield Stretch(body[at:place], tuple(within), begun)
        begins, ends = cuts.get(place, ([], []))
        within = [n for n in within if n not in ends] + begins
        begun = tuple(begins)
        at = place
