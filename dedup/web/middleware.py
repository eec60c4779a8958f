"""Who may ask, and what every answer carries: before any page, and around all of them."""

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

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""What a page may load and do: what is shipped with it, and nothing else."""
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
METHODS = ("GET", "HEAD")
_OWN = ("localhost", "127.0.0.1", "[::1]")


class Guard:
    """Around an application: lets GET and HEAD through, for hosts that are meant, with the token where one is set, and not for other
    sites."""

    def __init__(self, app: ASGIApp, listen: str, token: str, hosts: Collection[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = frozenset(bare(host) for host in (listen, *_OWN, *hosts)) - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return  # nothing here speaks anything else

        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                if not any(name == b"cache-control" for name, _ in given):
                    given.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*given, *HEADERS]}
            await send(message)

        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, guarded)
        except Exception:
            if not begun:  # else what is around this would answer, without these headers
                await _told(500, "This is an error of the program's own; its log says which.")(scope, receive, guarded)
            raise

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if scope["method"] not in METHODS:
            return _told(405, "The dashboard only reads: GET and HEAD.", {"allow": ", ".join(METHODS)})
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not hosts[0]:
            return _told(400, "A request names one host.")
        if not self._is_own(hosts[0], scope):
            return _told(421, "This host is not served here; name it in [web] hosts.")
        if self._token and not self._is_known(headers.get("authorization", "")):
            return _told(401, "The token is wanted, as the password or by 'Authorization: Bearer'.", {"www-authenticate": _BASIC})
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return _told(403, "Other sites may link here, not load from here.")
        return None

    def _is_own(self, host: str, scope: Scope) -> bool:
        """A name that is meant, or the very address that the request came to: no other site can have that for a name."""
        server: Any = scope.get("server")
        name = bare(host)
        return name in self._hosts or bool(name and server and name == server[0])

    def _is_known(self, authorization: str) -> bool:
        return any(hmac.compare_digest(tried, self._token) for tried in _tried(authorization))


_BASIC = 'Basic realm="dedup", charset="UTF-8"'


def _tried(authorization: str) -> Iterable[bytes]:
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "bearer":
        yield given.strip().encode("latin-1")
    elif kind.lower() == "basic":
        try:
            yield base64.b64decode(given.strip(), validate=True).partition(b":")[2]
        except (ValueError, binascii.Error):
            return


def _told(status: int, sentence: str, headers: dict[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(sentence + "\n", status, headers)


def host_of(listen: str) -> str:
    """The address in "address:port"."""
    return listen.rpartition(":")[0].strip("[]")


def bare(host: str) -> str:
    """A host without port, brackets and letter case; empty where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def is_own_machine(listen: str) -> bool:
    """Whether only this machine can reach "address:port"."""
    host = host_of(listen)
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
