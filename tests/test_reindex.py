"""Reindexing gives what a clean scan by the new settings would have given; until then scanning refuses."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup import errors
from dedup.config import Settings, UrlRule, Urls
from dedup.ingest import Matcher, Scan, open_session, reindex_signatures, reindex_urls
from dedup.ingest.session import matching_of, options_of
from dedup.store import open_writer
from tests import running
from tests.crawl import Made, edited, words


def _scan(settings: Settings) -> None:
    with open_session(settings, "test") as session:
        Scan(session).run()


def _with_rules(settings: Settings, rules: list[tuple[str, str]]) -> Settings:
    return settings.model_copy(update={"urls": Urls(rules=tuple(UrlRule(pattern=p, template=t) for p, t in rules))})


def _fill(crawl: Path) -> None:
    rng = random.Random(21)
    for n in range(30):
        story = words(rng, 60)
        article = Made(body=" ".join(story), title=f"기사 {n}", aid=f"{n:010d}", url=f"https://one.example/a/{n}")
        article.write(crawl / "one")
        edit = replace(article, body=" ".join(edited(rng, story, 0.02)), crawled_at="2026-03-03 00:00:00")
        replace(edit, url=f"https://m.one.example/view?no={n}").write(crawl / "mobile")
        if n % 3 == 0:
            replace(edit, oid="902", url=f"https://two.example/{n}").write(crawl / "two")
        if n % 5 == 0:
            replace(article, crawled_at="2026-03-04 00:00:00", url=f"https://m.one.example/view?no={n}&ref=1").write(crawl / "again")


MERGING = [("m.one.example/view?no={n:d}", "https://one.example/a/{n}")]


@pytest.mark.parametrize(("before", "after"), [([], MERGING), (MERGING, []), (MERGING, MERGING)])
def test_regrouping_gives_what_a_clean_scan_by_the_new_rules_gives(
    tmp_path: Path, before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _fill(crawl)
    old, new = _with_rules(running.settings(crawl, db), before), _with_rules(running.settings(crawl, db), after)
    _scan(old)
    if before != after:
        with pytest.raises(errors.RecipeChangedError, match="dedup reindex --urls"):
            _scan(new)
    with open_writer(str(db), "reindex") as store:
        reindex_urls(store, options_of(new), Matcher(store, matching_of(new), new.publishers.publishers()))
    _scan(_with_rules(running.settings(crawl, clean), after))
    assert running.dump(db) == running.dump(clean)
    _scan(new)
    assert running.dump(db) == running.dump(clean)


@pytest.mark.parametrize("after", [{"threshold": 0.5}, {"threshold": 0.9}, {"num_perm": 64}, {"min_characters": 300}, {"passages": False}, {"copy_coverage": 0.9}])
def test_signing_again_gives_what_a_clean_scan_by_the_new_settings_gives(tmp_path: Path, after: dict[str, Any]) -> None:
    crawl, db, clean = tmp_path / "crawl", tmp_path / "dedup.db", tmp_path / "clean.db"
    _fill(crawl)
    running.scan(crawl, db)
    with pytest.raises(errors.RecipeChangedError, match="dedup reindex'"):
        running.scan(crawl, db, **after)
    new = running.settings(crawl, db, **after)
    with open_writer(str(db), "reindex") as store:
        reindex_signatures(store, options_of(new), Matcher(store, matching_of(new), new.publishers.publishers()))
    running.scan(crawl, clean, **after)
    assert running.dump(db) == running.dump(clean)
