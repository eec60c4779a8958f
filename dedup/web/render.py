"""Rendering of views: query parameters in, HTML or JSON out. Errors become pages with a remedy.

Each request opens the database and closes it at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from dedup import __version__
from dedup.config import Settings
from dedup.errors import (
    AmbiguousPageError,
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseTooOldError,
    DatabaseUnreadableError,
    DedupError,
    ParameterError,
    RecipeChangedError,
    RevisionPrunedError,
    UnknownPageError,
    UnknownRevisionError,
)
from dedup.store import Database, open_database
from dedup.text import times
from dedup.text.format import format_count
from dedup.text.sanitise import finalize_html, format_json
from dedup.web import filters
from dedup.web.links import AREAS, Links

_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True)
class QueryParameters:
    """The parameters of a request, and what views need to read them."""

    settings: Settings
    parameters: QueryParams
    links: Links

    def text(self, name: str) -> str:
        """Return a parameter, stripped. Empty if it is missing."""
        return self.parameters.get(name, "").strip()

    def choice(self, name: str, allowed: tuple[_Word, ...], default: _Word) -> _Word:
        """Return a parameter that must be one of `allowed`, or `default` if it is missing. Raises ParameterError."""
        value = self.text(name) or default
        for word in allowed:
            if word == value:
                return word
        raise ParameterError(name=name, problem=f"must be one of {', '.join(w for w in allowed if w)}")

    def choices(self, name: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
        """Return the distinct values of a repeated parameter, which must be among `allowed`. Raises ParameterError."""
        values = tuple(dict.fromkeys(v.strip() for v in self.parameters.getlist(name) if v.strip()))
        for value in values:
            if value not in allowed:
                raise ParameterError(name=name, problem=f"must be one of {', '.join(allowed)}")
        return values

    def flag(self, name: str) -> bool:
        """Return whether a check box is ticked."""
        return self.text(name) not in ("", "0", "false", "no")

    def integer(self, name: str, minimum: int, maximum: int) -> int:
        """Return a whole number, or `minimum` if it is missing. Raises ParameterError."""
        text = self.text(name)
        if not text:
            return minimum
        if not (text.isascii() and text.isdigit() and len(text) < 12 and minimum <= int(text) <= maximum):
            raise ParameterError(name=name, problem=f"must be a whole number from {minimum} to {maximum}")
        return int(text)

    def publisher(self, name: str) -> str | None:
        """Return the canonical name of a publisher, or None if it is missing."""
        name_printed = self.text(name)
        return self.settings.publishers.build_publishers().canonical_name(name_printed, "", "") if name_printed else None

    def timestamp(self, name: str) -> str | None:
        """Return a time as ISO 8601 in UTC, or None if it is missing. A time without offset is in the zone of `[delivery]`.

        Raises ParameterError.
        """
        text = self.text(name)
        if not text:
            return None
        utc = times.to_utc(text, ZoneInfo(self.settings.delivery.zone))
        if utc is None:
            raise ParameterError(name=name, problem="is not a time such as 2026-03-02 or 2026-03-02T09:00")
        return utc


@dataclass(frozen=True, slots=True)
class Page:
    """A page. `content` is what `?format=json` returns; `context` has further variables of the template."""

    template: str
    title: str
    content: dict[str, Any]
    context: dict[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A response that is not a page."""

    body: bytes
    media_type: str


View = Callable[[Database, QueryParameters], Page | RawResponse]


class PageRenderer:
    """Runs views and renders their results. `versions` maps static files to versions, `views` has the names of all views."""

    def __init__(self, settings: Settings, versions: dict[str, str], views: set[str]) -> None:
        self._settings = settings
        self._versions = versions
        self._views = frozenset(views)
        self._areas = [(name, label) for name, label in AREAS if name in views]
        zone = ZoneInfo(settings.delivery.zone)
        self._environment = Environment(
            loader=PackageLoader("dedup.web"), autoescape=True, undefined=StrictUndefined, finalize=finalize_html, trim_blocks=True,
            lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._environment.filters |= filters.FILTERS | {
            "time": lambda iso: filters.format_time(iso, zone),
            "time_seconds": lambda iso: filters.format_time(iso, zone, seconds=True),
        }
        self._environment.globals |= {"plural": format_count, "version": __version__, "zone": settings.delivery.zone}

    def respond(self, view: View, area: str, request: Request) -> Response:
        """Run a view and render its result. Runs in a worker thread."""
        links = Links(request.url.path)
        try:
            query = QueryParameters(self._settings, request.query_params, links)
            with open_database(self._settings.database.path) as database:
                result = view(database, query)
        except DedupError as error:
            result = error_page(error)
        return self.render(result, area, request)

    def render(self, result: Page | RawResponse, area: str, request: Request) -> Response:
        """Render a result as HTML, or as JSON for `format=json`."""
        if isinstance(result, RawResponse):
            return Response(result.body, media_type=result.media_type)
        headers = {"retry-after": "5"} if result.status == 503 else None
        if request.query_params.get("format") == "json":
            body = format_json(result.content, 1).encode("utf-8")
            return Response(body, result.status, headers, media_type="application/json")
        links = Links(request.url.path)
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "format"]
        html = self._environment.get_template(result.template).render(
            title=result.title, content=result.content, link=links, area=area, areas=self._areas, views=self._views, query=query,
            static=lambda name: links.static(name, self._versions[name]), **result.context,
        )  # fmt: skip
        return HTMLResponse(html.encode("utf-8", "replace"), result.status, headers)


def error_page(error: DedupError) -> Page:
    """Return the page of an error, with its status and remedy."""
    status, title, remedy = 500, "Error", ""
    for kinds, code, heading, advice in _ERROR_PAGES:
        if isinstance(error, kinds):
            status, title, remedy = code, heading, advice
            break
    page_urls = error.facts.get("urls") if isinstance(error, AmbiguousPageError) else None
    content = {"error": {"status": status, "title": title, "message": str(error), "remedy": remedy}}
    return Page("error.html", title, content, {"page_urls": str(page_urls).split(", ") if page_urls else []}, status)


_ERROR_PAGES: tuple[tuple[type[DedupError] | tuple[type[DedupError], ...], int, str, str], ...] = (
    (DatabaseMissingError, 503, "There is no database yet", "Run 'dedup scan' or 'dedup watch', then reload this page."),
    (DatabaseNewerError, 503, "The database is from a newer version", "Upgrade dedup, then restart 'dedup serve'."),
    (DatabaseTooOldError, 503, "The database is from a development version", "Run 'dedup scan' with a new database."),
    (DatabaseUnreadableError, 503, "The database cannot be read", "If it is busy, reload this page in a moment."),
    (UnknownPageError, 404, "Page not found", "Check the spelling. A page is found by any spelling of its URL, or by an article id."),
    (AmbiguousPageError, 404, "Several pages have this id", "Choose one of them."),
    (UnknownRevisionError, 404, "Revision not found", "The history of the page lists its revisions."),
    (RevisionPrunedError, 410, "This revision was pruned", "Its digest, crawls and matches are still recorded; the page shows them."),
    (RecipeChangedError, 409, "Settings changed", "The stored data was computed with other settings."),
    (ParameterError, 400, "Invalid request", ""),
)
