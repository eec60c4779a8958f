"""From one text to the other: sentences aligned, then the tokens of those that became one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MOST_LINES
from dedup.changes.diff.stretches import split
from dedup.changes.diff.tokens import words

Kind = Literal["same", "removed", "added", "moved_from", "moved_to"]

ALIKE = 0.5
"""Indel similarity of two sentences from which one is told as the other edited."""
MOST_PAIRS = 40_000
"""Sentences before times sentences after, in one place, that are compared with each other; beyond, they are told as they stand."""
MOST_CHARACTERS = 20_000
"""Of two sentences that are compared by characters and tokens; longer ones are no sentences, and are told more coarsely."""
MOVED = 8
"""Characters of a sentence from which its turning up elsewhere is told as a move."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A run of text that both sides have (`same`), that one side lost (`removed`) or won (`added`), or that is in another place
    now: `moved_from` there, `moved_to` here, the two with the same number `move`."""

    kind: Kind
    text: str
    move: int | None = None


def before(operations: Iterable[Operation]) -> str:
    """The side that a difference leads from."""
    return "".join(o.text for o in operations if o.kind in ("same", "removed", "moved_from"))


def after(operations: Iterable[Operation]) -> str:
    """The side that a difference leads to."""
    return "".join(o.text for o in operations if o.kind in ("same", "added", "moved_to"))


def compare(one: str, other: str) -> list[Operation]:
    """The operations that lead from one cleaned text to the other; of equals one `same`, of nothing none.

    Neighbours differ in kind, but for moves. The work is bounded: what is too much to compare is removed and added.
    """
    if one == other:
        return [Operation("same", one)] if one else []
    return _joined(chain.from_iterable(aligned(*split(one, other))))


def aligned(a: Sequence[str], b: Sequence[str]) -> list[list[Operation]]:
    """The same of the sentences of two texts: what became of each, in order; one that stayed is one `same`. Neighbours may be of one
    kind."""
    start = _alike(a, b)
    end = _alike(a[start:][::-1], b[start:][::-1])
    middle = _aligned(a[start : len(a) - end], b[start : len(b) - end])
    return [*([Operation("same", s)] for s in a[:start]), *middle, *([Operation("same", s)] for s in a[len(a) - end :])]


def _alike(a: Sequence[str], b: Sequence[str]) -> int:
    """How many both begin with."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _aligned(a: Sequence[str], b: Sequence[str]) -> Iterator[list[Operation]]:
    """Sentences that are the same in both stay; in between, some became others, some moved, the rest came or went."""
    if max(len(a), len(b)) > MOST_LINES:
        yield [o for o in (Operation("removed", "".join(a)), Operation("added", "".join(b))) if o.text]
        return
    gaps = _gaps(a, b)
    moves = _moves(gaps)
    for removed, added, same in gaps:
        yield from _told(removed, added, moves)
        yield from (list(_same(was, now)) for was, now in same)


def _same(was: str, now: str) -> Iterator[Operation]:
    """A sentence of both; what stands between it and the next may differ."""
    if was == now:
        yield Operation("same", was)
        return
    bare = was.rstrip()
    yield Operation("same", bare)
    if len(was) > len(bare):
        yield Operation("removed", was[len(bare) :])
    if len(now) > len(bare):
        yield Operation("added", now[len(bare) :])


_Sentence = tuple[int, str]
"""A sentence with its place on its side."""
_Gap = tuple[list[_Sentence], list[_Sentence], list[tuple[str, str]]]
"""(sentences that only one side has, that only the other has, those of both that follow)."""


def _gaps(a: Sequence[str], b: Sequence[str]) -> list[_Gap]:
    number: dict[str, int] = {}
    keys = [[number.setdefault(s.rstrip(), len(number)) for s in side] for side in (a, b)]
    gaps: list[_Gap] = []
    removed: list[_Sentence] = []
    added: list[_Sentence] = []
    for o in Indel.opcodes(*keys):
        i, j, k, m = o.src_start, o.src_end, o.dest_start, o.dest_end
        if o.tag == "equal":
            gaps.append((removed, added, list(zip(a[i:j], b[k:m], strict=True))))
            removed, added = [], []
        else:
            removed += [(n, a[n]) for n in range(i, j)]
            added += [(n, b[n]) for n in range(k, m)]
    gaps.append((removed, added, []))
    return gaps


_Moves = tuple[dict[int, int], dict[int, int]]
"""(place before → number of the move, place after → the same)."""


def _moves(gaps: Sequence[_Gap]) -> _Moves:
    """Sentences that went from one gap and came in another as they were."""
    came: dict[str, list[tuple[int, int]]] = {}
    for gap, (_, added, _) in enumerate(gaps):
        for place, sentence in added:
            if len(sentence) >= MOVED:
                came.setdefault(sentence.rstrip(), []).append((gap, place))
    moves: _Moves = {}, {}
    for _gap, (removed, _, _) in enumerate(gaps):
        for place, sentence in removed:
            places = came.get(sentence.rstrip())
            if places:
                moves[0][place] = moves[1][places.pop(0)[1]] = len(moves[0])
    return moves


def _told(removed: list[_Sentence], added: list[_Sentence], moves: _Moves) -> Iterator[list[Operation]]:
    """What a gap's sentences became; those that moved stand where they were and where they are."""
    gone = [s for s in removed if s[0] not in moves[0]]
    new = [s for s in added if s[0] not in moves[1]]
    pairs = dict(_pairs([s for _, s in gone], [s for _, s in new]))
    partner = {gone[i][0]: new[k] for i, k in pairs.items()}
    rest = iter(added)
    for place, sentence in removed:
        if place in moves[0]:
            yield [Operation("moved_from", sentence, moves[0][place])]
        elif place in partner:
            for there, came in rest:
                if there == partner[place][0]:
                    yield [o for o in _edited(sentence, came) if o.text]
                    break
                yield [_new(there, came, moves)]
        else:
            yield [Operation("removed", sentence)]
    for there, came in rest:
        yield [_new(there, came, moves)]


def _new(place: int, sentence: str, moves: _Moves) -> Operation:
    return Operation("moved_to", sentence, moves[1][place]) if place in moves[1] else Operation("added", sentence)


def _pairs(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Which sentences became which, in order: the pairs that are alike whose similarities come to most.

    Needleman and Wunsch's recursion, https://doi.org/10.1016/0022-2836(70)90057-4.
    """
    if not a or not b or len(a) * len(b) > MOST_PAIRS or max(map(len, (*a, *b))) > MOST_CHARACTERS:
        return [(0, 0)] if len(a) == len(b) == 1 else []
    scores = process.cdist(a, b, scorer=Indel.normalized_similarity, score_cutoff=ALIKE).tolist()
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, of = best[i], best[i + 1], scores[i]
        for k in range(len(b) - 1, -1, -1):
            row[k] = max(below[k], row[k + 1], below[k + 1] + of[k] if of[k] else 0.0)
    pairs: list[tuple[int, int]] = []
    i = k = 0
    while i < len(a) and k < len(b):
        if scores[i][k] and best[i][k] == best[i + 1][k + 1] + scores[i][k]:
            pairs.append((i, k))
            i, k = i + 1, k + 1
        elif best[i][k] == best[i + 1][k]:
            i += 1
        else:
            k += 1
    return pairs


def _edited(one: str, other: str) -> Iterator[Operation]:
    """A sentence that became another, by tokens. A blank or a sign between two differences is part of them."""
    if max(len(one), len(other)) > MOST_CHARACTERS:
        yield Operation("removed", one)
        yield Operation("added", other)
        return
    a, b = words(one), words(other)
    blocks = [(o.tag, "".join(a[o.src_start : o.src_end]), "".join(b[o.dest_start : o.dest_end])) for o in Indel.opcodes(a, b)]
    last = len(blocks) - 1
    differs = [tag != "equal" or (0 < n < last and not any(map(str.isalnum, was))) for n, (tag, was, _) in enumerate(blocks)]
    for changed, run in groupby(zip(differs, blocks, strict=True), key=lambda pair: pair[0]):
        parts = [block for _, block in run]
        was, now = "".join(part[1] for part in parts), "".join(part[2] for part in parts)
        if changed:
            yield Operation("removed", was)
            yield Operation("added", now)
        else:
            yield Operation("same", was)


def _joined(operations: Iterable[Operation]) -> list[Operation]:
    """Without empty ones, neighbours of one kind as one; within a difference what was removed stands first."""
    found: list[Operation] = []
    for settled, run in groupby((o for o in operations if o.text), key=lambda o: o.kind in ("same", "moved_from", "moved_to")):
        if settled:
            for o in run:
                if found and o.move is None and found[-1].kind == o.kind:
                    found[-1] = Operation("same", found[-1].text + o.text)
                else:
                    found.append(o)
        else:
            parts = list(run)
            removed = "".join(o.text for o in parts if o.kind == "removed")
            added = "".join(o.text for o in parts if o.kind == "added")
            found += [*([Operation("removed", removed)] if removed else []), *([Operation("added", added)] if added else [])]
    return found
