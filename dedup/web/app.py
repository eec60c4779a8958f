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
from dedup.web.middleware import AccessMiddleware
from dedup.web.render import Page, PageRenderer, View
from dedup.web.views import VIEWS

_MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
STATIC_FILES = ("dedup.css", "dedup.js", "icon.svg")


def create_app(settings: Settings, token: str = "") -> Starlette:
    """Return the application. Requests must present `token` unless it is empty."""
    contents = {name: files("dedup.web").joinpath("static", name).read_bytes() for name in STATIC_FILES}
    versions = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in contents.items()}
    renderer = PageRenderer(settings, versions, {view.name for view in VIEWS})

    def handle_not_found(request: Request, error: Exception) -> Response:
        path, slash, rest = request.url.path.rpartition("/")
        if slash and not rest and path in paths:
            return _redirect_without_slash(path, request)
        status = error.status_code if isinstance(error, HTTPException) else 500
        title = "Page not found" if status == 404 else "Internal error"
        content = {"error": {"status": status, "title": title, "message": "", "remedy": ""}}
        return renderer.render(Page("error.html", title, content, {"page_urls": []}, status), "", request)

    def serve_static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in contents:
            raise HTTPException(404)
        cache_control = "public, max-age=31536000, immutable" if request.query_params.get("v") == versions[name] else "no-cache"
        return Response(contents[name], headers={"cache-control": cache_control}, media_type=_MEDIA_TYPES[name.rpartition(".")[2]])

    paths = {view.path for view in VIEWS} | {f"/static/{name}" for name in STATIC_FILES}
    app = Starlette(
        routes=[
            Route("/static/{name}", serve_static),
            *(Route(v.path, _make_endpoint(renderer, v.view, v.area), name=v.name) for v in VIEWS),
        ],
        middleware=[Middleware(AccessMiddleware, listen=settings.web.listen, token=token, hosts=settings.web.hosts)],
        exception_handlers={404: handle_not_found},
    )
    app.router.redirect_slashes = False  # its redirects are absolute and lose the prefix and scheme of a proxy
    return app


def _redirect_without_slash(path: str, request: Request) -> Response:
    """Return a redirect to the URL without the trailing slash.

    It is relative like all links, because a reverse proxy may serve the dashboard under a path and over https.
    """
    query = request.scope["query_string"].decode("latin-1")
    location = "../" + path.rpartition("/")[2] + (f"?{query}" if query else "")
    return Response(status_code=307, headers={"location": location})


def _make_endpoint(renderer: PageRenderer, view: View, area: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:  # not a coroutine, so that Starlette runs it in a thread
        return renderer.respond(view, area, request)

    return endpoint
