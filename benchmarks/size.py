"""What an article costs: bytes of database, and microseconds from file to commit.

    python -m benchmarks.size [ARTICLES] [CHARACTERS]

Lays out generated Korean articles (one in five an edited copy of another), scans them, and prints the figures beside the bytes of
the bodies themselves.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests import running
from tests.crawl import Made, edited, words


def main(number: int = 5000, characters: int = 1400) -> None:
    """Print the figures for `number` articles of about `characters` characters."""
    rng = random.Random(1)
    stories: list[list[str]] = []
    size = 0
    with tempfile.TemporaryDirectory() as folder:
        crawl, db = Path(folder) / "crawl", Path(folder) / "dedup.db"
        for n in range(number):
            story = edited(rng, rng.choice(stories), 0.02) if stories and n % 5 == 0 else words(rng, characters // 4)
            stories.append(story)
            article = Made(body=" ".join(story), title=f"기사 {n}", aid=f"{n:010d}")
            size += len(article.body.encode())
            article.write(crawl)
        tally = running.scan(crawl, db)
        print(f"articles                    {number:>10,}")
        print(f"body, bytes an article      {size / number:>10,.0f}")
        print(f"database, bytes an article  {db.stat().st_size / number:>10,.0f}")
        print(f"index, bytes an article     {Path(f'{db}.index').stat().st_size / number:>10,.0f}")
        print(f"scan, µs an article         {tally.seconds / number * 1e6:>10,.0f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
