"""`config.toml` → `Settings`: what is configured, checked, and where each value came from."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dedup.errors import ConfigError, ConfigFileError
from dedup.files.protected import ProtectedFiles
from dedup.model import AlertTopic, Language, Severity
from dedup.rules import EVENT_KINDS, AlertPolicy, AlertRule, Schedule
from dedup.text.digests import RECIPES
from dedup.text.publishers import Publisher, PublisherResolver
from dedup.text.urls import Canonicaliser


def _validate_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write one like 'Asia/Seoul' or 'UTC'") from None
    return name


def _validate_recipe(name: str) -> str:
    if name not in RECIPES:
        suggestions = difflib.get_close_matches(name, RECIPES, 1, 0.4)
        raise ValueError(
            f"{name!r} is no recipe" + (f"; did you mean {suggestions[0]!r}?" if suggestions else f"; known are {', '.join(RECIPES)}")
        )
    return name


def env_variable_name(value: str) -> str | None:
    """The environment variable that a value of the configuration names ("env:NAME"); None for a literal value."""
    match = re.fullmatch(r"env:([A-Za-z_][A-Za-z0-9_]*)", value)
    return match[1] if match else None


def _validate_secret(value: str) -> str:
    """A literal value, or the name of an environment variable. What looks like such a name and is none is refused: as a literal it would
    sign messages, or be the password, without anybody noticing."""
    if re.match(r"\s*env\s*:", value, re.IGNORECASE) and env_variable_name(value) is None:
        raise ValueError(
            "names no environment variable; write 'env:NAME' with a NAME of ASCII letters, digits and '_' that does not begin with a digit"
        )
    return value


_Secret = Annotated[str, AfterValidator(_validate_secret)]
"""A value that may be a secret, or name the environment variable that holds it."""


class _ConfigSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CrawlConfig(_ConfigSection):
    """`[crawl]`"""

    directories: tuple[str, ...] = ()
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = ("*.md",)
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 2.0
    unprobed_settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    scan_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    max_file_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 10_000_000
    workers: Annotated[int, Field(ge=0, le=64)] = 0


class TimeConfig(_ConfigSection):
    """`[time]`"""

    published_at: Annotated[str, AfterValidator(_validate_zone)] = "Asia/Seoul"
    crawled_at: Annotated[str, AfterValidator(_validate_zone)] = "UTC"


class IntegrityConfig(_ConfigSection):
    """`[integrity]`"""

    recipes: Annotated[tuple[Annotated[str, AfterValidator(_validate_recipe)], ...], Field(min_length=1)] = tuple(RECIPES)


_Share = Annotated[float, Field(ge=0, le=1)]
_Characters = Annotated[int, Field(ge=20, le=100_000)]


class DuplicatesConfig(_ConfigSection):
    """`[duplicates]`"""

    threshold: Annotated[float, Field(ge=0.3, le=1)] = 0.7
    min_characters: Annotated[int, Field(ge=5, le=100_000)] = 80
    num_perm: Annotated[int, Field(ge=16, le=1024)] = 128
    passages: bool = True
    copy_coverage: _Share = 0.5
    copy_characters: _Characters = 100
    copy_unquoted: _Share = 0.1
    excerpt_coverage: _Share = 0.25
    excerpt_characters: _Characters = 80
    excerpt_passage: _Characters = 50
    long_excerpt_characters: _Characters = 150
    long_excerpt_passage: _Characters = 80
    quote_share: _Share = 0.9
    boilerplate_articles: Annotated[int, Field(ge=0, le=17)] = 5


def _validate_name(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be empty: it would claim every article that has none")
    return name


_Name = Annotated[str, AfterValidator(_validate_name)]


def _validate_word(word: str) -> str:
    if not any(c.isalnum() for c in word):
        raise ValueError("has no letter or digit: it would be found everywhere")
    return word


_Word = Annotated[str, AfterValidator(_validate_word)]


class ChangesConfig(_ConfigSection):
    """`[changes]`"""

    rewrite_similarity: _Share = 0.5
    stub_share: _Share = 0.2
    typo_edits: Annotated[int, Field(ge=0, le=100)] = 3
    correction_phrases: tuple[_Word, ...] = (
        "수정", "정정", "정정합니다", "바로잡습니다", "바로잡았습니다", "알려드립니다", "정정보도", "반론보도",
        "correction", "corrected", "updated", "update", "editor's note", "clarification",
    )  # fmt: skip
    placeholder_phrases: tuple[_Word, ...] = (
        "content not found", "page not found", "article not found", "404 not found", "not found", "access denied", "403 forbidden",
        "service unavailable", "bad gateway", "internal server error", "this page is no longer available",
        "this article has been removed", "this story has been removed",
        "페이지를 찾을 수 없습니다", "존재하지 않는 기사", "존재하지 않는 페이지",
        "기사를 찾을 수 없습니다",
        "삭제된 기사", "기사가 삭제", "삭제되었습니다", "삭제 되었습니다",
        "서비스가 종료", "접근이 제한", "열람할 수 없습니다",
        "요청에 의해 삭제", "요청으로 삭제", "서비스 점검", "잘못된 접근",
    )  # fmt: skip
    incident_pages: Annotated[int, Field(ge=2, le=100_000)] = 5
    incident_hours: Annotated[float, Field(gt=0, le=8784)] = 24.0


class PublisherAliasConfig(_ConfigSection):
    """`[[publishers.aliases]]`"""

    name: _Name
    names: tuple[_Name, ...] = ()
    oids: tuple[_Name, ...] = ()
    hosts: tuple[_Name, ...] = ()


class PublishersConfig(_ConfigSection):
    """`[publishers]`"""

    aliases: tuple[PublisherAliasConfig, ...] = ()

    def build_publishers(self) -> PublisherResolver:
        """What finds an article's house; raises ValueError where two aliases claim the same."""
        return PublisherResolver(Publisher(a.name, a.names, a.oids, a.hosts) for a in self.aliases)


class UrlRuleConfig(_ConfigSection):
    """`[[urls.rules]]`"""

    pattern: str
    template: str


NAVER_URL_TEMPLATE = "https://n.news.naver.com/mnews/article/{oid}/{aid}"
_NAVER_PATTERNS = (
    "n.news.naver.com/mnews/article/{oid:d}/{aid:d}",
    "n.news.naver.com/article/{oid:d}/{aid:d}",
    "m.news.naver.com/article/{oid:d}/{aid:d}",
    "news.naver.com/article/{oid:d}/{aid:d}",
    "news.naver.com/main/read.naver?oid={oid:d}&aid={aid:d}",
    "news.naver.com/main/read.nhn?oid={oid:d}&aid={aid:d}",
    "m.news.naver.com/read.naver?oid={oid:d}&aid={aid:d}",
    "m.news.naver.com/read.nhn?oid={oid:d}&aid={aid:d}",
    "finance.naver.com/news/news_read.naver?office_id={oid:d}&article_id={aid:d}",
    "finance.naver.com/news/news_read.nhn?office_id={oid:d}&article_id={aid:d}",
)


class UrlsConfig(_ConfigSection):
    """`[urls]`"""

    from_ids: str = NAVER_URL_TEMPLATE
    tracking: tuple[str, ...] = (
        "utm_*",
        "fbclid",
        "gclid",
        "dclid",
        "msclkid",
        "igshid",
        "mc_cid",
        "mc_eid",
        "yclid",
        "_ga",
    )
    rules: tuple[UrlRuleConfig, ...] = tuple(UrlRuleConfig(pattern=p, template=NAVER_URL_TEMPLATE) for p in _NAVER_PATTERNS)

    def build_canonicaliser(self) -> Canonicaliser:
        """The rules compiled; raises ValueError for a bad one."""
        return Canonicaliser([(r.pattern, r.template) for r in self.rules], self.tracking, self.from_ids)


KEEPABLE_STATES = ("first", "last")
"""States of a page that `[history] keep` can name."""


def _validate_keep(value: Any) -> Any:
    if value == "all" or (isinstance(value, tuple) and value and all(rule in KEEPABLE_STATES for rule in value)):
        return value
    raise ValueError(f"must be 'all', or a list of any of {', '.join(map(repr, KEEPABLE_STATES))}")


class HistoryConfig(_ConfigSection):
    """`[history]`"""

    keep: Annotated[str | tuple[str, ...], BeforeValidator(_validate_keep)] = "all"
    days: Annotated[int, Field(ge=0, le=36_500)] = 365


class SearchConfig(_ConfigSection):
    """`[search]`"""

    index: bool = True


class DatabaseConfig(_ConfigSection):
    """`[database]`"""

    path: Annotated[str, Field(min_length=1)] = "dedup.db"


def _validate_address(listen: str) -> str:
    address, colon, port = listen.rpartition(":")
    if listen and not (colon and address and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("is no address and port; write one like '127.0.0.1:9464', or '' for none")
    return listen


class MetricsConfig(_ConfigSection):
    """`[metrics]`"""

    listen: Annotated[str, AfterValidator(_validate_address)] = ""


def _validate_listen_address(listen: str) -> str:
    if not listen:
        raise ValueError("must not be empty; write one like '127.0.0.1:8765'")
    return _validate_address(listen)


class WebConfig(_ConfigSection):
    """`[web]`"""

    enabled: bool = False
    listen: Annotated[str, AfterValidator(_validate_listen_address)] = "127.0.0.1:8765"
    token: _Secret = ""
    hosts: tuple[_Name, ...] = ()


def _validate_time_of_day(text: str) -> str:
    if not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("is not a time of day; write one like '08:00'")
    return text


def _validate_kind(name: str) -> str:
    all_kinds = sorted({kind for kinds in EVENT_KINDS.values() for kind in kinds})
    if name not in all_kinds:
        suggestions = difflib.get_close_matches(name, all_kinds, 1, 0.4)
        raise ValueError(
            f"{name!r} is no kind" + (f"; did you mean {suggestions[0]!r}?" if suggestions else f"; known are {', '.join(all_kinds)}")
        )
    return name


_Kind = Annotated[str, AfterValidator(_validate_kind)]
_TimeOfDay = Annotated[str, AfterValidator(_validate_time_of_day)]
_Part = Literal["title", "body", "author", "publisher", "category", "published_at"]
PARTS: tuple[_Part, ...] = get_args(_Part)
"""What of an article can differ."""


class AlertRuleConfig(_ConfigSection):
    """`[[alerts]]`"""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    on: Annotated[tuple[AlertTopic, ...], Field(min_length=1)]
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    kinds: tuple[_Kind, ...] = ()
    min_severity: Severity = "minor"
    parts: tuple[_Part, ...] = ()
    publishers: tuple[_Name, ...] = ()
    urls: tuple[_Name, ...] = ()
    silent: bool | None = None
    min_similarity: _Share = 0.0
    across_publishers: bool = False
    min_size: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["at once", "hourly", "daily"] = "at once"
    at: _TimeOfDay = "08:00"
    zone: Annotated[str, AfterValidator(lambda name: _validate_zone(name) if name else name)] = ""
    quiet_hours: tuple[_TimeOfDay, ...] = ()
    max_per_hour: Annotated[int, Field(ge=0, le=10_000)] = 30

    def to_rule(self, default_zone: str) -> AlertRule:
        """The rule as it is applied; `zone` is that of those that name none."""
        quiet_hours = (time.fromisoformat(self.quiet_hours[0]), time.fromisoformat(self.quiet_hours[1])) if self.quiet_hours else None
        return AlertRule(
            name=self.name, on=self.on, to=tuple(dict.fromkeys(self.to)), kinds=self.kinds, min_severity=self.min_severity,
            parts=self.parts, publishers=self.publishers, urls=self.urls, silent=self.silent, min_similarity=self.min_similarity,
            across_publishers=self.across_publishers, min_size=self.min_size,
            schedule=Schedule(
                self.schedule, time.fromisoformat(self.at), ZoneInfo(self.zone or default_zone), quiet_hours, self.max_per_hour
            ),
        )  # fmt: skip


class ChannelConfig(_ConfigSection):
    """`[channels.NAME]`"""

    kind: Literal["apprise", "webhook", "command", "atom", "log"]
    url: _Secret = ""
    secret: _Secret = ""
    command: tuple[str, ...] = ()
    path: str = ""
    entries: Annotated[int, Field(ge=1, le=10_000)] = 200

    def to_masked_dict(self) -> dict[str, Any]:
        """What of it may be shown: where secrets are, or might be, only that there is something."""
        return self.model_dump() | {key: mask_secret(getattr(self, key)) for key in SECRET_KEYS}


SECRET_KEYS = ("url", "secret")
"""Keys of a channel that are never shown, but for the environment variable that they name."""
_KEYS_BY_CHANNEL_KIND = {"apprise": ("url",), "webhook": ("url", "secret"), "command": ("command",), "atom": ("path", "entries"), "log": ()}


def mask_secret(value: str) -> str:
    """A value that is, or may hold, a secret: which environment variable has it, or which service it is for."""
    if not value or env_variable_name(value) is not None:
        return value
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", value)
    return (scheme[0] if scheme else "") + "***"


class DeliveryConfig(_ConfigSection):
    """`[delivery]`"""

    language: Language = "ko"
    zone: Annotated[str, AfterValidator(_validate_zone)] = "Asia/Seoul"
    gather_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    retry_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    max_retry_seconds: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    give_up_hours: Annotated[float, Field(gt=0, le=8760)] = 72.0
    timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0


class Settings(_ConfigSection):
    """All of `config.toml`; paths are absolute once loaded."""

    crawl: CrawlConfig = CrawlConfig()
    time: TimeConfig = TimeConfig()
    integrity: IntegrityConfig = IntegrityConfig()
    duplicates: DuplicatesConfig = DuplicatesConfig()
    changes: ChangesConfig = ChangesConfig()
    publishers: PublishersConfig = PublishersConfig()
    urls: UrlsConfig = UrlsConfig()
    history: HistoryConfig = HistoryConfig()
    search: SearchConfig = SearchConfig()
    database: DatabaseConfig = DatabaseConfig()
    metrics: MetricsConfig = MetricsConfig()
    web: WebConfig = WebConfig()
    delivery: DeliveryConfig = DeliveryConfig()
    alerts: tuple[AlertRuleConfig, ...] = ()
    channels: dict[str, ChannelConfig] = Field(default_factory=dict)

    def alert_policy(self) -> AlertPolicy:
        """The rules as they are applied."""
        return AlertPolicy(
            tuple(rule.to_rule(self.delivery.zone) for rule in self.alerts),
            self.changes.incident_pages,
            self.changes.incident_hours,
            self.delivery.gather_seconds,
        )

    def protected_paths(self, known_directories: Iterable[bytes] = (), file: str | os.PathLike[str] | None = None) -> ProtectedFiles:
        """What nothing may be written to: beside what is configured, crawl directories that are `known_directories` to the database, and
        the configuration `file`."""
        directories = (*self.crawl.directories, *map(os.fsdecode, known_directories))
        return ProtectedFiles(self.database.path, tuple(dict.fromkeys(directories)), None if file is None else os.fspath(file))


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """`settings` in force; `file` they were read from (None: defaults alone); `origins`: dotted key → where it came from."""

    settings: Settings
    file: Path | None
    origins: dict[str, str]


def find_config_file(explicit: str | None) -> Path | None:
    """The configuration file to use: the one asked for, ./config.toml, or the user's own. None if there is none."""
    if explicit is not None:
        if not Path(explicit).is_file():
            raise ConfigFileError(file=explicit, problem="there is no such file")
        return Path(explicit)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    for path in (Path("config.toml"), Path(home) / "dedup" / "config.toml"):
        if path.is_file():
            return path
    return None


def load(explicit: str | None = None, *, directories: tuple[str, ...] = (), database: str | None = None) -> LoadedSettings:
    """Settings from the configuration file in force, with what the command line says put over them.

    Relative paths count from the configuration file; those of the command line, and the defaults where there is no file,
    from the current directory. Raises ConfigError or ConfigFileError (exit code 2).
    """
    file = find_config_file(explicit)
    table = _read_toml(file) if file else {}
    base = file.absolute().parent if file else Path.cwd()
    settings = _validate_table(table, str(file))
    origins = {key: str(file) if _is_set(table, key) else "default" for key, _ in flatten(settings)}
    channels = {
        name: channel.model_copy(update={"path": os.path.abspath(base / os.path.expanduser(channel.path))}) if channel.path else channel
        for name, channel in settings.channels.items()
    }
    crawl = settings.crawl.model_copy(
        update={"directories": tuple(os.path.abspath(base / os.path.expanduser(d)) for d in settings.crawl.directories)}
    )
    path = settings.database.path
    database_config = _make_database_config(base / os.path.expanduser(path))
    if directories:
        crawl = crawl.model_copy(update={"directories": tuple(os.path.abspath(d) for d in directories)})
        origins["crawl.directories"] = "command line"
    if database is not None:
        database_config = _make_database_config(database)
        origins["database.path"] = "command line"
    effective_settings = settings.model_copy(update={"crawl": crawl, "database": database_config, "channels": channels})
    _check_channel_paths(effective_settings, file)
    return LoadedSettings(effective_settings, file, origins)


def _check_channel_paths(settings: Settings, file: Path | None) -> None:
    """Raise ConfigError for a channel whose file would be one that must never be written to."""
    protected = settings.protected_paths(file=file)
    for name, channel in settings.channels.items():
        if channel.path and (problem := protected.find_problem(channel.path)):
            raise ConfigError(file=file, key=f"channels.{name}.path", problem=f"{channel.path} cannot be written: {problem}")


def _make_database_config(path: str | Path) -> DatabaseConfig:
    """A path from the command line or the file system may hold bytes that are not UTF-8, which checking would refuse."""
    return DatabaseConfig.model_construct(path=os.path.abspath(path))


def flatten(settings: Settings) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every setting, in the order of the shipped file; what is made of tables that users name or add
    (`alerts`, `channels`) has one key."""
    for section, model in settings:
        if isinstance(model, _ConfigSection):
            for key, value in model:
                yield f"{section}.{key}", value
        else:
            yield section, model


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(file=file, problem=f"is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(file=file, problem=f"cannot be read: {error}") from error


def _is_set(table: dict[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    return name in table.get(section, {}) if name else section in table


def _validate_table(table: dict[str, Any], file: str) -> Settings:
    try:
        settings = Settings.model_validate(_lists_to_tuples(table))
    except ValidationError as error:
        first_error = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise ConfigError(file=file, key=_format_location(first_error["loc"]), problem=_format_error(first_error)) from None
    for key, paths in (("crawl.directories", settings.crawl.directories), ("database.path", (settings.database.path,))):
        if any("\0" in path for path in paths):
            raise ConfigError(file=file, key=key, problem="a path cannot hold a NUL character")
    for pattern in settings.crawl.patterns:
        if "/" in pattern:
            raise ConfigError(file=file, key="crawl.patterns", problem=f"{pattern!r} is matched against file names; leave folders out")
    try:
        settings.urls.build_canonicaliser()
    except ValueError as error:
        raise ConfigError(file=file, key="urls.rules", problem=str(error)) from None
    try:
        settings.publishers.build_publishers()
    except ValueError as error:
        raise ConfigError(file=file, key="publishers.aliases", problem=str(error)) from None
    _check_alerts(settings, file)
    if 0 < settings.duplicates.boilerplate_articles < 3:
        raise ConfigError(
            file=file, key="duplicates.boilerplate_articles", problem="must be 3 or more, or 0 to learn none: two articles are a copy"
        )
    from_ids = settings.urls.from_ids
    if from_ids and (
        set(re.findall(r"\{(.*?)\}", from_ids)) != {"oid", "aid"} or re.search(r"[{}]", re.sub(r"\{(oid|aid)\}", "", from_ids))
    ):
        raise ConfigError(file=file, key="urls.from_ids", problem="must hold {oid} and {aid}, and no other placeholder")
    return settings


def _check_alerts(settings: Settings, file: str) -> None:
    """What one key alone does not tell."""

    def config_error(key: str, problem: str) -> ConfigError:
        return ConfigError(file=file, key=key, problem=problem)

    for name, channel in settings.channels.items():
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise config_error("channels", f"{name!r} is no name of a channel; use letters, digits, '-' and '_'")
        used_keys = _KEYS_BY_CHANNEL_KIND[channel.kind]
        for key in ("url", "command", "path"):
            if key in used_keys and not getattr(channel, key):
                raise config_error(f"channels.{name}.{key}", f"is required: a channel of kind {channel.kind!r} sends there")
        for key in channel.model_fields_set - {"kind", *used_keys}:
            raise config_error(f"channels.{name}.{key}", f"says nothing to a channel of kind {channel.kind!r}")
        if channel.kind == "webhook" and not re.match(r"https?://|env:", channel.url):
            raise config_error(f"channels.{name}.url", "must begin with http:// or https://, or name an environment variable: 'env:NAME'")
        if any("\0" in value for value in (channel.path, *channel.command)):
            raise config_error(f"channels.{name}", "a path or an argument cannot hold a NUL character")
    names: set[str] = set()
    for n, rule in enumerate(settings.alerts):
        if rule.name in names:
            raise config_error(f"alerts.{n}.name", f"there is another rule called {rule.name!r}")
        names.add(rule.name)
        for to in rule.to:
            if to not in settings.channels:
                suggestions = difflib.get_close_matches(to, settings.channels, 1, 0.4)
                raise config_error(
                    f"alerts.{n}.to", f"there is no [channels.{to}]" + (f"; did you mean {suggestions[0]!r}?" if suggestions else "")
                )
        for kind in rule.kinds:
            if not any(kind in EVENT_KINDS[topic] for topic in rule.on):
                raise config_error(f"alerts.{n}.kinds", f"{kind!r} is no kind of {' or '.join(rule.on)}")
        if rule.quiet_hours and (len(rule.quiet_hours) != 2 or rule.quiet_hours[0] == rule.quiet_hours[1]):
            raise config_error(f"alerts.{n}.quiet_hours", "must be two different times of day, e.g. ['22:00', '07:00']")
    if settings.delivery.max_retry_seconds < settings.delivery.retry_seconds:
        raise config_error("delivery.max_retry_seconds", "must not be less than delivery.retry_seconds")


def _lists_to_tuples(value: Any) -> Any:
    """TOML arrays as tuples, and whole numbers where fractions are meant as they are: what strict checking wants."""
    if isinstance(value, dict):
        return {k: _lists_to_tuples(v) for k, v in value.items()}
    return tuple(_lists_to_tuples(v) for v in value) if isinstance(value, list) else value


def _format_location(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _format_error(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        suggestions = difflib.get_close_matches(str(error["loc"][-1]), _sibling_keys(error["loc"]), 1, 0.3)
        return "there is no such key" + (
            f"; did you mean {'.'.join([*map(str, error['loc'][:-1]), suggestions[0]])!r}?" if suggestions else ""
        )
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = re.sub(r"(?i)\btuple should have at least 1 item.*", "must have at least 1 item", message).replace("tuple", "list")
    if error["loc"][0] == "channels" or error["loc"][:2] == ("web", "token"):  # a secret may be in it
        return message
    value = list(error["input"]) if isinstance(error["input"], tuple) else error["input"]
    return message if repr(value) in message else f"{message} (it is {value!r})"


_TABLE_MODELS: dict[int | str, type[BaseModel]] = {
    "rules": UrlRuleConfig,
    "aliases": PublisherAliasConfig,
    "alerts": AlertRuleConfig,
    "channels": ChannelConfig,
}
"""Keys that hold tables of their own."""


def _sibling_keys(location: tuple[int | str, ...]) -> list[str]:
    """The names that could stand where an unknown one was found."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if part in _TABLE_MODELS:
            model = _TABLE_MODELS[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
