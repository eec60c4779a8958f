"""The views, one module for each area. A view is a function of a database and query parameters that returns a `Page`."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.web.render import View
from dedup.web.views import changes, checks, clusters, compare, faults, overview, page, pages, pair, search, status


@dataclass(frozen=True, slots=True)
class ViewRoute:
    """A view, its path, and the entry of the navigation that is marked as current."""

    path: str
    view: View
    area: str

    @property
    def name(self) -> str:
        return self.path.strip("/") or "overview"


VIEWS = (
    ViewRoute("/", overview.view, "overview"),
    ViewRoute("/clusters", clusters.view, "clusters"),
    ViewRoute("/cluster", clusters.view_one, "clusters"),
    ViewRoute("/pages", pages.view, "pages"),
    ViewRoute("/page", page.view, "pages"),
    ViewRoute("/compare", compare.view, "pages"),
    ViewRoute("/pair", pair.view, "clusters"),
    ViewRoute("/changes", changes.view, "changes"),
    ViewRoute("/changes.atom", changes.atom_feed, "changes"),
    ViewRoute("/checks", checks.view, "checks"),
    ViewRoute("/faults", faults.view, "faults"),
    ViewRoute("/search", search.view, "search"),
    ViewRoute("/status", status.view, "status"),
)
