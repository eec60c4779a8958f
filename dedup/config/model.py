"""Every key of `config.toml`: its type, range, default and description. A class is a section.

Descriptions are complete sentences with the unit of a number. A range that is checked is part of the type; the default is the field's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import time
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from dedup.config.values import (
    Address,
    CharacterCount,
    EventKind,
    KeepRule,
    Name,
    OptionalZone,
    Phrase,
    RecipeName,
    RequiredAddress,
    Secret,
    Share,
    TimeOfDay,
    Zone,
    mask_secret,
)
from dedup.files.protected import ProtectedFiles
from dedup.model import AlertTopic, Language, Severity
from dedup.rules import AlertPolicy, AlertRule, Schedule
from dedup.text.digests import RECIPES
from dedup.text.publishers import Publisher, PublisherResolver
from dedup.text.urls import Canonicaliser


class ConfigSection(BaseModel):
    """A table of `config.toml`. Unknown keys are refused, and values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CrawlConfig(ConfigSection):
    """`[crawl]`: which files are read, and when."""

    directories: tuple[str, ...] = Field(
        default=(), description="The crawl directories. They must not overlap. A relative path counts from the configuration file."
    )
    patterns: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("*.md",),
        description="Shell patterns of the file names that are articles. Other files are counted as ignored.",
    )
    settle_seconds: float = Field(default=2.0, ge=0, le=3600, description="Seconds that a file must be unchanged before it is read.")
    unprobed_settle_seconds: float = Field(
        default=30.0,
        ge=0,
        le=3600,
        description="Seconds that a file must be unchanged if its writer cannot be detected: a file of another user, without CAP_LEASE. "
        "A file whose content shows that it is complete is read after `settle_seconds`.",
    )
    scan_interval_seconds: float = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description="Seconds between two timed scans by `watch`, whatever file events it receives; 50 times as long as the last one "
        "took, if that is longer.",
    )
    max_file_bytes: int = Field(
        default=10_000_000, ge=1024, le=1 << 30, description="Size in bytes above which a file is recorded as a fault and not read."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes that read files in a scan of 20,000 files or more. 0: one for each processor. 1: no extra process.",
    )


class TimeConfig(ConfigSection):
    """`[time]`: the time zones of times that an article states without one."""

    published_at: Zone = Field(default="Asia/Seoul", description="The time zone of `published_at` where it has no offset.")
    crawled_at: Zone = Field(default="UTC", description="The time zone of `crawled_at` where it has no offset.")


class IntegrityConfig(ConfigSection):
    """`[integrity]`: how `content_hash` is checked."""

    recipes: Annotated[tuple[RecipeName, ...], Field(min_length=1)] = Field(
        default=tuple(RECIPES),
        description="How `content_hash` may have been computed, tried in this order: ALGORITHM(INPUT). The input is the body as read "
        "(`body`), the body HTML-escaped as in the file (`escaped`), or title, newline and body (`title+newline+body`).",
    )


class DuplicatesConfig(ConfigSection):
    """`[duplicates]`: what counts as a duplicate. Lengths are in letters and digits; shares are from 0 to 1."""

    threshold: float = Field(
        default=0.7,
        ge=0.3,
        le=1,
        description="near: Jaccard similarity of 5-character shingles at least. Lower: more versions of a text are near, and more "
        "candidates are compared.",
    )
    min_characters: int = Field(
        default=80, ge=5, le=100_000, description="Letters and digits below which a text takes part in exact matching only."
    )
    num_perm: int = Field(default=128, ge=16, le=1024, description="Permutations of a MinHash signature, 4 bytes each.")
    passages: bool = Field(
        default=True,
        description="Look texts up by shared passages. Without, copies and excerpts are found only among the candidates of MinHash.",
    )
    copy_coverage: Share = Field(
        default=0.5,
        description="copy: share of the shorter text in common passages (20 characters or more) at least. Lower: looser rewrites count, "
        "with more errors.",
    )
    copy_characters: CharacterCount = Field(
        default=100,
        description="copy: letters and digits in common passages at least. Lower: short notices in one form count as copies.",
    )
    copy_unquoted: Share = Field(
        default=0.1,
        description="copy: share of the shorter text in common passages outside quotation marks at least. 0: two articles that quote one "
        "post are copies.",
    )
    excerpt_coverage: Share = Field(
        default=0.25, description="excerpt: share of the shorter text in common passages at least. Lower: single sentences count."
    )
    excerpt_characters: CharacterCount = Field(default=80, description="excerpt: letters and digits in common passages at least.")
    excerpt_passage: CharacterCount = Field(
        default=50, description="excerpt: letters and digits of the longest common passage at least. Lower: stock phrases count."
    )
    long_excerpt_characters: CharacterCount = Field(
        default=150, description="excerpt of any share: letters and digits in common passages at least."
    )
    long_excerpt_passage: CharacterCount = Field(
        default=80, description="excerpt of any share: letters and digits of the longest common passage at least."
    )
    quote_share: Share = Field(
        default=0.9,
        description="quote: share of the common passages inside quotation marks at least. Lower: excerpts count as quotes.",
    )
    boilerplate_articles: int = Field(
        default=5,
        ge=0,
        le=17,
        description="Articles of one publisher in which a passage must occur to be boilerplate, which is ignored in comparisons. 0: no "
        "boilerplate, else 3 or more. At 3, articles of a series lose the matches between them.",
    )


class ChangesConfig(ConfigSection):
    """`[changes]`: how a change of a page is classified, and which changes are one incident."""

    rewrite_similarity: Share = Field(
        default=0.5, description="rewrite: similarity of the two bodies (0 to 1) below this. Lower: fewer edits are rewrites."
    )
    stub_share: Share = Field(
        default=0.2, description="removed: less than this share of the text (0 to 1) is left, and less than 400 letters and digits."
    )
    typo_edits: int = Field(default=3, ge=0, le=100, description="typo: words that differ at most, each by at most three letters.")
    correction_phrases: tuple[Phrase, ...] = Field(
        default=(
            "수정", "정정", "정정합니다", "바로잡습니다", "바로잡았습니다", "알려드립니다", "정정보도", "반론보도",
            "correction", "corrected", "updated", "update", "editor's note", "clarification",
        ),
        description="Words with which a page marks an edit as a correction: in brackets, before a colon or a time, or as a sentence.",
    )  # fmt: skip
    placeholder_phrases: tuple[Phrase, ...] = Field(
        default=(
            "content not found", "page not found", "article not found", "404 not found", "not found", "access denied", "403 forbidden",
            "service unavailable", "bad gateway", "internal server error", "this page is no longer available",
            "this article has been removed", "this story has been removed",
            "페이지를 찾을 수 없습니다", "존재하지 않는 기사", "존재하지 않는 페이지",
            "기사를 찾을 수 없습니다",
            "삭제된 기사", "기사가 삭제", "삭제되었습니다", "삭제 되었습니다",
            "서비스가 종료", "접근이 제한", "열람할 수 없습니다",
            "요청에 의해 삭제", "요청으로 삭제", "서비스 점검", "잘못된 접근",
        ),
        description="Phrases of a placeholder page: a short page (at most 400 letters and digits) shown in place of an article.",
    )  # fmt: skip
    incident_pages: int = Field(
        default=5, ge=2, le=100_000, description="Pages of one publisher with the same edit that make an incident, which is reported once."
    )
    incident_hours: float = Field(default=24.0, gt=0, le=8784, description="Hours between two edits of one incident at most.")


class PublisherAliasConfig(ConfigSection):
    """`[[publishers.aliases]]`: one publisher and what identifies it."""

    name: Name = Field(description="The publisher's name in reports.")
    names: tuple[Name, ...] = Field(default=(), description="Its other names.")
    oids: tuple[Name, ...] = Field(default=(), description="Its values of `oid`.")
    hosts: tuple[Name, ...] = Field(default=(), description="Its hosts; their subdomains are included.")


class PublishersConfig(ConfigSection):
    """`[publishers]`: publishers with several names."""

    aliases: tuple[PublisherAliasConfig, ...] = Field(
        default=(), description="Publishers with several names, ids or hosts. Each of these may belong to one publisher only."
    )

    def build_publishers(self) -> PublisherResolver:
        """Return the resolver of an article's publisher. Raises ValueError if two aliases claim the same name, id or host."""
        return PublisherResolver(Publisher(a.name, a.names, a.oids, a.hosts) for a in self.aliases)


class UrlRuleConfig(ConfigSection):
    """`[[urls.rules]]`: a site rule, see `dedup.text.urls`."""

    pattern: str = Field(
        description="HOST/PATH?NAME=VALUE that an address must match. `{x}` matches a path segment or a parameter's value, `{x:d}` one of "
        "digits. Other parameters are ignored."
    )
    template: str = Field(description="The canonical URL, in which `{x}` is what the pattern matched.")


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


class UrlsConfig(ConfigSection):
    """`[urls]`: how addresses become canonical URLs."""

    from_ids: str = Field(
        default=NAVER_URL_TEMPLATE,
        description="The URL of an article that states none, made of its `oid` and `aid`. Empty: such an article is a fault.",
    )
    tracking: tuple[str, ...] = Field(
        default=("utm_*", "fbclid", "gclid", "dclid", "msclkid", "igshid", "mc_cid", "mc_eid", "yclid", "_ga"),
        description="Shell patterns of query parameters that never distinguish pages. They are removed.",
    )
    rules: tuple[UrlRuleConfig, ...] = Field(
        default=tuple(UrlRuleConfig(pattern=p, template=NAVER_URL_TEMPLATE) for p in _NAVER_PATTERNS),
        description="Site rules, tried in order. An address that matches a pattern gets the URL of its template.",
    )

    def build_canonicaliser(self) -> Canonicaliser:
        """Return the compiled rules. Raises ValueError for a bad rule."""
        return Canonicaliser([(r.pattern, r.template) for r in self.rules], self.tracking, self.from_ids)


class HistoryConfig(ConfigSection):
    """`[history]`: what `dedup prune` keeps."""

    keep: KeepRule = Field(
        default="all",
        description='Which revisions of a page keep their text when `dedup prune` runs: "all", or a list of "first" and "last".',
    )
    days: int = Field(
        default=365, ge=0, le=36_500, description="Days before the last crawl. A revision that was seen within them keeps its text as well."
    )


class SearchConfig(ConfigSection):
    """`[search]`: the full-text index."""

    index: bool = Field(
        default=True,
        description="Update the index of `dedup search` after scans and while `watch` is idle. It takes a seventh of the database's size.",
    )


class DatabaseConfig(ConfigSection):
    """`[database]`: where the database is."""

    path: Annotated[str, Field(min_length=1)] = Field(
        default="dedup.db",
        description="The database file. Its write-ahead log, lock and indexes are next to it. A relative path counts from the "
        "configuration file.",
    )


class MetricsConfig(ConfigSection):
    """`[metrics]`: figures for Prometheus."""

    listen: Address = Field(
        default="", description="ADDRESS:PORT where `watch` serves metrics for Prometheus. Empty: none. Needs the extra `metrics`."
    )


class WebConfig(ConfigSection):
    """`[web]`: the dashboard."""

    enabled: bool = Field(
        default=False, description="Let `watch` serve the dashboard. `dedup serve` does so without it. Needs the extra `web`."
    )
    listen: RequiredAddress = Field(
        default="127.0.0.1:8765", description="ADDRESS:PORT of the dashboard. One that other machines can reach requires a token."
    )
    token: Secret = Field(
        default="",
        description="The password that browsers must send, with any user name. Empty: none. `env:NAME` reads it from the environment.",
    )
    hosts: tuple[Name, ...] = Field(
        default=(),
        description="Host names under which browsers reach the dashboard, besides its address and localhost. Needed behind a reverse "
        "proxy.",
    )


class AlertRuleConfig(ConfigSection):
    """`[[alerts]]`: which events are sent where, and when. An event that several rules send to one channel is sent there once."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(description="The rule's name, unique, at most 100 characters.")
    on: Annotated[tuple[AlertTopic, ...], Field(min_length=1)] = Field(description="Topics of the events.")
    to: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Names of channels.")
    kinds: tuple[EventKind, ...] = Field(
        default=(),
        description="Kinds of events: of a change its kind, of a mismatch its cause, of a duplicate its relation. Empty: any.",
    )
    min_severity: Severity = Field(default="minor", description="Severity at least.")
    parts: tuple[Literal["title", "body", "author", "publisher", "category", "published_at"], ...] = Field(
        default=(), description="Parts of an article of which a change must touch one. Empty: any."
    )
    publishers: tuple[Name, ...] = Field(default=(), description="Names of publishers. Empty: any.")
    urls: tuple[Name, ...] = Field(default=(), description="Shell patterns of URLs. Empty: any.")
    silent: bool | None = Field(
        default=None,
        description="true: only silent changes. false: only changes that are marked as corrections, or not of substance. Absent: both.",
    )
    min_similarity: Share = Field(default=0.0, description="Similarity of a duplicate at least (0 to 1).")
    across_publishers: bool = Field(default=False, description="true: only duplicates between two publishers.")
    min_size: int = Field(default=0, ge=0, description="Articles of a cluster, or faults within the last hour, at least.")
    schedule: Literal["at once", "hourly", "daily"] = Field(
        default="at once", description="When events are sent: each at once, or together at the full hour or once a day."
    )
    at: TimeOfDay = Field(default="08:00", description="HH:MM at which a daily message is sent.")
    zone: OptionalZone = Field(default="", description="Time zone of `at` and `quiet_hours`. Empty: `delivery.zone`.")
    quiet_hours: tuple[TimeOfDay, ...] = Field(
        default=(), description="Two times HH:MM between which nothing is sent; it is sent afterwards in one message. Empty: none."
    )
    max_per_hour: int = Field(
        default=30, ge=0, le=10_000, description="Messages an hour at most. The rest become one at the next full hour. 0: no limit."
    )

    def to_rule(self, default_zone: str) -> AlertRule:
        """Return the rule as it is applied. `default_zone` is used if the rule names no zone."""
        quiet_hours = (time.fromisoformat(self.quiet_hours[0]), time.fromisoformat(self.quiet_hours[1])) if self.quiet_hours else None
        return AlertRule(
            name=self.name, on=self.on, to=tuple(dict.fromkeys(self.to)), kinds=self.kinds, min_severity=self.min_severity,
            parts=self.parts, publishers=self.publishers, urls=self.urls, silent=self.silent, min_similarity=self.min_similarity,
            across_publishers=self.across_publishers, min_size=self.min_size,
            schedule=Schedule(
                self.schedule, time.fromisoformat(self.at), ZoneInfo(self.zone or default_zone), quiet_hours, self.max_per_hour
            ),
        )  # fmt: skip


class ChannelConfig(ConfigSection):
    """`[channels.NAME]`: where alerts go."""

    kind: Literal["apprise", "webhook", "command", "atom", "log"] = Field(
        description="How alerts are sent: by Apprise (mail, chat; needs the extra `alerts`), as JSON by POST, as JSON to a command's "
        "standard input, into an Atom file, or as a line of the log."
    )
    url: Secret = Field(default="", description="apprise, webhook: where to send. `env:NAME` reads it from the environment.")
    secret: Secret = Field(
        default="", description="webhook: the key that signs each request (HMAC-SHA-256). Empty: unsigned. `env:NAME` is allowed."
    )
    command: tuple[str, ...] = Field(default=(), description="command: the program and its arguments.")
    path: str = Field(default="", description="atom: the file. A relative path counts from the configuration file.")
    entries: int = Field(default=200, ge=1, le=10_000, description="atom: entries to keep, the newest.")

    def to_masked_dict(self) -> dict[str, Any]:
        """Return the keys and values to show. Those that may contain a secret are masked, see `mask_secret`."""
        return self.model_dump() | {key: mask_secret(getattr(self, key)) for key in _SECRET_KEYS}


_SECRET_KEYS = ("url", "secret")
"""Keys of a channel that are shown masked."""
KEYS_BY_CHANNEL_KIND = {"apprise": ("url",), "webhook": ("url", "secret"), "command": ("command",), "atom": ("path", "entries"), "log": ()}
"""Kind of channel → the keys that it uses, besides `kind`."""


class DeliveryConfig(ConfigSection):
    """`[delivery]`: how alerts are written and sent."""

    language: Language = Field(default="ko", description="The language of alerts.")
    zone: Zone = Field(
        default="Asia/Seoul", description="The time zone of times in alerts, of rules that name none, and of the hours of reports."
    )
    gather_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="Seconds that an event of a backlog or an incident waits for more, to be sent with them."
    )
    retry_seconds: float = Field(
        default=30.0, ge=1, le=3600, description="Seconds until the first retry at most. The delay doubles with each further retry."
    )
    max_retry_seconds: float = Field(
        default=3600.0, ge=1, le=86_400, description="Seconds between two retries at most. Not less than `retry_seconds`."
    )
    give_up_hours: float = Field(
        default=72.0,
        gt=0,
        le=8760,
        description="Hours of retries after which a delivery is dead: it is kept, reported by `dedup status`, and sent again by "
        "`dedup alerts retry`.",
    )
    timeout_seconds: float = Field(default=30.0, ge=1, le=600, description="Seconds that sending one message may take, for any channel.")


class Settings(ConfigSection):
    """All of `config.toml`. Paths are absolute once loaded."""

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
    alerts: tuple[AlertRuleConfig, ...] = Field(
        default=(), description="Alert rules. An event is sent to a channel by the first that fits."
    )
    channels: dict[str, ChannelConfig] = Field(default_factory=dict, description="Channels by name: at most 64 letters, digits, `-`, `_`.")

    def alert_policy(self) -> AlertPolicy:
        """Return the alert rules as they are applied."""
        return AlertPolicy(
            tuple(rule.to_rule(self.delivery.zone) for rule in self.alerts),
            self.changes.incident_pages,
            self.changes.incident_hours,
            self.delivery.gather_seconds,
        )

    def protected_paths(self, known_directories: Iterable[bytes] = (), file: str | os.PathLike[str] | None = None) -> ProtectedFiles:
        """Return the files that no output may overwrite.

        These are the database, the configured crawl directories, those in the database (`known_directories`) and the configuration
        `file`.
        """
        directories = (*self.crawl.directories, *map(os.fsdecode, known_directories))
        return ProtectedFiles(self.database.path, tuple(dict.fromkeys(directories)), None if file is None else os.fspath(file))


def flatten(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every setting, in the order of the shipped file. `alerts` and `channels` are one key each."""
    for section, model in settings:
        if isinstance(model, ConfigSection):
            for key, value in model:
                yield f"{section}.{key}", value
        else:
            yield section, model
