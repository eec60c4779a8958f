"""Near duplicates that should be stored as matches, and are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dedup import lsh
from dedup.doctor.case import Case, Finding
from dedup.doctor.records import in_force, parts
from dedup.overlap import Prepared, overlap, prepare
from dedup.table import Table

CHECK = "indexes"
_CURED = "Run 'dedup doctor --repair': all matches are made again."


def near(case: Case) -> Iterator[Finding]:
    """Every pair of texts that the candidate index proposes and no match is stored of: compared as the writer does. Left out by `quick`,
    and while somebody writes."""
    if case.quick or case.writer or not in_force(case, addresses=False):
        return
    d, store = case.settings.duplicates, case.asked
    table, _ = Table.view(store.index_path())
    if table is None:
        return  # which is a finding of its own
    index = lsh.CandidateIndex(table, d.threshold, d.num_perm)
    missing = 0
    for rows in parts(store.signatures()):
        sound = {text: signature for text, signature in rows if len(signature) == 4 * d.num_perm}
        met = dict(zip(sound, index.meet(list(sound), list(sound.values())), strict=True))
        # a text that met a full bucket is compared until one match is found
        pairs = [(other, text) for text, m in met.items() if not m.crowded for other in m.candidates if other < text]
        missing += len(_missing(case, pairs))
        case.progress(CHECK, len(rows))
    if missing:
        what = f"pairs of texts that are near duplicates and are not stored as matches: {missing:,}"
        yield Finding(CHECK, "error", what, _CURED, "matches")


def _missing(case: Case, pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those of the pairs (lesser key, greater key) that two pages show, that are alike enough, and that are not stored."""
    store = case.asked
    stored = store.matches_of({text for _, text in pairs})
    wanted = [pair for pair in pairs if pair not in stored]
    texts = {text for pair in wanted for text in pair}
    pages, bodies, crowded = store.pages_of_texts(texts), store.bodies_of_texts(texts), store.crowded_of(texts)
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
