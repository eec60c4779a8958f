"""From a request to a page: a database that is open for as long as the request, an answer as HTML or JSON, and what goes wrong as a page
that says what to do."""

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
    DatabaseUnreadableError,
    DedupError,
    NoRevisionError,
    ParameterError,
    PrunedError,
    RecipeChangedError,
    UnknownPageError,
)
from dedup.store import Database, open_database
from dedup.text import times
from dedup.text.normalise import printable_json
from dedup.web import filters
from dedup.web.links import AREAS, Links

_Word = TypeVar("_Word", bound=str)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for."""

    settings: Settings
    query: QueryParams
    links: Links

    def text(self, name: str) -> str:
        """A parameter, without blanks around it; empty where it was not given."""
        return self.query.get(name, "").strip()

    def one_of(self, name: str, known: tuple[_Word, ...], default: _Word) -> _Word:
        """A parameter that is one of a few words. Raises ParameterError."""
        found = self.text(name) or default
        for word in known:
            if word == found:
                return word
        raise ParameterError(name=name, problem=f"must be one of {', '.join(w for w in known if w)}")

    def several(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """The same, given any number of times."""
        found = tuple(dict.fromkeys(v.strip() for v in self.query.getlist(name) if v.strip()))
        for value in found:
            if value not in known:
                raise ParameterError(name=name, problem=f"must be one of {', '.join(known)}")
        return found

    def flag(self, name: str) -> bool:
        """Whether a box is ticked."""
        return self.text(name) not in ("", "0", "false", "no")

    def whole(self, name: str, least: int, most: int) -> int:
        """A whole number; the least where none was given. Raises ParameterError."""
        given = self.text(name)
        if not given:
            return least
        if not (given.isascii() and given.isdigit() and len(given) < 12 and least <= int(given) <= most):
            raise ParameterError(name=name, problem="is no whole number, or too great")
        return int(given)

    def house(self, name: str) -> str | None:
        """The house that goes by a name; None where none was given."""
        given = self.text(name)
        return self.settings.publishers.publishers().house(given, "", "") if given else None

    def moment(self, name: str) -> str | None:
        """A time, as ISO 8601 in UTC; one without an offset is read in the dashboard's zone. Raises ParameterError."""
        given = self.text(name)
        if not given:
            return None
        found = times.to_utc(given, ZoneInfo(self.settings.delivery.zone))
        if found is None:
            raise ParameterError(name=name, problem="is no time; write one like 2026-03-02 or 2026-03-02T09:00")
        return found


@dataclass(frozen=True, slots=True)
class Answer:
    """A page: `told` are its figures, the same that `?format=json` gives; `more` is what only the page shows."""

    template: str
    title: str
    told: dict[str, Any]
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Raw:
    """What is no page: its bytes and media type."""

    body: bytes
    media: str


View = Callable[[Database, Asked], Answer | Raw]


class Desk:
    """Answers requests, with these settings; `areas` are the views that the navigation leads to."""

    def __init__(self, settings: Settings, versions: dict[str, str], views: set[str]) -> None:
        self._settings = settings
        self._versions = versions
        self._views = frozenset(views)
        self._areas = [(name, told) for name, told in AREAS if name in views]
        zone = ZoneInfo(settings.delivery.zone)
        self._pages = Environment(
            loader=PackageLoader("dedup.web"), autoescape=True, undefined=StrictUndefined, finalize=filters.finished, trim_blocks=True,
            lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        self._pages.filters |= filters.FILTERS | {
            "moment": lambda iso: filters.moment(iso, zone),
            "exact": lambda iso: filters.moment(iso, zone, seconds=True),
        }
        self._pages.globals |= {"plural": filters.plural, "version": __version__, "zone": settings.delivery.zone}

    def answer(self, view: View, area: str, request: Request) -> Response:
        """The answer of a view. Runs in a thread of its own."""
        links = Links(request.url.path)
        try:
            asked = Asked(self._settings, request.query_params, links)
            with open_database(self._settings.database.path) as database:
                found = view(database, asked)
        except DedupError as error:
            found = failed(error)
        return self.made(found, area, request)

    def made(self, found: Answer | Raw, area: str, request: Request) -> Response:
        """An answer in the form that was asked for."""
        if isinstance(found, Raw):
            return Response(found.body, media_type=found.media)
        headers = {"retry-after": "5"} if found.status == 503 else None
        if request.query_params.get("format") == "json":
            told = printable_json(found.told, 1).encode("utf-8")
            return Response(told, found.status, headers, media_type="application/json")
        links = Links(request.url.path)
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "format"]
        written = self._pages.get_template(found.template).render(
            title=found.title, told=found.told, link=links, area=area, areas=self._areas, views=self._views, query=query,
            static=lambda name: links.static(name, self._versions[name]), **found.more,
        )  # fmt: skip
        return HTMLResponse(written.encode("utf-8", "replace"), found.status, headers)


def failed(error: DedupError) -> Answer:
    """What went wrong, as a page that says what to do about it."""
    status, title, remedy = 500, "This did not work", ""
    for kinds, code, heading, what in _FAILURES:
        if isinstance(error, kinds):
            status, title, remedy = code, heading, what
            break
    choices = error.facts.get("urls") if isinstance(error, AmbiguousPageError) else None
    told = {"error": {"status": status, "title": title, "message": str(error), "remedy": remedy}}
    return Answer("failed.html", title, told, {"choices": str(choices).split(", ") if choices else []}, status)


_FAILURES: tuple[tuple[type[DedupError] | tuple[type[DedupError], ...], int, str, str], ...] = (
    (DatabaseMissingError, 503, "There is no database yet", "Run 'dedup scan' or 'dedup watch'; then load this page again."),
    (DatabaseNewerError, 503, "The database is of a newer version", "Install that version here, and start 'dedup serve' again."),
    (DatabaseUnreadableError, 503, "The database cannot be read now", "If it is only busy, load this page again in a moment."),
    (UnknownPageError, 404, "No such page", "Look at how it is spelt; a page is found by any spelling of its URL, or by an article's id."),
    (AmbiguousPageError, 404, "Several pages carry this id", "Choose one of them."),
    (NoRevisionError, 404, "No such revision", "The page shows which it has."),
    (PrunedError, 410, "This text was pruned", "Its digest, crawls and matches are still known; the page shows them."),
    (RecipeChangedError, 409, "The database is not of these settings", "What is stored was measured with others."),
    (ParameterError, 400, "This cannot be asked", ""),
)
