"""The dashboard as an ASGI application."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dedup.config import Settings
from dedup.web.middleware import Guard
from dedup.web.render import Answer, Desk, View
from dedup.web.views import VIEWS

_MEDIA = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
STATIC = ("dedup.css", "dedup.js", "icon.svg")


def make(settings: Settings, token: str = "") -> Starlette:
    """The application, for what is configured; `token` is what has to be shown to it, empty: nothing."""
    shipped = {name: files("dedup.web").joinpath("static", name).read_bytes() for name in STATIC}
    versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in shipped.items()}
    desk = Desk(settings, versions, {view.name for view in VIEWS})

    def lost(request: Request, error: Exception) -> Response:
        place, slash, nothing = request.url.path.rpartition("/")
        if slash and not nothing and place in known:
            return _moved(place, request)
        status = error.status_code if isinstance(error, HTTPException) else 500
        title = {404: "There is nothing at this address"}.get(status, "This did not work")
        told = {"error": {"status": status, "title": title, "message": "", "remedy": ""}}
        return desk.made(Answer("failed.html", title, told, {"choices": []}, status), "", request)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in shipped:
            raise HTTPException(404)
        kept = "public, max-age=31536000, immutable" if request.query_params.get("v") == versions[name] else "no-cache"
        return Response(shipped[name], headers={"cache-control": kept}, media_type=_MEDIA[name.rpartition(".")[2]])

    known = {view.path for view in VIEWS} | {f"/static/{name}" for name in STATIC}
    app = Starlette(
        routes=[Route("/static/{name}", static), *(Route(v.path, _endpoint(desk, v.view, v.area), name=v.name) for v in VIEWS)],
        middleware=[Middleware(Guard, listen=settings.web.listen, token=token, hosts=settings.web.hosts)],
        exception_handlers={404: lost},
    )
    app.router.redirect_slashes = False  # it redirects to an absolute address, without the prefix and the scheme of a proxy
    return app


def _moved(place: str, request: Request) -> Response:
    """A redirect from an address with a slash at its end to the one without. It is relative, as all links are: a reverse proxy may serve
    the dashboard beneath a path, and by https."""
    query = request.scope["query_string"].decode("latin-1")
    location = "../" + place.rpartition("/")[2] + (f"?{query}" if query else "")
    return Response(status_code=307, headers={"location": location})


def _endpoint(desk: Desk, view: View, area: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:  # no coroutine: it runs in a thread of its own
        return desk.answer(view, area, request)

    return endpoint
