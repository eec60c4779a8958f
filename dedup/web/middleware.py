"""Access control and security headers for every request and response."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Pages load only the static files of the dashboard."""
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
ALLOWED_METHODS = ("GET", "HEAD")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class AccessMiddleware:
    """Passes GET and HEAD requests for served hosts to the application, with the token if one is set, and not from other sites.

    `listen` and `hosts` name the served hosts, next to those of the local machine.
    """

    def __init__(self, app: ASGIApp, listen: str, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(normalise_host(host) for host in (listen, *_LOCAL_HOSTS, *hosts)) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return  # no web sockets

        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            has_started = True
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*headers, *SECURITY_HEADERS]}
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, send_with_headers)
        except Exception:
            if not has_started:  # the server would respond without these headers
                await _plain_response(500, "Internal error; see the log of dedup.")(scope, receive, send_with_headers)
            raise

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ALLOWED_METHODS:
            return _plain_response(405, "The dashboard is read-only; use GET or HEAD.", {"allow": ", ".join(ALLOWED_METHODS)})
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not hosts[0]:
            return _plain_response(400, "The request must have exactly one Host header.")
        if not self._is_served_host(hosts[0], scope):
            return _plain_response(421, "This host is not served here; add it to [web] hosts.")
        if self._token and not self._is_authorised(headers.get("authorization", "")):
            return _plain_response(
                401, "Send the token as the password or as 'Authorization: Bearer TOKEN'.", {"www-authenticate": _BASIC_CHALLENGE}
            )
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return _plain_response(403, "Other sites may link to the dashboard but not load from it.")
        return None

    def _is_served_host(self, host: str, scope: Scope) -> bool:
        """Return whether a host is configured or is the address that the request arrived at, which no other site can have as its name."""
        server: Any = scope.get("server")
        name = normalise_host(host)
        return name in self._hosts or bool(name and server and name == server[0])

    def _is_authorised(self, authorization: str) -> bool:
        return any(hmac.compare_digest(tried, self._token) for tried in _presented_tokens(authorization))


_BASIC_CHALLENGE = 'Basic realm="dedup", charset="UTF-8"'


def _presented_tokens(authorization: str) -> Iterable[bytes]:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip().encode("latin-1")
    elif scheme.lower() == "basic":
        try:
            yield base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
        except (ValueError, binascii.Error):
            return


def _plain_response(status: int, sentence: str, headers: dict[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(sentence + "\n", status, headers)


def parse_host(listen: str) -> str:
    """Return the address of "address:port", without brackets."""
    return listen.rpartition(":")[0].strip("[]")


def normalise_host(host: str) -> str:
    """Return a host in lower case without port and brackets, or an empty string for an invalid one."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_loopback(listen: str) -> bool:
    """Return whether only this machine can reach "address:port"."""
    host = parse_host(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
