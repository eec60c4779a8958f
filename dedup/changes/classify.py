"""Judging one change: from the two states of a page, and what its history says of them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
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
"""Version of the classification; raised when its results change."""
MAX_PLACEHOLDER_CHARACTERS = 400
"""Letters and digits of a text that can be a page standing in for an article."""
LONG_BODY_CHARACTERS = 2000
"""Characters beyond which a body is an article's, whatever they are."""
MAX_CACHED_CHARACTERS = 40_000
"""Of two bodies together, up to which their differences are kept in memory for a while."""
MIN_CHARACTERS_BEFORE_REMOVAL = 100
"""Letters and digits that a text must have had for its collapse to count as removal."""
MAX_TYPO_JAMO = 3
"""Letters (Hangul by jamo) by which a word differs from a mistyped one at most."""
_MAIL_ADDRESS = regex.compile(r"[\w.]@[\w-]+\.")
_MAJOR_EVIDENCE = frozenset({"number", "amount", "percentage", "date", "negation", "quotation"})
_SUBSTANTIVE_EVIDENCE = _MAJOR_EVIDENCE | {"name", "sentence"}


@dataclass(frozen=True, slots=True)
class ClassificationRules:
    """What of judging is configured, see `[changes]`: `correction_phrases` are words by which a page owns up to an edit, where they stand
    out (in brackets, before a colon or a time, at the head of a sentence); `placeholder_phrases` phrases of pages that stand in for an
    article that is not there. Both in NFC and case-folded."""

    rewrite_similarity: float
    stub_share: float
    typo_edits: int
    correction_phrases: tuple[str, ...]
    placeholder_phrases: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """What distinguishes classifications by these rules from others."""
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
    """What a crawl showed of a page; `metadata` are the tracked fields, name → value."""

    title: str
    body: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PageHistory:
    """What the history before a change says: whether the new state was shown before, how often the page has gone back to an earlier
    state by now without showing a new one in between, whether what it leads from was a removal, and how long the states of its going
    to and fro stood: (beginning of the state's digest, seconds)."""

    returned: bool = False
    return_count: int = 0
    was_removed: bool = False
    state_durations: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """`parts` are what differs: `title`, `body`, tracked metadata. `similarity` is of the bodies, by tokens. `edit_digest` is the same for
    the same edit on another page; None for what cannot be one edit of many pages."""

    kind: ChangeKind
    severity: Severity
    parts: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    silent: bool = False
    corrected: bool = False
    similarity: float = 1.0
    edit_digest: bytes | None = field(default=None, repr=False)


def classify_change(before: PageState, after: PageState, history: PageHistory, rules: ClassificationRules) -> Classification:
    """Judge a change. The two states must differ in something."""
    fields = [(name, was, now) for (name, was), (_, now) in zip(before.metadata, after.metadata, strict=True) if was != now]
    parts = [*(["title"] if before.title != after.title else []), *(["body"] if before.body != after.body else [])]
    parts += [name for name, _, _ in fields]
    if before.title == after.title and before.body == after.body:
        return Classification(
            "metadata", "minor", tuple(parts), edit_digest=_digest_edits(["metadata"], [(n, f"{a}\0{b}") for n, a, b in fields])
        )
    differences = _compare_states(PageState(before.title, before.body), PageState(after.title, after.body), rules)
    title, body = differences.title, differences.body
    kind, severity, evidence_items = _classify_with_history(before, after, differences, history, rules)
    corrected = any(
        _is_correction_notice(line, rules) for line in (*find_new_sentences([before.title], [after.title]), *body.new_sentences)
    )
    published_at = dict(after.metadata).get("published_at")
    is_substantive = kind in ("substantive", "rewrite") or (
        kind in ("returned", "flapping") and any(e.kind in _SUBSTANTIVE_EVIDENCE for e in evidence_items)
    )
    silent = is_substantive and "body" in parts and bool(published_at) and "published_at" not in parts and not corrected
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
        _change_edit_digest(kind, list(chain.from_iterable(title)), body.operations, before, after),
    )


_Verdict = tuple[ChangeKind, Severity, list[Evidence]]


class _StateDifferences:
    """What differs between two states, whatever the history says; worked out when it is first asked for."""

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
"""A page that goes back and forth between states is judged with another history each time; what differs stays the same."""


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
    """What differs, whatever the history says."""
    body_differs = before.body != after.body and not body.is_form_only
    title_differs = normalise_letters(before.title) != normalise_letters(after.title)
    evidence_items = list(dict.fromkeys([*evidence.collect_evidence(title), *body.evidence, *body.non_content]))
    if not title_differs and not body_differs and any(e.kind == "address" for e in body.non_content):
        return "wording", "minor", body.non_content
    if not title_differs and not body_differs:
        return "cosmetic", "trivial", body.non_content or [Evidence("form", *_first_form_difference(before, after))]
    if not title_differs and body.evidence and all(e.kind == "address" and _is_link_target(e) for e in body.evidence):
        return "cosmetic", "trivial", evidence_items
    if body_differs and body.similarity < rules.rewrite_similarity:
        return "rewrite", "notable", [e for e in evidence_items if (e.before and e.after) or e.kind in ("sentence", "quotation")]
    body_kinds = {e.kind for e in body.evidence}
    if body_kinds & _SUBSTANTIVE_EVIDENCE:
        return "substantive", "major" if body_kinds & _MAJOR_EVIDENCE else "notable", evidence_items
    if _is_typo([*chain.from_iterable(title), *body.operations], rules) and not any(
        e.kind in _SUBSTANTIVE_EVIDENCE or e.kind == "address" for e in evidence_items
    ):
        return "typo", "minor", evidence_items
    return ("headline", "notable", evidence_items) if title_differs else ("wording", "minor", evidence_items)


def _is_link_target(item: Evidence) -> bool:
    """Whether it is where a link leads, or a picture lies, that differs: what nobody reads."""
    return "//" in item.before + item.after and not _MAIL_ADDRESS.search(item.before + item.after)


def _first_form_difference(before: PageState, after: PageState) -> tuple[str, str]:
    """Of two states that differ in form alone, where they first do."""
    for was, now in ((before.title, after.title), (before.body, after.body)):
        if was != now:
            position = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            return was[max(0, position - 10) : position + 10], now[max(0, position - 10) : position + 10]
    return "", ""


def _find_removal(before: PageState, after: PageState, rules: ClassificationRules) -> Evidence | None:
    """Why an article that was there is not any more."""
    if _is_placeholder_page(after, rules):
        return Evidence("placeholder", truncate(before.body), truncate(after.body or after.title))
    if len(after.body) > LONG_BODY_CHARACTERS:
        return None
    length_before, length_after = len(normalise_letters(before.body)), len(normalise_letters(after.body))
    if (
        length_before >= MIN_CHARACTERS_BEFORE_REMOVAL
        and length_after < rules.stub_share * length_before
        and length_after < MAX_PLACEHOLDER_CHARACTERS
    ):
        return Evidence("stub", str(length_before), str(length_after))
    return None


def _is_still_absent(before: PageState, after: PageState, rules: ClassificationRules) -> bool:
    """Whether a page that showed no article shows none now either: a failure still, or hardly more of a text than before."""
    return _is_placeholder_page(after, rules) or (
        len(after.body) <= LONG_BODY_CHARACTERS
        and len(normalise_letters(after.body)) < max(MIN_CHARACTERS_BEFORE_REMOVAL, 2 * len(normalise_letters(before.body)))
    )


def _is_placeholder_page(state: PageState, rules: ClassificationRules) -> bool:
    """Whether a page stands in for an article that is not there."""
    if len(state.body) > LONG_BODY_CHARACTERS or len(normalise_letters(state.body)) > MAX_PLACEHOLDER_CHARACTERS:
        return False
    text = to_nfc(f"{state.title}\n{state.body}").casefold()
    is_short = len(normalise_letters(state.body)) <= 80
    return any(phrase in text for phrase in rules.placeholder_phrases if is_short or len(phrase) > 12)


def _is_typo(operations: Sequence[Operation], rules: ClassificationRules) -> bool:
    """Whether all that differs are a few words that are spelt a little otherwise."""
    edits = 0
    removed = ""
    for o in [*operations, Operation("same", "")]:
        if o.move is not None:
            return False
        if o.kind == "removed":
            removed = o.text
            continue
        was, now = normalise_letters(removed), normalise_letters(o.text) if o.kind == "added" else ""
        removed = ""
        if was == now:
            continue
        edits += 1
        jamo = [unicodedata.normalize("NFD", w) for w in (was, now)]
        max_distance = min(MAX_TYPO_JAMO, max(1, min(map(len, jamo)) // 2))
        if not was or not now or Levenshtein.distance(*jamo, score_cutoff=max_distance) > max_distance:
            return False
    return 0 < edits <= rules.typo_edits


def _is_correction_notice(line: str, rules: ClassificationRules) -> bool:
    """Whether a sentence owns up to an edit: by a word that stands out, or a time stamp that has it."""
    folded = line.strip().casefold()
    is_time_stamp = TIME_STAMP_LINE.fullmatch(line.strip()) is not None
    for word in rules.correction_phrases:
        position = folded.find(word)
        if position >= 0 and (is_time_stamp or _is_prominent(folded[:position].strip(), folded[position + len(word) :].strip(), word)):
            return True
    return False


def _is_prominent(head: str, tail: str, word: str) -> bool:
    """Whether a word marks an edit there, and is not just talked of."""
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
    """A digest of what was done, whatever page it was done to; None where nothing was."""
    unique_changes = sorted(set(changes))
    return (
        xxhash.xxh3_128_digest(json.dumps([*labels, *unique_changes], ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if unique_changes
        else None
    )
