"""What changing a setting means for what is recorded: one table with a row for every configuration key.

A setting that records depend on is part of a recipe: a string that the database stores. While the stored recipe differs from the
configured one, `scan` and `watch` refuse in one line that names the remedy. All other settings take effect at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import xxhash

from dedup import __version__, formats, store
from dedup.changes import Rules
from dedup.config import Settings
from dedup.errors import RecipeChangedError
from dedup.matching.thresholds import Matching
from dedup.store import Database
from dedup.text.normalise import fold

URLS = "recipe.urls"
MATCHES = "recipe.matches"
PUBLISHERS = "recipe.publishers"
CHANGES = "recipe.changes"
READINGS = "recipe.readings"
FAULTS = "recipe.faults"
"""Names of the stored recipes in the table `settings`."""

Step = Literal["urls", "matches", "changes", "readings"]
"""The step of `dedup reindex` that applies a recipe to what is recorded."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stored recipe: the settings that it is made of, for people, and what applies it."""

    name: str
    what: str
    step: Step
    of: Callable[[Settings], str]


@dataclass(frozen=True, slots=True)
class Effect:
    """What changing a key means.

    `free`: it takes effect at once, and nothing that is recorded depends on it. `scan`: the next scan applies it. `reindex`: `scan`
    and `watch` refuse until `dedup reindex` applied it; `recipe` names the stored recipe. `why` is a sentence for people.
    """

    kind: Literal["free", "scan", "reindex"]
    why: str
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """A recipe that the database was not written with."""

    recipe: Recipe
    stored: str
    configured: str

    @property
    def remedy(self) -> str:
        """The command that applies it."""
        return "dedup reindex" if self.recipe.step == "matches" else f"dedup reindex --{self.recipe.step}"


def rules_of(settings: Settings) -> Rules:
    """How changes are judged, by the configuration."""
    c = settings.changes
    words = (tuple(fold(word) for word in some) for some in (c.corrections, c.failures))
    return Rules(c.rewrite_similarity, c.stub_share, c.typo_edits, *words)


def _publishers(settings: Settings) -> str:
    return "publishers/" + _digest([a.model_dump() for a in settings.publishers.aliases])


def _readings(settings: Settings) -> str:
    zones = f"published={settings.time.published_at}/crawled={settings.time.crawled_at}"
    return f"read{formats.VERSION}/{zones}/integrity={_digest(list(settings.integrity.recipes))}"


def faults_recipe(settings: Settings) -> str:
    """What decides whether a file can be read as an article, the program's version included. A file that could not be read is read
    again when it changes."""
    return f"dedup{__version__}/{_readings(settings)}/{settings.urls.canonicaliser().recipe}"


def _digest(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass"))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(URLS, "the rules of [urls]", "urls", lambda s: s.urls.canonicaliser().recipe),
        Recipe(MATCHES, "the settings of [duplicates]", "matches", lambda s: Matching(s.duplicates).recipe),
        Recipe(PUBLISHERS, "the aliases of [publishers]", "matches", _publishers),
        Recipe(CHANGES, "the settings of [changes]", "changes", lambda s: rules_of(s).recipe),
        Recipe(READINGS, "the settings of [time] or [integrity], or the program that reads files,", "readings", _readings),
    )
}
"""Every stored recipe for which `scan` can refuse, in the order in which they are applied."""


_SCHEDULE = Effect("free", "decides when and how files are read, not what they say")
_SIGNED = Effect("reindex", "signatures and matches are made with it", MATCHES)
_ADDRESSES = Effect("reindex", "decides which page a crawl belongs to", URLS)
_JUDGED = Effect("reindex", "changes are judged by it", CHANGES)
_READ = Effect("reindex", "what files say is read by it", READINGS)
_INCIDENTS = Effect("free", "alerts of new changes are gathered by it")
_RETENTION = Effect("free", "'dedup prune' applies it when it is run")
_SERVING = Effect("free", "nothing is recorded of it")
_ALERTS = Effect("free", "alerts of new events are made and sent by it")

EFFECTS: dict[str, Effect] = {
    "crawl.directories": Effect("scan", "files of a directory that is not configured stay as they are; see 'dedup roots'"),
    "crawl.patterns": Effect("scan", "files that match no pattern any more are marked as gone, and files that match now are recorded"),
    "crawl.settle_seconds": _SCHEDULE,
    "crawl.unprobed_settle_seconds": _SCHEDULE,
    "crawl.scan_interval_seconds": _SCHEDULE,
    "crawl.max_file_bytes": Effect("scan", "files above the limit become faults, and files that are now below it are read"),
    "crawl.workers": _SCHEDULE,
    "time.published_at": _READ,
    "time.crawled_at": _READ,
    "integrity.recipes": _READ,
    "duplicates.threshold": _SIGNED,
    "duplicates.min_characters": _SIGNED,
    "duplicates.num_perm": _SIGNED,
    "duplicates.passages": _SIGNED,
    "duplicates.copy_coverage": _SIGNED,
    "duplicates.copy_characters": _SIGNED,
    "duplicates.copy_unquoted": _SIGNED,
    "duplicates.excerpt_coverage": _SIGNED,
    "duplicates.excerpt_characters": _SIGNED,
    "duplicates.excerpt_passage": _SIGNED,
    "duplicates.long_excerpt_characters": _SIGNED,
    "duplicates.long_excerpt_passage": _SIGNED,
    "duplicates.quote_share": _SIGNED,
    "duplicates.boilerplate_articles": _SIGNED,
    "changes.rewrite_similarity": _JUDGED,
    "changes.stub_share": _JUDGED,
    "changes.typo_edits": _JUDGED,
    "changes.corrections": _JUDGED,
    "changes.failures": _JUDGED,
    "changes.incident_pages": _INCIDENTS,
    "changes.incident_hours": _INCIDENTS,
    "publishers.aliases": Effect("reindex", "boilerplate is learned and left out by publisher", PUBLISHERS),
    "urls.from_ids": _ADDRESSES,
    "urls.tracking": _ADDRESSES,
    "urls.rules": _ADDRESSES,
    "history.keep": _RETENTION,
    "history.days": _RETENTION,
    "search.index": Effect("free", "the search index is derived; it is filled or left as it is"),
    "database.path": Effect("free", "it names another database"),
    "metrics.listen": _SERVING,
    "web.enabled": _SERVING,
    "web.listen": _SERVING,
    "web.token": _SERVING,
    "web.hosts": _SERVING,
    "delivery.language": _ALERTS,
    "delivery.zone": _ALERTS,
    "delivery.gather_seconds": _ALERTS,
    "delivery.retry_seconds": _ALERTS,
    "delivery.most_retry_seconds": _ALERTS,
    "delivery.give_up_hours": _ALERTS,
    "delivery.timeout_seconds": _ALERTS,
    "alerts": _ALERTS,
    "channels": _ALERTS,
}
"""Configuration key → what changing it means. Every key has a row."""


def configured(settings: Settings, names: Iterable[str] = tuple(RECIPES)) -> dict[str, str]:
    """Name of a stored recipe → the recipe of the configuration, in the order of `RECIPES`."""
    wanted = set(names)
    return {name: recipe.of(settings) for name, recipe in RECIPES.items() if name in wanted}


def pending(database: Database, recipes: Mapping[str, str]) -> list[Pending]:
    """Those of the recipes (as `configured` gives them) that the database was not written with. One that the database does not know
    yet is not among them."""
    found = []
    for name, now in recipes.items():
        stored = store.settings.get(database, name)
        if stored is not None and stored != now:
            found.append(Pending(RECIPES[name], stored, now))
    return found


def require(database: Database, recipes: Mapping[str, str]) -> None:
    """Raise RecipeChangedError where the database was written with other recipes than these."""
    found = pending(database, recipes)
    if not found:
        return
    what = " and ".join(p.recipe.what for p in found)
    remedies = {p.remedy for p in found}
    raise RecipeChangedError(
        what=what[0].upper() + what[1:],
        stored=", ".join(p.stored for p in found),
        configured=", ".join(p.configured for p in found),
        remedy=remedies.pop() if len(remedies) == 1 else "dedup reindex",
    )
