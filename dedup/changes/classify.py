"""Classification of one change, from the two states of a page and the page's history."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain

import regex
import xxhash
from rapidfuzz.distance import Levenshtein

from dedup.changes import diff, evidence
from dedup.changes.body_diff import BodyDiff, find_new_sentences
from dedup.changes.diff import Operation
from dedup.changes.evidence import Evidence, has_letters, normalise_letters, truncate
from dedup.changes.lexicon import TIME_STAMP_LINE
from dedup.model import ChangeKind, Severity
from dedup.text.normalise import to_nfc

CLASSIFIER_VERSION = 2
"""Version of the classification. Increase it whenever results change."""
MAX_PLACEHOLDER_CHARACTERS = 400
"""Letters and digits of a placeholder page at most."""
MAX_SHORT_PLACEHOLDER_CHARACTERS, MIN_LONG_PHRASE_CHARACTERS = 80, 13
"""Letters and digits up to which any phrase marks a placeholder page; above, only phrases of this many characters do."""
LONG_BODY_CHARACTERS = 2000
"""Characters above which a body is an article's, whatever it contains."""
MAX_CACHED_CHARACTERS = 40_000
"""Characters of two bodies, together, up to which their differences are cached."""
MIN_CHARACTERS_BEFORE_REMOVAL = 100
"""Letters and digits that a text must have had for its collapse to count as a removal."""
MAX_TYPO_JAMO = 3
"""Letters (of Hangul: jamo) by which a mistyped word differs at most."""
_MAIL_ADDRESS = regex.compile(r"[\w.]@[\w-]+\.")
_MAJOR_EVIDENCE = frozenset({"number", "amount", "percentage", "date", "negation", "quotation"})
_SUBSTANTIVE_EVIDENCE = _MAJOR_EVIDENCE | {"name", "sentence"}


@dataclass(frozen=True, slots=True)
class ClassificationRules:
    """The configured rules, see `[changes]`.

    `correction_phrases`: words that mark an edit where they are prominent (in brackets, before a colon or a time, at the start of a
    sentence). `placeholder_phrases`: phrases of placeholder pages. Both in NFC and case-folded.
    """

    rewrite_similarity: float
    stub_share: float
    typo_edits: int
    correction_phrases: tuple[str, ...]
    placeholder_phrases: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """The stored name of these rules. Classifications by different rules have different recipes."""
        parameters = [
            self.rewrite_similarity,
            self.stub_share,
            self.typo_edits,
            *sorted(self.correction_phrases),
            "",
            *sorted(self.placeholder_phrases),
        ]
        return f"classify{CLASSIFIER_VERSION}/" + xxhash.xxh3_64_hexdigest(json.dumps(parameters, ensure_ascii=False).encode())


@dataclass(frozen=True, slots=True)
class PageState:
    """A page as one crawl showed it. `metadata`: (name, value) of the tracked fields."""

    title: str
    body: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageHistory:
    """The page's history before a change.

    `returned`: the new state was shown before. `return_count`: how often in a row the page has returned to an earlier state,
    without a new one in between. `was_removed`: the change leads from a removal. `state_durations`: (beginning of the state's
    digest, seconds) of the states between which the page alternates.
    """

    returned: bool = False
    return_count: int = 0
    was_removed: bool = False
    state_durations: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """The result of a classification.

    `parts`: the parts that differ: `title`, `body`, tracked metadata. `similarity`: of the bodies, by tokens (0 to 1).
    `edit_digest`: equal for the same edit on another page; None if the edit cannot occur on many pages.
    """

    kind: ChangeKind
    severity: Severity
    parts: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    silent: bool = False
    corrected: bool = False
    similarity: float = 1.0
    edit_digest: bytes | None = field(default=None, repr=False)


def classify_change(before: PageState, after: PageState, history: PageHistory, rules: ClassificationRules) -> Classification:
    """Return the classification of a change. The two states must differ."""
    fields = [(name, was, now) for (name, was), (_, now) in zip(before.metadata, after.metadata, strict=True) if was != now]
    parts = [*(["title"] if before.title != after.title else []), *(["body"] if before.body != after.body else [])]
    parts += [name for name, _, _ in fields]
    if before.title == after.title and before.body == after.body:
        return Classification(
            "metadata", "minor", tuple(parts), edit_digest=_digest_edits(["metadata"], [(n, f"{a}\0{b}") for n, a, b in fields])
        )
    differences = _compare_states(PageState(before.title, before.body), PageState(after.title, after.body), rules)
    body = differences.body
    kind, severity, evidence_items = _classify_with_history(before, after, differences, history, rules)
    new_sentences = (*find_new_sentences([before.title], [after.title]), *body.new_sentences)
    corrected = any(_is_correction_notice(sentence, rules) for sentence in new_sentences)
    has_same_date = bool(dict(after.metadata).get("published_at")) and "published_at" not in parts
    silent = _is_substantive(kind, evidence_items) and "body" in parts and has_same_date and not corrected
    if silent and kind not in ("returned", "flapping"):
        severity = "major"
    return Classification(
        kind,
        severity,
        tuple(parts),
        tuple(evidence_items[: evidence.MAX_EVIDENCE]),
        silent,
        corrected,
        round(body.similarity, 4),
        _change_edit_digest(kind, list(chain.from_iterable(differences.title)), body.operations, before, after),
    )


def _is_substantive(kind: ChangeKind, evidence_items: Iterable[Evidence]) -> bool:
    if kind in ("returned", "flapping"):
        return any(e.kind in _SUBSTANTIVE_EVIDENCE for e in evidence_items)
    return kind in ("substantive", "rewrite")


_Verdict = tuple[ChangeKind, Severity, list[Evidence]]


class _StateDifferences:
    """The differences between two states, independent of history. Each is computed on first use."""

    def __init__(self, before: PageState, after: PageState, rules: ClassificationRules) -> None:
        self._before, self._after, self._rules = before, after, rules

    @cached_property
    def title(self) -> list[list[Operation]]:
        return diff.align_sentences(*diff.split_pair(diff.clean(self._before.title), diff.clean(self._after.title)))

    @cached_property
    def body(self) -> BodyDiff:
        return BodyDiff.compare(self._before.body, self._after.body)

    @cached_property
    def verdict(self) -> _Verdict:
        return _classify_difference(self._before, self._after, self.title, self.body, self._rules)


_cached_differences = lru_cache(maxsize=32)(_StateDifferences)
"""A page that alternates between two states is classified with a different history each time, but its differences are the same."""


def _compare_states(before: PageState, after: PageState, rules: ClassificationRules) -> _StateDifferences:
    is_small = len(before.body) + len(after.body) <= MAX_CACHED_CHARACTERS
    return _cached_differences(before, after, rules) if is_small else _StateDifferences(before, after, rules)


def _classify_with_history(
    before: PageState, after: PageState, differences: _StateDifferences, history: PageHistory, rules: ClassificationRules
) -> _Verdict:
    if history.was_removed or _is_placeholder_page(before, rules):
        if not _is_still_absent(before, after, rules):
            return "restored", "notable", [Evidence("placeholder", truncate(before.body), truncate(after.body))]
    elif (removal := _find_removal(before, after, rules)) is not None:
        return "removed", "major", [removal]
    kind, severity, evidence_items = differences.verdict
    if not history.returned:
        return kind, severity, evidence_items
    durations = [Evidence("state_durations", digest, str(seconds)) for digest, seconds in history.state_durations]
    if history.return_count >= 2:
        return "flapping", "minor" if kind in ("cosmetic", "typo", "wording", "headline") else "notable", [*durations, *evidence_items]
    return "returned", severity, evidence_items


def _classify_difference(
    before: PageState, after: PageState, title: list[list[Operation]], body: BodyDiff, rules: ClassificationRules
) -> _Verdict:
    """Classify a change by its differences alone."""
    body_differs = before.body != after.body and not body.is_form_only
    title_differs = normalise_letters(before.title) != normalise_letters(after.title)
    if not title_differs and not body_differs:
        if any(e.kind == "address" for e in body.non_content):
            return "wording", "minor", body.non_content
        return "cosmetic", "trivial", body.non_content or [Evidence("form", *_first_form_difference(before, after))]
    evidence_items = list(dict.fromkeys([*evidence.collect_evidence(title), *body.evidence, *body.non_content]))
    if not title_differs and body.evidence and all(map(_is_link_target, body.evidence)):
        return "cosmetic", "trivial", evidence_items
    if body_differs and body.similarity < rules.rewrite_similarity:
        return "rewrite", "notable", list(filter(_counts_in_rewrite, evidence_items))
    body_kinds = {e.kind for e in body.evidence}
    if body_kinds & _SUBSTANTIVE_EVIDENCE:
        return "substantive", "major" if body_kinds & _MAJOR_EVIDENCE else "notable", evidence_items
    has_more_than_typos = any(e.kind in _SUBSTANTIVE_EVIDENCE or e.kind == "address" for e in evidence_items)
    if not has_more_than_typos and _is_typo([*chain.from_iterable(title), *body.operations], rules):
        return "typo", "minor", evidence_items
    return ("headline", "notable", evidence_items) if title_differs else ("wording", "minor", evidence_items)


def _counts_in_rewrite(item: Evidence) -> bool:
    """Return whether a piece of evidence is kept for a rewrite: text that was replaced, a sentence or a quotation."""
    return bool(item.before and item.after) or item.kind in ("sentence", "quotation")


def _is_link_target(item: Evidence) -> bool:
    """Return whether the evidence is a link or image target, which readers do not see."""
    both = item.before + item.after
    return item.kind == "address" and "//" in both and not _MAIL_ADDRESS.search(both)


def _first_form_difference(before: PageState, after: PageState) -> tuple[str, str]:
    """Excerpts of both states around the first difference in form."""
    for was, now in ((before.title, after.title), (before.body, after.body)):
        if was != now:
            position = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            excerpt = slice(max(0, position - 10), position + 10)
            return was[excerpt], now[excerpt]
    return "", ""


def _find_removal(before: PageState, after: PageState, rules: ClassificationRules) -> Evidence | None:
    """The evidence that an article was removed; None if it was not."""
    if _is_placeholder_page(after, rules):
        return Evidence("placeholder", truncate(before.body), truncate(after.body or after.title))
    if len(after.body) > LONG_BODY_CHARACTERS:
        return None
    length_before, length_after = len(normalise_letters(before.body)), len(normalise_letters(after.body))
    was_article = length_before >= MIN_CHARACTERS_BEFORE_REMOVAL
    is_stub = length_after < rules.stub_share * length_before and length_after < MAX_PLACEHOLDER_CHARACTERS
    return Evidence("stub", str(length_before), str(length_after)) if was_article and is_stub else None


def _is_still_absent(before: PageState, after: PageState, rules: ClassificationRules) -> bool:
    """Return whether a page without an article still shows none: a placeholder page, or hardly more text than before."""
    if _is_placeholder_page(after, rules):
        return True
    if len(after.body) > LONG_BODY_CHARACTERS:
        return False
    return len(normalise_letters(after.body)) < max(MIN_CHARACTERS_BEFORE_REMOVAL, 2 * len(normalise_letters(before.body)))


def _is_placeholder_page(state: PageState, rules: ClassificationRules) -> bool:
    """Return whether a state is a placeholder page."""
    if len(state.body) > LONG_BODY_CHARACTERS or len(normalise_letters(state.body)) > MAX_PLACEHOLDER_CHARACTERS:
        return False
    text = to_nfc(f"{state.title}\n{state.body}").casefold()
    is_short = len(normalise_letters(state.body)) <= MAX_SHORT_PLACEHOLDER_CHARACTERS
    return any(phrase in text for phrase in rules.placeholder_phrases if is_short or len(phrase) >= MIN_LONG_PHRASE_CHARACTERS)


def _is_typo(operations: Sequence[Operation], rules: ClassificationRules) -> bool:
    """Return whether the operations are nothing but a few misspelt words."""
    if any(o.move is not None for o in operations):
        return False
    edits = 0
    for was, now in _letter_edits(operations):
        edits += 1
        if not _is_misspelling(was, now):
            return False
    return 0 < edits <= rules.typo_edits


def _letter_edits(operations: Iterable[Operation]) -> Iterator[tuple[str, str]]:
    """(letters removed, letters added in their place) of every edit that changes letters."""
    removed = ""
    for o in chain(operations, [Operation("same", "")]):
        if o.kind == "removed":
            removed = o.text
            continue
        was, now = normalise_letters(removed), normalise_letters(o.text) if o.kind == "added" else ""
        removed = ""
        if was != now:
            yield was, now


def _is_misspelling(was: str, now: str) -> bool:
    """Return whether two words differ by at most `MAX_TYPO_JAMO` letters, and by at most half of the shorter one."""
    if not was or not now:
        return False
    jamo = [unicodedata.normalize("NFD", word) for word in (was, now)]
    max_distance = min(MAX_TYPO_JAMO, max(1, min(map(len, jamo)) // 2))
    return Levenshtein.distance(*jamo, score_cutoff=max_distance) <= max_distance


def _is_correction_notice(sentence: str, rules: ClassificationRules) -> bool:
    """Return whether a sentence marks an edit as a correction: by a prominent phrase, or by one in a time stamp."""
    folded = sentence.strip().casefold()
    is_time_stamp = TIME_STAMP_LINE.fullmatch(sentence.strip()) is not None
    for word in rules.correction_phrases:
        position = folded.find(word)
        if position >= 0 and (is_time_stamp or _is_prominent(folded[:position].strip(), folded[position + len(word) :].strip(), word)):
            return True
    return False


def _is_prominent(head: str, tail: str, word: str) -> bool:
    """Return whether a phrase between `head` and `tail` marks an edit, rather than being part of the text."""
    if word.endswith(("습니다", "합니다", "립니다")):
        return True
    has_opening = head.endswith(tuple("[(<〈《【〔{"))
    has_closing = tail.startswith(tuple("])>〉》】〕}:：|"))
    return (has_opening or not head) and (has_closing or tail[:1].isdigit() or (has_opening and tail != ""))


def _change_edit_digest(
    kind: ChangeKind, title: Sequence[Operation], body: Sequence[Operation], before: PageState, after: PageState
) -> bytes | None:
    if kind == "removed":
        return _digest_edits([kind], [(after.title if not after.body else "", diff.clean(after.body))])
    if kind == "restored":
        return _digest_edits([kind], [("", diff.clean(before.body))])
    if kind == "rewrite":
        return None
    return _digest_edits(["state"], [*_token_changes("t", title), *_token_changes("b", body)])


def _token_changes(prefix: str, operations: Iterable[Operation]) -> set[tuple[str, str]]:
    return {(prefix + o.kind[0], o.text.strip()) for o in operations if o.kind in ("removed", "added") and has_letters(o.text)}


def _digest_edits(labels: Sequence[str], changes: Iterable[tuple[str, str]]) -> bytes | None:
    """A digest of an edit, independent of the page; None for an edit without changes."""
    unique_changes = sorted(set(changes))
    return (
        xxhash.xxh3_128_digest(json.dumps([*labels, *unique_changes], ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if unique_changes
        else None
    )
