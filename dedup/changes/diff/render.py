"""Renderings of a difference: folded, in rows, as unified text, HTML or JSON. All text in HTML is escaped. Text for a terminal must be
sanitised by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dedup.changes.diff.align import Operation
from dedup.changes.diff.sentences import MAX_SPLIT_CHARACTERS, split_sentences
from dedup.text.sanitise import escape_html

CONTEXT_CHARACTERS = 40
"""Characters of unchanged text shown next to a difference."""
FOLD_MARK = " … "


@dataclass(frozen=True, slots=True)
class DiffRow:
    """Text shown side by side, as operations of either side: one or a few sentences. A sentence of one side only leaves the other side
    empty."""

    left: tuple[Operation, ...]
    right: tuple[Operation, ...]

    @property
    def differs(self) -> bool:
        return any(o.kind != "same" for o in (*self.left, *self.right))


def fold_unchanged(operations: Sequence[Operation], context: int = CONTEXT_CHARACTERS) -> list[Operation]:
    """Return the operations with unchanged text cut to `context` characters next to each difference, at a space if one is near.

    A `same` of ` … ` replaces the omitted text. The original sides cannot be restored from the result.
    """
    result: list[Operation] = []
    last = len(operations) - 1
    for n, o in enumerate(operations):
        if o.kind != "same" or len(o.text) <= 2 * context + len(FOLD_MARK):
            result.append(o)
            continue
        head = _cut_head(o.text, context) if n else ""
        tail = _cut_tail(o.text, context) if n < last else ""
        result.append(Operation("same", head + FOLD_MARK + tail))
    return result


def _cut_head(text: str, length: int) -> str:
    beginning = text[:length]
    blank_position = max(beginning.rfind(" "), beginning.rfind("\n"))
    return beginning[:blank_position] if blank_position > length // 2 else beginning


def _cut_tail(text: str, length: int) -> str:
    ending = text[-length:]
    blank_position = min((p for p in (ending.find(" "), ending.find("\n")) if p >= 0), default=-1)
    return ending[blank_position + 1 :] if 0 <= blank_position < length // 2 else ending


def to_rows(operations: Iterable[Operation]) -> Iterator[DiffRow]:
    """Yield the difference in rows of about a sentence, in order. All left sides joined are the text before, all right sides the text
    after.

    Sentences that were removed or added as a whole have rows of their own.
    """
    left: list[Operation] = []
    right: list[Operation] = []
    for o in operations:
        if o.move is not None:
            yield from _flush_rows(left, right)
            left, right = [], []
            yield DiffRow((o,), ()) if o.kind == "moved_from" else DiffRow((), (o,))
        elif o.kind != "same":
            (left if o.kind == "removed" else right).append(o)
        else:
            if _are_whole_sentences(left, right):
                yield from _flush_rows(left, right)
                left, right = [], []
            pieces = split_sentences(o.text)
            for n, piece in enumerate(pieces, 1):
                left.append(Operation("same", piece))
                right.append(Operation("same", piece))
                if n < len(pieces) or _has_sentence_end(piece):
                    yield DiffRow(tuple(left), tuple(right))
                    left, right = [], []
    yield from _flush_rows(left, right)


def _flush_rows(left: list[Operation], right: list[Operation]) -> Iterator[DiffRow]:
    if left and right:
        yield DiffRow(tuple(left), tuple(right))
        return
    for o in left:
        yield from (DiffRow((Operation(o.kind, s),), ()) for s in split_sentences(o.text))
    for o in right:
        yield from (DiffRow((), (Operation(o.kind, s),)) for s in split_sentences(o.text))


def _are_whole_sentences(left: Sequence[Operation], right: Sequence[Operation]) -> bool:
    """Return whether these operations are whole sentences that do not continue in the text after them."""
    both = (*left, *right)
    return bool(both) and all(o.kind != "same" for o in both) and all(_has_sentence_end(o.text) for o in both)


def _has_sentence_end(piece: str) -> bool:
    """Return whether a new sentence would begin after the text."""
    return len(split_sentences(piece[-MAX_SPLIT_CHARACTERS // 2 :] + "가")) > 1


def to_unified(operations: Iterable[Operation], context: int = 1) -> Iterator[str]:
    """Yield lines that begin with `-`, `+` or a space, one for each sentence, with `context` unchanged ones around each difference.

    `@@` replaces omitted lines. A moved sentence has its number: `<1` at its old place, `>1` at its new one.
    """
    all_rows = list(to_rows(operations))
    visible = {k for n, row in enumerate(all_rows) if row.differs for k in range(n - context, n + context + 1)}
    is_skipping = False
    for n, row in enumerate(all_rows):
        if n not in visible:
            is_skipping = True
            continue
        if is_skipping:
            yield "@@"
            is_skipping = False
        if not row.differs:
            yield " " + _join_operations(row.left)
            continue
        for side, mark in ((row.left, "-"), (row.right, "+")):
            if side:
                move = side[0].move
                yield (mark if move is None else f"{'<' if mark == '-' else '>'}{move + 1} ") + _join_operations(side)
    if is_skipping:
        yield "@@"


def _join_operations(side: Iterable[Operation]) -> str:
    return " ".join("".join(o.text for o in side).split("\n")).strip()


_TAGS = {"removed": "del", "added": "ins"}


def to_html(operations: Iterable[Operation]) -> str:
    """Return a fragment of HTML with `<del>` and `<ins>`; `<del class="moved" data-move="1">` and `<ins …>` for moved text; `<br>` for
    line ends.

    All text is escaped, and no attribute contains any of it.
    """
    return "".join(_operation_to_html(o) for o in operations)


def _operation_to_html(o: Operation) -> str:
    content = escape_html(o.text).replace("\n", "<br>")
    if o.kind == "same":
        return content
    if o.move is not None:
        tag = "del" if o.kind == "moved_from" else "ins"
        return f'<{tag} class="moved" data-move="{o.move + 1}">{content}</{tag}>'
    return f"<{_TAGS[o.kind]}>{content}</{_TAGS[o.kind]}>"


def as_json(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """Return `[{"kind", "text"}]`, with `"move"` for moved text."""
    return [{"kind": o.kind, "text": o.text} | ({} if o.move is None else {"move": o.move + 1}) for o in operations]
