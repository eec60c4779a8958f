"""Changes as they are judged and stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from dedup.changes import Judgement, Past, Rules, State, classify_change
from dedup.changes.classify import CACHED_CHARACTERS
from dedup.heartbeat import beat
from dedup.model import Change, Sighting
from dedup.scan import history
from dedup.similarity import overlap
from dedup.store.changes import ChangeRecord, fields_json
from dedup.store.revisions import body_digest
from dedup.store.rows import JudgedRow, KeptSighting, StateBody, StoredChange


@dataclass(frozen=True, slots=True)
class Settled:
    """A change that is new, or was and leads from another sighting now (`known`), with its two states; the judgement is None where a
    body was pruned."""

    page: int
    change: Change
    before: StateBody
    after: StateBody
    judgement: Judgement | None
    known: bool = False


Superseded = tuple[int, bytes, bytes, str]
"""(page, digest of the state before, of that after, later crawl) of a change that is none any more."""

Compared = Mapping[tuple[int, int], tuple[bool, float, JudgedRow]]
"""(a revision, another) → what was found out of them while both bodies were there."""


def sighting_of(kept: KeptSighting) -> Sighting:
    """A stored sighting as its page's history needs it."""
    return Sighting(kept.id, kept.crawled_at, kept.revision_id, kept.digest, kept.metadata)


def is_as_stored(change: Change, past: Past, stored: StoredChange) -> bool:
    """Whether a stored change is this one, judged with this past (or never judged)."""
    return (change.previous.id, change.returned, fields_json(change)) == (stored.previous, stored.returned, stored.fields) and (
        stored.past is None or stored.past == past_json(past)
    )


def past_json(past: Past) -> str:
    """What a change was judged with, as stored: empty where there was nothing to say."""
    if past == Past():
        return ""
    values = {"returned": past.returned, "returns": past.returns, "was_removed": past.was_removed, "stood": past.stood}
    return json.dumps(values, separators=(",", ":"))


def was_removed(stored: StoredChange) -> bool:
    """Whether a stored change was judged as one of a page that showed no article before."""
    return bool(stored.past) and bool(json.loads(stored.past or "{}").get("was_removed"))


def judged(
    page: int, change: Change, past: Past, bodies: Mapping[int, StateBody], known: Compared, rules: Rules
) -> tuple[Settled, ChangeRecord]:
    """Judge a change; returns it with the row to store. Of a body that was pruned its digest is known; what was found out before it was
    is `known`."""
    pair = change.previous.revision, change.sighting.revision
    before, after = bodies[pair[0]], bodies[pair[1]]
    differ = before.title != after.title, _differ(before, after)
    if before.body is None or after.body is None:
        similarity, row = None if differ[1] else 1.0, JudgedRow()
        if pair in known:
            _, similarity, row = known[pair]
        return Settled(page, change, before, after, None), (page, change, *differ, similarity, row)
    similarity = _similarity(before.body, after.body)
    beat()
    found = classify_change(
        _state(before.title, before.body, change.previous), _state(after.title, after.body, change.sighting), past, rules
    )
    beat()
    row = JudgedRow(
        found.kind,
        found.severity,
        json.dumps(found.channels),
        json.dumps([[e.what, e.before, e.after] for e in found.evidence], ensure_ascii=False),
        int(found.stealth),
        int(found.corrected),
        found.edit,
        past_json(past),
        rules.recipe,
    )
    return Settled(page, change, before, after, found), (page, change, *differ, similarity, row)


def _similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    return _cached_similarity(a, b) if len(a) + len(b) <= CACHED_CHARACTERS else overlap.body_similarity(a, b)


_cached_similarity = lru_cache(maxsize=32)(overlap.body_similarity)


def _state(title: str, body: str, sighting: Sighting) -> State:
    return State(title, body, tuple((name, getattr(sighting.metadata, name) or "") for name in history.TRACKED))


def _differ(before: StateBody, after: StateBody) -> bool:
    return before.body != after.body if None not in (before.body, after.body) else _digest(before) != _digest(after)


def _digest(state: StateBody) -> bytes | None:
    return state.digest if state.body is None else body_digest(state.body)
