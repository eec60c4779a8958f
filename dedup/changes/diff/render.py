"""A difference as people and programs take it: folded, in rows, as unified text, HTML or JSON. Nothing in HTML is left unescaped;
what goes to a terminal is made printable by whoever prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from dedup.changes.diff.align import Operation
from dedup.changes.diff.sentences import MOST_SENTENCED, sentences

CONTEXT = 40
"""Characters that are shown of an unchanged stretch on the side of a difference."""
FOLD = " … "


@dataclass(frozen=True, slots=True)
class Row:
    """What stands side by side: a sentence or a few, as operations of either side; one that only one side has leaves the other
    empty."""

    left: tuple[Operation, ...]
    right: tuple[Operation, ...]

    @property
    def differs(self) -> bool:
        return any(o.kind != "same" for o in (*self.left, *self.right))


def folded(operations: Sequence[Operation], context: int = CONTEXT) -> list[Operation]:
    """The operations with unchanged stretches cut down to `context` characters beside each difference, at a blank where there is
    one near; what was left out is a `same` of ` … `. The sides cannot be made of it any more."""
    found: list[Operation] = []
    last = len(operations) - 1
    for n, o in enumerate(operations):
        if o.kind != "same" or len(o.text) <= 2 * context + len(FOLD):
            found.append(o)
            continue
        head = _head(o.text, context) if n else ""
        tail = _tail(o.text, context) if n < last else ""
        found.append(Operation("same", head + FOLD + tail))
    return found


def _head(text: str, length: int) -> str:
    cut = text[:length]
    at = max(cut.rfind(" "), cut.rfind("\n"))
    return cut[:at] if at > length // 2 else cut


def _tail(text: str, length: int) -> str:
    cut = text[-length:]
    at = min((p for p in (cut.find(" "), cut.find("\n")) if p >= 0), default=-1)
    return cut[at + 1 :] if 0 <= at < length // 2 else cut


def rows(operations: Iterable[Operation]) -> Iterator[Row]:
    """The difference in rows of about a sentence, in order; all left sides joined are the text before, all right ones the text
    after. Whole sentences that came or went have rows of their own."""
    left: list[Operation] = []
    right: list[Operation] = []
    for o in operations:
        if o.move is not None:
            yield from _row(left, right)
            left, right = [], []
            yield Row((o,), ()) if o.kind == "moved_from" else Row((), (o,))
        elif o.kind != "same":
            (left if o.kind == "removed" else right).append(o)
        else:
            if _whole(left, right):
                yield from _row(left, right)
                left, right = [], []
            pieces = sentences(o.text)
            for n, piece in enumerate(pieces, 1):
                left.append(Operation("same", piece))
                right.append(Operation("same", piece))
                if n < len(pieces) or _ends(piece):
                    yield Row(tuple(left), tuple(right))
                    left, right = [], []
    yield from _row(left, right)


def _row(left: list[Operation], right: list[Operation]) -> Iterator[Row]:
    if left and right:
        yield Row(tuple(left), tuple(right))
        return
    for o in left:
        yield from (Row((Operation(o.kind, s),), ()) for s in sentences(o.text))
    for o in right:
        yield from (Row((), (Operation(o.kind, s),)) for s in sentences(o.text))


def _whole(left: Sequence[Operation], right: Sequence[Operation]) -> bool:
    """Whether these are sentences of their own, none of which goes on with what follows."""
    both = (*left, *right)
    return bool(both) and all(o.kind != "same" for o in both) and all(_ends(o.text) for o in both)


def _ends(piece: str) -> bool:
    """Whether a new sentence would begin after it."""
    return len(sentences(piece[-MOST_SENTENCED // 2 :] + "가")) > 1


def unified(operations: Iterable[Operation], context: int = 1) -> Iterator[str]:
    """Lines that begin with `-`, `+` or a blank, a sentence each, `context` unchanged ones around each difference; `@@` stands where
    more were left out. What moved is told with its number: `<1` from here, `>1` to here."""
    all_rows = list(rows(operations))
    shown = {k for n, row in enumerate(all_rows) if row.differs for k in range(n - context, n + context + 1)}
    skipping = False
    for n, row in enumerate(all_rows):
        if n not in shown:
            skipping = True
            continue
        if skipping:
            yield "@@"
            skipping = False
        if not row.differs:
            yield " " + _line(row.left)
            continue
        for side, mark in ((row.left, "-"), (row.right, "+")):
            if side:
                move = side[0].move
                yield (mark if move is None else f"{'<' if mark == '-' else '>'}{move + 1} ") + _line(side)
    if skipping:
        yield "@@"


def _line(side: Iterable[Operation]) -> str:
    return " ".join("".join(o.text for o in side).split("\n")).strip()


_TAGS = {"removed": "del", "added": "ins"}


def html(operations: Iterable[Operation]) -> str:
    """A fragment of HTML: `<del>` and `<ins>`; what moved is `<del class="moved" data-move="1">` and `<ins …>`; line ends are
    `<br>`. All text is escaped; no attribute holds any of it."""
    return "".join(_html(o) for o in operations)


def _html(o: Operation) -> str:
    told = escape(o.text).replace("\n", "<br>")
    if o.kind == "same":
        return told
    if o.move is not None:
        tag = "del" if o.kind == "moved_from" else "ins"
        return f'<{tag} class="moved" data-move="{o.move + 1}">{told}</{tag}>'
    return f"<{_TAGS[o.kind]}>{told}</{_TAGS[o.kind]}>"


def as_json(operations: Iterable[Operation]) -> list[dict[str, Any]]:
    """`[{"kind", "text"}]`, with `"move"` for what moved."""
    return [{"kind": o.kind, "text": o.text} | ({} if o.move is None else {"move": o.move + 1}) for o in operations]
