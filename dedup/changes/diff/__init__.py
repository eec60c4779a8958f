"""Differences between two texts: by sentences first, then by the words, numbers and signs in them.

Callers clean both sides first (`clean`), so that Unicode form, line ends and repeated white space make no difference. A difference is a
sequence of operations. The text kept and removed is the first side; the text kept and added is the second.
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
