"""The feed of changes: as a page, as JSON, as Atom."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any, get_args

from markupsafe import Markup, escape

from dedup import reports, store
from dedup.alerts import atom
from dedup.alerts.messages import Entry
from dedup.model import SEVERITIES, ChangeKind
from dedup.reports import Folding, Wanted
from dedup.store import Database
from dedup.store.changes import Spot
from dedup.text.normalise import printable
from dedup.web.filters import marked_sides
from dedup.web.links import digest, key, unkey
from dedup.web.render import Answer, Asked, Raw

SHOWN = 50
"""Changes on one page, and in the Atom feed."""
FILTERS = ("since", "until", "publisher", "url", "kind", "min_severity", "stealth", "each", "incident")
"""Parameters that narrow what is told."""


def view(database: Database, asked: Asked) -> Answer:
    """What was edited on all pages, the latest first; the same edit of many pages is told once."""
    place = unkey(asked.text("after"), str, str, str)
    found = _found(database, asked, Spot(place[0], place[1], digest(place[2])) if place else None, SHOWN + 1)
    rows = found[:SHOWN]
    after = key(rows[-1]["at"], rows[-1]["url"], rows[-1]["to"].partition(":")[2]) if len(found) > SHOWN else None
    given = {name: asked.text(name) for name in FILTERS if name != "kind"} | {"kind": asked.several("kind", get_args(ChangeKind))}
    told = {"filters": {name: value for name, value in given.items() if value}, "changes": rows, "after": after}
    more = {
        "given": given,
        "kinds": get_args(ChangeKind),
        "severities": SEVERITIES,
        "begun": place is None,
        "unjudged": store.changes.count_unclassified(database) if any(c["kind"] is None for c in rows) else 0,
        "any": bool(rows) or store.statistics.count(database, "changes") > 0,
        "feed": asked.links.to("changes.atom", **given),
    }
    return Answer("changes.html", "Changes", told, more)


def _found(database: Database, asked: Asked, after: Spot | None, most: int) -> list[dict[str, Any]]:
    settings = asked.settings
    url = asked.text("url") or None
    if url is not None and "*" not in url:
        url = settings.urls.canonicaliser().canonical(url) or url
    incident = asked.text("incident")
    edit = digest(incident, "incident", "is no name of an incident: those are hexadecimal digits") if incident else None
    wanted = Wanted(
        since=asked.moment("since"), until=asked.moment("until"), kinds=frozenset(asked.several("kind", get_args(ChangeKind))),
        min_severity=asked.one_of("min_severity", SEVERITIES, SEVERITIES[1]), publisher=asked.text("publisher") or None, url=url,
        stealth=asked.flag("stealth"), publishers=settings.publishers.publishers(), edit=edit,
    )  # fmt: skip
    folding = None if asked.flag("each") else Folding(settings.changes.incident_pages, settings.changes.incident_hours)
    return list(islice(reports.changes(database, wanted, folding, after), most))


def feed(database: Database, asked: Asked) -> Raw:
    """The latest of the same as Atom, with an id for each change that stays the same."""
    found = _found(database, asked, None, SHOWN)
    entries = [_entry(change) for change in found]
    given = {name: asked.query.getlist(name) for name in FILTERS}
    written = atom.document(entries, "changes", asked.links.to("changes.atom", **given))
    return Raw(written, "application/atom+xml")


def _entry(c: dict[str, Any]) -> Entry:
    lines = [escape(", ".join(reports.in_words(c)))]
    lines += [marked_sides("title", c["title_before"], c["title"])] if c["title_before"] != c["title"] else []
    lines += [marked_sides(name, sides["before"], sides["after"]) for name, sides in c["fields"].items()]
    lines += [marked_sides(e["what"], e["before"], e["after"]) for e in c["evidence"]]
    if c["pages"] > 1:
        lines.append(escape(f"the same edit on {c['pages']:,} pages"))
    who = f"{c['publisher']}: " if c["publisher"] else ""
    name = hashlib.sha256("\0".join((c["url"], c["from"], c["to"], c["at"])).encode()).hexdigest()[:32]
    return Entry(f"change:{name}", printable(f"{who}{c['title'] or c['url']}"), c["at"], c["url"], str(Markup("<br>").join(lines)))
