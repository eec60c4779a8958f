"""Articles with boilerplate."""

from __future__ import annotations

import random
from typing import Any

from tests.builders.crawl import ArticleFile, words
from tests.builders.stories import paper, story

TAIL = "저작권자 (c) " + " ".join(words(random.Random(1), 24)) + " 무단 전재 및 재배포 금지"
"""Boilerplate of one publisher, about 80 letters."""


def boilerplate_article(
    number: int, sentences: int = 2, *, tail: str = TAIL, publisher: str = "한빛일보", seed: int = 100, **kw: Any
) -> ArticleFile:
    """Return an article of generated sentences that ends with the boilerplate `tail`."""
    return paper(number, f"{story(random.Random(seed + number), sentences).body} {tail}".strip(), publisher=publisher, **kw)
