"""Writers of files of another user are detected with CAP_LEASE. Without it, incomplete files wait longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import scans as running
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.privileges import Privileges, with_privileges

pytestmark = pytest.mark.system

_UNPROBED_SECONDS = 3600
"""`unprobed_settle_seconds` of these tests: no file is recorded because of its age."""


def _recorded_paths(db: Path) -> set[str]:
    return {row["path"] for row in running.dump(db, "files", "faults")}


@with_privileges("root", "service with CAP_LEASE", "service")
@pytest.mark.parametrize("claim", [None, ""], ids=["claimed", "unclaimed"])
def test_a_file_that_its_writer_still_holds_open_is_not_recorded(privileges: Privileges, claim: str | None, crawl: Path, db: Path) -> None:
    """The files exist before the daemon starts, so it gets no events about their writers."""
    half = ArticleFile(aid="1", claim=claim, body=("The council met on Monday. " * 20).strip())
    raw = half.render().encode()
    whole = ArticleFile(aid="2", claim=claim, body=("The mayor was away on Tuesday. " * 20).strip())
    more = f"unprobed_settle_seconds = {_UNPROBED_SECONDS}"
    with (crawl / "half.md").open("wb", buffering=0) as file:
        file.write(raw[: len(raw) // 2])
        whole.write(crawl, "whole.md", age=0)
        with watching(crawl, db, settle=0.1, more=more, until="watching") as daemon:
            daemon.wait_until(lambda: daemon.recorded() == 1)
            assert _recorded_paths(db) == {"whole.md"}
            assert daemon.report().unprobed_owners == ((0,) if privileges == "service" else ())
            file.write(raw[len(raw) // 2 :])
            file.close()
            daemon.wait_until(lambda: daemon.recorded() == 2)
            assert daemon.leave() == 0
    assert {r["body"] for r in running.dump(db, "revisions")} == {half.body, whole.body}
    assert {r["status"] for r in running.dump(db, "readings")} == {"counted"}
