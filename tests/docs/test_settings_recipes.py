"""Changing a setting: every key has a documented effect, and after it the database equals a new one."""

from __future__ import annotations

import os
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.config import Settings, flatten
from dedup.pipeline import recipes
from dedup.pipeline.recipes import RECIPES, SETTING_EFFECTS
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import DIGESTS, ArticleFile, words

pytestmark = pytest.mark.usefixtures("plain")  # compiling takes longer than a few dozen articles

ALIASES = '[{ name = "한빛일보", names = ["한빛스포츠"] }]'
CHANGED: dict[str, str] = {
    "crawl.directories": '["crawl", "more"]',
    "crawl.patterns": '["*.md", "*.txt"]',
    "crawl.settle_seconds": "0.001",
    "crawl.unprobed_settle_seconds": "0.001",
    "crawl.scan_interval_seconds": "77.0",
    "crawl.max_file_bytes": "4000",
    "crawl.workers": "1",
    "time.published_at": '"UTC"',
    "time.crawled_at": '"Asia/Seoul"',
    "integrity.recipes": '["sha1(body)", "sha256(escaped)", "sha256(body)"]',
    "duplicates.threshold": "0.5",
    "duplicates.min_characters": "200",
    "duplicates.num_perm": "64",
    "duplicates.passages": "false",
    "duplicates.copy_coverage": "0.9",
    "duplicates.copy_characters": "400",
    "duplicates.copy_unquoted": "0.9",
    "duplicates.excerpt_coverage": "0.9",
    "duplicates.excerpt_characters": "300",
    "duplicates.excerpt_passage": "300",
    "duplicates.long_excerpt_characters": "900",
    "duplicates.long_excerpt_passage": "900",
    "duplicates.quote_share": "0.1",
    "duplicates.boilerplate_articles": "0",
    "changes.rewrite_similarity": "0.99",
    "changes.stub_share": "0.9",
    "changes.typo_edits": "0",
    "changes.correction_phrases": '["보탭니다"]',
    "changes.placeholder_phrases": '["없습니다"]',
    "changes.incident_pages": "3",
    "changes.incident_hours": "3.0",
    "publishers.aliases": ALIASES,
    "urls.from_ids": '""',
    "urls.tracking": '["ref"]',
    "urls.rules": '[{ pattern = "m.one.example/{n:d}", template = "https://one.example/{n}" }]',
    "history.keep": '["last"]',
    "history.days": "1",
    "search.index": "false",
    "database.path": '"dedup.db"',
    "metrics.listen": '"127.0.0.1:9464"',
    "web.enabled": "true",
    "web.listen": '"127.0.0.1:8766"',
    "web.token": '"env:DEDUP_TOKEN"',
    "web.hosts": '["news.example"]',
    "delivery.language": '"en"',
    "delivery.zone": '"UTC"',
    "delivery.gather_seconds": "1.0",
    "delivery.retry_seconds": "2.0",
    "delivery.max_retry_seconds": "60.0",
    "delivery.give_up_hours": "1.0",
    "delivery.timeout_seconds": "3.0",
    "alerts": '[{ name = "all", on = ["change"], to = ["log"] }]',
    "channels": '{ log = { kind = "log" } }',
}
"""Configuration key → a value other than the default, as TOML."""


def configure(folder: Path, *keys: str, before: dict[str, str] | None = None) -> None:
    """Write a configuration with the other values of these keys; `before` holds values of further keys."""
    values = {"crawl.directories": '["crawl"]', "crawl.settle_seconds": "0.0"} | (before or {}) | {key: CHANGED[key] for key in keys}
    if "alerts" in values:
        values |= {"channels": CHANGED["channels"]}
    sections: dict[str, list[str]] = {"": []}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {value}\n")
    text = "".join((f"[{section}]\n" if section else "") + "".join(lines) for section, lines in sections.items())
    (folder / "config.toml").write_text(text, "utf-8")


def fill(folder: Path) -> None:
    """A crawl in which every setting that affects records makes a difference."""
    rng = random.Random(12)
    crawl = folder / "crawl"
    boilerplate = "무단전재와 재배포를 금지합니다 " + " ".join(words(rng, 25))
    for n in range(8):
        body = " ".join(words(rng, 60))
        publisher = "한빛일보" if n % 2 else "한빛스포츠"
        article = ArticleFile(
            body=f"{body} {boilerplate}", title=f"기사 {n}", aid=f"{n:010d}", url=f"https://one.example/{n}", publisher=publisher
        )
        article.write(crawl / "one")
        part = " ".join(body.split()[:35])
        replace(article, body=f"{part} {' '.join(words(rng, 30))}", url=f"https://m.one.example/{n}?ref=a", oid="902").write(crawl / "two")
        replace(article, body=f'그는 "{part}"라고 말했다. ' + " ".join(words(rng, 40)), url=f"https://three.example/{n}", oid="903").write(
            crawl / "three"
        )
        later = replace(article, crawled_at="2026-03-02 12:30:00", published_at="2026-03-02 09:30")
        if n == 0:
            later = replace(later, body=f"{body.replace(' ', '  ', 1)} {boilerplate} 보탭니다: 늦은 소식.")
        elif n == 1:
            later = replace(later, body="기사가 여기에 없습니다. 나중에 다시 찾아 주세요.")
        elif n == 2:
            first, rest = body.split(" ", 1)
            later = replace(later, body=f"{first[:-1]}갛 {rest} {boilerplate}")
        else:
            later = replace(later, body=f"{body} {' '.join(words(rng, 6))} {boilerplate}")
        later.write(crawl / "again")
    short = replace(article, body=" ".join(words(rng, 25)), oid="904", aid="0000000010")
    replace(short, url="").write(crawl / "ids")
    replace(short, url="https://four.example/?id=1&ref=b", aid="0000000011", oid="905").write(crawl / "four")
    replace(
        short, url="https://four.example/?id=1&ref=c&utm_source=x", crawled_at="2026-03-02 20:00:00", aid="0000000011", oid="905"
    ).write(crawl / "four", "later.md")
    replace(short, claim=DIGESTS["md5"](short.body.encode()), url="https://five.example/1", oid="906").write(crawl / "five")
    replace(short, body=" ".join(words(rng, 400)), url="https://six.example/1", oid="907").write(crawl / "six")
    replace(short, url="https://seven.example/1", crawled_at="yesterday", oid="908").write(crawl / "seven")
    replace(short, url="https://eight.example/1", oid="909").write(crawl / "eight", "other.txt")
    replace(short, url="https://nine.example/1", oid="910").write(folder / "more")


def dump(folder: Path, db: str) -> list[dict[str, Any]]:
    return running.dump(folder / db)


def apply(folder: Path) -> list[str]:
    """Scan. While `scan` refuses, run the command that it names. Returns these commands."""
    remedies = []
    while (result := run(folder, "scan")).code:
        assert result.code == 3, result
        (remedy,) = re.findall(r"run 'dedup ([^']*)' first", result.err)
        assert result.err.count("\n") == 1, "one line"
        remedies.append(remedy)
        outcome = run(folder, *remedy.split())
        assert outcome.code == 0, outcome
        assert len(remedies) < 4, remedies
    return remedies


def test_every_key_has_an_effect_and_another_value() -> None:
    keys = [key for key, _ in flatten(Settings())]
    assert list(SETTING_EFFECTS) == keys
    assert list(CHANGED) == keys
    assert all(effect.recipe in RECIPES if effect.kind == "reindex" else not effect.recipe for effect in SETTING_EFFECTS.values())


def test_the_documentation_has_the_table_of_effects() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    commands = {"matches": "`dedup reindex`"} | {step: f"`dedup reindex --{step}`" for step in ("urls", "changes", "readings")}
    when = {"immediate": "at once", "scan": "next scan"}
    rows = [
        f"| `{key}` | {commands[RECIPES[e.recipe].step] if e.recipe else when[e.kind]} | {e.reason} |" for key, e in SETTING_EFFECTS.items()
    ]
    assert [line for line in text.splitlines() if line.startswith("| `")] == rows


@pytest.mark.parametrize("key", SETTING_EFFECTS)
def test_a_stored_recipe_depends_on_exactly_the_keys_that_name_it(tmp_path: Path, key: str) -> None:
    from dedup.config import load

    configure(tmp_path)
    before = recipes.configured_recipes(load(str(tmp_path / "config.toml")).settings)
    configure(tmp_path, key)
    after = recipes.configured_recipes(load(str(tmp_path / "config.toml")).settings)
    assert {name for name in before if before[name] != after[name]} == {SETTING_EFFECTS[key].recipe} - {""}


@pytest.fixture(scope="module")
def filled_crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    fill(folder)
    return folder


def prepare(filled_crawl: Path, folder: Path) -> None:
    for name in ("crawl", "more"):
        os.symlink(filled_crawl / name, folder / name)


WITHOUT_EFFECT_ON_SCANS = ("database", "metrics", "web", "delivery", "channels", "history")


@pytest.mark.system
@pytest.mark.parametrize("key", [key for key in SETTING_EFFECTS if key.split(".")[0] not in WITHOUT_EFFECT_ON_SCANS])
def test_a_changed_key_gives_the_same_database_as_a_new_scan(tmp_path: Path, filled_crawl: Path, key: str) -> None:
    prepare(filled_crawl, tmp_path)
    configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    default = dump(tmp_path, "dedup.db")
    configure(tmp_path, key)
    remedies = apply(tmp_path)
    effect = SETTING_EFFECTS[key]
    step = RECIPES[effect.recipe].step if effect.recipe else None
    assert remedies == ([] if step is None else ["reindex" if step == "matches" else f"reindex --{step}"])
    dump_after = dump(tmp_path, "dedup.db")
    assert run(tmp_path, "-d", "fresh.db", "scan").code == 0
    is_rematched = step in ("matches", "urls")
    if is_rematched:  # only then does learned boilerplate apply to earlier articles
        assert run(tmp_path, "-d", "fresh.db", "reindex").code == 0
    assert dump_after == dump(tmp_path, "fresh.db")
    changes_nothing = effect.kind == "immediate" or key in ("publishers.aliases",)
    assert changes_nothing or dump_after != default, "the key makes no difference to this crawl"
    second_scan = run(tmp_path, "scan", "-f", "json").json()
    assert (second_scan["new"], second_scan["changed"], second_scan["moved"], second_scan["gone"], second_scan["reread"]) == (0, 0, 0, 0, 0)
    assert dump(tmp_path, "dedup.db") == dump_after
    # And back to the default
    configure(tmp_path)
    apply(tmp_path)
    if key in ("crawl.patterns", "crawl.directories"):
        return  # what was recorded meanwhile stays: see the test of narrower patterns
    if is_rematched:
        assert run(tmp_path, "-d", "plain.db", "scan").code == 0
        assert run(tmp_path, "-d", "plain.db", "reindex").code == 0
        default = dump(tmp_path, "plain.db")
    assert dump(tmp_path, "dedup.db") == default
