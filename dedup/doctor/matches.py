"""Stored matches against the bodies of their texts, and near duplicates that are not stored as matches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dedup import store
from dedup.doctor.context import Case, Finding
from dedup.doctor.records import in_force, parts
from dedup.index import lsh
from dedup.index.hashtable import Table
from dedup.matching.thresholds import Judged, Matching
from dedup.model import Match
from dedup.scan.extract import Options, sign
from dedup.scan.session import options_of
from dedup.similarity.overlap import Prepared, overlap, prepare
from dedup.store import Database

CHECK = "indexes"
MISMEASURED = "matches with another relation or other figures than the bodies of their texts give"
_CURED = "Run 'dedup doctor --repair': all matches are made again."


def near(case: Case) -> Iterator[Finding]:
    """Every pair of texts that the candidate index proposes and no match is stored of: compared as the writer does. Left out by `quick`,
    and while somebody writes."""
    if case.quick or case.writer or not in_force(case, addresses=False):
        return
    d, database = case.settings.duplicates, case.asked
    table, _ = Table.view(database.index_path())
    if table is None:
        return  # which is a finding of its own
    index = lsh.CandidateIndex(table, d.threshold, d.num_perm)
    missing = 0
    for rows in parts(store.texts.all_signatures(database)):
        sound = {text: signature for text, signature in rows if len(signature) == 4 * d.num_perm}
        met = dict(zip(sound, index.meet(list(sound), list(sound.values())), strict=True))
        # a text that met a full bucket is compared until one match is found
        pairs = [(other, text) for text, m in met.items() if not m.crowded for other in m.candidates if other < text]
        missing += len(_missing(case, pairs))
        case.progress(CHECK, len(rows))
    if missing:
        what = f"pairs of texts that are near duplicates and are not stored as matches: {missing:,}"
        yield Finding(CHECK, "error", what, _CURED, "matches")


def stored(case: Case) -> Iterator[Finding]:
    """Every stored match of two texts that have bodies, measured again. What depends on more than the two texts is not compared: shares
    without boilerplate, quotation marks, and whether a copy is part of a newsletter. Left out by `quick`."""
    if case.quick or not in_force(case, addresses=False):
        return
    matching = Matching(case.settings.duplicates)
    options = options_of(case.settings)
    wrong = 0
    for rows in parts(store.integrity.stored_matches(case.asked)):
        with case.asked.snapshot():
            wrong += _mismeasured(case.asked, matching, options, rows)
        case.progress(CHECK, len(rows))
    if wrong:
        yield Finding(CHECK, "error", f"{MISMEASURED}: {wrong:,}", _CURED, "matches")


def _mismeasured(database: Database, matching: Matching, options: Options, rows: Sequence[Match]) -> int:
    """How many of these matches their texts do not make. Texts whose body has another text are left out: `digests` reports them."""
    bodies = store.texts.bodies(database, {text for m in rows for text in (m.a, m.b)})
    unmasked = not store.statistics.count(database, "boilerplate")
    prepared = {text: prepare(body) for text, body in bodies.items()}
    wrong = [
        m for m in rows
        if m.a in prepared and m.b in prepared
        and not _is_measured(m, matching.judge(prepared[m.a], prepared[m.b]), unmasked=unmasked)
    ]  # fmt: skip
    doubtful = sorted({text for m in wrong for text in (m.a, m.b)})
    digests = [own.digest for own, _ in sign((bodies[text] for text in doubtful), options)]
    known = store.texts.find_by_digest(database, {digest for digest in digests if digest is not None})
    sound = {text for text, digest in zip(doubtful, digests, strict=True) if digest is not None and known.get(digest) == text}
    return sum(m.a in sound and m.b in sound for m in wrong)


def _is_measured(m: Match, judged: Judged, *, unmasked: bool) -> bool:
    n, measured = m.numbers, judged.numbers
    whole = (n.similarity, n.containment) == (measured.similarity, measured.containment)
    if not whole or (m.relation == "near") != (judged.relation == "near"):
        return False
    if not unmasked:
        return True
    if (n.coverage, n.shared, n.longest, n.masked) != (measured.coverage, measured.shared, measured.longest, ()):
        return False
    return n.quoted != measured.quoted or m.relation == judged.relation or (m.relation, judged.relation) == ("excerpt", "copy")


def _missing(case: Case, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the pairs (lesser key, greater key) that two pages show, that are alike enough, and that are not stored."""
    database = case.asked
    stored = store.matches.of_texts(database, {text for _, text in pairs})
    wanted = [pair for pair in pairs if pair not in stored]
    texts = {text for pair in wanted for text in pair}
    pages, bodies, crowded = (
        store.texts.pages_showing_any(database, texts),
        store.texts.bodies(database, texts),
        store.texts.crowded(database, texts),
    )
    prepared: dict[int, Prepared] = {}
    missing = []
    for pair in wanted:
        if not all(text in pages and text in bodies and text not in crowded for text in pair):
            continue
        a, b = (pages[text] for text in pair)
        if a.first == b.first and not (a.several or b.several):
            continue
        for text in pair:
            if text not in prepared:
                prepared[text] = prepare(bodies[text])
        if overlap(*(prepared[text].points for text in pair)).jaccard >= case.settings.duplicates.threshold:
            missing.append(pair)
    return missing
