"""Deduplication and change tracking for crawled articles.

The names in `__all__` are the library; docs/library.md describes them. Each is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dedup import errors
    from dedup.config import Settings
    from dedup.errors import (
        ConfigError,
        DatabaseBusyError,
        DatabaseDamagedError,
        DatabaseMissingError,
        DedupError,
        QueryError,
        UnknownPageError,
    )
    from dedup.library.database import Database, open_database
    from dedup.library.scanning import scan
    from dedup.library.settings import load_settings
    from dedup.library.texts import canonical_url, compare, diff, signature
    from dedup.library.watching import Watch, watch

__version__ = "0.2.0"

__all__ = [
    "ConfigError",
    "Database",
    "DatabaseBusyError",
    "DatabaseDamagedError",
    "DatabaseMissingError",
    "DedupError",
    "QueryError",
    "Settings",
    "UnknownPageError",
    "Watch",
    "canonical_url",
    "compare",
    "diff",
    "errors",
    "load_settings",
    "open_database",
    "scan",
    "signature",
    "watch",
]

_MODULES = {
    "Settings": "dedup.config",
    "Database": "dedup.library.database",
    "open_database": "dedup.library.database",
    "load_settings": "dedup.library.settings",
    "scan": "dedup.library.scanning",
    "canonical_url": "dedup.library.texts",
    "compare": "dedup.library.texts",
    "diff": "dedup.library.texts",
    "signature": "dedup.library.texts",
    "Watch": "dedup.library.watching",
    "watch": "dedup.library.watching",
}
"""Public names by the module that defines them. `errors` is a module of this package, and the other names are errors."""


if not TYPE_CHECKING:  # with it, type checkers would accept any name

    def __getattr__(name: str) -> Any:
        if name == "errors":
            return import_module("dedup.errors")
        if name not in __all__:
            raise AttributeError(f"module 'dedup' has no attribute {name!r}")
        return getattr(import_module(_MODULES.get(name, "dedup.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
