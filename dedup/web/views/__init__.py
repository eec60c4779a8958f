"""One module for each area. A view is a function of an open database and what is asked; it gives figures, which a template shows."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.web.render import View
from dedup.web.views import changes, checks, clusters, compare, faults, overview, page, pages, pair, search, status


@dataclass(frozen=True, slots=True)
class Place:
    """A view, its address, and the area of the navigation that it belongs to."""

    path: str
    view: View
    area: str

    @property
    def name(self) -> str:
        return self.path.strip("/") or "overview"


VIEWS = (
    Place("/", overview.view, "overview"),
    Place("/clusters", clusters.view, "clusters"),
    Place("/cluster", clusters.one, "clusters"),
    Place("/pages", pages.view, "pages"),
    Place("/page", page.view, "pages"),
    Place("/compare", compare.view, "pages"),
    Place("/pair", pair.view, "clusters"),
    Place("/changes", changes.view, "changes"),
    Place("/changes.atom", changes.feed, "changes"),
    Place("/checks", checks.view, "checks"),
    Place("/faults", faults.view, "faults"),
    Place("/search", search.view, "search"),
    Place("/status", status.view, "status"),
)
