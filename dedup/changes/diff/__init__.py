"""What changed between two texts: by sentences first, then by the words, numbers and signs in them.

Whoever compares cleans both sides first (`clean`): Unicode form, line ends and blanks are no difference. A difference is a sequence of
operations; what it keeps and removes is the one side, what it keeps and adds the other.
"""

from dedup.changes.diff import render
from dedup.changes.diff.align import Operation, OperationKind, align_sentences, compare, text_after, text_before
from dedup.changes.diff.sentences import MAX_SPLIT_CHARACTERS, split_sentences
from dedup.changes.diff.stretches import split_pair
from dedup.changes.diff.tokens import Token, TokenKind, clean, tokenise

__all__ = [
    "MAX_SPLIT_CHARACTERS",
    "Operation",
    "OperationKind",
    "Token",
    "TokenKind",
    "align_sentences",
    "clean",
    "compare",
    "render",
    "split_pair",
    "split_sentences",
    "text_after",
    "text_before",
    "tokenise",
]
