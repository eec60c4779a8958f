"""The canonical URL: one identity for a page, whatever way its address was spelt.

Site rules come first (a pattern and a template, for sites that serve one article under several addresses); what no rule
knows is normalised in the general way: RFC 3986 through w3lib, https for http, no credentials, default port, fragment or
tracking parameters, query parameters sorted. `Canonicaliser.canonicalise` is idempotent.
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
"""A longer address is no article's; it is refused rather than worked on."""

_ALREADY_CANONICAL = re.compile(r"https://[a-z0-9]+(?:[.-][a-z0-9]+)*(?:/[A-Za-z0-9_~-]+)+")
"""Addresses in which there is nothing to normalise."""
_INVALID_IN_HOST = re.compile(r"[\x00-\x20\x7f\"#%/<>?@\[\\\]^`{|}]")
"""What no host has, once its percent-encoding is undone."""
_BEFORE_HOST = re.compile(
    r"(?i)[\x00-\x20\s]*+(?:(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}|https?:)[/\\]*|[\x00-\x20\s]*+(?!mailto:)(?=[^\s/?#@:]+:[^\s/?#@]*@)"
)
"""What stands before the host of an address, or before credentials that pass for a scheme."""
_HOST_END = re.compile(r"[/?#]|$")
_BRACKETED_HOST = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_CREDENTIALS = re.compile("@|%40")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\])?[^:]*(?::[0-9]*)?")
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(:d)?\}")


@dataclass(frozen=True, slots=True)
class UrlRule:
    """A site rule as compiled from `[[urls.rules]]`.

    The pattern `host/path?name=value` must match the host, every path segment and the named query parameters (in any
    order; others are ignored). `{name}` stands for a whole segment or value, `{name:d}` for one of digits only.
    """

    host: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    template: str

    def rewrite(self, host: str, segments: Sequence[str], query: dict[str, str]) -> str | None:
        """The canonical URL that the rule makes of a split address, or None where it does not apply."""
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
    """A rule from its two texts; raises ValueError with a sentence where they do not fit together."""
    parts = urlsplit("//" + pattern.removeprefix("https://").removeprefix("http://"))
    if not parts.netloc:
        raise ValueError(f"the pattern {pattern!r} names no host")
    query = tuple((name, value) for name, _, value in (part.partition("=") for part in parts.query.split("&") if part))
    rule = UrlRule(parts.netloc.lower(), _split_path(parts.path), query, template)
    names = {m[1] for part in (*rule.segments, *(v for _, v in query)) for m in (_PLACEHOLDER.fullmatch(part),) if m}
    used_names = set(re.findall(r"\{([^}]*)\}", template))
    if used_names - names:
        raise ValueError(f"the template asks for {{{min(used_names - names)}}}, which the pattern does not give")
    try:
        template.format_map(dict.fromkeys(names, "1"))
    except ValueError:
        raise ValueError("the template has a brace without its other half") from None
    if not template.startswith(("https://", "http://")):
        raise ValueError("the template must be a whole address beginning with https://")
    return rule


def _split_path(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


class Canonicaliser:
    """The rules of `[urls]`, ready to be asked."""

    def __init__(self, rules: Sequence[tuple[str, str]], tracking: Sequence[str], from_ids: str) -> None:
        """`rules`: (pattern, template) in order; `tracking`: names of query parameters to drop (`utm_*`); `from_ids`: the
        address of an article known by `{oid}` and `{aid}` alone, empty for none. Raises ValueError for a bad rule."""
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
        """The canonical form of an http or https address; None for anything that is not one."""
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
        """The identity of an article's page: of its URL, or where that is unusable, of its ids; None if neither serves."""
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
    """The parts of an http(s) address with a bare, lower-case host: no credentials, no default port, no fragment."""
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
    return normalised if normalised.isascii() else None  # a host that has no form in ASCII (IDNA) is none


def strip_credentials(url: str) -> str:
    """`url` as spelt, but for a user name and password in it (and then for line ends and tabs, which count for nothing in an
    address). Of one that is no proper address rather too much is left out than too little."""
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
    """`url` for people: an international host in its ASCII form (`xn--…`), in which none can pass for another, and without
    credentials."""
    begin, end, cleaned = _locate_authority(strip_credentials(url).strip())
    if begin < 0 or cleaned[begin:end].isascii():
        return cleaned
    host, colon, port = cleaned[begin:end].partition(":")
    try:
        # NFKC as in canonical URLs and browsers: the codec knows the characters of Unicode 3.2 alone
        ascii_host = unicodedata.normalize("NFKC", unquote(host)).encode("idna").decode() if len(host) <= MAX_URL_CHARACTERS else ""
    except UnicodeError:
        ascii_host = ""
    if not ascii_host or _INVALID_IN_HOST.search(ascii_host):
        ascii_host = quote(host, safe="[]%", errors="replace")
    return cleaned[:begin] + ascii_host + colon + (port if port.isascii() else quote(port, errors="replace")) + cleaned[end:]


def _locate_authority(url: str) -> tuple[int, int, str]:
    """Where credentials, host and port begin and end in an address, once it is free of line ends and tabs; (-1, -1, url) in
    what is no address."""
    cleaned = url
    for character in "\t\r\n":
        cleaned = cleaned.replace(character, "")
    before_host = _BEFORE_HOST.match(cleaned)
    host_end = _HOST_END.search(cleaned, before_host.end()) if before_host else None
    return (before_host.end(), host_end.start(), cleaned) if before_host and host_end else (-1, -1, url)
