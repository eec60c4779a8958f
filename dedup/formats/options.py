"""Options of the readers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from dedup.text.digests import Recipe


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`recipes` are tried in order. The zones apply to times without an offset."""

    recipes: tuple[Recipe, ...]
    published_zone: tzinfo
    crawled_zone: tzinfo
