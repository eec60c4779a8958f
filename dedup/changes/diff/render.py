"""A difference as people and programs take it: folded, in rows, as unified text, HTML or JSON. Nothing in HTML is left unescaped;
what goes to a terminal is made printable by whoever prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dedup.changes.diff.align import Operation
from dedup.changes.diff.sentences import MAX_SPLIT_CHARACTERS, split_sentences
from dedup.text.sanitise import escape_html

CONTEXT_CHARACTERS = 40
"""Characters that are shown of an unchanged stretch on the side of a difference."""
FOLD_MARK = " … "


@dataclass(frozen=True, slots=True)
class DiffRow:
    """What stands side by side: a sentence or a few, as operations of either side; one that only one side has leaves the other
    empty."""

    left: tuple[Operation, ...]
    right: tuple[Operation, ...]

    @property
    def differs(self) -> bool:
        return any(o.kind != "same" for o in (*self.left, *self.right))


def fold_unchanged(operations: Sequence[Operation], context: int = CONTEXT_CHARACTERS) -> list[Operation]:
    """The operations with unchanged stretches cut down to `context` characters beside each difference, at a blank where there is
    one near; what was left out is a `same` of ` … `. The sides cannot be made of it any more."""
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
    """The difference in rows of about a sentence, in order; all left sides joined are the text before, all right ones the text
    after. Whole sentences that came or went have rows of their own."""
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
    """Whether these are sentences of their own, none of which goes on with what follows."""
    both = (*left, *right)
    return bool(both) and all(o.kind != "same" for o in both) and all(_has_sentence_end(o.text) for o in both)


def _has_sentence_end(piece: str) -> bool:
    """Whether a new sentence would begin after it."""
    return len(split_sentences(piece[-MAX_SPLIT_CHARACTERS // 2 :] + "가")) > 1


def to_unified(operations: Iterable[Operation], context: int = 1) -> Iterator[str]:
    """Lines that begin with `-`, `+` or a blank, a sentence each, `context` unchanged ones around each difference; `@@` stands where
    more were left out. What moved is told with its number: `<1` from here, `>1` to here."""
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
    """A fragment of HTML: `<del>` and `<ins>`; what moved is `<del class="moved" data-move="1">` and `<ins …>`; line ends are
    `<br>`. All text is escaped; no attribute holds any of it."""
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
    """`[{"kind", "text"}]`, with `"move"` for what moved."""
    return [{"kind": o.kind, "text": o.text} | ({} if o.move is None else {"move": o.move + 1}) for o in operations]
