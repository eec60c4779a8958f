"""How things stand: the daemon, the database, the last scan."""

from __future__ import annotations

from dedup import health
from dedup.status import daemon, holds, told
from dedup.store.around import Around
from dedup.web.asking import Answer, Asked


def view(store: Around, asked: Asked) -> Answer:
    """What `dedup status` tells."""
    found = holds(store) | told(daemon(asked.settings.database.path))
    more = {"reasons": health.REASONS, "database": asked.settings.database.path, "directories": asked.settings.crawl.directories}
    return Answer("status.html", "Status", found, more)
