"""Reading config.toml: values, checks, and the origin of each value."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import time
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import dedup
from dedup import config
from dedup.config import Settings, flatten, load
from dedup.errors import ConfigError, ConfigFileError, DedupError
from tests.builders.command import run

ROOT = Path(__file__).parents[2]
SHIPPED = [ROOT / "config.toml", Path(dedup.__file__).parent / "share" / "config.toml"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory, an empty home, and no configuration."""
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return directory


def write_text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def plain(value: Any) -> Any:
    """A setting as TOML represents it."""
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return value.model_dump() if hasattr(value, "model_dump") else value


@pytest.mark.parametrize("file", SHIPPED, ids=["root", "share"])
def test_the_shipped_configuration_lists_exactly_the_keys_and_defaults(file: Path) -> None:
    table = tomllib.loads(file.read_text("utf-8"))
    values = {f"{section}.{key}": value for section, keys in table.items() for key, value in keys.items()}
    defaults = {key: plain(value) for key, value in flatten(Settings()) if "." in key}
    assert list(values) == list(defaults)
    for key, value in defaults.items():
        assert (values[key], type(values[key])) == (value, type(value)), key


def test_the_shipped_configuration_loads_as_the_defaults(here: Path) -> None:
    settings = load(str(SHIPPED[0]), database="d.db").settings
    assert settings == load(None, database="d.db").settings


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield f"{model.__name__}.{name}", field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _fields(inner)


def test_every_key_has_a_description_in_the_model() -> None:
    """The docstring of a section's class describes the section."""
    fields = dict(_fields(Settings))
    assert {"CrawlConfig.workers", "UrlRuleConfig.template", "ChannelConfig.entries", "AlertRuleConfig.at"} <= fields.keys()
    sections = {f"Settings.{name}" for name in Settings.model_fields} - {"Settings.alerts", "Settings.channels"}
    assert [name for name, field in fields.items() if not field.description and name not in sections] == []


def test_the_defaults_stay_the_same() -> None:
    settings = Settings()
    assert settings.crawl.settle_seconds == 2
    assert (settings.time.published_at, settings.time.crawled_at) == ("Asia/Seoul", "UTC")
    assert (settings.duplicates.threshold, settings.duplicates.copy_coverage) == (0.7, 0.5)
    assert (settings.duplicates.min_characters, settings.duplicates.num_perm) == (80, 128)
    assert settings.integrity.recipes[0] == "sha256(body)"


def test_the_defaults_of_duplicates_stay_the_same() -> None:
    assert Settings().duplicates.model_dump() == {
        "threshold": 0.7,
        "min_characters": 80,
        "num_perm": 128,
        "passages": True,
        "copy_coverage": 0.5,
        "copy_characters": 100,
        "copy_unquoted": 0.1,
        "excerpt_coverage": 0.25,
        "excerpt_characters": 80,
        "excerpt_passage": 50,
        "long_excerpt_characters": 150,
        "long_excerpt_passage": 80,
        "quote_share": 0.9,
        "boilerplate_articles": 5,
    }
    assert Settings().publishers.aliases == ()


_SHARES = ("copy_coverage", "copy_unquoted", "excerpt_coverage", "quote_share")
_CHARACTERS = ("copy_characters", "excerpt_characters", "excerpt_passage", "long_excerpt_characters", "long_excerpt_passage")

_RULE = "[channels]\nlog = { kind = 'log' }\n[[alerts]]\nname = 'a'\non = ['change']\nto = ['log']\n"

# Invalid TOML, the key that the message names, and words of the message.
MISTAKES = [
    ("[crawl]\npattern = ['*.md']", "crawl.pattern", "did you mean 'crawl.patterns'"),
    ("[crawl]\nsettle_second = 1", "crawl.settle_second", "did you mean 'crawl.settle_seconds'"),
    ("[crawl]\nmax_bytes = 5000", "crawl.max_bytes", "did you mean 'crawl.max_file_bytes'"),
    ("[duplicates]\nthreshhold = 0.7", "duplicates.threshhold", "did you mean 'duplicates.threshold'"),
    ("[duplicate]\nthreshold = 0.7", "duplicate", "did you mean 'duplicates'"),
    ("[urls]\nrule = []", "urls.rule", "did you mean 'urls.rules'"),
    ("[[urls.rules]]\npatern = 'a'\ntemplate = 'b'", "urls.rules.0.patern", "did you mean 'urls.rules.0.pattern'"),
    ("[database]\nzzzzzzzz = 1", "database.zzzzzzzz", "there is no such key"),
    ("[time]\npublished = 'UTC'", "time.published", "did you mean 'time.published_at'"),
    ("crawl = 3", "crawl", "3"),
    ("[crawl]\ndirectories = '/srv'", "crawl.directories", "list"),
    ("[crawl]\ndirectories = [1]", "crawl.directories.0", "string"),
    ("[crawl]\nsettle_seconds = '2'", "crawl.settle_seconds", "number"),
    ("[crawl]\nsettle_seconds = true", "crawl.settle_seconds", "number"),
    ("[crawl]\nsettle_seconds = -1", "crawl.settle_seconds", "-1"),
    ("[crawl]\nsettle_seconds = nan", "crawl.settle_seconds", "nan"),
    ("[crawl]\nscan_interval_seconds = 0", "crawl.scan_interval_seconds", "greater than 0"),
    ("[crawl]\nmax_file_bytes = 1.5", "crawl.max_file_bytes", "integer"),
    ("[crawl]\nmax_file_bytes = 12", "crawl.max_file_bytes", "1024"),
    ("[crawl]\npatterns = []", "crawl.patterns", "at least 1"),
    ("[crawl]\npatterns = ['**/*.md']", "crawl.patterns", "folders"),
    ('[crawl]\ndirectories = ["a\\u0000b"]', "crawl.directories", "NUL"),
    ("[time]\npublished_at = 'Seoul'", "time.published_at", "time zone"),
    ("[time]\ncrawled_at = '../../etc/passwd'", "time.crawled_at", "time zone"),
    ("[time]\ncrawled_at = ''", "time.crawled_at", "time zone"),
    ("[integrity]\nrecipes = ['sha256(bdy)']", "integrity.recipes.0", "did you mean 'sha256(body)'"),
    ("[integrity]\nrecipes = ['md5(body)', '?']", "integrity.recipes.1", "sha256(body)"),
    ("[integrity]\nrecipes = []", "integrity.recipes", "at least 1"),
    ("[duplicates]\nthreshold = 1.1", "duplicates.threshold", "1.1"),
    ("[duplicates]\nthreshold = 0.1", "duplicates.threshold", "0.1"),
    ("[duplicates]\nnum_perm = 128.0", "duplicates.num_perm", "integer"),
    ("[duplicates]\npassage = true", "duplicates.passage", "did you mean 'duplicates.passages'"),
    ("[duplicates]\npassages = 1", "duplicates.passages", "boolean"),
    *((f"[duplicates]\n{key} = 1.5", f"duplicates.{key}", "1.5") for key in _SHARES),
    *((f"[duplicates]\n{key} = -0.1", f"duplicates.{key}", "-0.1") for key in _SHARES),
    *((f"[duplicates]\n{key} = 19", f"duplicates.{key}", "20") for key in _CHARACTERS),
    *((f"[duplicates]\n{key} = 100001", f"duplicates.{key}", "100000") for key in _CHARACTERS),
    *((f"[duplicates]\n{key} = 0.5", f"duplicates.{key}", "integer") for key in _CHARACTERS),
    *((f"[duplicates]\nboilerplate_articles = {n}", "duplicates.boilerplate_articles", "3 or more") for n in (1, 2)),
    ("[duplicates]\nboilerplate_articles = -1", "duplicates.boilerplate_articles", "-1"),
    ("[duplicates]\nboilerplate_articles = 18", "duplicates.boilerplate_articles", "17"),
    ("[publishers]\nalias = []", "publishers.alias", "did you mean 'publishers.aliases'"),
    ("[publisher]\naliases = []", "publisher", "did you mean 'publishers'"),
    ("[publishers]\naliases = ['한빛일보']", "publishers.aliases.0", "한빛일보"),
    ("[publishers]\naliases = [{ names = ['Hanbit'] }]", "publishers.aliases.0.name", "required"),
    ("[publishers]\naliases = [{ name = '' }]", "publishers.aliases.0.name", "must not be empty"),
    ("[publishers]\naliases = [{ name = 'A', oids = [''] }]", "publishers.aliases.0.oids.0", "must not be empty"),
    ("[publishers]\naliases = [{ name = 'A', names = [' '] }]", "publishers.aliases.0.names.0", "must not be empty"),
    ("[publishers]\naliases = [{ name = 'A', names = 'B' }]", "publishers.aliases.0.names", "list"),
    ("[publishers]\naliases = [{ name = 'A', oids = [901] }]", "publishers.aliases.0.oids.0", "string"),
    ("[[publishers.aliases]]\nname = 'A'\nhost = ['a']", "publishers.aliases.0.host", "did you mean 'publishers.aliases.0.hosts'"),
    ("[[publishers.aliases]]\nname = 'A'\n[[publishers.aliases]]\nname = 'B'\noid = ['1']", "publishers.aliases.1.oid", "1.oids'"),
    ("[publishers]\naliases = [{ name = 'A', oids = ['1'] }, { name = 'B', oids = ['1'] }]", "publishers.aliases", "'A' and by 'B'"),
    ("[publishers]\naliases = [{ name = 'A' }, { name = 'B', names = ['a'] }]", "publishers.aliases", "'a' is claimed"),
    ("[publishers]\naliases = [{ name = 'A', hosts = ['x.kr'] }, { name = 'B', hosts = ['X.kr'] }]", "publishers.aliases", "'x.kr'"),
    ("[[urls.rules]]\npattern = 'a.example/{x}'\ntemplate = 'https://a.example/{y}'", "urls.rules", "{y}"),
    ("[[urls.rules]]\npattern = 'a.example/{x}'\ntemplate = 'https://a.example/{x}}'", "urls.rules", "brace"),
    ("[[urls.rules]]\npattern = 'a.example/{x}'", "urls.rules.0.template", "required"),
    ("[urls]\nfrom_ids = 'https://a.example/{oid}'", "urls.from_ids", "{aid}"),
    ("[urls]\nfrom_ids = 'https://a.example/{oid}/{aid}/{'", "urls.from_ids", "{aid}"),
    ("[urls]\nfrom_ids = 'https://a.example/{oid}/{aid}}'", "urls.from_ids", "{aid}"),
    ("[urls]\nfrom_ids = 'https://a.example/{oid}/{aid}/{}'", "urls.from_ids", "{aid}"),
    ("[history]\nkeep = 'none'", "history.keep", "'first', 'last'"),
    ("[history]\nkeep = []", "history.keep", "'all'"),
    ("[history]\nkeep = ['first', 'newest']", "history.keep", "newest"),
    ("[history]\nkeep = [1]", "history.keep", "'all'"),
    ("[history]\nkeep = 5", "history.keep", "5"),
    ("[history]\nkept = 'all'", "history.kept", "did you mean 'history.keep'"),
    ("[history]\ndays = -1", "history.days", "-1"),
    ("[history]\ndays = 1.5", "history.days", "integer"),
    ("[database]\npath = ''", "database.path", "at least 1"),
    ("[delivery]\nlanguage = 'de'", "delivery.language", "'ko' or 'en'"),
    ("[delivery]\nzone = ''", "delivery.zone", "time zone"),
    ("[delivery]\ngive_up = 1", "delivery.give_up", "did you mean 'delivery.give_up_hours'"),
    ("[changes]\nincident_pages = 1", "changes.incident_pages", "2"),
    ("[delivery]\nretry_seconds = 60\nmax_retry_seconds = 30", "delivery.max_retry_seconds", "less"),
    (_RULE + "kind = ['typo']", "alerts.0.kind", "did you mean 'alerts.0.kinds'"),
    (_RULE + "kinds = ['tipo']", "alerts.0.kinds.0", "did you mean 'typo'"),
    (_RULE + "kinds = ['near']", "alerts.0.kinds", "not a kind of change"),
    (_RULE + "min_severity = 'grave'", "alerts.0.min_severity", "'notable'"),
    (_RULE + "parts = ['headline']", "alerts.0.parts.0", "'title'"),
    (_RULE + "publishers = ['']", "alerts.0.publishers.0", "empty"),
    (_RULE + "schedule = 'weekly'", "alerts.0.schedule", "'daily'"),
    (_RULE + "at = '8:00'", "alerts.0.at", "like '08:00'"),
    (_RULE + "at = '24:00'", "alerts.0.at", "like '08:00'"),
    (_RULE + "zone = 'Seoul'", "alerts.0.zone", "time zone"),
    (_RULE + "quiet_hours = ['22:00']", "alerts.0.quiet_hours", "two different"),
    (_RULE + "quiet_hours = ['22:00', '22:00']", "alerts.0.quiet_hours", "two different"),
    (_RULE + "min_similarity = 2.0", "alerts.0.min_similarity", "2.0"),
    (_RULE + _RULE.partition("}\n")[2], "alerts.1.name", "another rule called 'a'"),
    (_RULE.replace("to = ['log']", "to = ['lgo']"), "alerts.0.to", "did you mean 'log'"),
    (_RULE.replace("'change'", "'changes'"), "alerts.0.on.0", "'change'"),
    (_RULE.replace("name = 'a'", ""), "alerts.0.name", "required"),
    ("alerts = 3", "alerts", "list"),
    ("channels = []", "channels", "dict"),
    ("[channels.m]\nurl = 'x'", "channels.m.kind", "required"),
    ("[channels.m]\nkind = 'mail'", "channels.m.kind", "'apprise'"),
    ("[channels.m]\nkind = 'apprise'", "channels.m.url", "required"),
    ("[channels.m]\nkind = 'apprise'\nulr = 'x'", "channels.m.ulr", "did you mean 'channels.m.url'"),
    ("[channels.m]\nkind = 'webhook'\nurl = 'ftp://x'", "channels.m.url", "https://"),
    ("[channels.m]\nkind = 'command'\ncommand = 'ls'", "channels.m.command", "list"),
    ("[channels.m]\nkind = 'command'", "channels.m.command", "required"),
    ("[channels.m]\nkind = 'atom'\npath = 'x'\nurl = 'y'", "channels.m.url", "is not used"),
    ("[channels.'a b']\nkind = 'log'", "channels", "'a b'"),
    ("[database]\npath = 5", "database.path", "string"),
]


@pytest.mark.parametrize(("content", "key", "words"), MISTAKES, ids=lambda value: value if "\n" not in value else "")
def test_a_mistake_is_reported_in_one_line_with_key_and_file(here: Path, content: str, key: str, words: str) -> None:
    file = write_text(here / "mine.toml", content)
    with pytest.raises(ConfigError) as error:
        load(str(file))
    message = str(error.value)
    assert message.startswith(f"{file}: {key}: ")
    assert words in message
    assert "\n" not in message
    assert error.value.exit_code == 2


def test_an_unknown_key_is_reported_before_other_mistakes(here: Path) -> None:
    file = write_text(here / "mine.toml", "[crawl]\nsettle_seconds = 'x'\n[duplicates]\nthreshhold = 1\n")
    with pytest.raises(ConfigError, match="threshhold"):
        load(str(file))


@pytest.mark.parametrize(("content", "words"), [(b"[crawl", "is not TOML"), (b"a = '\xff'", "cannot be read")])
def test_a_file_that_is_not_toml_is_reported_in_one_line(here: Path, content: bytes, words: str) -> None:
    (here / "mine.toml").write_bytes(content)
    with pytest.raises(ConfigFileError, match=words) as error:
        load("mine.toml")
    assert str(error.value).startswith("mine.toml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_named_explicitly_must_exist(here: Path, name: str) -> None:
    write_text(here / "config.toml", "")
    with pytest.raises(DedupError) as error:
        load(name)
    assert str(error.value).startswith(f"{name}: ")
    assert error.value.exit_code == 2


def test_the_current_directory_comes_before_the_users_configuration(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def threshold(explicit: str | None = None) -> float:
        return load(explicit).settings.duplicates.threshold

    assert (config.find_config_file(None), threshold()) == (None, 0.7)
    write_text(tmp_path / "home" / ".config" / "dedup" / "config.toml", "[duplicates]\nthreshold = 0.81")
    assert threshold() == 0.81
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert threshold() == 0.7
    write_text(tmp_path / "xdg" / "dedup" / "config.toml", "[duplicates]\nthreshold = 0.82")
    assert threshold() == 0.82
    write_text(here / "config.toml", "[duplicates]\nthreshold = 0.83")
    assert threshold() == 0.83
    explicit_file = write_text(tmp_path / "asked.toml", "[duplicates]\nthreshold = 0.84")
    assert threshold(str(explicit_file)) == 0.84


def test_relative_paths_start_at_the_folder_of_the_file(here: Path, tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "elsewhere" / "c.toml", "[crawl]\ndirectories = ['raw', '../b', '/srv/c', '~/d']\n[database]\npath = 'x/y.db'"
    )
    loaded_config = load(str(file))
    paths = (tmp_path / "elsewhere" / "raw", tmp_path / "b", "/srv/c", tmp_path / "home" / "d")
    assert loaded_config.settings.crawl.directories == tuple(map(str, paths))
    assert loaded_config.settings.database.path == str(tmp_path / "elsewhere" / "x" / "y.db")
    assert loaded_config.file == file


def test_the_default_database_is_beside_the_file_or_in_the_current_directory(here: Path, tmp_path: Path) -> None:
    assert load().settings.database.path == str(here / "dedup.db")
    file = write_text(tmp_path / "elsewhere" / "c.toml", "")
    assert load(str(file)).settings.database.path == str(tmp_path / "elsewhere" / "dedup.db")


def test_the_command_line_wins_and_its_paths_start_at_the_current_directory(here: Path, tmp_path: Path) -> None:
    file = write_text(tmp_path / "elsewhere" / "c.toml", "[crawl]\ndirectories = ['raw']\nsettle_seconds = 1.5\n[database]\npath = 'y.db'")
    loaded_config = load(str(file), directories=("mine",), database="z.db")
    assert loaded_config.settings.crawl.directories == (str(here / "mine"),)
    assert loaded_config.settings.crawl.settle_seconds == 1.5
    assert loaded_config.settings.database.path == str(here / "z.db")
    assert {
        key: loaded_config.origins[key] for key in ("crawl.directories", "database.path", "crawl.settle_seconds", "crawl.patterns")
    } == {
        "crawl.directories": "command line",
        "database.path": "command line",
        "crawl.settle_seconds": str(file),
        "crawl.patterns": "default",
    }


def test_every_setting_has_an_origin(here: Path) -> None:
    loaded_config = load()
    assert set(loaded_config.origins) == {key for key, _ in flatten(loaded_config.settings)}
    assert set(loaded_config.origins.values()) == {"default"}


@pytest.mark.parametrize("key", ["settle_seconds", "scan_interval_seconds"])
def test_seconds_may_be_whole_numbers(here: Path, key: str) -> None:
    file = write_text(here / "mine.toml", f"[crawl]\n{key} = 7")
    assert getattr(load(str(file)).settings.crawl, key) == 7.0


def test_configured_url_rules_replace_the_shipped_rules(here: Path) -> None:
    file = write_text(here / "mine.toml", "[[urls.rules]]\npattern = 'a.example/{x:d}'\ntemplate = 'https://b.example/{x}'")
    canonicaliser = load(str(file)).settings.urls.build_canonicaliser()
    assert canonicaliser.canonicalise("https://a.example/1?x") == "https://b.example/1"
    assert canonicaliser.canonicalise("https://m.news.naver.com/article/1/2") == "https://m.news.naver.com/article/1/2"


@pytest.mark.parametrize("key", _SHARES)
@pytest.mark.parametrize("value", ["0", "1", "0.0", "0.37", "1.0"])
def test_a_share_is_any_number_from_0_to_1(here: Path, key: str, value: str) -> None:
    file = write_text(here / "mine.toml", f"[duplicates]\n{key} = {value}")
    assert getattr(load(str(file)).settings.duplicates, key) == float(value)


@pytest.mark.parametrize("key", _CHARACTERS)
@pytest.mark.parametrize("value", [20, 100_000])
def test_character_limits_start_at_the_length_of_a_run(here: Path, key: str, value: int) -> None:
    file = write_text(here / "mine.toml", f"[duplicates]\n{key} = {value}")
    assert getattr(load(str(file)).settings.duplicates, key) == value


@pytest.mark.parametrize("articles", [0, 3, 17])
def test_boilerplate_articles_is_0_or_at_least_3(here: Path, articles: int) -> None:
    file = write_text(here / "mine.toml", f"[duplicates]\nboilerplate_articles = {articles}\npassages = false")
    duplicates = load(str(file)).settings.duplicates
    assert (duplicates.boilerplate_articles, duplicates.passages) == (articles, False)


def test_aliases_resolve_to_the_publisher(here: Path) -> None:
    file = write_text(
        here / "mine.toml",
        "[publishers]\naliases = [{ name = '한빛일보', names = ['Hanbit'], oids = ['901'], hosts = ['hanbit.example'] }, { name = 'B' }]",
    )
    publishers = load(str(file)).settings.publishers.build_publishers()
    assert publishers.canonical_name("", "901", "") == "한빛일보"
    assert publishers.canonical_name("HANBIT", "", "") == "한빛일보"
    assert publishers.canonical_name("", "", "https://m.hanbit.example/1") == "한빛일보"
    assert publishers.canonical_name("b", "", "") == "B"
    assert publishers.canonical_name("다른 신문", "902", "https://other.example/") == "다른 신문"


# Alerts


SECRETS = ("gu3st", "pa55w0rd", "t0ken")


@pytest.mark.parametrize(
    "mistake",
    [
        "url = 5",
        "secret = ['s3cret']",
        "kind = 'none'",
        "ulr = 'https://gu3st:pa55w0rd@a.example/t0ken'",
        "path = 'x'",
        "entries = 'pa55w0rd'",
    ],
)
def test_no_mistake_in_a_channel_shows_its_secrets(here: Path, mistake: str) -> None:
    key = mistake.partition(" ")[0]
    values = {"kind": "'webhook'", "url": "'https://gu3st:pa55w0rd@a.example/t0ken'", "secret": "'s3cret-t0ken'"}
    lines = [f"{name} = {value}" for name, value in values.items() if name != key]
    with pytest.raises(ConfigError) as error:
        load(str(write_text(here / "mine.toml", "\n".join(["[channels.m]", *lines, mistake]))))
    assert not [s for s in (*SECRETS, "s3cret") if s in str(error.value)]


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("env:DEDUP_MAIL", "env:DEDUP_MAIL"),
        ("", ""),
        ("https://gu3st:pa55w0rd@a.example/t0ken", "https://***"),
        ("tgram://t0ken/1", "tgram://***"),
        ("pa55w0rd", "***"),
        ("env:pa55w0rd t0ken", "***"),
    ],
)
def test_a_masked_secret_shows_its_variable_or_its_service(secret: str, expected: str) -> None:
    assert config.mask_secret(secret) == expected


MALFORMED_REFERENCES = [
    "env:HOOK-SECRET",
    "env:",
    "env:1SECRET",
    "env: HOOK",
    "env:HOOK ",
    " env:HOOK",
    "ENV:HOOK",
    "env :HOOK",
    "env:$HOOK",
    "env:비밀",
    "env:A\\n",
]


@pytest.mark.parametrize("value", MALFORMED_REFERENCES)
@pytest.mark.parametrize("key", ["channels.m.url", "channels.m.secret", "web.token"])
def test_a_malformed_reference_to_a_variable_is_refused(here: Path, key: str, value: str) -> None:
    values = {"url": "https://a.example/", "secret": "", "token": ""} | {key.rpartition(".")[2]: value}
    lines = f'[channels.m]\nkind = "webhook"\nurl = "{values["url"]}"\nsecret = "{values["secret"]}"\n[web]\ntoken = "{values["token"]}"\n'
    with pytest.raises(ConfigError) as error:
        load(str(write_text(here / "mine.toml", lines)))
    assert f"{key}: does not name an environment variable; write 'env:NAME'" in str(error.value)
    assert value not in str(error.value).replace("env:NAME", "")
    assert config.mask_secret(value) == "***"


@pytest.mark.parametrize("value", ["env:HOOK_SECRET", "env:_a1", "", "secret", "environment:x", "my env:x"])
def test_references_to_variables_and_plain_values_are_accepted(here: Path, value: str) -> None:
    file = write_text(
        here / "mine.toml", f'[channels.m]\nkind = "webhook"\nurl = "env:URL"\nsecret = "{value}"\n[web]\ntoken = "{value}"\n'
    )
    settings = load(str(file)).settings
    assert (settings.channels["m"].secret, settings.web.token) == (value, value)
    assert config.env_variable_name(value) == (value[4:] if value.startswith("env:") else None)


def test_a_token_of_the_wrong_type_is_not_shown(here: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(str(write_text(here / "mine.toml", "[web]\ntoken = 31415926\n")))
    assert "31415926" not in str(error.value)


@pytest.mark.parametrize("form", ["text", "json"])
def test_dedup_config_shows_no_secret(here: Path, form: str) -> None:
    write_text(here / "config.toml", "[channels.m]\nkind = 'webhook'\nurl = 'https://gu3st:pa55w0rd@a.example/t0ken'\nsecret = 't0ken'\n")
    result = run(here, "config", "-f", form)
    assert result.code == 0
    assert not [s for s in SECRETS if s in result.out + result.err]
    assert "https://***" in result.out


def test_a_rule_without_a_zone_uses_the_zone_of_delivery(here: Path) -> None:
    file = write_text(
        here / "mine.toml",
        "[delivery]\nzone = 'Europe/Berlin'\n"
        + _RULE
        + "quiet_hours = ['22:00', '07:00']\n"
        + _RULE.partition("}\n")[2].replace("'a'", "'b'")
        + "zone = 'UTC'",
    )
    first, second = load(str(file)).settings.alert_policy().rules
    assert (str(first.schedule.zone), str(second.schedule.zone)) == ("Europe/Berlin", "UTC")
    assert first.schedule.quiet_hours == (time(22), time(7))
    assert second.schedule.quiet_hours is None


def test_the_path_of_a_feed_starts_at_the_folder_of_the_file(here: Path, tmp_path: Path) -> None:
    file = write_text(tmp_path / "elsewhere" / "c.toml", "[channels.feed]\nkind = 'atom'\npath = 'a/b.atom'")
    assert load(str(file)).settings.channels["feed"].path == str(tmp_path / "elsewhere" / "a" / "b.atom")
