"""Two articles side by side, with the passages that they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dedup import reports
from dedup.errors import ParameterError
from dedup.reports import explain
from dedup.store import Database
from dedup.web.render import Page, QueryParameters

MAX_TEXT_CHARACTERS = 200_000
"""Length to which each text is truncated."""


@dataclass(frozen=True, slots=True)
class TextRun:
    """A run of text, the numbers of the passages that contain it, and of those that begin with it."""

    text: str
    passages: tuple[int, ...]
    begins: tuple[int, ...]


def view(database: Database, query: QueryParameters) -> Page:
    """Compare pages `a` and `b`, at their current revisions or at `a_revision` and `b_revision`, and explain whether they match."""
    if not query.text("a") or not query.text("b"):
        return Page("pair.html", "Compare two articles", {"a": None, "b": None, "passages": []})
    articles = [_compared_article(database, query, name) for name in ("a", "b")]
    explanation = explain.explain_pair(database, query.settings, *articles)
    passages = [{"a": p["a"], "b": p["b"], "characters": p["characters"]} for p in explanation["passages"]]
    content = {**explanation, "passages": passages}
    context = {
        "text_runs": {
            name: list(_text_runs(side.body[:MAX_TEXT_CHARACTERS], [(p[name][0], p[name][1]) for p in passages]))
            for name, side in zip("ab", articles, strict=True)
        },
        "is_truncated": any(len(side.body) > MAX_TEXT_CHARACTERS for side in articles),
    }  # fmt: skip
    return Page("pair.html", "Two articles", content, context)


def _compared_article(database: Database, query: QueryParameters, name: str) -> explain.ComparedArticle:
    page = reports.find_page(database, query.settings.urls.build_canonicaliser(), query.text(name), None)
    revision = query.text(f"{name}_revision")
    if revision and not (revision.isascii() and revision.isdigit() and len(revision) < 7):
        raise ParameterError(name=f"{name}_revision", problem="must be the number of a revision")
    return explain.article_from_page(database, query.settings, page, int(revision) if revision else None)


def _text_runs(body: str, passages: Sequence[tuple[int, int]]) -> Iterator[TextRun]:
    """Split a text where passages (begin, end) begin or end. Offsets are in code points."""
    boundaries: dict[int, tuple[list[int], list[int]]] = {}
    for number, (begin, end) in enumerate(passages, 1):
        if begin < len(body):
            boundaries.setdefault(begin, ([], []))[0].append(number)
            boundaries.setdefault(min(end, len(body)), ([], []))[1].append(number)
    open_passages: list[int] = []
    position = 0
    starting: tuple[int, ...] = ()
    for boundary in [*sorted(boundaries), len(body)]:
        if boundary > position:
            yield TextRun(body[position:boundary], tuple(open_passages), starting)
        begins, ends = boundaries.get(boundary, ([], []))
        open_passages = [n for n in open_passages if n not in ends] + begins
        starting = tuple(begins)
        position = boundary
