"""Find `config.toml`, read it, check it, and apply the options of the command line."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dedup.config.checks import SettingsChecker
from dedup.config.messages import to_config_error
from dedup.config.model import DatabaseConfig, Settings, flatten
from dedup.errors import ConfigError, ConfigFileError


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force, and where they come from.

    `file`: the configuration file; None if only defaults are in force. `origins`: dotted key → the file's path, `command line` or
    `default`.
    """

    settings: Settings
    file: Path | None
    origins: dict[str, str]


def find_config_file(explicit: str | None) -> Path | None:
    """Return the configuration file to use, or None if no file exists.

    That is `explicit` if it is given, else `./config.toml`, else `$XDG_CONFIG_HOME/dedup/config.toml` (`~/.config` by default).
    Raises ConfigFileError if `explicit` is not a file.
    """
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
    """Return the settings in force: the configuration file, overridden by what the command line gives.

    `explicit` is the file to read, see `find_config_file`. `directories` and `database` override `crawl.directories` and
    `database.path`. Paths in the file are relative to the file's folder. Paths of the command line, and default paths without a file,
    are relative to the current directory. All paths returned are absolute. Raises ConfigError or ConfigFileError (exit code 2).
    """
    file = find_config_file(explicit)
    table = _read_toml(file) if file else {}
    settings = _validate_table(table, str(file))
    origins = {key: str(file) if _is_set(table, key) else "default" for key, _ in flatten(settings)}
    settings = _resolve_paths(settings, file.absolute().parent if file else Path.cwd())
    settings = _override(settings, directories, database)
    if directories:
        origins["crawl.directories"] = "command line"
    if database is not None:
        origins["database.path"] = "command line"
    _check_channel_paths(settings, file)
    return LoadedSettings(settings, file, origins)


def resolve(settings: Settings, *, directories: tuple[str, ...] = (), database: str | None = None) -> Settings:
    """Return settings that a program built, checked and completed as `load` does for a file. Paths are relative to the current directory.

    Raises ConfigError.
    """
    SettingsChecker(settings, "Settings").check()
    settings = _override(_resolve_paths(settings, Path.cwd()), directories, database)
    _check_channel_paths(settings, None)
    return settings


def _override(settings: Settings, directories: tuple[str, ...], database: str | None) -> Settings:
    if directories:
        crawl = settings.crawl.model_copy(update={"directories": tuple(os.path.abspath(d) for d in directories)})
        settings = settings.model_copy(update={"crawl": crawl})
    if database is not None:
        settings = settings.model_copy(update={"database": _make_database_config(database)})
    return settings


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except tomllib.TOMLDecodeError as error:
        raise ConfigFileError(file=file, problem=f"is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigFileError(file=file, problem=f"cannot be read: {error}") from error


def _validate_table(table: dict[str, Any], file: str) -> Settings:
    try:
        settings = Settings.model_validate(_lists_to_tuples(table))
    except ValidationError as error:
        raise to_config_error(error, file) from None
    SettingsChecker(settings, file).check()
    return settings


def _lists_to_tuples(value: Any) -> Any:
    """TOML arrays as tuples, which strict validation expects."""
    if isinstance(value, dict):
        return {k: _lists_to_tuples(v) for k, v in value.items()}
    return tuple(_lists_to_tuples(v) for v in value) if isinstance(value, list) else value


def _is_set(table: dict[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    return name in table.get(section, {}) if name else section in table


def _resolve_paths(settings: Settings, base: Path) -> Settings:
    """The settings with `~` expanded and paths made absolute, relative to `base`."""

    def resolve(path: str) -> str:
        return os.path.abspath(base / os.path.expanduser(path))

    channels = {
        name: channel.model_copy(update={"path": resolve(channel.path)}) if channel.path else channel
        for name, channel in settings.channels.items()
    }
    crawl = settings.crawl.model_copy(update={"directories": tuple(map(resolve, settings.crawl.directories))})
    database = _make_database_config(resolve(settings.database.path))
    return settings.model_copy(update={"crawl": crawl, "database": database, "channels": channels})


def _make_database_config(path: str | Path) -> DatabaseConfig:
    """Skip validation: a path of the command line or the file system may contain bytes that are not UTF-8, which pydantic refuses."""
    return DatabaseConfig.model_construct(path=os.path.abspath(path))


def _check_channel_paths(settings: Settings, file: Path | None) -> None:
    """Raise ConfigError for a channel whose file is one that must never be written."""
    protected = settings.protected_paths(file=file)
    for name, channel in settings.channels.items():
        if channel.path and (problem := protected.find_problem(channel.path)):
            raise ConfigError(file=file, key=f"channels.{name}.path", problem=f"{channel.path} cannot be written: {problem}")
