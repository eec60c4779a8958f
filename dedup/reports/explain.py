"""Why two articles are told as copies of each other, or are not: everything that was measured, and a sentence."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup import reports, store
from dedup.config import Settings
from dedup.errors import NoRevisionError, PrunedError
from dedup.matching.lookup import Judge
from dedup.matching.thresholds import Judged
from dedup.model import Match, Numbers
from dedup.reports.similar import examined
from dedup.scan import recipes
from dedup.scan.session import matching_of
from dedup.similarity import minhash, overlap, winnowing
from dedup.similarity.overlap.spans import Passage, passages
from dedup.store import Database
from dedup.text import normalise


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `page`, `text` and `revision` are None for what the database does not hold."""

    url: str
    title: str
    publisher: str
    house: str
    body: str
    page: int | None
    text: int | None
    revision: int | None
    path: str | None


def from_file(database: Database, settings: Settings, path: bytes) -> Side:
    """The article that a file holds now. Raises NotAnArticleError."""
    e = examined(settings, path)
    assert e.article is not None
    assert e.url is not None
    m = e.article.metadata
    page = store.pages.get_by_url(database, e.url)
    numbers = [r.digest for r in store.revisions.of_page(database, page)] if page is not None else []
    return Side(
        url=e.url,
        title=e.article.title,
        publisher=m.publisher,
        house=settings.publishers.publishers().house(m.publisher, m.oid, e.url),
        body=e.article.body,
        page=page,
        text=store.texts.get_by_digest(database, e.text) if e.text else None,
        revision=numbers.index(e.state) + 1 if e.state in numbers else None,
        path=normalise.printable_path(os.path.abspath(path)),
    )


def from_page(database: Database, settings: Settings, page: int, revision: int | None) -> Side:
    """A page as its latest crawl shows it, or one of its revisions by the shown number. Raises NoRevisionError, and PrunedError
    where there is no body to be measured."""
    revisions, url = store.revisions.of_page(database, page), store.pages.url(database, page)
    current = store.pages.current_state(database, page)
    numbers = [r.digest for r in revisions]
    chosen = revision if revision is not None else numbers.index(current) + 1 if current in numbers else len(numbers)
    if not 1 <= chosen <= len(revisions):
        raise NoRevisionError(url=url, wanted=chosen, have=f"1 to {len(revisions)}" if revisions else "none")
    row = revisions[chosen - 1]
    state = store.revisions.body(database, row.id)
    if state.body is None:
        raise PrunedError(url=url, revision=chosen, at=(state.pruned_at or "")[:10])
    publisher, oid = store.revisions.publisher(database, row.id)
    house = settings.publishers.publishers().house(publisher, oid, url)
    return Side(url, state.title, publisher, house, state.body, page, store.revisions.text(database, row.id), chosen, None)


def explain(database: Database, settings: Settings, a: Side, b: Side) -> dict[str, Any]:
    """What is alike in two articles, what was recorded of them, and in one sentence why."""
    matching = matching_of(settings)
    recipes.require(database, recipes.configured(settings, [recipes.MATCHES]))
    limits = settings.duplicates
    judge = Judge(database, matching)
    sides = (a, b)
    prepared = [overlap.prepare(side.body) for side in sides]
    houses = [_house(database, side) for side in sides]
    masks = [judge.mask(own, house) for own, house in zip(prepared, houses, strict=True)]
    judged = matching.judge(prepared[0], prepared[1], lambda: (masks[0], masks[1]))
    whole = overlap.overlap(prepared[0].points, prepared[1].points)
    same = len(prepared[0].points) > 0 and np.array_equal(prepared[0].points, prepared[1].points)
    short = [side for side, own in zip(sides, prepared, strict=True) if len(own.points) < limits.min_characters]
    recorded = store.matches.get(database, a.text, b.text) if a.text is not None and b.text is not None and a.text != b.text else None
    hidden = [judge.names(own, house) for own, house in zip(prepared, houses, strict=True)]
    relation = None if a.page is not None and a.page == b.page else "exact" if same else None if short else judged.relation
    if recorded and relation not in (None, "exact") and _bundled(recorded, judged):
        relation = "excerpt"
    n = judged.numbers
    return {
        **{name: _side(side, len(own.points)) for name, side, own in zip("ab", sides, prepared, strict=True)},
        "relation": relation,
        "recorded": recorded.relation if recorded else None,
        "why": _sentence(settings, a, b, short, recorded, judged, same=same, masked=any(hidden)),
        **{k: v for k, v in reports.told("near", n).items() if k not in ("relation", "masked")},
        "shingles": {"a": whole.a, "b": whole.b, "common": whole.common},
        "bands": _bands(a, b, settings),
        "keys": _keys(a, b),
        "passages": [_passage(p, a.body) for p in passages(a.body, b.body)],
        "masked": {name: _masked(database, names, mask) for name, names, mask in zip("ab", hidden, masks, strict=True)},
        "closest": reports.closest(database, a.page, b.page),
        "thresholds": limits.model_dump(),
    }


def _house(database: Database, side: Side) -> int | None:
    """Whose boilerplate is masked: of a text that is recorded that of the first article with it."""
    recorded = store.passages.publisher(database, side.text) if side.text is not None else None
    return recorded if recorded is not None else store.publishers.find(database, side.house)


def _side(side: Side, characters: int) -> dict[str, Any]:
    told = {name: getattr(side, name) for name in ("url", "title", "publisher", "house", "revision", "path")}
    return {**told, "characters": characters}


def _passage(p: Passage, body: str) -> dict[str, Any]:
    return {"a": [p.a_begin, p.a_end], "b": [p.b_begin, p.b_end], "characters": p.characters, "text": body[p.a_begin : p.a_end]}


def _masked(database: Database, names: set[str], mask: Any) -> dict[str, Any]:
    known = {row.name: row for row in store.boilerplate.list_passages(database)} if names else {}
    found = [{"name": name, "text": known[name].shown} for name in sorted(names)]
    return {"characters": 0 if mask is None else int(np.count_nonzero(mask)), "passages": found}


def _bands(a: Side, b: Side, settings: Settings) -> dict[str, int]:
    d = settings.duplicates
    number, rows = minhash.bands(d.threshold, d.num_perm)
    cut = [
        np.frombuffer(s.signature, "<u4")[: number * rows].reshape(number, rows) if s.signature else None
        for s in minhash.sign([a.body, b.body], d.num_perm, 1)
    ]
    shared = 0 if cut[0] is None or cut[1] is None else int(np.count_nonzero((cut[0] == cut[1]).all(axis=1)))
    return {"shared": shared, "of": number, "rows": rows}


def _keys(a: Side, b: Side) -> dict[str, int]:
    one, other = (
        set() if found is None else set(found.tolist())
        for folded in normalise.folded([a.body, b.body])
        for found in winnowing.keys(folded, 1)
    )  # fmt: skip
    return {"a": len(one), "b": len(other), "shared": len(one & other)}


def _bundled(recorded: Match, judged: Judged) -> bool:
    """Whether a match that the numbers make a copy was recorded as a part of a bundle."""
    return recorded.relation == "excerpt" and judged.relation == "copy" and recorded.numbers.shared == judged.numbers.shared


def _sentence(
    settings: Settings, a: Side, b: Side, short: list[Side], recorded: Match | None, judged: Judged, *, same: bool, masked: bool
) -> str:
    d, n = settings.duplicates, judged.numbers
    if a.page is not None and a.page == b.page:
        return "Both are states of one page: that is history, which is never told as duplication."
    if same:
        return "exact: they have the same letters and digits, in the same order."
    if short:
        return f"none: a text of fewer than min_characters = {d.min_characters} letters and digits takes part in exact matching only."
    if recorded and _bundled(recorded, judged):
        return (
            f"excerpt: {_much(n)} runs alike, which would make a copy, but one of the two holds other articles beside this one:"
            " a text that bundles several is a copy of none."
        )
    told = _judged(settings, judged, masked=masked)
    if recorded is None and judged.relation is not None:
        return told + " It is not recorded: " + _unrecorded(a, b)
    if recorded is not None and recorded.relation != judged.relation:
        return told + f" It was recorded as {recorded.relation} by what was known then; 'dedup reindex' applies what is known now."
    return told


def _judged(settings: Settings, judged: Judged, *, masked: bool) -> str:
    d, n = settings.duplicates, judged.numbers
    if judged.relation == "near":
        return f"near: a Jaccard similarity of {n.similarity:.2f} reaches threshold = {d.threshold:g}."
    if judged.relation == "copy":
        return (
            f"copy: {_much(n)} runs alike in the other (copy_coverage = {d.copy_coverage:g}, copy_characters = {d.copy_characters}),"
            " and enough of it stands outside quotation marks."
        )
    if judged.relation == "excerpt":
        return (
            f"excerpt: {_much(n)} runs alike in the other, the longest passage for {n.longest} characters; for a copy that is too little."
        )
    if judged.relation == "quote":
        return f"quote: {_much(n)} runs alike, but {n.quoted:.0%} of that stands inside quotation marks (quote_share = {d.quote_share:g})."
    if not n.shared and masked:
        return "none: what runs alike in both is boilerplate, which is left out."
    if not n.shared:
        return f"none: no {overlap.RUN} letters or digits in a row are the same."
    return (
        f"none: {_much(n)} runs alike, the longest passage for {n.longest} characters; a copy needs {d.copy_coverage:.0%} and"
        f" {d.copy_characters}, an excerpt {d.excerpt_coverage:.0%}, {d.excerpt_characters} and a passage of {d.excerpt_passage},"
        f" or {d.long_excerpt_characters} and a passage of {d.long_excerpt_passage}."
    )


def _unrecorded(a: Side, b: Side) -> str:
    if a.text is None or b.text is None:
        return "the database does not hold both."
    return (
        "they were not compared, because too little of what they share is looked up, or one has so many copies that it was compared"
        " with the first only; or what is known of boilerplate has changed since."
    )


def _much(n: Numbers) -> str:
    return f"{n.coverage:.0%} of the shorter text ({n.shared} letters and digits)"
