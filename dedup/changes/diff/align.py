"""From one text to the other: sentences aligned, then the tokens of those that became one another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Literal

from rapidfuzz import process
from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MAX_SENTENCES
from dedup.changes.diff.stretches import split_pair
from dedup.changes.diff.tokens import split_tokens

OperationKind = Literal["same", "removed", "added", "moved_from", "moved_to"]

MIN_SENTENCE_SIMILARITY = 0.5
"""Indel similarity of two sentences from which one is told as the other edited."""
MAX_PAIRS = 40_000
"""Sentences before times sentences after, in one place, that are compared with each other; beyond, they are told as they stand."""
MAX_SENTENCE_CHARACTERS = 20_000
"""Of two sentences that are compared by characters and tokens; longer ones are no sentences, and are told more coarsely."""
MIN_MOVED_CHARACTERS = 8
"""Characters of a sentence from which its turning up elsewhere is told as a move."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A run of text that both sides have (`same`), that one side lost (`removed`) or won (`added`), or that is in another place
    now: `moved_from` there, `moved_to` here, the two with the same number `move`."""

    kind: OperationKind
    text: str
    move: int | None = None


def text_before(operations: Iterable[Operation]) -> str:
    """The side that a difference leads from."""
    return "".join(o.text for o in operations if o.kind in ("same", "removed", "moved_from"))


def text_after(operations: Iterable[Operation]) -> str:
    """The side that a difference leads to."""
    return "".join(o.text for o in operations if o.kind in ("same", "added", "moved_to"))


def compare(one: str, other: str) -> list[Operation]:
    """The operations that lead from one cleaned text to the other; of equals one `same`, of nothing none.

    Neighbours differ in kind, but for moves. The work is bounded: what is too much to compare is removed and added.
    """
    if one == other:
        return [Operation("same", one)] if one else []
    return _merge_operations(chain.from_iterable(align_sentences(*split_pair(one, other))))


def align_sentences(a: Sequence[str], b: Sequence[str]) -> list[list[Operation]]:
    """The same of the sentences of two texts: what became of each, in order; one that stayed is one `same`. Neighbours may be of one
    kind."""
    start = _common_prefix_length(a, b)
    end = _common_prefix_length(a[start:][::-1], b[start:][::-1])
    middle = _align_middle(a[start : len(a) - end], b[start : len(b) - end])
    return [*([Operation("same", s)] for s in a[:start]), *middle, *([Operation("same", s)] for s in a[len(a) - end :])]


def _common_prefix_length(a: Sequence[str], b: Sequence[str]) -> int:
    """How many both begin with."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _align_middle(a: Sequence[str], b: Sequence[str]) -> Iterator[list[Operation]]:
    """Sentences that are the same in both stay; in between, some became others, some moved, the rest came or went."""
    if max(len(a), len(b)) > MAX_SENTENCES:
        yield [o for o in (Operation("removed", "".join(a)), Operation("added", "".join(b))) if o.text]
        return
    gaps = _find_gaps(a, b)
    moves = _find_moves(gaps)
    for removed, added, unchanged in gaps:
        yield from _gap_operations(removed, added, moves)
        yield from (list(_unchanged_operations(was, now)) for was, now in unchanged)


def _unchanged_operations(was: str, now: str) -> Iterator[Operation]:
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


def _find_gaps(a: Sequence[str], b: Sequence[str]) -> list[_Gap]:
    sentence_ids: dict[str, int] = {}
    keys = [[sentence_ids.setdefault(s.rstrip(), len(sentence_ids)) for s in side] for side in (a, b)]
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


def _find_moves(gaps: Sequence[_Gap]) -> _Moves:
    """Sentences that went from one gap and came in another as they were."""
    additions: dict[str, list[tuple[int, int]]] = {}
    for gap, (_, added, _) in enumerate(gaps):
        for position, sentence in added:
            if len(sentence) >= MIN_MOVED_CHARACTERS:
                additions.setdefault(sentence.rstrip(), []).append((gap, position))
    moves: _Moves = {}, {}
    for _gap, (removed, _, _) in enumerate(gaps):
        for position, sentence in removed:
            targets = additions.get(sentence.rstrip())
            if targets:
                moves[0][position] = moves[1][targets.pop(0)[1]] = len(moves[0])
    return moves


def _gap_operations(removed: list[_Sentence], added: list[_Sentence], moves: _Moves) -> Iterator[list[Operation]]:
    """What a gap's sentences became; those that moved stand where they were and where they are."""
    removed_only = [s for s in removed if s[0] not in moves[0]]
    added_only = [s for s in added if s[0] not in moves[1]]
    pairs = dict(_pair_sentences([s for _, s in removed_only], [s for _, s in added_only]))
    partner = {removed_only[i][0]: added_only[k] for i, k in pairs.items()}
    remaining = iter(added)
    for position, sentence in removed:
        if position in moves[0]:
            yield [Operation("moved_from", sentence, moves[0][position])]
        elif position in partner:
            for added_position, added_sentence in remaining:
                if added_position == partner[position][0]:
                    yield [o for o in _token_operations(sentence, added_sentence) if o.text]
                    break
                yield [_added_operation(added_position, added_sentence, moves)]
        else:
            yield [Operation("removed", sentence)]
    for added_position, added_sentence in remaining:
        yield [_added_operation(added_position, added_sentence, moves)]


def _added_operation(position: int, sentence: str, moves: _Moves) -> Operation:
    return Operation("moved_to", sentence, moves[1][position]) if position in moves[1] else Operation("added", sentence)


def _pair_sentences(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Which sentences became which, in order: the pairs that are alike whose similarities come to most.

    Needleman and Wunsch's recursion, https://doi.org/10.1016/0022-2836(70)90057-4.
    """
    if not a or not b or len(a) * len(b) > MAX_PAIRS or max(map(len, (*a, *b))) > MAX_SENTENCE_CHARACTERS:
        return [(0, 0)] if len(a) == len(b) == 1 else []
    scores = process.cdist(a, b, scorer=Indel.normalized_similarity, score_cutoff=MIN_SENTENCE_SIMILARITY).tolist()
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        row, below, row_scores = best[i], best[i + 1], scores[i]
        for k in range(len(b) - 1, -1, -1):
            row[k] = max(below[k], row[k + 1], below[k + 1] + row_scores[k] if row_scores[k] else 0.0)
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


def _token_operations(one: str, other: str) -> Iterator[Operation]:
    """A sentence that became another, by tokens. A blank or a sign between two differences is part of them."""
    if max(len(one), len(other)) > MAX_SENTENCE_CHARACTERS:
        yield Operation("removed", one)
        yield Operation("added", other)
        return
    a, b = split_tokens(one), split_tokens(other)
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


def _merge_operations(operations: Iterable[Operation]) -> list[Operation]:
    """Without empty ones, neighbours of one kind as one; within a difference what was removed stands first."""
    result: list[Operation] = []
    for is_unchanged, run in groupby((o for o in operations if o.text), key=lambda o: o.kind in ("same", "moved_from", "moved_to")):
        if is_unchanged:
            for o in run:
                if result and o.move is None and result[-1].kind == o.kind:
                    result[-1] = Operation("same", result[-1].text + o.text)
                else:
                    result.append(o)
        else:
            parts = list(run)
            removed = "".join(o.text for o in parts if o.kind == "removed")
            added = "".join(o.text for o in parts if o.kind == "added")
            result += [*([Operation("removed", removed)] if removed else []), *([Operation("added", added)] if added else [])]
    return result
