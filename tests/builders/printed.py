"""Articles with the text that a publisher prints under all of them."""

from __future__ import annotations

import random
from typing import Any

from tests.builders.crawl import ArticleFile, words
from tests.builders.stories import paper, story

TAIL = "저작권자 (c) " + " ".join(words(random.Random(1), 24)) + " 무단 전재 및 재배포 금지"
"""What one publisher prints under each of its articles: some eighty letters."""


def printed(number: int, sentences: int = 2, *, tail: str = TAIL, publisher: str = "한빛일보", seed: int = 100, **kw: Any) -> ArticleFile:
    """An article of a publisher, of its own but for the tail. The longer, the less the tail is of it."""
    return paper(number, f"{story(random.Random(seed + number), sentences).body} {tail}".strip(), publisher=publisher, **kw)
