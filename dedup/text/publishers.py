"""Resolve the names, ids and hosts of a publisher to its canonical name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dedup.text.normalise import to_nfc


@dataclass(frozen=True, slots=True)
class Publisher:
    """A publisher: its canonical name, its other names, ids (`oid`) and hosts."""

    name: str
    aliases: tuple[str, ...] = ()
    oids: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class PublisherResolver:
    """Finds the publisher of an article. Raises ValueError if two publishers claim the same name, id or host."""

    def __init__(self, publishers: Iterable[Publisher] = ()) -> None:
        self._by_name: dict[str, str] = {}
        self._by_oid: dict[str, str] = {}
        self._by_host: dict[str, str] = {}
        self._publishers = tuple(publishers)
        for publisher in self._publishers:
            for name_of, aliases in (
                (self._by_name, [_fold_name(name) for name in (publisher.name, *publisher.aliases)]),
                (self._by_oid, list(publisher.oids)),
                (self._by_host, [host.lower() for host in publisher.hosts]),
            ):
                for alias in aliases:
                    if name_of.setdefault(alias, publisher.name) != publisher.name:
                        raise ValueError(f"{alias!r} is claimed by {name_of[alias]!r} and by {publisher.name!r}")

    def canonical_name(self, printed_name: str, oid: str, url: str) -> str:
        """Return the canonical name of an article's publisher.

        It is looked up by `oid`, then by the printed name, then by the host of the URL and its parent domains (`news.example.kr`,
        `example.kr`). For an unknown publisher it is the printed name, else `oid` and the id, else the host.
        """
        canonical = self._by_oid.get(oid) or (self._by_name.get(_fold_name(printed_name)) if self._by_name else None)
        host = _host_of(url) if self._by_host else ""
        while not canonical and "." in host:
            canonical = self._by_host.get(host)
            host = host.partition(".")[2]
        return canonical or _clean_name(printed_name) or (f"oid {oid}" if oid else _host_of(url))

    def find_by_name(self, is_match: Callable[[str], bool]) -> list[Publisher]:
        """Return the publishers with a name that `is_match` accepts."""
        return [p for p in self._publishers if any(is_match(name) for name in (p.name, *p.aliases))]

    def is_published_by(self, name: str, printed_name: str, oid: str, url: str) -> bool:
        """Return whether an article is from the publisher `name`, which may be any of its names."""
        return name == printed_name or self.canonical_name(name, "", "") == self.canonical_name(printed_name, oid, url)


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _clean_name(name: str) -> str:
    return " ".join(to_nfc(name).split())


def _fold_name(name: str) -> str:
    return _clean_name(name).casefold()
