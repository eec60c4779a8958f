"""Channels: a plain table, kind → what sends a message there. A sender returns once the channel has accepted the message, and raises
ChannelError where it has not."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import signal
import subprocess
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from dedup import __version__
from dedup.alerts import atom
from dedup.alerts.messages import Message
from dedup.alerts.secrets import reveal, without
from dedup.config import Channel
from dedup.errors import ChannelError
from dedup.protected import Protected

SIGNATURE = "X-Dedup-Signature"
"""Header of a signed request: `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256 over "<t>." and the body>`."""

_log = logging.getLogger("dedup")


def send(name: str, channel: Channel, message: Message, timeout: float) -> None:
    """Send a message to the channel of that name; returns once it is accepted. Raises ChannelError, with nothing secret in it."""
    secrets: list[str] = []
    try:
        given = {key: reveal(getattr(channel, key), name) for key in ("url", "secret")}
        secrets += [value for value in given.values() if value]
        SENDERS[channel.kind](channel.model_copy(update=given), message, timeout)
    except ChannelError:
        raise
    except Exception as error:
        told = without(f"{error}" or type(error).__name__, secrets)
        raise ChannelError(channel=name, problem=told) from None


def placed(name: str, channel: Channel, protected: Protected) -> Channel:
    """The channel of that name with the file that it writes as a path without links; senders follow none from there on. Raises
    ChannelError for a file that must not be written."""
    if not channel.path:
        return channel
    place = os.path.realpath(channel.path)
    if problem := protected.problem(place):
        raise ChannelError(channel=name, problem=f"{channel.path} is not written: {problem}")
    return channel.model_copy(update={"path": place})


class _Refused(Exception):  # noqa: N818  a word for what it is
    """The channel has not taken it, and why."""


def _apprise(channel: Channel, message: Message, _: float) -> None:
    try:
        from apprise import Apprise, AppriseAsset, NotifyFormat
    except ImportError:
        raise _Refused("Apprise is not installed; install dedup[alerts]") from None
    asset = AppriseAsset(app_id="dedup", app_desc="dedup", app_url="", async_mode=False)
    with _Overheard() as heard:
        service = Apprise.instantiate(channel.url, asset=asset)
        if service is None or isinstance(service, list):
            raise _Refused("the url is none that Apprise knows" + heard.told)
        usual = service.resolve_format()
        form = usual if usual == NotifyFormat.HTML else service.resolve_format(NotifyFormat.TEXT)
        body = {NotifyFormat.HTML: message.html, NotifyFormat.MARKDOWN: message.markdown}.get(form, message.text)
        if not service.notify(body=body, title=message.subject, body_format=form):
            raise _Refused("it was not accepted" + heard.told)


class _Overheard(logging.Handler):
    """What Apprise logs in this thread, which goes nowhere else: it may hold parts of an address."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._thread = threading.get_ident()
        self._lines: list[str] = []

    @property
    def told(self) -> str:
        return ": " + "; ".join(self._lines) if self._lines else ""

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())

    def __enter__(self) -> Self:
        log = logging.getLogger("apprise")
        log.propagate = False
        log.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def body_of(message: Message) -> bytes:
    """What programs are given of a message: JSON in UTF-8."""
    return json.dumps(message.machine, ensure_ascii=False).encode("utf-8", "replace")


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of the header that signs a request made at a time, in seconds since 1970."""
    made = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={made}"


class _Stay(HTTPRedirectHandler):
    """Redirects are not followed: what is sent is meant for one address."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _webhook(channel: Channel, message: Message, timeout: float) -> None:
    body = body_of(message)
    headers = {"Content-Type": "application/json", "User-Agent": f"dedup/{__version__}", "X-Dedup-Id": message.id}
    if channel.secret:
        headers[SIGNATURE] = signature(channel.secret, int(time.time()), body)
    url, authorisation = _without_credentials(channel.url)
    request = Request(url, body, headers | authorisation, method="POST")  # noqa: S310  checked: http or https
    if request.type not in ("http", "https"):
        raise _Refused("the url is neither http:// nor https://")
    try:
        with build_opener(_Stay).open(request, timeout=timeout) as answer:
            answer.read(1)
    except HTTPError as error:
        with error:
            raise _Refused(f"it answered {error.code} {error.reason}") from None
    except (OSError, HTTPException) as error:
        raise _Refused(f"{getattr(error, 'reason', None) or error}" or type(error).__name__) from None


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """An address without user and password, and the header that has them (RFC 7617)."""
    split = urlsplit(url)
    credentials, at, host = split.netloc.rpartition("@")
    if not at:
        return url, {}
    told = b64encode(unquote(credentials).encode()).decode()
    return split._replace(netloc=host).geturl(), {"Authorization": f"Basic {told}"}


def _command(channel: Channel, message: Message, timeout: float) -> None:
    """Files, not pipes: nobody waits for a process that outlives the command and keeps its output open."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(body_of(message))
        given.seek(0)
        process = subprocess.Popen(  # noqa: S603  no shell, and the user's own command
            channel.command, stdin=given, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
            env=os.environ | {"DEDUP_ALERT_ID": message.id},
        )  # fmt: skip
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise _Refused(f"the command did not end within {timeout:g} seconds") from None
        finally:
            _end(process)
        if code:
            raise _Refused(f"the command left with exit code {code}{_tail(said)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _tail(said: IO[bytes]) -> str:
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 200))
    told = said.read().decode("utf-8", "replace").strip()
    return f": {told}" if told else ""


def _atom(channel: Channel, message: Message, _: float) -> None:
    try:
        atom.add(Path(channel.path), message.entries, channel.entries)
    except OSError as error:
        raise _Refused(f"{channel.path}: {error.strerror or error}") from None


def _to_log(_: Channel, message: Message, __: float) -> None:
    for entry in message.entries:
        _log.warning("alert %s: %s %s", entry.id, entry.title, entry.url)


SENDERS: dict[str, Callable[[Channel, Message, float], None]] = {
    "apprise": _apprise,
    "webhook": _webhook,
    "command": _command,
    "atom": _atom,
    "log": _to_log,
}
"""Kind of channel → what sends there. Another kind is a row here and one in dedup.config."""
