"""The classification of changes, compared with judgements made by hand."""

from __future__ import annotations

import pytest

from dedup.changes.classify import Classification, PageHistory, PageState, classify_change
from dedup.config import Settings
from dedup.pipeline.recipes import build_change_rules
from tests.builders.labelled_changes import BODY, CASES, TITLE, Case

RULES = build_change_rules(Settings())
PUBLISHED = {"author": "", "category": "", "published_at": "2026-03-05T01:30:00+00:00", "publisher": "해솔신문"}


def state(title: str, body: str, metadata: dict[str, str] | None = None) -> PageState:
    return PageState(title, body, tuple((PUBLISHED | (metadata or {})).items()))


def classify(case: Case, past: PageHistory = PageHistory()) -> Classification:  # noqa: B008 - frozen
    before = case.body
    for old, new in case.first:
        assert old in before
        before = before.replace(old, new)
    after = before if case.after is None else case.after
    for old, new in case.edits:
        after = after.replace(old, new)
    return classify_change(state(case.title[0], before, case.metadata[0]), state(case.title[1], after, case.metadata[1]), past, RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_change_is_classified_as_a_reader_would(case: Case) -> None:
    change = classify(case)
    assert (change.kind, change.severity, change.silent, change.corrected) == (case.kind, case.severity, case.silent, case.corrected), (
        change
    )
    evidence = {(e.kind, e.before, e.after) for e in change.evidence}
    assert set(case.evidence) <= evidence


def test_differences_beyond_the_row_limit_are_one_piece_of_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.changes.evidence.MAX_ROWS", 1)
    body = BODY.replace("반발했다", "강하게 비판했다").replace("120명", "1200명")
    change = classify_change(state(TITLE, BODY), state(TITLE, body), PageHistory(), RULES)
    assert change.kind == "substantive"
    assert ("sentence", True) in {(e.kind, "1200명" in e.after) for e in change.evidence}


def test_evidence_in_both_title_and_body_is_listed_once() -> None:
    title, body = TITLE.replace("638", "639"), BODY.replace("638", "639")
    change = classify_change(state(TITLE, BODY), state(title, body), PageHistory(), RULES)
    assert [(e.kind, e.before, e.after) for e in change.evidence] == [("amount", "638조원", "639조원")]
