"""What changed between two texts: by sentences first, then by the words, numbers and signs in them.

Whoever compares cleans both sides first (`clean`): Unicode form, line ends and blanks are no difference. A difference is a sequence of
operations; what it keeps and removes is the one side, what it keeps and adds the other.
"""

from dedup.changes.diff import render
from dedup.changes.diff.align import Kind, Operation, after, aligned, before, compare
from dedup.changes.diff.sentences import MOST_SENTENCED, sentences
from dedup.changes.diff.stretches import split
from dedup.changes.diff.tokens import Token, TokenKind, clean, tokens

__all__ = [
    "MOST_SENTENCED",
    "Kind",
    "Operation",
    "Token",
    "TokenKind",
    "after",
    "aligned",
    "before",
    "clean",
    "compare",
    "render",
    "sentences",
    "split",
    "tokens",
]
