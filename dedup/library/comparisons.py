"""Comparisons of two texts without a database: the answers of `compare` and `diff`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from dedup.library.records import Record
from dedup.model import Relation


@dataclass(frozen=True)
class Comparison(Record):
    """The relation of two texts (None: they do not match) and its measures, which `dedup.library.Match` explains."""

    relation: Relation | None
    similarity: float
    containment: float
    coverage: float
    shared_characters: int | None
    longest_passage: int | None
    quoted_share: float


@dataclass(frozen=True)
class DiffOperation(Record):
    """A run of text that both sides have (`same`), one has (`removed`, `added`), or that moved (`moved_from`, `moved_to`).

    The two places of a moved text have the same number `move`, from 1.
    """

    kind: Literal["same", "removed", "added", "moved_from", "moved_to"]
    text: str
    move: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the operation in its documented JSON form, in which `move` appears only on moved text."""
        row = super().to_dict()
        return row if self.move is not None else {"kind": self.kind, "text": self.text}
