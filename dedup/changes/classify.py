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
from dedup.changes.body_diff import Body, unknown
from dedup.changes.diff import Operation
from dedup.changes.evidence import Evidence, cut, has_letters, plain
from dedup.changes.lexicon import STAMPS
from dedup.model import ChangeKind, Severity
from dedup.text.normalise import nfc

VERSION = 2
"""Of this judging; counted up where it comes to judge otherwise."""
FAILURE_CHARACTERS = 400
"""Letters and digits of a text that can be a page standing in for an article."""
LONG = 2000
"""Characters beyond which a body is an article's, whatever they are."""
CACHED_CHARACTERS = 40_000
"""Of two bodies together, up to which their differences are kept in memory for a while."""
STUB_BEFORE = 100
"""Letters and digits that a text must have had for its collapse to count as removal."""
TYPO_JAMO = 3
"""Letters (Hangul by jamo) by which a word differs from a mistyped one at most."""
_MAIL = regex.compile(r"[\w.]@[\w-]+\.")
_GRAVE = frozenset({"number", "amount", "percentage", "date", "negation", "quotation"})
_SUBSTANCE = _GRAVE | {"name", "sentence"}


@dataclass(frozen=True, slots=True)
class Rules:
    """What of judging is configured, see `[changes]`: `corrections` are words by which a page owns up to an edit, where they stand
    out (in brackets, before a colon or a time, at the head of a sentence); `failures` phrases of pages that stand in for an article
    that is not there. Both in NFC and case-folded."""

    rewrite_similarity: float
    stub_share: float
    typo_edits: int
    corrections: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """What tells judgements by these rules from others."""
        told = [self.rewrite_similarity, self.stub_share, self.typo_edits, *sorted(self.corrections), "", *sorted(self.failures)]
        return f"judge{VERSION}/" + xxhash.xxh3_64_hexdigest(json.dumps(told, ensure_ascii=False).encode())


@dataclass(frozen=True, slots=True)
class State:
    """What a crawl showed of a page; `metadata` are the tracked fields, name → value."""

    title: str
    body: str
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the history before a change says: whether the new state was shown before, how often the page has gone back to an earlier
    state by now without showing a new one in between, whether what it leads from was a removal, and how long the states of its going
    to and fro stood: (beginning of the state's digest, seconds)."""

    returned: bool = False
    returns: int = 0
    was_removed: bool = False
    stood: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """`channels` are what differs: `title`, `body`, tracked metadata. `similarity` is of the bodies, by tokens. `edit` is the same for
    the same edit on another page; None for what cannot be one edit of many pages."""

    kind: ChangeKind
    severity: Severity
    channels: tuple[str, ...]
    evidence: tuple[Evidence, ...] = ()
    stealth: bool = False
    corrected: bool = False
    similarity: float = 1.0
    edit: bytes | None = field(default=None, repr=False)


def classify_change(before: State, after: State, past: Past, rules: Rules) -> Judgement:
    """Judge a change. The two states must differ in something."""
    fields = [(name, was, now) for (name, was), (_, now) in zip(before.metadata, after.metadata, strict=True) if was != now]
    channels = [*(["title"] if before.title != after.title else []), *(["body"] if before.body != after.body else [])]
    channels += [name for name, _, _ in fields]
    if before.title == after.title and before.body == after.body:
        return Judgement("metadata", "minor", tuple(channels), edit=_edit_of(["metadata"], [(n, f"{a}\0{b}") for n, a, b in fields]))
    differences = _differences_of(State(before.title, before.body), State(after.title, after.body), rules)
    title, body = differences.title, differences.body
    kind, severity, told = _kind(before, after, differences, past, rules)
    corrected = any(_is_mark(line, rules) for line in (*unknown([before.title], [after.title]), *body.new))
    published = dict(after.metadata).get("published_at")
    substance = kind in ("substantive", "rewrite") or (kind in ("returned", "flapping") and any(e.what in _SUBSTANCE for e in told))
    stealth = substance and "body" in channels and bool(published) and "published_at" not in channels and not corrected
    if stealth and kind not in ("returned", "flapping"):
        severity = "major"
    return Judgement(
        kind,
        severity,
        tuple(channels),
        tuple(told[: evidence.MOST]),
        stealth,
        corrected,
        round(body.similarity, 4),
        _edit(kind, list(chain.from_iterable(title)), body.operations, before, after),
    )


_Told = tuple[ChangeKind, Severity, list[Evidence]]


class _Differences:
    """What differs between two states, whatever the history says; worked out when it is first asked for."""

    def __init__(self, before: State, after: State, rules: Rules) -> None:
        self._before, self._after, self._rules = before, after, rules

    @cached_property
    def title(self) -> list[list[Operation]]:
        return diff.aligned(*diff.split(diff.clean(self._before.title), diff.clean(self._after.title)))

    @cached_property
    def body(self) -> Body:
        return Body.compared(self._before.body, self._after.body)

    @cached_property
    def substance(self) -> _Told:
        return _substance(self._before, self._after, self.title, self.body, self._rules)


_cached_differences = lru_cache(maxsize=32)(_Differences)
"""A page that goes back and forth between states is judged with another history each time; what differs stays the same."""


def _differences_of(before: State, after: State, rules: Rules) -> _Differences:
    small = len(before.body) + len(after.body) <= CACHED_CHARACTERS
    return _cached_differences(before, after, rules) if small else _Differences(before, after, rules)


def _kind(before: State, after: State, differences: _Differences, past: Past, rules: Rules) -> _Told:
    if past.was_removed or _is_failure(before, rules):
        if not _is_absent(before, after, rules):
            return "restored", "notable", [Evidence("failure", cut(before.body), cut(after.body))]
    elif (why := _gone(before, after, rules)) is not None:
        return "removed", "major", [why]
    kind, severity, told = differences.substance
    if not past.returned:
        return kind, severity, told
    stood = [Evidence("states", digest, str(seconds)) for digest, seconds in past.stood]
    if past.returns >= 2:
        return "flapping", "minor" if kind in ("cosmetic", "typo", "wording", "headline") else "notable", [*stood, *told]
    return "returned", severity, told


def _substance(before: State, after: State, title: list[list[Operation]], body: Body, rules: Rules) -> _Told:
    """What differs, whatever the history says."""
    body_differs = before.body != after.body and not body.same_form
    title_differs = plain(before.title) != plain(after.title)
    told = list(dict.fromkeys([*evidence.of(title), *body.evidence, *body.aside]))
    if not title_differs and not body_differs and any(e.what == "address" for e in body.aside):
        return "wording", "minor", body.aside
    if not title_differs and not body_differs:
        return "cosmetic", "trivial", body.aside or [Evidence("form", *_form(before, after))]
    if not title_differs and body.evidence and all(e.what == "address" and _is_link(e) for e in body.evidence):
        return "cosmetic", "trivial", told
    if body_differs and body.similarity < rules.rewrite_similarity:
        return "rewrite", "notable", [e for e in told if (e.before and e.after) or e.what in ("sentence", "quotation")]
    grave = {e.what for e in body.evidence}
    if grave & _SUBSTANCE:
        return "substantive", "major" if grave & _GRAVE else "notable", told
    if _is_typo([*chain.from_iterable(title), *body.operations], rules) and not any(
        e.what in _SUBSTANCE or e.what == "address" for e in told
    ):
        return "typo", "minor", told
    return ("headline", "notable", told) if title_differs else ("wording", "minor", told)


def _is_link(e: Evidence) -> bool:
    """Whether it is where a link leads, or a picture lies, that differs: what nobody reads."""
    return "//" in e.before + e.after and not _MAIL.search(e.before + e.after)


def _form(before: State, after: State) -> tuple[str, str]:
    """Of two states that differ in form alone, where they first do."""
    for was, now in ((before.title, after.title), (before.body, after.body)):
        if was != now:
            at = next((i for i, (a, b) in enumerate(zip(was, now, strict=False)) if a != b), min(len(was), len(now)))
            return was[max(0, at - 10) : at + 10], now[max(0, at - 10) : at + 10]
    return "", ""


def _gone(before: State, after: State, rules: Rules) -> Evidence | None:
    """Why an article that was there is not any more."""
    if _is_failure(after, rules):
        return Evidence("failure", cut(before.body), cut(after.body or after.title))
    if len(after.body) > LONG:
        return None
    had, has = len(plain(before.body)), len(plain(after.body))
    if had >= STUB_BEFORE and has < rules.stub_share * had and has < FAILURE_CHARACTERS:
        return Evidence("stub", str(had), str(has))
    return None


def _is_absent(before: State, after: State, rules: Rules) -> bool:
    """Whether a page that showed no article shows none now either: a failure still, or hardly more of a text than before."""
    return _is_failure(after, rules) or (len(after.body) <= LONG and len(plain(after.body)) < max(STUB_BEFORE, 2 * len(plain(before.body))))


def _is_failure(state: State, rules: Rules) -> bool:
    """Whether a page stands in for an article that is not there."""
    if len(state.body) > LONG or len(plain(state.body)) > FAILURE_CHARACTERS:
        return False
    told = nfc(f"{state.title}\n{state.body}").casefold()
    short = len(plain(state.body)) <= 80
    return any(phrase in told for phrase in rules.failures if short or len(phrase) > 12)


def _is_typo(operations: Sequence[Operation], rules: Rules) -> bool:
    """Whether all that differs are a few words that are spelt a little otherwise."""
    edits = 0
    removed = ""
    for o in [*operations, Operation("same", "")]:
        if o.move is not None:
            return False
        if o.kind == "removed":
            removed = o.text
            continue
        was, now = plain(removed), plain(o.text) if o.kind == "added" else ""
        removed = ""
        if was == now:
            continue
        edits += 1
        jamo = [unicodedata.normalize("NFD", w) for w in (was, now)]
        most = min(TYPO_JAMO, max(1, min(map(len, jamo)) // 2))
        if not was or not now or Levenshtein.distance(*jamo, score_cutoff=most) > most:
            return False
    return 0 < edits <= rules.typo_edits


def _is_mark(line: str, rules: Rules) -> bool:
    """Whether a sentence owns up to an edit: by a word that stands out, or a time stamp that has it."""
    folded = line.strip().casefold()
    stamp = STAMPS.fullmatch(line.strip()) is not None
    for word in rules.corrections:
        at = folded.find(word)
        if at >= 0 and (stamp or _stands_out(folded[:at].strip(), folded[at + len(word) :].strip(), word)):
            return True
    return False


def _stands_out(head: str, tail: str, word: str) -> bool:
    """Whether a word marks an edit there, and is not just talked of."""
    if word.endswith(("습니다", "합니다", "립니다")):
        return True
    opened = head.endswith(tuple("[(<〈《【〔{"))
    closes = tail.startswith(tuple("])>〉》】〕}:：|"))
    return (opened or not head) and (closes or tail[:1].isdigit() or (opened and tail != ""))


def _edit(kind: ChangeKind, title: Sequence[Operation], body: Sequence[Operation], before: State, after: State) -> bytes | None:
    if kind == "removed":
        return _edit_of([kind], [(after.title if not after.body else "", diff.clean(after.body))])
    if kind == "restored":
        return _edit_of([kind], [("", diff.clean(before.body))])
    if kind == "rewrite":
        return None
    return _edit_of(["state"], [*_token_changes("t", title), *_token_changes("b", body)])


def _token_changes(where: str, operations: Iterable[Operation]) -> set[tuple[str, str]]:
    return {(where + o.kind[0], o.text.strip()) for o in operations if o.kind in ("removed", "added") and has_letters(o.text)}


def _edit_of(what: Sequence[str], changes: Iterable[tuple[str, str]]) -> bytes | None:
    """A digest of what was done, whatever page it was done to; None where nothing was."""
    told = sorted(set(changes))
    return xxhash.xxh3_128_digest(json.dumps([*what, *told], ensure_ascii=False).encode("utf-8", "surrogatepass")) if told else None
