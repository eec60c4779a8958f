"""One module for each area. A view is a function of an open database and what is asked; it gives figures, which a template shows."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.web.asking import View
from dedup.web.views import faults, status


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
    Place("/", status.root, "overview"),
    Place("/faults", faults.view, "faults"),
    Place("/status", status.view, "status"),
)
