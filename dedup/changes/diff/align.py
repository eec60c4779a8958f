"""The operations that lead from one text to another: sentences are aligned, then the tokens of edited sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Literal, NamedTuple

from rapidfuzz import process
from rapidfuzz.distance import Indel

from dedup.changes.diff.sentences import MAX_SENTENCES
from dedup.changes.diff.stretches import split_pair
from dedup.changes.diff.tokens import split_tokens

OperationKind = Literal["same", "removed", "added", "moved_from", "moved_to"]

MIN_SENTENCE_SIMILARITY = 0.5
"""Indel similarity (0 to 1) from which a sentence counts as an edited version of another."""
MAX_PAIRS = 40_000
"""Sentences before × sentences after, in one gap, that are compared with each other. Beyond, sentences are removed and added."""
MAX_SENTENCE_CHARACTERS = 20_000
"""Characters of a sentence that is compared by characters and tokens. A longer one is removed and added as a whole."""
MIN_MOVED_CHARACTERS = 8
"""Characters of a sentence from which it can be a move."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A run of text of both sides (`same`), of the first side only (`removed`), of the second only (`added`), or moved: `moved_from` at
    its old place and `moved_to` at its new one, with the same number `move`."""

    kind: OperationKind
    text: str
    move: int | None = None


def text_before(operations: Iterable[Operation]) -> str:
    """Return the text from which the operations lead."""
    return "".join(o.text for o in operations if o.kind in ("same", "removed", "moved_from"))


def text_after(operations: Iterable[Operation]) -> str:
    """Return the text to which the operations lead."""
    return "".join(o.text for o in operations if o.kind in ("same", "added", "moved_to"))


def compare(one: str, other: str) -> list[Operation]:
    """Return the operations that lead from one cleaned text to the other: one `same` for equal texts, an empty list for two empty
    ones.

    Neighbouring operations differ in kind, except moves. The work is bounded: text beyond the limits is removed and added as a
    whole.
    """
    if one == other:
        return [Operation("same", one)] if one else []
    return _merge_operations(chain.from_iterable(align_sentences(*split_pair(one, other))))


def align_sentences(a: Sequence[str], b: Sequence[str]) -> list[list[Operation]]:
    """Return the operations of each sentence of two texts, in order. An unchanged sentence is one `same`.

    Neighbouring operations may be of one kind. See `compare`.
    """
    start = _common_prefix_length(a, b)
    end = _common_prefix_length(a[start:][::-1], b[start:][::-1])
    middle = _align_middle(a[start : len(a) - end], b[start : len(b) - end])
    return [*([Operation("same", s)] for s in a[:start]), *middle, *([Operation("same", s)] for s in a[len(a) - end :])]


def _common_prefix_length(a: Sequence[str], b: Sequence[str]) -> int:
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def _align_middle(a: Sequence[str], b: Sequence[str]) -> Iterator[list[Operation]]:
    """Align the sentences between the common beginning and the common end of two texts.

    Sentences of both sides divide the rest into gaps. Within a gap, sentences are edited, moved, removed or added.
    """
    if max(len(a), len(b)) > MAX_SENTENCES:
        yield [o for o in (Operation("removed", "".join(a)), Operation("added", "".join(b))) if o.text]
        return
    gaps = _find_gaps(a, b)
    moves = _find_moves(gaps)
    for gap in gaps:
        yield from _gap_operations(gap, moves)
        yield from (list(_unchanged_operations(was, now)) for was, now in gap.unchanged)


def _unchanged_operations(was: str, now: str) -> Iterator[Operation]:
    """Operations of a sentence of both sides. The white space after it may differ."""
    if was == now:
        yield Operation("same", was)
        return
    bare = was.rstrip()
    yield Operation("same", bare)
    if len(was) > len(bare):
        yield Operation("removed", was[len(bare) :])
    if len(now) > len(bare):
        yield Operation("added", now[len(bare) :])


class _Sentence(NamedTuple):
    """A sentence and its position among the sentences of its side."""

    position: int
    text: str


class _Gap(NamedTuple):
    """Sentences of one side only, of the other side only, and the sentences of both that follow them (as on either side)."""

    removed: list[_Sentence]
    added: list[_Sentence]
    unchanged: list[tuple[str, str]]


def _find_gaps(a: Sequence[str], b: Sequence[str]) -> list[_Gap]:
    sentence_ids: dict[str, int] = {}
    keys = [[sentence_ids.setdefault(s.rstrip(), len(sentence_ids)) for s in side] for side in (a, b)]
    gaps: list[_Gap] = []
    removed: list[_Sentence] = []
    added: list[_Sentence] = []
    for o in Indel.opcodes(*keys):
        if o.tag == "equal":
            unchanged = zip(a[o.src_start : o.src_end], b[o.dest_start : o.dest_end], strict=True)
            gaps.append(_Gap(removed, added, list(unchanged)))
            removed, added = [], []
        else:
            removed += [_Sentence(n, a[n]) for n in range(o.src_start, o.src_end)]
            added += [_Sentence(n, b[n]) for n in range(o.dest_start, o.dest_end)]
    gaps.append(_Gap(removed, added, []))
    return gaps


class _Moves(NamedTuple):
    """Numbers of the moved sentences, by their position before and by their position after."""

    by_source: dict[int, int]
    by_target: dict[int, int]


def _find_moves(gaps: Sequence[_Gap]) -> _Moves:
    """Find the sentences that were removed in one place and added, unchanged, in another."""
    targets_by_text: dict[str, list[int]] = {}
    for gap in gaps:
        for sentence in gap.added:
            if len(sentence.text) >= MIN_MOVED_CHARACTERS:
                targets_by_text.setdefault(sentence.text.rstrip(), []).append(sentence.position)
    moves = _Moves({}, {})
    for gap in gaps:
        for sentence in gap.removed:
            targets = targets_by_text.get(sentence.text.rstrip())
            if targets:
                moves.by_source[sentence.position] = moves.by_target[targets.pop(0)] = len(moves.by_source)
    return moves


def _gap_operations(gap: _Gap, moves: _Moves) -> Iterator[list[Operation]]:
    """Operations of the sentences of a gap: in the order of the removed ones, each added one before the edited sentence it precedes."""
    edited_to = _find_edited(gap, moves)
    remaining = iter(gap.added)
    for sentence in gap.removed:
        if sentence.position in moves.by_source:
            yield [Operation("moved_from", sentence.text, moves.by_source[sentence.position])]
        elif sentence.position in edited_to:
            target = edited_to[sentence.position]
            while (added := next(remaining)).position != target.position:
                yield [_added_operation(added, moves)]
            yield [o for o in _token_operations(sentence.text, target.text) if o.text]
        else:
            yield [Operation("removed", sentence.text)]
    for added in remaining:
        yield [_added_operation(added, moves)]


def _find_edited(gap: _Gap, moves: _Moves) -> dict[int, _Sentence]:
    """Position of a removed sentence → the added sentence into which it was edited. Moved sentences are left out."""
    removed = [s for s in gap.removed if s.position not in moves.by_source]
    added = [s for s in gap.added if s.position not in moves.by_target]
    return {removed[i].position: added[k] for i, k in _pair_sentences([s.text for s in removed], [s.text for s in added])}


def _added_operation(sentence: _Sentence, moves: _Moves) -> Operation:
    number = moves.by_target.get(sentence.position)
    return Operation("added", sentence.text) if number is None else Operation("moved_to", sentence.text, number)


def _pair_sentences(a: list[str], b: list[str]) -> list[tuple[int, int]]:
    """Pair the sentences of two sides, in order, so that the sum of the pairs' similarities is greatest.

    Only sentences with a similarity of at least `MIN_SENTENCE_SIMILARITY` are paired. Beyond the limits on work, a single sentence of
    either side is paired with the other, and no others. Needleman and Wunsch's recursion, https://doi.org/10.1016/0022-2836(70)90057-4.
    """
    if not a or not b or len(a) * len(b) > MAX_PAIRS or max(map(len, (*a, *b))) > MAX_SENTENCE_CHARACTERS:
        return [(0, 0)] if len(a) == len(b) == 1 else []
    scores = process.cdist(a, b, scorer=Indel.normalized_similarity, score_cutoff=MIN_SENTENCE_SIMILARITY).tolist()
    best = _best_sums(scores)
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


def _best_sums(scores: list[list[float]]) -> list[list[float]]:
    """[i][k]: the greatest sum of scores of pairs among the sentences from i and from k on. 0 is no pair."""
    rows, columns = len(scores), len(scores[0])
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        row, below, row_scores = best[i], best[i + 1], scores[i]
        for k in range(columns - 1, -1, -1):
            row[k] = max(below[k], row[k + 1], below[k + 1] + row_scores[k] if row_scores[k] else 0.0)
    return best


def _token_operations(one: str, other: str) -> Iterator[Operation]:
    """Operations of an edited sentence, token by token. White space or a sign between two differences is part of the difference."""
    if max(len(one), len(other)) > MAX_SENTENCE_CHARACTERS:
        yield Operation("removed", one)
        yield Operation("added", other)
        return
    a, b = split_tokens(one), split_tokens(other)
    blocks = [(o.tag, "".join(a[o.src_start : o.src_end]), "".join(b[o.dest_start : o.dest_end])) for o in Indel.opcodes(a, b)]
    last = len(blocks) - 1
    differs = [tag != "equal" or (0 < n < last and not any(map(str.isalnum, was))) for n, (tag, was, _) in enumerate(blocks)]
    for is_changed, run in groupby(zip(differs, blocks, strict=True), key=lambda pair: pair[0]):
        parts = [block for _, block in run]
        was, now = "".join(part[1] for part in parts), "".join(part[2] for part in parts)
        if is_changed:
            yield Operation("removed", was)
            yield Operation("added", now)
        else:
            yield Operation("same", was)


def _merge_operations(operations: Iterable[Operation]) -> list[Operation]:
    """Drop empty operations and merge neighbours of one kind. Within a difference, removed text comes first."""
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
