"""Rules of the configuration that span several keys, or that a type of pydantic cannot express. Each raises ConfigError."""

from __future__ import annotations

import re

from dedup.config.model import KEYS_BY_CHANNEL_KIND, AlertRuleConfig, ChannelConfig, Settings
from dedup.config.values import suggest
from dedup.errors import ConfigError
from dedup.rules import EVENT_KINDS


class SettingsChecker:
    """Checks the settings of one file; `file` is only named in the errors."""

    def __init__(self, settings: Settings, file: str) -> None:
        self._settings, self._file = settings, file

    def check(self) -> None:
        """Raise ConfigError for the first problem."""
        self._check_paths()
        self._check_tables()
        for name, channel in self._settings.channels.items():
            self._check_channel(name, channel)
        names: set[str] = set()
        for n, rule in enumerate(self._settings.alerts):
            if rule.name in names:
                raise self._error(f"alerts.{n}.name", f"there is another rule called {rule.name!r}")
            names.add(rule.name)
            self._check_rule(f"alerts.{n}", rule)
        self._check_numbers()
        self._check_from_ids()

    def _error(self, key: str, problem: str) -> ConfigError:
        return ConfigError(file=self._file, key=key, problem=problem)

    def _check_paths(self) -> None:
        settings = self._settings
        for key, paths in (("crawl.directories", settings.crawl.directories), ("database.path", (settings.database.path,))):
            if any("\0" in path for path in paths):
                raise self._error(key, "a path cannot contain a NUL character")
        for pattern in settings.crawl.patterns:
            if "/" in pattern:
                raise self._error("crawl.patterns", f"{pattern!r} is matched against file names; leave folders out")

    def _check_tables(self) -> None:
        """Check `[[urls.rules]]` and `[[publishers.aliases]]` by building from them what the program uses."""
        try:
            self._settings.urls.build_canonicaliser()
        except ValueError as error:
            raise self._error("urls.rules", str(error)) from None
        try:
            self._settings.publishers.build_publishers()
        except ValueError as error:
            raise self._error("publishers.aliases", str(error)) from None

    def _check_channel(self, name: str, channel: ChannelConfig) -> None:
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise self._error("channels", f"{name!r} is not a valid channel name; use at most 64 letters, digits, '-' and '_'")
        used_keys = KEYS_BY_CHANNEL_KIND[channel.kind]
        for key in ("url", "command", "path"):
            if key in used_keys and not getattr(channel, key):
                raise self._error(f"channels.{name}.{key}", f"is required by channels of kind {channel.kind!r}")
        for key in channel.model_fields_set - {"kind", *used_keys}:
            raise self._error(f"channels.{name}.{key}", f"is not used by channels of kind {channel.kind!r}; remove it")
        if channel.kind == "webhook" and not re.match(r"https?://|env:", channel.url):
            raise self._error(f"channels.{name}.url", "must begin with http:// or https://, or name an environment variable: 'env:NAME'")
        if any("\0" in value for value in (channel.path, *channel.command)):
            raise self._error(f"channels.{name}", "a path or an argument cannot contain a NUL character")

    def _check_rule(self, key: str, rule: AlertRuleConfig) -> None:
        for channel in rule.to:
            if channel not in self._settings.channels:
                suggestion = suggest(channel, list(self._settings.channels), 0.4)
                hint = f"; did you mean {suggestion!r}?" if suggestion else ""
                raise self._error(f"{key}.to", f"there is no [channels.{channel}]{hint}")
        for kind in rule.kinds:
            if not any(kind in EVENT_KINDS[topic] for topic in rule.on):
                raise self._error(f"{key}.kinds", f"{kind!r} is not a kind of {' or '.join(rule.on)}")
        if rule.quiet_hours and (len(rule.quiet_hours) != 2 or rule.quiet_hours[0] == rule.quiet_hours[1]):
            raise self._error(f"{key}.quiet_hours", "must be two different times of day, e.g. ['22:00', '07:00']")

    def _check_numbers(self) -> None:
        delivery = self._settings.delivery
        if delivery.max_retry_seconds < delivery.retry_seconds:
            raise self._error("delivery.max_retry_seconds", "must not be less than delivery.retry_seconds")
        if 0 < self._settings.duplicates.boilerplate_articles < 3:
            raise self._error(
                "duplicates.boilerplate_articles", "must be 3 or more, or 0 for no boilerplate: a passage in two articles is a copy"
            )

    def _check_from_ids(self) -> None:
        from_ids = self._settings.urls.from_ids
        if from_ids and (
            set(re.findall(r"\{(.*?)\}", from_ids)) != {"oid", "aid"} or re.search(r"[{}]", re.sub(r"\{(oid|aid)\}", "", from_ids))
        ):
            raise self._error("urls.from_ids", "must contain {oid} and {aid}, and no other placeholder")
