"""Which publisher an article is from: names that stand for one house are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dedup.text.normalise import to_nfc


@dataclass(frozen=True, slots=True)
class Publisher:
    """One publisher under the `name` it goes by here, with the other names, ids (`oid`) and hosts that are its own."""

    name: str
    aliases: tuple[str, ...] = ()
    oids: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class PublisherResolver:
    """Finds the house of an article. Raises ValueError where two houses claim the same name, id or host."""

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
        """The name of an article's house: by its `oid`, by its publisher's name, by the host of its URL or one above that
        (`news.example.kr`, `example.kr`); else the name as printed, or where there is none the id, or the host."""
        canonical = self._by_oid.get(oid) or (self._by_name.get(_fold_name(printed_name)) if self._by_name else None)
        host = _host_of(url) if self._by_host else ""
        while not canonical and "." in host:
            canonical = self._by_host.get(host)
            host = host.partition(".")[2]
        return canonical or _clean_name(printed_name) or (f"oid {oid}" if oid else _host_of(url))

    def find_by_name(self, is_match: Callable[[str], bool]) -> list[Publisher]:
        """The houses of which some name fits."""
        return [house for house in self._publishers if any(is_match(name) for name in (house.name, *house.aliases))]

    def is_by(self, name: str, printed_name: str, oid: str, url: str) -> bool:
        """Whether an article is by the publisher that somebody names, under any name of its house."""
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
