"""Optional packages, by the extra of the distribution `crawl-dedup` that installs them."""

from __future__ import annotations

from importlib import import_module
from typing import Literal

from dedup.errors import MissingExtraError

Extra = Literal["alerts", "metrics", "parquet", "web"]
_FEATURES: dict[Extra, tuple[str, tuple[str, ...]]] = {
    "alerts": ("A channel of kind 'apprise'", ("apprise",)),
    "metrics": ("The metrics endpoint", ("prometheus_client", "h11", "uvicorn")),
    "parquet": ("Parquet", ("pyarrow",)),
    "web": ("The dashboard", ("h11", "starlette", "uvicorn")),
}
"""Extra → (feature, packages it imports)."""


def require_extra(extra: Extra) -> None:
    """Import the packages of an extra. Raises MissingExtraError for the first one that cannot be imported."""
    feature, packages = _FEATURES[extra]
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise MissingExtraError(feature=feature, package=package, extra=extra) from error
