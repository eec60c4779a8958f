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
from dedup.files.protected import Protected
from dedup.model import Language, Severity, Topic
from dedup.rules import KINDS, Alerting, Rhythm, Rule
from dedup.text.digests import RECIPES
from dedup.text.publishers import House, Publishers
from dedup.text.urls import Canonicaliser


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("is not a time zone; write one like 'Asia/Seoul' or 'UTC'") from None
    return name


def _recipe(name: str) -> str:
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1, 0.4)
        raise ValueError(f"{name!r} is no recipe" + (f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(RECIPES)}"))
    return name


def variable(value: str) -> str | None:
    """The environment variable that a value of the configuration names ("env:NAME"); None for a literal value."""
    named = re.fullmatch(r"env:([A-Za-z_][A-Za-z0-9_]*)", value)
    return named[1] if named else None


def _secret(value: str) -> str:
    """A literal value, or the name of an environment variable. What looks like such a name and is none is refused: as a literal it would
    sign messages, or be the password, without anybody noticing."""
    if re.match(r"\s*env\s*:", value, re.IGNORECASE) and variable(value) is None:
        raise ValueError(
            "names no environment variable; write 'env:NAME' with a NAME of ASCII letters, digits and '_' that does not begin with a digit"
        )
    return value


_Secret = Annotated[str, AfterValidator(_secret)]
"""A value that may be a secret, or name the environment variable that holds it."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Crawl(_Section):
    """`[crawl]`"""

    directories: tuple[str, ...] = ()
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = ("*.md",)
    settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 2.0
    unprobed_settle_seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    scan_interval_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    max_file_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 10_000_000
    workers: Annotated[int, Field(ge=0, le=64)] = 0


class Time(_Section):
    """`[time]`"""

    published_at: Annotated[str, AfterValidator(_zone)] = "Asia/Seoul"
    crawled_at: Annotated[str, AfterValidator(_zone)] = "UTC"


class Integrity(_Section):
    """`[integrity]`"""

    recipes: Annotated[tuple[Annotated[str, AfterValidator(_recipe)], ...], Field(min_length=1)] = tuple(RECIPES)


_Share = Annotated[float, Field(ge=0, le=1)]
_Characters = Annotated[int, Field(ge=20, le=100_000)]


class Duplicates(_Section):
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


def _named(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be empty: it would claim every article that has none")
    return name


_Name = Annotated[str, AfterValidator(_named)]


def _word(word: str) -> str:
    if not any(c.isalnum() for c in word):
        raise ValueError("has no letter or digit: it would be found everywhere")
    return word


_Word = Annotated[str, AfterValidator(_word)]


class Changes(_Section):
    """`[changes]`"""

    rewrite_similarity: _Share = 0.5
    stub_share: _Share = 0.2
    typo_edits: Annotated[int, Field(ge=0, le=100)] = 3
    corrections: tuple[_Word, ...] = (
        "수정", "정정", "정정합니다", "바로잡습니다", "바로잡았습니다", "알려드립니다", "정정보도", "반론보도",
        "correction", "corrected", "updated", "update", "editor's note", "clarification",
    )  # fmt: skip
    failures: tuple[_Word, ...] = (
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


class PublisherAlias(_Section):
    """`[[publishers.aliases]]`"""

    name: _Name
    names: tuple[_Name, ...] = ()
    oids: tuple[_Name, ...] = ()
    hosts: tuple[_Name, ...] = ()


class PublisherNames(_Section):
    """`[publishers]`"""

    aliases: tuple[PublisherAlias, ...] = ()

    def publishers(self) -> Publishers:
        """What finds an article's house; raises ValueError where two aliases claim the same."""
        return Publishers(House(a.name, a.names, a.oids, a.hosts) for a in self.aliases)


class UrlRule(_Section):
    """`[[urls.rules]]`"""

    pattern: str
    template: str


NAVER = "https://n.news.naver.com/mnews/article/{oid}/{aid}"
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


class Urls(_Section):
    """`[urls]`"""

    from_ids: str = NAVER
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
    rules: tuple[UrlRule, ...] = tuple(UrlRule(pattern=p, template=NAVER) for p in _NAVER_PATTERNS)

    def canonicaliser(self) -> Canonicaliser:
        """The rules compiled; raises ValueError for a bad one."""
        return Canonicaliser([(r.pattern, r.template) for r in self.rules], self.tracking, self.from_ids)


KEPT = ("first", "last")
"""States of a page that `[history] keep` can name."""


def _keep(value: Any) -> Any:
    if value == "all" or (isinstance(value, tuple) and value and all(rule in KEPT for rule in value)):
        return value
    raise ValueError(f"must be 'all', or a list of any of {', '.join(map(repr, KEPT))}")


class History(_Section):
    """`[history]`"""

    keep: Annotated[str | tuple[str, ...], BeforeValidator(_keep)] = "all"
    days: Annotated[int, Field(ge=0, le=36_500)] = 365


class Search(_Section):
    """`[search]`"""

    index: bool = True


class Database(_Section):
    """`[database]`"""

    path: Annotated[str, Field(min_length=1)] = "dedup.db"


def _address(listen: str) -> str:
    address, colon, port = listen.rpartition(":")
    if listen and not (colon and address and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError("is no address and port; write one like '127.0.0.1:9464', or '' for none")
    return listen


class Metrics(_Section):
    """`[metrics]`"""

    listen: Annotated[str, AfterValidator(_address)] = ""


def _listening(listen: str) -> str:
    if not listen:
        raise ValueError("must not be empty; write one like '127.0.0.1:8765'")
    return _address(listen)


class Web(_Section):
    """`[web]`"""

    enabled: bool = False
    listen: Annotated[str, AfterValidator(_listening)] = "127.0.0.1:8765"
    token: _Secret = ""
    hosts: tuple[_Name, ...] = ()


def _clock(printed: str) -> str:
    if not re.fullmatch(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", printed):
        raise ValueError("is not a time of day; write one like '08:00'")
    return printed


def _kind(name: str) -> str:
    known = sorted({kind for kinds in KINDS.values() for kind in kinds})
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, 0.4)
        raise ValueError(f"{name!r} is no kind" + (f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"))
    return name


_Kind = Annotated[str, AfterValidator(_kind)]
_Clock = Annotated[str, AfterValidator(_clock)]
_Part = Literal["title", "body", "author", "publisher", "category", "published_at"]
PARTS: tuple[_Part, ...] = get_args(_Part)
"""What of an article can differ."""


class AlertRule(_Section):
    """`[[alerts]]`"""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    on: Annotated[tuple[Topic, ...], Field(min_length=1)]
    to: Annotated[tuple[str, ...], Field(min_length=1)]
    kinds: tuple[_Kind, ...] = ()
    min_severity: Severity = "minor"
    parts: tuple[_Part, ...] = ()
    publishers: tuple[_Name, ...] = ()
    urls: tuple[_Name, ...] = ()
    stealth: bool | None = None
    min_similarity: _Share = 0.0
    across_publishers: bool = False
    min_size: Annotated[int, Field(ge=0)] = 0
    rhythm: Literal["at once", "hourly", "daily"] = "at once"
    at: _Clock = "08:00"
    zone: Annotated[str, AfterValidator(lambda name: _zone(name) if name else name)] = ""
    quiet: tuple[_Clock, ...] = ()
    most_per_hour: Annotated[int, Field(ge=0, le=10_000)] = 30

    def rule(self, zone: str) -> Rule:
        """The rule as it is applied; `zone` is that of those that name none."""
        quiet = (time.fromisoformat(self.quiet[0]), time.fromisoformat(self.quiet[1])) if self.quiet else None
        return Rule(
            name=self.name, on=self.on, to=tuple(dict.fromkeys(self.to)), kinds=self.kinds, min_severity=self.min_severity,
            parts=self.parts, publishers=self.publishers, urls=self.urls, stealth=self.stealth, min_similarity=self.min_similarity,
            across_publishers=self.across_publishers, min_size=self.min_size,
            rhythm=Rhythm(self.rhythm, time.fromisoformat(self.at), ZoneInfo(self.zone or zone), quiet, self.most_per_hour),
        )  # fmt: skip


class Channel(_Section):
    """`[channels.NAME]`"""

    kind: Literal["apprise", "webhook", "command", "atom", "log"]
    url: _Secret = ""
    secret: _Secret = ""
    command: tuple[str, ...] = ()
    path: str = ""
    entries: Annotated[int, Field(ge=1, le=10_000)] = 200

    def shown(self) -> dict[str, Any]:
        """What of it may be shown: where secrets are, or might be, only that there is something."""
        return self.model_dump() | {key: masked(getattr(self, key)) for key in SECRET}


SECRET = ("url", "secret")
"""Keys of a channel that are never shown, but for the environment variable that they name."""
_NEEDED = {"apprise": ("url",), "webhook": ("url", "secret"), "command": ("command",), "atom": ("path", "entries"), "log": ()}


def masked(value: str) -> str:
    """A value that is, or may hold, a secret: which environment variable has it, or which service it is for."""
    if not value or variable(value) is not None:
        return value
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://", value)
    return (scheme[0] if scheme else "") + "***"


class Delivery(_Section):
    """`[delivery]`"""

    language: Language = "ko"
    zone: Annotated[str, AfterValidator(_zone)] = "Asia/Seoul"
    gather_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    retry_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    most_retry_seconds: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    give_up_hours: Annotated[float, Field(gt=0, le=8760)] = 72.0
    timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0


class Settings(_Section):
    """All of `config.toml`; paths are absolute once loaded."""

    crawl: Crawl = Crawl()
    time: Time = Time()
    integrity: Integrity = Integrity()
    duplicates: Duplicates = Duplicates()
    changes: Changes = Changes()
    publishers: PublisherNames = PublisherNames()
    urls: Urls = Urls()
    history: History = History()
    search: Search = Search()
    database: Database = Database()
    metrics: Metrics = Metrics()
    web: Web = Web()
    delivery: Delivery = Delivery()
    alerts: tuple[AlertRule, ...] = ()
    channels: dict[str, Channel] = Field(default_factory=dict)

    def alerting(self) -> Alerting:
        """The rules as they are applied."""
        return Alerting(
            tuple(rule.rule(self.delivery.zone) for rule in self.alerts),
            self.changes.incident_pages,
            self.changes.incident_hours,
            self.delivery.gather_seconds,
        )

    def protected(self, known: Iterable[bytes] = (), file: str | os.PathLike[str] | None = None) -> Protected:
        """What nothing may be written to: beside what is configured, crawl directories that are `known` to the database, and the
        configuration `file`."""
        directories = (*self.crawl.directories, *map(os.fsdecode, known))
        return Protected(self.database.path, tuple(dict.fromkeys(directories)), None if file is None else os.fspath(file))


@dataclass(frozen=True, slots=True)
class Loaded:
    """`settings` in force; `file` they were read from (None: defaults alone); `origins`: dotted key → where it came from."""

    settings: Settings
    file: Path | None
    origins: dict[str, str]


def find(explicit: str | None) -> Path | None:
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


def load(explicit: str | None = None, *, directories: tuple[str, ...] = (), database: str | None = None) -> Loaded:
    """Settings from the configuration file in force, with what the command line says put over them.

    Relative paths count from the configuration file; those of the command line, and the defaults where there is no file,
    from the current directory. Raises ConfigError or ConfigFileError (exit code 2).
    """
    file = find(explicit)
    table = _read(file) if file else {}
    base = file.absolute().parent if file else Path.cwd()
    settings = _check(table, str(file))
    origins = {key: str(file) if _given(table, key) else "default" for key, _ in flatten(settings)}
    channels = {
        name: channel.model_copy(update={"path": os.path.abspath(base / os.path.expanduser(channel.path))}) if channel.path else channel
        for name, channel in settings.channels.items()
    }
    crawl = settings.crawl.model_copy(
        update={"directories": tuple(os.path.abspath(base / os.path.expanduser(d)) for d in settings.crawl.directories)}
    )
    path = settings.database.path
    place = _database(base / os.path.expanduser(path))
    if directories:
        crawl = crawl.model_copy(update={"directories": tuple(os.path.abspath(d) for d in directories)})
        origins["crawl.directories"] = "command line"
    if database is not None:
        place = _database(database)
        origins["database.path"] = "command line"
    loaded = settings.model_copy(update={"crawl": crawl, "database": place, "channels": channels})
    _check_places(loaded, file)
    return Loaded(loaded, file, origins)


def _check_places(settings: Settings, file: Path | None) -> None:
    """Raise ConfigError for a channel whose file would be one that must never be written to."""
    protected = settings.protected(file=file)
    for name, channel in settings.channels.items():
        if channel.path and (problem := protected.problem(channel.path)):
            raise ConfigError(file=file, key=f"channels.{name}.path", problem=f"{channel.path} cannot be written: {problem}")


def _database(path: str | Path) -> Database:
    """A path from the command line or the file system may hold bytes that are not UTF-8, which checking would refuse."""
    return Database.model_construct(path=os.path.abspath(path))


def flatten(settings: Settings) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every setting, in the order of the shipped file; what is made of tables that users name or add
    (`alerts`, `channels`) has one key."""
    for section, model in settings:
        if isinstance(model, _Section):
            for key, value in model:
                yield f"{section}.{key}", value
        else:
            yield section, model


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(file=file, problem=f"is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(file=file, problem=f"cannot be read: {error}") from error


def _given(table: dict[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    return name in table.get(section, {}) if name else section in table


def _check(table: dict[str, Any], file: str) -> Settings:
    try:
        settings = Settings.model_validate(_tuples(table))
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise ConfigError(file=file, key=_dotted(first["loc"]), problem=_sentence(first)) from None
    for key, paths in (("crawl.directories", settings.crawl.directories), ("database.path", (settings.database.path,))):
        if any("\0" in path for path in paths):
            raise ConfigError(file=file, key=key, problem="a path cannot hold a NUL character")
    for pattern in settings.crawl.patterns:
        if "/" in pattern:
            raise ConfigError(file=file, key="crawl.patterns", problem=f"{pattern!r} is matched against file names; leave folders out")
    try:
        settings.urls.canonicaliser()
    except ValueError as error:
        raise ConfigError(file=file, key="urls.rules", problem=str(error)) from None
    try:
        settings.publishers.publishers()
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

    def wrong(key: str, problem: str) -> ConfigError:
        return ConfigError(file=file, key=key, problem=problem)

    for name, channel in settings.channels.items():
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise wrong("channels", f"{name!r} is no name of a channel; use letters, digits, '-' and '_'")
        needed = _NEEDED[channel.kind]
        for key in ("url", "command", "path"):
            if key in needed and not getattr(channel, key):
                raise wrong(f"channels.{name}.{key}", f"is required: a channel of kind {channel.kind!r} sends there")
        for key in channel.model_fields_set - {"kind", *needed}:
            raise wrong(f"channels.{name}.{key}", f"says nothing to a channel of kind {channel.kind!r}")
        if channel.kind == "webhook" and not re.match(r"https?://|env:", channel.url):
            raise wrong(f"channels.{name}.url", "must begin with http:// or https://, or name an environment variable: 'env:NAME'")
        if any("\0" in value for value in (channel.path, *channel.command)):
            raise wrong(f"channels.{name}", "a path or an argument cannot hold a NUL character")
    names: set[str] = set()
    for n, rule in enumerate(settings.alerts):
        if rule.name in names:
            raise wrong(f"alerts.{n}.name", f"there is another rule called {rule.name!r}")
        names.add(rule.name)
        for to in rule.to:
            if to not in settings.channels:
                near = difflib.get_close_matches(to, settings.channels, 1, 0.4)
                raise wrong(f"alerts.{n}.to", f"there is no [channels.{to}]" + (f"; did you mean {near[0]!r}?" if near else ""))
        for kind in rule.kinds:
            if not any(kind in KINDS[topic] for topic in rule.on):
                raise wrong(f"alerts.{n}.kinds", f"{kind!r} is no kind of {' or '.join(rule.on)}")
        if rule.quiet and (len(rule.quiet) != 2 or rule.quiet[0] == rule.quiet[1]):
            raise wrong(f"alerts.{n}.quiet", "must be two different times of day, e.g. ['22:00', '07:00']")
    if settings.delivery.most_retry_seconds < settings.delivery.retry_seconds:
        raise wrong("delivery.most_retry_seconds", "must not be less than delivery.retry_seconds")


def _tuples(value: Any) -> Any:
    """TOML arrays as tuples, and whole numbers where fractions are meant as they are: what strict checking wants."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)


def _sentence(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _siblings(error["loc"]), 1, 0.3)
        return "there is no such key" + (f"; did you mean {'.'.join([*map(str, error['loc'][:-1]), near[0]])!r}?" if near else "")
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    message = re.sub(r"(?i)\btuple should have at least 1 item.*", "must have at least 1 item", message).replace("tuple", "list")
    if error["loc"][0] == "channels" or error["loc"][:2] == ("web", "token"):  # a secret may be in it
        return message
    told = list(error["input"]) if isinstance(error["input"], tuple) else error["input"]
    return message if repr(told) in message else f"{message} (it is {told!r})"


_LISTED: dict[int | str, type[BaseModel]] = {"rules": UrlRule, "aliases": PublisherAlias, "alerts": AlertRule, "channels": Channel}
"""Keys that hold tables of their own."""


def _siblings(location: tuple[int | str, ...]) -> list[str]:
    """The names that could stand where an unknown one was found."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        if part in _LISTED:
            model = _LISTED[part]
        elif isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                model = annotation
    return list(model.model_fields)
