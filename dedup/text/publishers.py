"""Which publisher an article is from: names that stand for one house are one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from dedup.text.normalise import nfc


@dataclass(frozen=True, slots=True)
class House:
    """One publisher under the `name` it goes by here, with the other names, ids (`oid`) and hosts that are its own."""

    name: str
    names: tuple[str, ...] = ()
    oids: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class Publishers:
    """Finds the house of an article. Raises ValueError where two houses claim the same name, id or host."""

    def __init__(self, houses: Iterable[House] = ()) -> None:
        self._names: dict[str, str] = {}
        self._oids: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        self._houses = tuple(houses)
        for house in self._houses:
            for known, keys in (
                (self._names, [_folded(name) for name in (house.name, *house.names)]),
                (self._oids, list(house.oids)),
                (self._hosts, [host.lower() for host in house.hosts]),
            ):
                for key in keys:
                    if known.setdefault(key, house.name) != house.name:
                        raise ValueError(f"{key!r} is claimed by {known[key]!r} and by {house.name!r}")

    def house(self, publisher: str, oid: str, url: str) -> str:
        """The name of an article's house: by its `oid`, by its publisher's name, by the host of its URL or one above that
        (`news.example.kr`, `example.kr`); else the name as printed, or where there is none the id, or the host."""
        known = self._oids.get(oid) or (self._names.get(_folded(publisher)) if self._names else None)
        host = _host(url) if self._hosts else ""
        while not known and "." in host:
            known = self._hosts.get(host)
            host = host.partition(".")[2]
        return known or _plain(publisher) or (f"oid {oid}" if oid else _host(url))

    def called(self, fits: Callable[[str], bool]) -> list[House]:
        """The houses of which some name fits."""
        return [house for house in self._houses if any(fits(name) for name in (house.name, *house.names))]

    def is_by(self, wanted: str, publisher: str, oid: str, url: str) -> bool:
        """Whether an article is by the publisher that somebody names, under any name of its house."""
        return wanted == publisher or self.house(wanted, "", "") == self.house(publisher, oid, url)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _plain(name: str) -> str:
    return " ".join(nfc(name).split())


def _folded(name: str) -> str:
    return _plain(name).casefold()
