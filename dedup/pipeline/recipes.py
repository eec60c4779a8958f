"""Effects of changing a setting: one table with a row for every configuration key.

A setting that stored records depend on is part of a recipe, a string that the database stores. While a stored recipe differs from the
configured one, `scan` and `watch` refuse to run and name the remedy. All other settings take effect at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import xxhash

from dedup import __version__, formats, store
from dedup.changes.classify import ClassificationRules
from dedup.config import Settings
from dedup.errors import RecipeChangedError
from dedup.matching.thresholds import MatchCriteria
from dedup.store import Database
from dedup.text.normalise import fold

URLS = "recipe.urls"
MATCHES = "recipe.matches"
PUBLISHERS = "recipe.publishers"
CHANGES = "recipe.changes"
READINGS = "recipe.readings"
FAULTS = "recipe.faults"
"""Names of the stored recipes in the table `settings`."""

ReindexStep = Literal["urls", "matches", "changes", "readings"]
"""The step of `dedup reindex` that applies a changed recipe to the stored records."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stored recipe. `description` names its settings for people, `step` applies it, `compute` builds its string."""

    name: str
    description: str
    step: ReindexStep
    compute: Callable[[Settings], str]


@dataclass(frozen=True, slots=True)
class SettingEffect:
    """Effect of changing a configuration key.

    `immediate`: the change takes effect at once; no stored record depends on the key. `scan`: the next scan applies it. `reindex`: `scan`
    and `watch` refuse to run until `dedup reindex` has applied it; `recipe` names the stored recipe. `reason` is a clause for people.
    """

    kind: Literal["immediate", "scan", "reindex"]
    reason: str
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class PendingRecipe:
    """A configured recipe that differs from the stored one."""

    recipe: Recipe
    stored_value: str
    configured_value: str

    @property
    def remedy(self) -> str:
        """Return the command that applies the configured recipe."""
        return "dedup reindex" if self.recipe.step == "matches" else f"dedup reindex --{self.recipe.step}"


def build_change_rules(settings: Settings) -> ClassificationRules:
    """Build the rules of classification from the settings."""
    changes = settings.changes
    words = (tuple(fold(phrase) for phrase in phrases) for phrases in (changes.correction_phrases, changes.placeholder_phrases))
    return ClassificationRules(changes.rewrite_similarity, changes.stub_share, changes.typo_edits, *words)


def _publishers_recipe(settings: Settings) -> str:
    return "publishers/" + _digest_json([a.model_dump() for a in settings.publishers.aliases])


def _readings_recipe(settings: Settings) -> str:
    zones = f"published={settings.time.published_at}/crawled={settings.time.crawled_at}"
    return f"read{formats.READERS_VERSION}/{zones}/integrity={_digest_json(list(settings.integrity.recipes))}"


def faults_recipe(settings: Settings) -> str:
    """Return the recipe of whether a file can be read as an article; it includes the program's version. When it changes, files with faults
    are read again."""
    return f"dedup{__version__}/{_readings_recipe(settings)}/{settings.urls.build_canonicaliser().recipe}"


def _digest_json(value: object) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass"))


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(URLS, "the rules of [urls]", "urls", lambda s: s.urls.build_canonicaliser().recipe),
        Recipe(MATCHES, "the settings of [duplicates]", "matches", lambda s: MatchCriteria(s.duplicates).recipe),
        Recipe(PUBLISHERS, "the aliases of [publishers]", "matches", _publishers_recipe),
        Recipe(CHANGES, "the settings of [changes]", "changes", lambda s: build_change_rules(s).recipe),
        Recipe(READINGS, "the settings of [time] or [integrity], or the program that reads files,", "readings", _readings_recipe),
    )
}
"""Every stored recipe that can make `scan` refuse to run, by name, in the order of application."""


_READ_SCHEDULE = SettingEffect("immediate", "decides when and how files are read, not how they are interpreted")
_MATCHING = SettingEffect("reindex", "signatures and matches depend on it", MATCHES)
_PAGE_URLS = SettingEffect("reindex", "decides which page a crawl belongs to", URLS)
_CLASSIFICATION = SettingEffect("reindex", "classifications of changes depend on it", CHANGES)
_PARSING = SettingEffect("reindex", "the interpretation of files depends on it", READINGS)
_INCIDENTS = SettingEffect("immediate", "it groups alerts about new changes")
_RETENTION = SettingEffect("immediate", "'dedup prune' applies it")
_SERVING = SettingEffect("immediate", "no stored record depends on it")
_ALERTS = SettingEffect("immediate", "alerts about new events are raised and sent by it")

SETTING_EFFECTS: dict[str, SettingEffect] = {
    "crawl.directories": SettingEffect(
        "scan", "files of a directory that is no longer configured stay as they are; see 'dedup directories'"
    ),
    "crawl.patterns": SettingEffect("scan", "files that no longer match are marked as gone, and files that match now are recorded"),
    "crawl.settle_seconds": _READ_SCHEDULE,
    "crawl.unprobed_settle_seconds": _READ_SCHEDULE,
    "crawl.scan_interval_seconds": _READ_SCHEDULE,
    "crawl.max_file_bytes": SettingEffect("scan", "files above the limit become faults, and files that are now below it are read"),
    "crawl.workers": _READ_SCHEDULE,
    "time.published_at": _PARSING,
    "time.crawled_at": _PARSING,
    "integrity.recipes": _PARSING,
    "duplicates.threshold": _MATCHING,
    "duplicates.min_characters": _MATCHING,
    "duplicates.num_perm": _MATCHING,
    "duplicates.passages": _MATCHING,
    "duplicates.copy_coverage": _MATCHING,
    "duplicates.copy_characters": _MATCHING,
    "duplicates.copy_unquoted": _MATCHING,
    "duplicates.excerpt_coverage": _MATCHING,
    "duplicates.excerpt_characters": _MATCHING,
    "duplicates.excerpt_passage": _MATCHING,
    "duplicates.long_excerpt_characters": _MATCHING,
    "duplicates.long_excerpt_passage": _MATCHING,
    "duplicates.quote_share": _MATCHING,
    "duplicates.boilerplate_articles": _MATCHING,
    "changes.rewrite_similarity": _CLASSIFICATION,
    "changes.stub_share": _CLASSIFICATION,
    "changes.typo_edits": _CLASSIFICATION,
    "changes.correction_phrases": _CLASSIFICATION,
    "changes.placeholder_phrases": _CLASSIFICATION,
    "changes.incident_pages": _INCIDENTS,
    "changes.incident_hours": _INCIDENTS,
    "publishers.aliases": SettingEffect("reindex", "boilerplate is learned and masked by publisher", PUBLISHERS),
    "urls.from_ids": _PAGE_URLS,
    "urls.tracking": _PAGE_URLS,
    "urls.rules": _PAGE_URLS,
    "history.keep": _RETENTION,
    "history.days": _RETENTION,
    "search.index": SettingEffect("immediate", "the search index is derived: it is updated or left as it is"),
    "database.path": SettingEffect("immediate", "it names another database"),
    "metrics.listen": _SERVING,
    "web.enabled": _SERVING,
    "web.listen": _SERVING,
    "web.token": _SERVING,
    "web.hosts": _SERVING,
    "delivery.language": _ALERTS,
    "delivery.zone": _ALERTS,
    "delivery.gather_seconds": _ALERTS,
    "delivery.retry_seconds": _ALERTS,
    "delivery.max_retry_seconds": _ALERTS,
    "delivery.give_up_hours": _ALERTS,
    "delivery.timeout_seconds": _ALERTS,
    "alerts": _ALERTS,
    "channels": _ALERTS,
}
"""Configuration key → effect of changing it. Every key has a row."""


def configured_recipes(settings: Settings, names: Iterable[str] = tuple(RECIPES)) -> dict[str, str]:
    """Return name → configured recipe, for the named recipes, in the order of `RECIPES`."""
    selected_names = set(names)
    return {name: recipe.compute(settings) for name, recipe in RECIPES.items() if name in selected_names}


def find_pending_recipes(database: Database, recipes: Mapping[str, str]) -> list[PendingRecipe]:
    """Return the recipes (as `configured_recipes` returns them) that differ from the stored ones. A recipe without a stored value does not
    differ."""
    pending_recipes = []
    for name, recipe in recipes.items():
        stored_recipe = store.settings.get(database, name)
        if stored_recipe is not None and stored_recipe != recipe:
            pending_recipes.append(PendingRecipe(RECIPES[name], stored_recipe, recipe))
    return pending_recipes


def require_recipes(database: Database, recipes: Mapping[str, str]) -> None:
    """Raise RecipeChangedError if the stored recipes differ from these."""
    pending_recipes = find_pending_recipes(database, recipes)
    if not pending_recipes:
        return
    description = " and ".join(p.recipe.description for p in pending_recipes)
    remedies = {p.remedy for p in pending_recipes}
    raise RecipeChangedError(
        settings=description[0].upper() + description[1:],
        stored=", ".join(p.stored_value for p in pending_recipes),
        configured=", ".join(p.configured_value for p in pending_recipes),
        remedy=remedies.pop() if len(remedies) == 1 else "dedup reindex",
    )
