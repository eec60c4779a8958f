"""Settings for the functions of the library: from a configuration file, or built by the program."""

from __future__ import annotations

import os
from collections.abc import Iterable

from dedup import config
from dedup.config import Settings

StrPath = str | os.PathLike[str]
SettingsSource = Settings | StrPath | None
"""Settings, the path of a configuration file, or None for the built-in values."""


def load_settings(path: StrPath | None = None, *, directories: Iterable[StrPath] = (), database: StrPath | None = None) -> Settings:
    """Return the settings of a configuration file. `directories` and `database` replace the crawl directories and the database path.

    Without `path` the file is the one that the command uses: `./config.toml`, else `$XDG_CONFIG_HOME/dedup/config.toml`, else none.
    Paths in the file are relative to its folder; those of the arguments are relative to the current directory.

    Raises ConfigError, ConfigFileError.
    """
    return config.load(None if path is None else os.fspath(path), directories=_paths(directories), database=_path(database)).settings


def resolve_settings(source: SettingsSource, *, directories: Iterable[StrPath] = (), database: StrPath | None = None) -> Settings:
    """Return the settings of a source, checked, with absolute paths, and with the replacements of `load_settings`.

    Raises ConfigError, ConfigFileError.
    """
    if source is None or isinstance(source, Settings):
        return config.resolve(source or Settings(), directories=_paths(directories), database=_path(database))
    return load_settings(source, directories=directories, database=database)


def _paths(paths: Iterable[StrPath]) -> tuple[str, ...]:
    return tuple(os.fspath(path) for path in paths)


def _path(path: StrPath | None) -> str | None:
    return None if path is None else os.fspath(path)
