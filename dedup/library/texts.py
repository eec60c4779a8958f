"""Functions of texts and URLs. They need no database."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.config import Settings
from dedup.library.comparisons import Comparison, DiffOperation
from dedup.library.settings import SettingsSource, load_settings

if TYPE_CHECKING:
    from datasketch import MinHash

    from dedup.config import UrlsConfig
    from dedup.text.urls import Canonicaliser


def signature(text: str, *, num_perm: int = 128) -> MinHash:
    """Return the MinHash signature of a text, bit for bit as the database stores it, as an object of datasketch.

    It goes into datasketch's MinHashLSH and other indexes, and can be compared with any MinHash of the same scheme (`affine32`), seed (1),
    hash function (xxh32) and shingles: runs of 5 letters and digits of the text in NFC, case-folded. The database stores none for texts
    under `[duplicates] min_characters`. The signature of a text without letters and digits is empty.
    """
    from dedup.similarity.minhash import sketch_text

    return sketch_text(text, num_perm)


def compare(a: str, b: str, *, settings: SettingsSource = None) -> Comparison:
    """Return the relation of two texts by the thresholds of `[duplicates]`, and its measures.

    Boilerplate is not ignored, because no publisher is known; `Database.explain` does that for articles.
    """
    from dedup.matching.thresholds import MatchCriteria
    from dedup.reports import scores_as_json
    from dedup.similarity.overlap import prepare_text

    assessment = MatchCriteria(_load(settings).duplicates).compare(prepare_text(a), prepare_text(b))
    measures = scores_as_json(assessment.relation or "near", assessment.scores)
    del measures["masked_boilerplate"]
    return Comparison.from_dict({**measures, "relation": assessment.relation})


def diff(before: str, after: str) -> tuple[DiffOperation, ...]:
    """Return the operations that lead from one text to the other: by sentence, then by word and number.

    White space, Unicode form and invisible characters make no difference. Equal texts give one `same`, two empty ones no operation.
    """
    from dedup.changes.diff import render
    from dedup.reports import diff_texts

    return tuple(DiffOperation(o["kind"], o["text"], o.get("move")) for o in render.as_json(diff_texts(before, after)))


def canonical_url(url: str, *, settings: SettingsSource = None) -> str | None:
    """Return the canonical form of an http or https URL by the rules of `[urls]`; None for anything else.

    Different spellings of a page's URL have the same canonical form. Canonicalising it again changes nothing.
    """
    return _canonicaliser(_load(settings).urls).canonicalise(url)


_DEFAULTS = Settings()


def _load(source: SettingsSource) -> Settings:
    """Return the settings of a source. The functions of this module use no paths of it."""
    if source is None:
        return _DEFAULTS
    return source if isinstance(source, Settings) else load_settings(source)


@lru_cache(maxsize=8)
def _canonicaliser(rules: UrlsConfig) -> Canonicaliser:
    return rules.build_canonicaliser()
