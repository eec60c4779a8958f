"""`config.toml` → `Settings`: reading, checking, and the origin of each value.

`model` declares every key with its type, range, default and description. `checks` holds the rules that span several keys, `loader` finds
and reads the file, `messages` words its errors.
"""

from dedup.config.loader import LoadedSettings, find_config_file, load, resolve
from dedup.config.model import (
    AlertRuleConfig,
    ChangesConfig,
    ChannelConfig,
    CrawlConfig,
    DatabaseConfig,
    DeliveryConfig,
    DuplicatesConfig,
    HistoryConfig,
    IntegrityConfig,
    MetricsConfig,
    PublisherAliasConfig,
    PublishersConfig,
    SearchConfig,
    Settings,
    TimeConfig,
    UrlRuleConfig,
    UrlsConfig,
    WebConfig,
    flatten,
)
from dedup.config.values import KEEPABLE_STATES, env_variable_name, mask_secret

__all__ = [
    "KEEPABLE_STATES",
    "AlertRuleConfig",
    "ChangesConfig",
    "ChannelConfig",
    "CrawlConfig",
    "DatabaseConfig",
    "DeliveryConfig",
    "DuplicatesConfig",
    "HistoryConfig",
    "IntegrityConfig",
    "LoadedSettings",
    "MetricsConfig",
    "PublisherAliasConfig",
    "PublishersConfig",
    "SearchConfig",
    "Settings",
    "TimeConfig",
    "UrlRuleConfig",
    "UrlsConfig",
    "WebConfig",
    "env_variable_name",
    "find_config_file",
    "flatten",
    "load",
    "mask_secret",
    "resolve",
]
