"""Canonical URLs: one identity for a page, however its URL is written.

Site rules come first: a pattern and a template, for sites that serve one article under several URLs. URLs without a rule are normalised:
RFC 3986 through w3lib, https for http, no credentials, default port, fragment or tracking parameters, sorted query parameters.
`Canonicaliser.canonicalise` is idempotent.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

import xxhash
from w3lib.url import canonicalize_url

from dedup.text.normalise import to_unicode_form

MAX_URL_CHARACTERS = 4096
"""Longer URLs are not canonicalised."""

_ALREADY_CANONICAL = re.compile(r"https://[a-z0-9]+(?:[.-][a-z0-9]+)*(?:/[A-Za-z0-9_~-]+)+")
"""URLs that need no normalisation."""
_INVALID_IN_HOST = re.compile(r"[\x00-\x20\x7f\"#%/<>?@\[\\\]^`{|}]")
"""Characters that no percent-decoded host contains."""
_BEFORE_HOST = re.compile(
    r"(?i)[\x00-\x20\s]*+(?:(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}|https?:)[/\\]*|[\x00-\x20\s]*+(?!mailto:)(?=[^\s/?#@:]+:[^\s/?#@]*@)"
)
"""The text before the host of a URL, or before credentials that look like a scheme."""
_HOST_END = re.compile(r"[/?#]|$")
_BRACKETED_HOST = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_CREDENTIALS = re.compile("@|%40")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\])?[^:]*(?::[0-9]*)?")
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(:d)?\}")


@dataclass(frozen=True, slots=True)
class UrlRule:
    """A compiled site rule of `[[urls.rules]]`.

    The pattern `host/path?name=value` must match the host, every path segment and the named query parameters, in any order; other
    parameters are ignored. `{name}` matches a whole segment or value, `{name:d}` one of digits only.
    """

    host: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    template: str

    def rewrite(self, host: str, segments: Sequence[str], query: dict[str, str]) -> str | None:
        """Return the canonical URL of a split URL by this rule, or None if the rule does not match."""
        if host != self.host or len(segments) != len(self.segments):
            return None
        values: dict[str, str] = {}
        for pattern, value in zip(self.segments, segments, strict=True):
            if not _match_part(pattern, unquote(value), values):
                return None
        values = {name: quote(value, safe="") for name, value in values.items()}
        for name, pattern in self.query:
            if not _match_part(pattern, query.get(name, ""), values):
                return None
        return self.template.format_map(values)


def _match_part(pattern: str, value: str, values: dict[str, str]) -> bool:
    match = _PLACEHOLDER.fullmatch(pattern)
    if match is None:
        return value == pattern
    if not value or (match[2] and not (value.isascii() and value.isdigit())):
        return False
    values[match[1]] = value
    return True


def compile_rule(pattern: str, template: str) -> UrlRule:
    """Compile a rule. Raises ValueError with a message for the user if pattern or template is invalid."""
    parts = urlsplit("//" + pattern.removeprefix("https://").removeprefix("http://"))
    if not parts.netloc:
        raise ValueError(f"the pattern {pattern!r} names no host")
    query = tuple((name, value) for name, _, value in (part.partition("=") for part in parts.query.split("&") if part))
    rule = UrlRule(parts.netloc.lower(), _split_path(parts.path), query, template)
    names = {m[1] for part in (*rule.segments, *(v for _, v in query)) for m in (_PLACEHOLDER.fullmatch(part),) if m}
    used_names = set(re.findall(r"\{([^}]*)\}", template))
    if used_names - names:
        raise ValueError(f"the template uses {{{min(used_names - names)}}}, which the pattern does not define")
    try:
        template.format_map(dict.fromkeys(names, "1"))
    except ValueError:
        raise ValueError("the template has an unmatched brace") from None
    if not template.startswith(("https://", "http://")):
        raise ValueError("the template must be a whole URL that begins with https://")
    return rule


def _split_path(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


class Canonicaliser:
    """Canonicalises URLs by the rules of `[urls]`. `recipe` identifies the rules."""

    def __init__(self, rules: Sequence[tuple[str, str]], tracking: Sequence[str], from_ids: str) -> None:
        """Compile the rules. Raises ValueError for an invalid rule.

        `rules`: (pattern, template) in order. `tracking`: names of query parameters to remove, such as `utm_*`. `from_ids`: URL template
        with `{oid}` and `{aid}` for articles without a usable URL; empty for none.
        """
        self._rules: dict[str, list[UrlRule]] = {}
        for pattern, template in rules:
            rule = compile_rule(pattern, template)
            self._rules.setdefault(rule.host, []).append(rule)
        self._tracking_names = frozenset(t for t in tracking if "*" not in t)
        self._tracking_globs = tuple(t for t in tracking if "*" in t)
        self._id_template = from_ids
        self.recipe = "urls/" + xxhash.xxh3_64_hexdigest(json.dumps([[list(r) for r in rules], sorted(tracking), from_ids]).encode())
        for pattern, template in rules:
            example = _PLACEHOLDER.sub("1", template)
            if self.canonicalise(example) != self._canonicalise_once(example):
                raise ValueError(f"the template of {pattern!r} is rewritten again by another rule")

    def canonicalise(self, url: str) -> str | None:
        """Return the canonical form of an http or https URL; None for anything else."""
        current = self._canonicalise_once(url)
        if current == url:
            return current
        for _ in range(4):
            following = self._canonicalise_once(current) if current else None
            if following == current:
                return current
            current = following
        return None

    def page_url(self, url: str, oid: str, aid: str) -> str | None:
        """Return the canonical URL of an article's page: from its URL, else from its ids; None if neither is usable."""
        canonical = self.canonicalise(url) if url else None
        if canonical is None and self._id_template and oid and aid and (oid + aid).isalnum():
            canonical = self.canonicalise(self._id_template.format(oid=oid, aid=aid))
        return canonical

    def _canonicalise_once(self, url: str) -> str | None:
        if len(url) > MAX_URL_CHARACTERS:
            return None
        parts = _split_url(url)
        if parts is None:
            return None
        for rule in self._rules.get(parts.netloc, ()):
            query = {name: value for name, _, value in (p.partition("=") for p in parts.query.split("&")) if value}
            rewritten = rule.rewrite(parts.netloc, _split_path(parts.path), query)
            if rewritten is not None:
                return _normalise(rewritten)
        query_string = "&".join(part for part in parts.query.split("&") if not self._is_tracking(part.partition("=")[0]))
        return _normalise(urlunsplit(parts._replace(query=query_string)))

    def _is_tracking(self, name: str) -> bool:
        return name in self._tracking_names or any(fnmatchcase(name, glob) for glob in self._tracking_globs)


def _split_url(url: str) -> SplitResult | None:
    """Split an http(s) URL; the host is in lower case, without credentials, default port and fragment. None for anything else."""
    try:
        parts = urlsplit(url.strip())
        port, host = parts.port, parts.hostname
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host or "\\" in parts.netloc:  # a browser would end the host at a backslash
        return None
    bracketed = "[" in parts.netloc
    if bracketed:
        if not _BRACKETED_HOST.fullmatch(parts.netloc.rpartition("@")[2]):
            return None
    elif "%" in host:
        host = unquote(host).lower()
    ascii_host = host if host.isascii() else to_unicode_form("NFKC", host)
    if not host.strip(".") or _INVALID_IN_HOST.search(ascii_host) or (":" in ascii_host) != bracketed:
        return None
    host = f"[{host}]" if bracketed else host.rstrip(".")
    if port is not None and port not in (80, 443):
        host = f"{host}:{port}"
    return SplitResult("https", host, parts.path, parts.query, "")


@lru_cache(maxsize=4096)
def _normalise(url: str) -> str | None:
    if _ALREADY_CANONICAL.fullmatch(url):
        return url
    try:
        normalised = str(canonicalize_url(url))
    except (ValueError, UnicodeError):
        return None
    return normalised if normalised.isascii() else None  # a host without an ASCII form (IDNA) is invalid


def strip_credentials(url: str) -> str:
    """Return `url` without user name and password. If there are any, line ends and tabs are removed too; URLs ignore them.

    For malformed URLs, this errs on the side of removing too much.
    """
    if not _CREDENTIALS.search(url):
        return url
    begin, end, cleaned = _locate_authority(url)
    if begin < 0:
        return url
    if not _HOST_AND_PORT.fullmatch(cleaned, begin, end) and not _CREDENTIALS.search(cleaned, begin, end):
        end = len(cleaned)  # `user:pass/word@host`
    credentials_end = max(cleaned.rfind("@", begin, end) + 1, cleaned.rfind("%40", begin, end) + 3 if "%40" in cleaned[begin:end] else 0)
    return cleaned[:begin] + cleaned[credentials_end:] if credentials_end else url


def to_display_url(url: str) -> str:
    """Return `url` for people: without credentials, and with an international host in its ASCII form (`xn--…`), which prevents
    look-alikes."""
    begin, end, cleaned = _locate_authority(strip_credentials(url).strip())
    if begin < 0 or cleaned[begin:end].isascii():
        return cleaned
    host, colon, port = cleaned[begin:end].partition(":")
    try:
        # NFKC as in canonical URLs and browsers: the codec supports only the characters of Unicode 3.2
        ascii_host = unicodedata.normalize("NFKC", unquote(host)).encode("idna").decode() if len(host) <= MAX_URL_CHARACTERS else ""
    except UnicodeError:
        ascii_host = ""
    if not ascii_host or _INVALID_IN_HOST.search(ascii_host):
        ascii_host = quote(host, safe="[]%", errors="replace")
    return cleaned[:begin] + ascii_host + colon + (port if port.isascii() else quote(port, errors="replace")) + cleaned[end:]


def _locate_authority(url: str) -> tuple[int, int, str]:
    """Return (begin, end, cleaned): the span of credentials, host and port in the URL without line ends and tabs.

    It is (-1, -1, url) if `url` is no URL.
    """
    cleaned = url
    for character in "\t\r\n":
        cleaned = cleaned.replace(character, "")
    before_host = _BEFORE_HOST.match(cleaned)
    host_end = _HOST_END.search(cleaned, before_host.end()) if before_host else None
    return (before_host.end(), host_end.start(), cleaned) if before_host and host_end else (-1, -1, url)
