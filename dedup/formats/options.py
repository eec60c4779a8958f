"""What a reader needs to know beside the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from dedup.text.digests import Recipe


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`recipes` are tried in order; the zones are those of times printed without an offset."""

    recipes: tuple[Recipe, ...]
    published_zone: tzinfo
    crawled_zone: tzinfo
