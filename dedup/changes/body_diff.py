"""Two bodies compared as a reader would: not by lines that are credits, where links lead, where lines end, or what is only said twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Self

from dedup.changes import diff, evidence
from dedup.changes.diff import MOST_SENTENCED, Operation
from dedup.changes.evidence import SENTENCE, Aside, Evidence, is_ended, plain
from dedup.heartbeat import beat

_Group = list[Operation]

MOST_HEADINGS = 200
"""Sentences that came or went up to which headings among them are looked for in the rest of the text, where that has no more than
`MOST_SENTENCED` characters."""


@dataclass(frozen=True, slots=True)
class Body:
    """What differs between two bodies; `aside` is what differs in lines that are credits, time stamps or links, `new` the sentences
    that only the later one has. `same_form`: the letters are the same."""

    operations: list[Operation]
    evidence: list[Evidence]
    aside: list[Evidence]
    new: list[str]
    similarity: float
    same_form: bool

    @classmethod
    def compared(cls, before: str, after: str) -> Self:
        """Compare two bodies as they were crawled."""
        sides = diff.split(*(diff.clean(evidence.unlinked(side)) for side in (before, after)))
        beat()
        gone, new = unknown(sides[1], sides[0]), unknown(*sides)
        lines, lines_now = Aside.among(gone), Aside.among(new)
        left_out = lines.all | lines_now.all
        one, other = ([s for s in side if s.strip() not in left_out] for side in sides)
        aligned = diff.aligned(one, other)
        beat()
        groups = _unwrapped(_without_repeated(aligned))
        beat()
        differing = [g for g in groups if _differs(g)]
        moved = any(o.move is not None for g in differing for o in g)
        letters = (_letters(differing, ("same", kind)) for kind in ("removed", "added"))
        same_form = not moved and next(letters) == next(letters)
        found = [] if same_form else evidence.of(groups)
        similarity = 1 - _changed(differing) / max(1, sum(map(len, one)) + sum(map(len, other)))
        aside = list(lines.differences(lines_now))
        return cls([o for g in differing for o in g], found, aside, new, similarity, same_form)


def unknown(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """The sentences of a side that the other has not."""
    known = {s.strip() for s in before}
    return [s for s in after if s.strip() not in known]


def _differs(group: Iterable[Operation]) -> bool:
    return any(o.kind != "same" for o in group)


def _changed(groups: Iterable[_Group]) -> int:
    """Characters that came and went."""
    return sum(len(o.text) for g in groups for o in g if o.kind in ("removed", "added"))


def _letters(groups: Iterable[_Group], kinds: tuple[str, ...]) -> str:
    return plain("".join(o.text for g in groups for o in g if o.kind in kinds))


def _without_repeated(groups: Sequence[_Group]) -> list[_Group]:
    """Without whole sentences that came or went though the text has them elsewhere, before and after; headings, though it has their
    words."""
    kept = [o.text for g in groups if not _differs(g) for o in g]
    sentences = {text.strip() for text in kept}
    few = 0 < sum(map(_came_or_went, groups)) <= MOST_HEADINGS and sum(map(len, kept)) <= MOST_SENTENCED
    words = f" {_words(chr(10).join(kept))} " if few else ""
    return [g for g in groups if not (_came_or_went(g) and _is_repeated(g[0].text, sentences, words))]


def _came_or_went(group: _Group) -> bool:
    return len(group) == 1 and group[0].kind in ("removed", "added")


def _is_repeated(sentence: str, sentences: set[str], words: str) -> bool:
    if len(sentence) > evidence.LONGEST:
        return sentence.strip() in sentences
    if is_ended(sentence) or any(map(str.isdigit, sentence)):
        return sentence.strip() in sentences and len(plain(sentence)) >= SENTENCE
    return (told := _words(sentence)) != "" and f" {told} " in words


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _unwrapped(groups: list[_Group]) -> list[_Group]:
    """Where lines end in other places, and not much else differs, with blanks for line ends: a text that was wrapped anew is the same."""
    if any(o.move is not None for g in groups for o in g):
        first, *_, last = (n for n, g in enumerate(groups) if _differs(g))
        return [*groups[:first], *_flat(groups[first : last + 1]), *groups[last + 1 :]]
    runs = (list(run) for _, run in groupby(groups, key=_differs))
    return list(chain.from_iterable(_flat(run) if _differs(run[0]) else run for run in runs))


def _flat(groups: list[_Group]) -> list[_Group]:
    """Sentences of both sides compared with blanks for line ends, if that leaves less than half of the difference."""
    operations = [o for g in groups for o in g]
    sides = ["".join(o.text for o in operations if o.kind in kinds) for kinds in (_LEFT, _RIGHT)]
    if not any("\n" in side.rstrip() for side in sides) or max(map(len, sides)) > MOST_SENTENCED:
        return groups
    flat = diff.aligned(*(diff.sentences(side.replace("\n", " ")) for side in sides))
    return flat if 2 * _changed(flat) < _changed(groups) else groups


_LEFT, _RIGHT = ("same", "removed", "moved_from"), ("same", "added", "moved_to")
