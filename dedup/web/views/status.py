"""How things stand: the daemon, the database, the last scan."""

from __future__ import annotations

from dedup.daemon import health_file
from dedup.reports.status import daemon, holds, told
from dedup.store import Database
from dedup.web.render import Answer, Asked


def view(database: Database, asked: Asked) -> Answer:
    """What `dedup status` tells."""
    found = holds(database) | told(daemon(asked.settings.database.path))
    more = {"reasons": health_file.REASONS, "database": asked.settings.database.path, "directories": asked.settings.crawl.directories}
    return Answer("status.html", "Status", found, more)
