"""Evidence of a change: numbers, quotations, names, negations and sentences that were added, removed or replaced."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Literal, Self

import regex

from dedup.changes.diff import Operation, tokenise
from dedup.changes.lexicon import (
    CREDIT_LINE,
    LINK_TARGET,
    LINK_WITHOUT_TARGET,
    NAMES,
    NEGATIONS,
    NUMBER_WORDS,
    RELATIVE_TIME_LINE,
    TIME_STAMP_LINE,
    contains_korean_name,
    find_quotations,
    number_kind,
)
from dedup.runtime.heartbeat import beat
from dedup.text.normalise import keep_alphanumeric, to_unicode_form

EvidenceKind = Literal[
    "number", "amount", "date", "percentage", "quotation", "name", "negation", "sentence", "moved", "words", "address",
    "form", "credit", "time_stamp", "placeholder", "stub", "state_durations",
]  # fmt: skip
"""`form`: only white space, punctuation, Unicode form or letter case differ. `state_durations`: how long each state of an alternating
page was shown."""

MIN_SENTENCE_WEIGHT, MIN_LABEL_WEIGHT = 10, 20
"""Weight (see `_weight`) from which an added or removed sentence is evidence by itself: one with a sentence end, and one without (a
heading, a button)."""
_SENTENCE_END = regex.compile(r"[.!?…。！？][”’」』》〉)\]\"']{0,3}$")
_LIST_ENTRY = regex.compile(r"[^\w#]{0,10}\p{Lu}\p{Ll}{3,}\W{0,5}")
MIN_CLAUSE_WEIGHT = 30
"""Weight from which words added to a sentence, or removed from it, count as much as a sentence."""
MAX_EVIDENCE_CHARACTERS = 200
"""Characters kept of either side of a piece of evidence."""
MAX_EVIDENCE = 40
"""Pieces of evidence that are kept."""
MAX_SENTENCE_CHARACTERS = 40_000
"""Characters of both sides of a sentence that is examined word by word. A longer one is not a sentence."""
MAX_ROWS = 2_000
"""Differing sentences that are examined one by one. The rest is one piece of evidence."""
MAX_COMPARED_CHARACTERS = 500_000
"""Characters of both sides after which the rest is one piece of evidence."""
MAX_NAMES = 100
"""Names of a sentence that are looked up in the other side."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One difference. `before` or `after` is empty if that side has nothing."""

    kind: EvidenceKind
    before: str
    after: str


def normalise_letters(text: str) -> str:
    """Return letters and digits only, in compatibility form and case-folded, so that differences in form vanish."""
    letters = keep_alphanumeric(to_unicode_form("NFKC", text).casefold())
    beat()
    return letters


def has_letters(text: str) -> bool:
    """Return whether a text contains letters or digits, as `normalise_letters` keeps them."""
    return bool(normalise_letters(text[:_PROBE_CHARACTERS])) or (len(text) > _PROBE_CHARACTERS and bool(normalise_letters(text)))


_PROBE_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True)
class NonContentLines:
    """Sentences that consist only of credits, time stamps, or links (to other pages, in a menu)."""

    credits: tuple[str, ...]
    stamps: tuple[str, ...]
    links: tuple[str, ...]

    @classmethod
    def find_in(cls, sentences: Iterable[str]) -> Self:
        """Find the lines without content among sentences."""
        lines_by_kind: dict[str, list[str]] = {"credits": [], "stamps": [], "links": []}
        for line in map(str.strip, sentences):
            if len(line) <= 160 and (TIME_STAMP_LINE.fullmatch(line) or RELATIVE_TIME_LINE.fullmatch(line)):
                lines_by_kind["stamps"].append(line)
            elif len(line) <= 160 and CREDIT_LINE.fullmatch(line):
                lines_by_kind["credits"].append(line)
            elif "]()" in line and not normalise_letters(LINK_WITHOUT_TARGET.sub("", LINK_WITHOUT_TARGET.sub("", line))):
                lines_by_kind["links"].append(line)
        return cls(*map(tuple, lines_by_kind.values()))

    @property
    def all_lines(self) -> set[str]:
        return {*self.credits, *self.stamps, *self.links}

    def differences(self, other: Self) -> Iterator[Evidence]:
        """Yield the evidence of lines that differ from those of the later side."""
        for kind, was, now in (
            ("credit", self.credits, other.credits), ("time_stamp", self.stamps, other.stamps), ("address", self.links, other.links)
        ):  # fmt: skip
            if normalise_letters(" ".join(was)) != normalise_letters(" ".join(now)):
                yield Evidence(kind, truncate(" / ".join(was)), truncate(" / ".join(now)))  # type: ignore[arg-type]  # one of these three


def remove_link_targets(text: str) -> str:
    """Return a text without the targets of its links."""
    return LINK_TARGET.sub("", text) if "](" in text else text


def collect_evidence(groups: Iterable[Sequence[Operation]]) -> list[Evidence]:
    """Return the evidence in the groups of `diff.align_sentences`, most severe first. Differences of form alone are left out."""
    items: list[Evidence] = []
    quoted_texts: tuple[list[str], list[str]] = [], []
    rows = _pair_rows(groups)
    characters_read = 0
    for left, right in islice(rows, MAX_ROWS):
        items += _row_evidence(left, right)
        for side, side_quoted_texts in zip((left, right), quoted_texts, strict=True):
            text = _join_text(side)
            characters_read += len(text)
            if len(text) <= MAX_SENTENCE_CHARACTERS:
                side_quoted_texts.extend(find_quotations(text))
        beat()
        if characters_read > MAX_COMPARED_CHARACTERS:
            break
    items += _remaining_evidence(rows)
    items += _paired_evidence("quotation", *quoted_texts)
    return sorted(dict.fromkeys(items), key=lambda e: _SEVERITY_ORDER.get(e.kind, len(_SEVERITY_ORDER)))


_SEVERITY_ORDER = {
    kind: n for n, kind in enumerate(("negation", "amount", "percentage", "number", "date", "quotation", "name", "sentence"))
}
"""Kinds of evidence in the order in which they are listed; the others follow."""


def _remaining_evidence(rows: Iterable[tuple[_Side, _Side]]) -> Iterator[Evidence]:
    """The rows beyond the limits as one piece of evidence."""
    texts = [(_join_text(left), _join_text(right)) for left, right in rows]
    removed_text, added_text = "\n".join(left for left, _ in texts), "\n".join(right for _, right in texts)
    if normalise_letters(removed_text) != normalise_letters(added_text):
        yield Evidence("sentence", truncate(removed_text), truncate(added_text))


_Side = Sequence[Operation]


def _join_text(side: _Side) -> str:
    return "".join(o.text for o in side)


def _pair_rows(groups: Iterable[_Side]) -> Iterator[tuple[_Side, _Side]]:
    """The two sides of every sentence that differs. A removed sentence and the added one in its place are one row."""
    pending_removal: _Side = ()
    for group in groups:
        left = [o for o in group if o.kind in ("same", "removed", "moved_from")]
        right = [o for o in group if o.kind in ("same", "added", "moved_to")]
        if pending_removal:
            if right and not left and right[0].kind == "added":
                yield pending_removal, right
                pending_removal = ()
                continue
            yield pending_removal, ()
            pending_removal = ()
        if left and not right and left[0].kind == "removed":
            pending_removal = left
        elif any(o.kind != "same" for o in group):
            yield left, right
    if pending_removal:
        yield pending_removal, ()


def _row_evidence(before: _Side, after: _Side) -> Iterator[Evidence]:
    left, right = _join_text(before), _join_text(after)
    kinds = {o.kind for o in (*before, *after)}
    if len(left) + len(right) > MAX_COMPARED_CHARACTERS and kinds <= {"removed", "added"}:
        yield Evidence("sentence", truncate(left), truncate(right))
        return
    letters = normalise_letters(left), normalise_letters(right)
    if letters[0] == letters[1]:
        return
    if kinds & {"moved_from", "moved_to"}:
        if before:
            yield Evidence("moved", truncate(left), truncate(left))
        return
    is_whole_sentence = "same" not in kinds
    if is_whole_sentence and (len(left + right) > MAX_SENTENCE_CHARACTERS or _is_statement(_without_addresses(left + right))):
        yield Evidence("sentence", truncate(left), truncate(right))
        return
    yield from _edit_evidence(before, after, letters)
    left, right = _without_addresses(left), _without_addresses(right)
    yield from _paired_evidence("name", _find_missing_names(_find_names(left), right), _find_missing_names(_find_names(right), left))
    yield from _paired_evidence("negation", _find_negations(left), _find_negations(right))


def _is_statement(text: str) -> bool:
    """Return whether a text makes a statement by itself: enough letters, or a name in a list."""
    stripped, letters = text.strip(), normalise_letters(text)
    minimum = MIN_SENTENCE_WEIGHT if has_sentence_end(stripped) else MIN_LABEL_WEIGHT
    return _weight(letters) >= minimum or _LIST_ENTRY.fullmatch(stripped) is not None


def _weight(letters: str) -> int:
    """Letters and digits, of which a Hangul syllable or an ideograph counts twice."""
    return len(letters) + sum("⺀" <= c <= "힣" for c in letters)


def has_sentence_end(text: str) -> bool:
    """Return whether a text ends like a sentence."""
    return _SENTENCE_END.search(text.rstrip()) is not None


def _without_addresses(text: str) -> str:
    if "//" not in text and "@" not in text:
        return text
    return "".join(t.text for t in tokenise(text) if t.kind != "address")


def _edit_evidence(before: _Side, after: _Side, letters: tuple[str, str]) -> Iterator[Evidence]:
    """Numbers, words and addresses that were replaced, edit by edit. `letters` are those of the two sides."""
    for was, now in _edit_pairs(before, after):
        if _is_clause(normalise_letters(_without_addresses(was)), normalise_letters(_without_addresses(now)), *letters):
            yield Evidence("sentence", truncate(was), truncate(now))
        parts = [tokenise(side) for side in (was, now)]
        yield from _number_evidence(*([t.text for t in side if t.kind == "number"] for side in parts))
        yield from _paired_evidence("number", *([m[0] for m in NUMBER_WORDS.finditer(side)] for side in (was, now)))
        for kind, kinds in (("words", ("word", "ideograph")), ("address", ("address",))):
            texts = ["".join(t.text for t in side if t.kind in kinds) for side in parts]
            if normalise_letters(texts[0]) != normalise_letters(texts[1]):
                yield Evidence(kind, truncate(was), truncate(now))  # type: ignore[arg-type]  # one of the two above


def _is_clause(was: str, now: str, before: str, after: str) -> bool:
    """Return whether an edit adds or removes as much as a clause that occurs nowhere else in the sentence. All arguments are normalised
    letters."""
    return max(_weight(was), _weight(now)) >= MIN_CLAUSE_WEIGHT and ((not was and now not in before) or (not now and was not in after))


def _edit_pairs(one: _Side, other: _Side) -> Iterator[tuple[str, str]]:
    """(removed text, added text in its place). Both sides have the same unchanged operations in the same order."""
    sides = []
    for side in (one, other):
        edits, edit = [], ""
        for o in side:
            if o.kind == "same":
                edits.append(edit)
                edit = ""
            else:
                edit += o.text
        sides.append([*edits, edit])
    yield from ((a, b) for a, b in zip(*sides, strict=True) if a or b)


def _number_evidence(before: list[str], after: list[str]) -> Iterator[Evidence]:
    left, right = _remove_common(before, after, _normalise_number)
    for was, now in zip_longest(left, right, fillvalue=""):
        kind = number_kind(now or was)
        yield Evidence(kind if kind != "number" else number_kind(was or now), was, now)


def _normalise_number(number: str) -> str:
    """`1,000` and `1000` are equal, and so are `-3` and `\u22123`."""
    return unicodedata.normalize("NFKC", number).replace(",", "").replace("\u2212", "-").replace(" ", "").casefold()


def _find_names(text: str) -> list[str]:
    return [m["name"] or m["latin"] or m["acronym"] for m in NAMES.finditer(text)]


def _find_missing_names(names: Iterable[str], other_text: str) -> list[str]:
    """The names that the other side does not contain in any spelling."""
    other_letters = normalise_letters(other_text)
    candidates = islice(dict.fromkeys(names), MAX_NAMES)
    return [
        name
        for name in candidates
        if not (contains_korean_name(name, other_text) if name[0] >= "가" else normalise_letters(name) in other_letters)
    ]


def _find_negations(text: str) -> list[str]:
    return [m[0] for m in NEGATIONS.finditer(text)]


def _paired_evidence(kind: EvidenceKind, before: Sequence[str], after: Sequence[str]) -> Iterator[Evidence]:
    """Texts of one side only, in order, each paired with one of the other side only."""
    left, right = _remove_common(before, after, normalise_letters)
    if kind == "negation" and len(left) == len(right):
        return  # worded differently, with as many negations
    for was, now in zip_longest(left, right, fillvalue=""):
        yield Evidence(kind, truncate(was), truncate(now))


def _remove_common(before: Sequence[str], after: Sequence[str], key: Callable[[str], str]) -> tuple[list[str], list[str]]:
    counts_before, counts_after = Counter(map(key, before)), Counter(map(key, after))
    return _subtract(before, counts_after, key), _subtract(after, counts_before, key)


def _subtract(texts: Sequence[str], others: Counter[str], key: Callable[[str], str]) -> list[str]:
    remaining_counts, result = Counter(others), []
    for text in texts:
        k = key(text)
        if remaining_counts[k] > 0:
            remaining_counts[k] -= 1
        else:
            result.append(text)
    return result


def truncate(text: str) -> str:
    """Return one side of a piece of evidence, stripped and cut to `MAX_EVIDENCE_CHARACTERS`."""
    text = text.strip()
    return text if len(text) <= MAX_EVIDENCE_CHARACTERS else text[: MAX_EVIDENCE_CHARACTERS - 1] + "…"
