"""Comparison of two bodies as a reader sees them. Credit lines, link targets, line wrapping and repeated sentences do not count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Self

from dedup.changes import diff, evidence
from dedup.changes.diff import MAX_SPLIT_CHARACTERS, Operation
from dedup.changes.evidence import MIN_SENTENCE_WEIGHT, Evidence, NonContentLines, has_sentence_end, normalise_letters
from dedup.runtime.heartbeat import beat

_Group = list[Operation]

MAX_HEADINGS = 200
"""Sentences removed or added up to which headings among them are looked up in the rest of the text, if that has at most
`MAX_SPLIT_CHARACTERS` characters."""


@dataclass(frozen=True, slots=True)
class BodyDiff:
    """The differences between two bodies.

    `non_content`: differences in lines that are credits, time stamps or links. `new_sentences`: sentences of the later body only.
    `similarity`: share of unchanged characters (0 to 1). `is_form_only`: all letters are equal.
    """

    operations: list[Operation]
    evidence: list[Evidence]
    non_content: list[Evidence]
    new_sentences: list[str]
    similarity: float
    is_form_only: bool

    @classmethod
    def compare(cls, before: str, after: str) -> Self:
        """Compare two bodies as crawled."""
        sides = diff.split_pair(*(diff.clean(evidence.remove_link_targets(side)) for side in (before, after)))
        beat()
        removed_sentences, new_sentences = find_new_sentences(sides[1], sides[0]), find_new_sentences(*sides)
        lines_before, lines_after = NonContentLines.find_in(removed_sentences), NonContentLines.find_in(new_sentences)
        non_content_lines = lines_before.all_lines | lines_after.all_lines
        one, other = ([s for s in side if s.strip() not in non_content_lines] for side in sides)
        alignment = diff.align_sentences(one, other)
        beat()
        groups = _ignore_rewrapping(_remove_repeated(alignment))
        beat()
        changed_groups = [g for g in groups if _is_changed(g)]
        is_form_only = _differ_in_form_only(changed_groups)
        evidence_items = [] if is_form_only else evidence.collect_evidence(groups)
        similarity = 1 - _count_changed_characters(changed_groups) / max(1, sum(map(len, one)) + sum(map(len, other)))
        non_content = list(lines_before.differences(lines_after))
        return cls([o for g in changed_groups for o in g], evidence_items, non_content, new_sentences, similarity, is_form_only)


def find_new_sentences(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """Return the sentences of `after` that `before` does not contain."""
    existing = {s.strip() for s in before}
    return [s for s in after if s.strip() not in existing]


def _is_changed(group: Iterable[Operation]) -> bool:
    return any(o.kind != "same" for o in group)


def _count_changed_characters(groups: Iterable[_Group]) -> int:
    """Characters removed and added."""
    return sum(len(o.text) for g in groups for o in g if o.kind in ("removed", "added"))


def _differ_in_form_only(groups: Sequence[_Group]) -> bool:
    """Return whether nothing moved and both sides have the same letters."""
    if any(o.move is not None for g in groups for o in g):
        return False
    return _join_letters(groups, ("same", "removed")) == _join_letters(groups, ("same", "added"))


def _join_letters(groups: Iterable[_Group], kinds: tuple[str, ...]) -> str:
    return normalise_letters("".join(o.text for g in groups for o in g if o.kind in kinds))


def _remove_repeated(groups: Sequence[_Group]) -> list[_Group]:
    """Drop whole sentences that were removed or added although the unchanged text contains them. Of a heading it need only contain the
    words."""
    unchanged_texts = [o.text for g in groups if not _is_changed(g) for o in g]
    sentences = {text.strip() for text in unchanged_texts}
    check_headings = (
        0 < sum(map(_is_whole_sentence_edit, groups)) <= MAX_HEADINGS and sum(map(len, unchanged_texts)) <= MAX_SPLIT_CHARACTERS
    )
    words = f" {_normalise_words(chr(10).join(unchanged_texts))} " if check_headings else ""
    return [g for g in groups if not (_is_whole_sentence_edit(g) and _is_repeated(g[0].text, sentences, words))]


def _is_whole_sentence_edit(group: _Group) -> bool:
    return len(group) == 1 and group[0].kind in ("removed", "added")


def _is_repeated(sentence: str, sentences: set[str], words: str) -> bool:
    if len(sentence) > evidence.MAX_SENTENCE_CHARACTERS:
        return sentence.strip() in sentences
    if has_sentence_end(sentence) or any(map(str.isdigit, sentence)):
        return sentence.strip() in sentences and len(normalise_letters(sentence)) >= MIN_SENTENCE_WEIGHT
    return (sentence_words := _normalise_words(sentence)) != "" and f" {sentence_words} " in words


def _normalise_words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _ignore_rewrapping(groups: list[_Group]) -> list[_Group]:
    """Compare changed text with spaces for line ends if that leaves much less of a difference. Rewrapped text counts as unchanged."""
    if any(o.move is not None for g in groups for o in g):
        first, *_, last = (n for n, g in enumerate(groups) if _is_changed(g))  # a move changes at least two groups
        return [*groups[:first], *_compare_unwrapped(groups[first : last + 1]), *groups[last + 1 :]]
    runs = (list(run) for _, run in groupby(groups, key=_is_changed))
    return list(chain.from_iterable(_compare_unwrapped(run) if _is_changed(run[0]) else run for run in runs))


def _compare_unwrapped(groups: list[_Group]) -> list[_Group]:
    """The difference with spaces for line ends, if it is less than half of the difference without."""
    operations = [o for g in groups for o in g]
    sides = ["".join(o.text for o in operations if o.kind in kinds) for kinds in (_KINDS_BEFORE, _KINDS_AFTER)]
    if not any("\n" in side.rstrip() for side in sides) or max(map(len, sides)) > MAX_SPLIT_CHARACTERS:
        return groups
    new_groups = diff.align_sentences(*(diff.split_sentences(side.replace("\n", " ")) for side in sides))
    return new_groups if 2 * _count_changed_characters(new_groups) < _count_changed_characters(groups) else groups


_KINDS_BEFORE, _KINDS_AFTER = ("same", "removed", "moved_from"), ("same", "added", "moved_to")
