"""The canonical URL: one identity for a page, whatever way its address was spelt.

Site rules come first (a pattern and a template, for sites that serve one article under several addresses); what no rule
knows is normalised in the general way: RFC 3986 through w3lib, https for http, no credentials, default port, fragment or
tracking parameters, query parameters sorted. `Canonicaliser.canonical` is idempotent.
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

from dedup.text.normalise import unicode_form

MAX_CHARACTERS = 4096
"""A longer address is no article's; it is refused rather than worked on."""

_PLAIN = re.compile(r"https://[a-z0-9]+(?:[.-][a-z0-9]+)*(?:/[A-Za-z0-9_~-]+)+")
"""Addresses in which there is nothing to normalise."""
_NO_HOST = re.compile(r"[\x00-\x20\x7f\"#%/<>?@\[\\\]^`{|}]")
"""What no host has, once its percent-encoding is undone."""
_BEGIN = re.compile(
    r"(?i)[\x00-\x20\s]*+(?:(?:[a-z][a-z0-9+.-]*:)?[/\\]{2}|https?:)[/\\]*|[\x00-\x20\s]*+(?!mailto:)(?=[^\s/?#@:]+:[^\s/?#@]*@)"
)
"""What stands before the host of an address, or before credentials that pass for a scheme."""
_END = re.compile(r"[/?#]|$")
_BRACKETED = re.compile(r"\[[^\[\]]*\](?::[0-9]*)?")
_CREDENTIALS = re.compile("@|%40")
_PORT = re.compile(r"(?:\[[^\]]*\])?[^:]*(?::[0-9]*)?")
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)(:d)?\}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A site rule as compiled from `[[urls.rules]]`.

    The pattern `host/path?name=value` must match the host, every path segment and the named query parameters (in any
    order; others are ignored). `{name}` stands for a whole segment or value, `{name:d}` for one of digits only.
    """

    host: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    template: str

    def match(self, host: str, segments: Sequence[str], query: dict[str, str]) -> str | None:
        """The canonical URL that the rule makes of a split address, or None where it does not apply."""
        if host != self.host or len(segments) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for pattern, value in zip(self.segments, segments, strict=True):
            if not _take(pattern, unquote(value), found):
                return None
        found = {name: quote(value, safe="") for name, value in found.items()}
        for name, pattern in self.query:
            if not _take(pattern, query.get(name, ""), found):
                return None
        return self.template.format_map(found)


def _take(pattern: str, value: str, found: dict[str, str]) -> bool:
    placeholder = _PLACEHOLDER.fullmatch(pattern)
    if placeholder is None:
        return value == pattern
    if not value or (placeholder[2] and not (value.isascii() and value.isdigit())):
        return False
    found[placeholder[1]] = value
    return True


def compile_rule(pattern: str, template: str) -> Rule:
    """A rule from its two texts; raises ValueError with a sentence where they do not fit together."""
    split = urlsplit("//" + pattern.removeprefix("https://").removeprefix("http://"))
    if not split.netloc:
        raise ValueError(f"the pattern {pattern!r} names no host")
    query = tuple((name, value) for name, _, value in (part.partition("=") for part in split.query.split("&") if part))
    rule = Rule(split.netloc.lower(), _segments(split.path), query, template)
    names = {m[1] for part in (*rule.segments, *(v for _, v in query)) for m in (_PLACEHOLDER.fullmatch(part),) if m}
    wanted = set(re.findall(r"\{([^}]*)\}", template))
    if wanted - names:
        raise ValueError(f"the template asks for {{{min(wanted - names)}}}, which the pattern does not give")
    try:
        template.format_map(dict.fromkeys(names, "1"))
    except ValueError:
        raise ValueError("the template has a brace without its other half") from None
    if not template.startswith(("https://", "http://")):
        raise ValueError("the template must be a whole address beginning with https://")
    return rule


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/")) if path.strip("/") else ()


class Canonicaliser:
    """The rules of `[urls]`, ready to be asked."""

    def __init__(self, rules: Sequence[tuple[str, str]], tracking: Sequence[str], from_ids: str) -> None:
        """`rules`: (pattern, template) in order; `tracking`: names of query parameters to drop (`utm_*`); `from_ids`: the
        address of an article known by `{oid}` and `{aid}` alone, empty for none. Raises ValueError for a bad rule."""
        self._rules: dict[str, list[Rule]] = {}
        for pattern, template in rules:
            rule = compile_rule(pattern, template)
            self._rules.setdefault(rule.host, []).append(rule)
        self._exact = frozenset(t for t in tracking if "*" not in t)
        self._globs = tuple(t for t in tracking if "*" in t)
        self._from_ids = from_ids
        self.recipe = "urls/" + xxhash.xxh3_64_hexdigest(json.dumps([[list(r) for r in rules], sorted(tracking), from_ids]).encode())
        for pattern, template in rules:
            made = _PLACEHOLDER.sub("1", template)
            if self.canonical(made) != self._step(made):
                raise ValueError(f"the template of {pattern!r} is rewritten again by another rule")

    def canonical(self, url: str) -> str | None:
        """The canonical form of an http or https address; None for anything that is not one."""
        step = self._step(url)
        if step == url:
            return step
        for _ in range(4):
            again = self._step(step) if step else None
            if again == step:
                return step
            step = again
        return None

    def page(self, url: str, oid: str, aid: str) -> str | None:
        """The identity of an article's page: of its URL, or where that is unusable, of its ids; None if neither serves."""
        found = self.canonical(url) if url else None
        if found is None and self._from_ids and oid and aid and (oid + aid).isalnum():
            found = self.canonical(self._from_ids.format(oid=oid, aid=aid))
        return found

    def _step(self, url: str) -> str | None:
        if len(url) > MAX_CHARACTERS:
            return None
        split = _split(url)
        if split is None:
            return None
        for rule in self._rules.get(split.netloc, ()):
            query = {name: value for name, _, value in (p.partition("=") for p in split.query.split("&")) if value}
            made = rule.match(split.netloc, _segments(split.path), query)
            if made is not None:
                return _general(made)
        kept = "&".join(part for part in split.query.split("&") if not self._tracks(part.partition("=")[0]))
        return _general(urlunsplit(split._replace(query=kept)))

    def _tracks(self, name: str) -> bool:
        return name in self._exact or any(fnmatchcase(name, glob) for glob in self._globs)


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) address with a bare, lower-case host: no credentials, no default port, no fragment."""
    try:
        split = urlsplit(url.strip())
        port, host = split.port, split.hostname
    except ValueError:
        return None
    if split.scheme not in ("http", "https") or not host or "\\" in split.netloc:  # a browser would end the host at a backslash
        return None
    bracketed = "[" in split.netloc
    if bracketed:
        if not _BRACKETED.fullmatch(split.netloc.rpartition("@")[2]):
            return None
    elif "%" in host:
        host = unquote(host).lower()
    plain = host if host.isascii() else unicode_form("NFKC", host)
    if not host.strip(".") or _NO_HOST.search(plain) or (":" in plain) != bracketed:
        return None
    host = f"[{host}]" if bracketed else host.rstrip(".")
    if port is not None and port not in (80, 443):
        host = f"{host}:{port}"
    return SplitResult("https", host, split.path, split.query, "")


@lru_cache(maxsize=4096)
def _general(url: str) -> str | None:
    if _PLAIN.fullmatch(url):
        return url
    try:
        made = str(canonicalize_url(url))
    except (ValueError, UnicodeError):
        return None
    return made if made.isascii() else None  # a host that has no form in ASCII (IDNA) is none


def without_credentials(url: str) -> str:
    """`url` as spelt, but for a user name and password in it (and then for line ends and tabs, which count for nothing in an
    address). Of one that is no proper address rather too much is left out than too little."""
    if not _CREDENTIALS.search(url):
        return url
    begin, end, bare = _authority(url)
    if begin < 0:
        return url
    if not _PORT.fullmatch(bare, begin, end) and not _CREDENTIALS.search(bare, begin, end):
        end = len(bare)  # `user:pass/word@host`
    last = max(bare.rfind("@", begin, end) + 1, bare.rfind("%40", begin, end) + 3 if "%40" in bare[begin:end] else 0)
    return bare[:begin] + bare[last:] if last else url


def shown(url: str) -> str:
    """`url` for people: an international host in its ASCII form (`xn--…`), in which none can pass for another, and without
    credentials."""
    begin, end, bare = _authority(without_credentials(url).strip())
    if begin < 0 or bare[begin:end].isascii():
        return bare
    host, colon, port = bare[begin:end].partition(":")
    try:
        # NFKC as in canonical URLs and browsers: the codec knows the characters of Unicode 3.2 alone
        plain = unicodedata.normalize("NFKC", unquote(host)).encode("idna").decode() if len(host) <= MAX_CHARACTERS else ""
    except UnicodeError:
        plain = ""
    if not plain or _NO_HOST.search(plain):
        plain = quote(host, safe="[]%", errors="replace")
    return bare[:begin] + plain + colon + (port if port.isascii() else quote(port, errors="replace")) + bare[end:]


def _authority(url: str) -> tuple[int, int, str]:
    """Where credentials, host and port begin and end in an address, once it is free of line ends and tabs; (-1, -1, url) in
    what is no address."""
    bare = url
    for blank in "\t\r\n":
        bare = bare.replace(blank, "")
    begin = _BEGIN.match(bare)
    end = _END.search(bare, begin.end()) if begin else None
    return (begin.end(), end.start(), bare) if begin and end else (-1, -1, url)
