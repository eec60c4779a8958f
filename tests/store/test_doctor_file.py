"""`doctor` on the database file and on what is around it: pages, ends, logs, permissions, watches, mounts, disks, clocks."""

from __future__ import annotations

import importlib.metadata
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dedup.doctor import SystemProbes
from dedup.doctor.context import Finding
from dedup.files import leases, mounts
from dedup.files.inotify_limits import InotifyLimits
from dedup.files.leases import LeaseRights
from dedup.files.mounts import Mount
from dedup.store import schema
from tests.builders import damage as damaging
from tests.builders import scans as running
from tests.builders.command import run
from tests.builders.crawl import Made
from tests.builders.doctor import base_rows, copy_of, examined, found, scanned_crawl, told
from tests.builders.permissions import bound

pytestmark = pytest.mark.usefixtures("machine_code")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned_crawl(tmp_path_factory.mktemp("scanned"))


@pytest.fixture
def folder(scanned: Path, tmp_path: Path) -> Path:
    return copy_of(scanned, tmp_path)


# Damage: found, its extent told, nothing claimed


@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_every_damage_is_found_without_a_traceback(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    before = (folder / "dedup.db").read_bytes()
    those = found(folder)
    assert [f for f in those if f["check"] == "database" and f["severity"] == "error" and "dedup restore FILE" in f["remedy"]]
    assert ".recover" in those[0]["remedy"]
    assert run(folder, "doctor").code == 1
    assert run(folder, "doctor", "--quick").code == 1
    assert run(folder, "doctor", "--repair").code == 1
    assert (folder / "dedup.db").read_bytes() == before


def test_whichever_page_is_overwritten_it_is_found(scanned: Path, tmp_path: Path) -> None:
    """Every fourth page of the file, by zeros or noise: there is no unused page in a new database."""
    copy_of(scanned, tmp_path)
    db, rng, missed = tmp_path / "dedup.db", random.Random(3), []
    sound = db.read_bytes()
    for page in range(rng.randrange(4), damaging.pages(db), 4):
        damaging.overwrite(db, [page], bytes if rng.random() < 0.5 else lambda: rng.randbytes(damaging.PAGE))
        if not [f for f in examined(tmp_path) if f.severity == "error"]:
            missed.append(page)
        db.write_bytes(sound)
    assert missed == []


def test_wherever_a_body_is_altered_it_is_found(scanned: Path, tmp_path: Path) -> None:
    """A bit of a stored text turned over in the file itself, which SQLite does not notice."""
    copy_of(scanned, tmp_path)
    db, rng = tmp_path / "dedup.db", random.Random(4)
    bodies = [row["body"].encode() for row in running.dump(db, "revisions")]
    for body in rng.sample(bodies, 8):
        content = bytearray(db.read_bytes())
        at = content.find(body[200:260]) + rng.randrange(60)
        assert at > damaging.PAGE
        content[at] ^= 1 << rng.randrange(7)
        (tmp_path / "altered.db").write_bytes(content)
        those = [f for f in examined_at(tmp_path, "altered.db") if f.severity == "error"]
        assert [f.check for f in those] == ["digests"]
        assert those[0].message.startswith("revisions whose digest does not match their title and body: 1 (")


def examined_at(folder: Path, name: str) -> list[Finding]:
    """The findings of another database by the same configuration."""
    config = (folder / "config.toml").read_text().replace("dedup.db", name)
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "config.toml").write_text(config)
    return examined(folder / "other")


def test_the_rows_that_are_left_are_counted(folder: Path) -> None:
    db = folder / "dedup.db"
    with closing(sqlite3.connect(db)) as connection:
        (all_,) = connection.execute("SELECT count(*) FROM revisions").fetchone()
        leaves = connection.execute(
            "SELECT pageno, ncell FROM dbstat WHERE name = 'revisions' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    lost = leaves[3:9] + leaves[-2:]
    damaging.overwrite(db, [page - 1 for page, _ in lost], bytes)
    those = found(folder)
    assert not those[0]["message"].endswith("damaged: database disk image is malformed"), "SQLite's words for each page"
    assert f"of {all_} known rows of revisions, {all_ - sum(n for _, n in lost)} can be read" in told(those)
    assert told(those).count("known rows of") == 1, "the other tables are whole"
    assert (
        f"digests error: revisions that could not be checked because they, or rows they refer to, cannot be read: {sum(n for _, n in lost)}"
        in told(those)
    )


def test_of_a_file_that_lacks_its_end_what_is_there_is_told(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "VACUUM")  # the list of its tables comes first
    leaves = sorted(damaging.leaves(db, "revisions"))
    os.truncate(db, leaves[len(leaves) // 2] * damaging.PAGE)
    those = told(found(folder))
    assert "the file is damaged" in those
    numbers = [line for line in those.splitlines() if "known rows of revisions" in line]
    assert numbers
    assert not numbers[0].endswith(" 0 can be read")


def test_a_file_whose_list_of_tables_is_gone_with_its_end_says_so(folder: Path) -> None:
    """Of rows nothing can be told then: SQLite finds them by that list."""
    db = folder / "dedup.db"
    os.truncate(db, min(damaging.leaves(db, "sqlite_schema")) * damaging.PAGE)
    those = told(found(folder))
    assert "the file is damaged" in those
    assert "the list of tables cannot be read, so no table can be" in those


def test_indexes_of_sqlite_are_made_again(folder: Path) -> None:
    db = folder / "dedup.db"
    before, base = running.dump(db), base_rows(db)
    page = damaging.leaves(db, "sightings_revision")[0]
    damaging.overwrite(db, [page], lambda: b"\x0a\0\0\0\0\x10\0\0")  # a sound leaf without entries
    those = found(folder)
    (one,) = (f for f in those if f["check"] == "database")
    assert one["message"].startswith("SQLite's indexes do not match their tables: row 1 missing from index sightings_revision")
    assert one["repairable"]
    assert "revisions without a sighting" in told(those), "asked by that index, no crawl shows them"
    assert run(folder, "doctor", "--repair").code == 0
    assert found(folder) == []
    assert running.dump(db) == before
    assert base_rows(db) == base


def test_entries_of_rows_that_are_gone_are_no_reason_to_forget_them(folder: Path) -> None:
    """The index knows rows that the table lost: making it again would hide the loss."""
    db = folder / "dedup.db"
    with closing(sqlite3.connect(db)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'metadata_article'").fetchone()
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metadata_article'").fetchone()
        rows = connection.execute("SELECT count(*) FROM metadata").fetchone()[0]
    unlisted = "DELETE FROM sqlite_master WHERE name = 'metadata_article'"
    damaging.by_sql(db, "PRAGMA writable_schema=ON", unlisted)
    damaging.by_sql(db, "DELETE FROM metadata WHERE id = 5")
    listed = f"INSERT INTO sqlite_master VALUES ('index', 'metadata_article', 'metadata', {root[0]}, '{sql}')"
    damaging.by_sql(db, "PRAGMA writable_schema=ON", listed)
    those = found(folder)
    assert "the file is damaged: wrong # of entries in index metadata_article" in told(those)
    assert f"of {rows} known rows of metadata, {rows - 1} can be read" in told(those)
    before = db.read_bytes()
    ran = run(folder, "doctor", "--repair", "--format", "json")
    assert (ran.code, ran.json()["repaired"]) == (1, [])
    assert ran.json()["findings"][0]["message"].startswith("nothing was repaired: the file itself is damaged")
    assert db.read_bytes() == before


def test_where_only_what_is_derived_is_damaged_that_is_said(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.overwrite(db, damaging.leaves(db, "followers"), bytes)
    those = told(found(folder))
    assert "all known rows of crawl_directories, pages, aliases, metadata, revisions, sightings, files, readings can be read" in those
    assert "only derived tables are damaged (followers)" in those


def test_tables_that_cannot_be_listed(folder: Path) -> None:
    """The pages that say which tables there are."""
    db = folder / "dedup.db"
    damaging.overwrite(db, damaging.leaves(db, "sqlite_schema"), bytes)
    those = found(folder)
    assert "the list of tables cannot be read" in told(those)
    checked = run(folder, "doctor", "--format", "json").json()["checked"]
    assert "records" not in checked
    assert "directories" in checked, "the rest is looked at all the same"


# The file


def _missing(folder: Path) -> str:
    (folder / "dedup.db").unlink()
    return told(found(folder))


def test_a_database_that_is_not_there(folder: Path) -> None:
    for path in folder.glob("dedup.db*"):
        path.unlink()
    (one,) = found(folder)
    assert (one["message"], one["remedy"]) == (f"there is no database at {folder / 'dedup.db'}", "Run 'dedup scan' to create it.")
    assert run(folder, "doctor", "--repair").code == 1
    assert not list(folder.glob("dedup.db*")), "nothing is made by asking"


def test_a_database_that_was_taken_away(folder: Path) -> None:
    (folder / "dedup.db").unlink()
    (one,) = found(folder)
    assert "There was a database:" in one["remedy"]
    assert "dedup.db.index" in one["remedy"]


def test_a_database_that_is_empty(folder: Path) -> None:
    (folder / "dedup.db").write_bytes(b"")
    (one,) = found(folder)
    assert (one["severity"], one["message"]) == ("error", f"{folder / 'dedup.db'} is empty")


def test_a_database_that_is_a_folder(folder: Path) -> None:
    (folder / "dedup.db").unlink()
    (folder / "dedup.db").mkdir()
    (one,) = found(folder)
    assert one["message"].endswith("is not a regular file")


def test_a_newer_and_an_older_database(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('dedup', '9999_later', 'x')")
    (one,) = found(folder)
    assert (one["severity"], "9999_later" in one["message"], one["remedy"]) == ("error", True, "Install that version.")
    last = max(schema.MIGRATION_NAMES)
    damaging.by_sql(db, f"DELETE FROM _sqlite_migrations WHERE name IN ('9999_later', '{last}')")
    before = db.read_bytes()
    (one,) = found(folder)
    assert (one["severity"], "older version" in one["message"]) == ("warning", True)
    assert run(folder, "doctor", "--repair").code == 0
    assert db.read_bytes() == before


@pytest.mark.parametrize("name", ["dedup.db", "dedup.db.index", "dedup.db.lock"])
def test_what_others_may_open_is_named(folder: Path, name: str) -> None:
    (folder / name).chmod(0o644)
    (one,) = found(folder)
    assert one["severity"] == "warning"
    assert f"{folder / name} (mode 644)" in one["message"]
    assert one["remedy"] == f"Run chmod 600 {folder / name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_other_users(folder: Path) -> None:
    os.chown(folder / "dedup.db.index", 12345, -1)
    (one,) = found(folder)
    assert one["message"] == f"{folder / 'dedup.db.index'} belong to a user other than the owner of the database"
    assert f"chown {os.geteuid()}" in one["remedy"]
    os.chown(folder / "dedup.db.index", 0, -1)


def test_a_folder_that_everybody_may_write(folder: Path) -> None:
    folder.chmod(0o777)
    (one,) = found(folder)
    assert (one["severity"], "any user may replace the database" in one["message"]) == ("error", True)
    folder.chmod(0o1777)
    assert found(folder) == [], "in one with the sticky bit nobody can"


def test_a_database_that_may_not_be_read(folder: Path) -> None:
    (folder / "dedup.db").chmod(0)
    ran = bound(folder, "doctor", "--format", "json")
    assert ran.code == 1
    assert "may not read" in told(ran.json()["findings"])


def test_a_database_without_its_log_mode(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "dedup.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    (one,) = found(folder)
    assert (one["severity"], "not in WAL mode" in one["message"]) == ("warning", True)
    assert run(folder, "scan").code == 0
    assert found(folder) == []


def test_a_large_log(folder: Path) -> None:
    log = folder / "dedup.db-wal"
    with open(log, "wb") as file:
        file.truncate(300 << 20)
    log.chmod(0o600)
    (one,) = found(folder)
    assert (one["severity"], "has 315 MB" in one["message"]) == ("warning", True)


def test_a_log_of_another_database(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    db, backup = tmp_path / "dedup.db", tmp_path / "backup.db"
    shutil.copy(db, backup)
    for first in (50, 60):
        damaging.fill(tmp_path / "crawl", 8, first=first)
        damaging.scan_and_be_killed(tmp_path / "crawl", db)
        if first == 50:
            assert run(tmp_path, "scan").code == 0
    shutil.copy(backup, db)
    before = db.read_bytes()
    errors = [f for f in found(tmp_path) if f["severity"] == "error"]
    assert len(errors) == 1, "without that log the backup is sound"
    assert "dedup.db-wal does not belong to this database" in errors[0]["message"]
    assert f"move {db}-wal and {db}-shm away" in errors[0]["remedy"]
    assert db.read_bytes() == before


def test_a_backup_that_was_put_in_place(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    shutil.copy(tmp_path / "dedup.db", tmp_path / "backup.db")
    damaging.fill(tmp_path / "crawl", 8, first=50)
    assert run(tmp_path, "scan").code == 0
    assert found(tmp_path) == []
    shutil.copy(tmp_path / "backup.db", tmp_path / "dedup.db")
    those = found(tmp_path)
    assert {f["severity"] for f in those} == {"warning"}
    assert "a later state of it, with 13 more texts" in told(those)
    assert "is that of another state of the database" in told(those)


_WRITE = """
import sys
from dedup.store import open_writable
with open_writable(sys.argv[1], "watch") as store:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_file_put_in_place_under_the_writer(folder: Path) -> None:
    db = folder / "dedup.db"
    shutil.copy(db, folder / "backup.db")
    with subprocess.Popen([sys.executable, "-c", _WRITE, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert "what it records is lost" not in told(found(folder))
        (folder / "backup.db").rename(db)
        (one,) = (f for f in found(folder) if f["severity"] == "error")
        assert f"'dedup watch' (process {process.pid}" in one["message"]
        assert "what it records is lost" in one["message"]
        process.communicate(b"")


# Watches


def _around(**told: Any) -> SystemProbes:
    plenty = os.statvfs_result((4096, 4096, 1 << 40, 1 << 40, 1 << 40, 1 << 30, 1 << 30, 1 << 30, 0, 255))
    usual: dict[str, Any] = {
        "read_inotify_limits": lambda: InotifyLimits(1 << 20, 128),
        "read_mounts": list,
        "read_space": lambda _: plenty,
    }
    return SystemProbes(**usual | told)


def test_a_machine_with_room_for_everything_has_no_findings(folder: Path) -> None:
    assert [f for f in examined(folder, _around()) if f.severity != "ok"] == []


KERNEL = "/proc/sys/fs/inotify/max_user_"
NAMESPACE = "/proc/sys/user/max_inotify_watches"


@pytest.mark.parametrize(
    ("limits", "words", "remedy"),
    [
        (InotifyLimits(2, 128, KERNEL + "watches"), "folders to watch: 3, with a limit of 2",
         "sysctl -w fs.inotify.max_user_watches=131072"),
        (InotifyLimits(2, 128, NAMESPACE), "(/proc/sys/user/max_inotify_watches); files that arrive", f"echo 131072 > {NAMESPACE}"),
        (InotifyLimits(0, 128, NAMESPACE), "with a limit of 0", "echo"),
        (InotifyLimits(3, 128, NAMESPACE), "little is left", "echo"),
        (InotifyLimits(99, 0, "", KERNEL + "instances"), "crawl directories to watch: 1, with a limit of 0", "max_user_instances=128"),
    ],
)  # fmt: skip
def test_watches_that_will_not_do(folder: Path, limits: InotifyLimits, words: str, remedy: str) -> None:
    (one,) = (f for f in examined(folder, _around(read_inotify_limits=lambda: limits)) if f.check == "watches")
    assert one.severity == "warning", "the timer's scan finds what no event tells of"
    assert words in one.message
    assert remedy in one.remedy


def test_limits_that_nothing_says_are_no_finding(folder: Path) -> None:
    assert [f for f in examined(folder, _around(read_inotify_limits=lambda: InotifyLimits(None, None))) if f.check == "watches"] == []


@pytest.mark.system
def test_the_limit_of_a_user_namespace(folder: Path) -> None:
    inner = 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$0" -m dedup doctor --format json'
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", inner, sys.executable], cwd=folder, capture_output=True, check=False)
    assert b"folders to watch: 3, with a limit of 2" in done.stdout


# Crawl directories


def _configured(folder: Path, *directories: Path, database: Path | None = None) -> None:
    named = ", ".join(f'"{d}"' for d in directories)
    (folder / "config.toml").write_text(f'[crawl]\ndirectories = [{named}]\n[database]\npath = "{database or folder / "dedup.db"}"\n')


def test_a_crawl_directory_that_is_not_there(folder: Path) -> None:
    _configured(folder, folder / "nowhere")
    one, left = found(folder)
    assert (left["severity"], "is not configured" in left["message"]) == ("warning", True), left
    assert (one["check"], one["severity"]) == ("directories", "error")
    assert "nowhere does not exist" in one["message"]


def test_a_crawl_directory_that_may_not_be_listed_and_folders_in_one(folder: Path) -> None:
    for name in ("locked", "open/inner/one", "open/inner/two"):
        (folder / name).mkdir(parents=True)
    _configured(folder, folder / "locked", folder / "open")
    closed = [folder / "locked", folder / "open" / "inner" / "one", folder / "open" / "inner" / "two"]
    for path in closed:
        path.chmod(0)
    try:
        ran = bound(folder, "doctor", "--format", "json")
    finally:
        for path in closed:
            path.chmod(0o755)
    those = [f for f in ran.json()["findings"] if f["check"] == "directories" and "is not configured" not in f["message"]]
    assert [f["severity"] for f in those] == ["error", "warning"]
    assert "locked cannot be listed by this user" in those[0]["message"]
    assert "that this user cannot list: 2 (" in those[1]["message"]
    assert ran.json()["checked"]["watches"] == 4


def test_no_crawl_directory(folder: Path) -> None:
    """Those that were scanned are looked at; where there are none either, that is said."""
    (folder / "config.toml").write_text(f'[database]\npath = "{folder / "dedup.db"}"\n')
    assert found(folder) == []
    for path in folder.glob("dedup.db*"):
        path.unlink()
    assert "no crawl directory is configured" in told(found(folder))


def test_overlapping_crawl_directories(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    _configured(folder, folder / "a", folder / "a" / "b")
    one, left = found(folder)
    assert (one["severity"], "overlap" in one["message"]) == ("error", True)
    assert (left["severity"], "is not configured" in left["message"]) == ("warning", True), left


def test_a_crawl_directory_that_is_another(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    (tmp_path / "crawl").rename(tmp_path / "away")
    (tmp_path / "crawl").mkdir()
    (one,) = found(tmp_path)
    assert (one["severity"], "it counts as not mounted" in one["message"], one["remedy"]) == ("error", True, "Mount it.")
    (tmp_path / "crawl" / "file").touch()
    (one,) = found(tmp_path)
    assert (one["severity"], "is not the directory of the last scan" in one["message"]) == ("warning", True)


def test_a_database_that_lies_inside_a_crawl_directory_by_now(folder: Path, scanned: Path) -> None:
    """As `scan` refuses to make one there, somebody moved it, or named a directory around it."""
    (folder / "dedup.db").rename(scanned / "dedup.db")
    _configured(folder, scanned, database=scanned / "dedup.db")
    assert [one["severity"] for one in found(folder) if "is inside the crawl directory" in one["message"]] == ["error"]
    refused = run(folder, "scan")
    assert (refused.code, "lies inside the crawl directory" in refused.err) == (2, True)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"])
def test_network_file_systems(folder: Path, scanned: Path, kind: str) -> None:
    there = [Mount(b"/", "ext4"), Mount(os.fsencode(scanned), kind)]
    (one,) = (f for f in examined(folder, _around(read_mounts=lambda: there)) if f.check == "directories")
    assert (one.severity, f"network file system ({kind} at {scanned})" in one.message) == ("warning", True)
    there = [Mount(b"/", "ext4"), Mount(os.fsencode(folder), kind)]
    (one,) = (f for f in examined(folder, _around(read_mounts=lambda: there)) if f.check == "directories")
    assert (one.severity, "the database is on a network file system" in one.message) == ("error", True)
    there = [Mount(b"/", kind), Mount(os.fsencode(folder), "ext4"), Mount(os.fsencode(scanned), "xfs")]
    assert [f for f in examined(folder, _around(read_mounts=lambda: there)) if f.check == "directories"] == []


def test_mounts_as_the_kernel_writes_them(tmp_path: Path) -> None:
    written = (
        b"22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"36 35 98:0 / /srv/with\\040blank\\011and\\134more rw,noatime master:1 propagate_from:2 - nfs4 server:/x rw\n"
        b"37 35 98:0 / /srv rw,noatime - xfs /dev/vdb rw\nnonsense\n"
        b"38 35 98:0 / /srv/with rw - fuse.sshfs a@b: rw\n39 35 98:0 / /srv/with rw - tmpfs none rw\n"
    )
    (tmp_path / "mountinfo").write_bytes(written)
    read = mounts.read_mounts(str(tmp_path / "mountinfo"))
    assert [(m.mount_point, m.type) for m in read] == [
        (b"/", "ext4"), (b"/srv/with blank\tand\\more", "nfs4"), (b"/srv", "xfs"), (b"/srv/with", "fuse.sshfs"), (b"/srv/with", "tmpfs"),
    ]  # fmt: skip
    for path, kind in ((b"/srv/without", "xfs"), (b"/srv/with/x", "tmpfs"), (b"/srv/with blank\tand\\more/x", "nfs4"), (b"/etc", "ext4")):
        found_there = mounts.find_mount(path, read)
        assert found_there is not None
        assert found_there.type == kind
    assert mounts.find_mount(b"/x", []) is None
    assert mounts.read_mounts(str(tmp_path / "none")) == []
    assert mounts.find_mount(os.fsencode(tmp_path), mounts.read_mounts()) is not None, "of this machine too"


# Disk


def _space(megabytes: int, files: int = 1 << 20) -> Callable[[str], os.statvfs_result]:
    blocks = megabytes * 1_000_000 // 4096
    return lambda _: os.statvfs_result((4096, 4096, 1 << 30, blocks, blocks, files and 1 << 20, files, files, 0, 255))


@pytest.mark.parametrize(
    ("space", "severity", "words"),
    [
        (_space(2000), None, ""),
        (_space(800), "warning", "800 MB are free for the database"),
        (_space(50), "error", "50 MB are free for the database"),
        (_space(0), "error", "0 MB are free"),
        (_space(2000, files=10), "error", "(inodes): 10"),
        (_space(2000, files=0), None, ""),
    ],
)
def test_room(folder: Path, space: Callable[[str], os.statvfs_result], severity: str | None, words: str) -> None:
    those = [f for f in examined(folder, _around(read_space=space)) if f.check == "disk" and "temporary" not in f.message]
    assert [f.severity for f in those] == [severity] * (severity is not None)
    assert words in "".join(f.message for f in those)


def test_room_for_a_large_database(folder: Path) -> None:
    """A quarter of it, and its indexes twice."""
    with open(folder / "dedup.db", "r+b") as file:
        file.truncate(8_000_000_000)
    with open(folder / "dedup.db.index", "r+b") as file:
        file.truncate(500_000_000)
    there = examined(folder, _around(read_space=_space(2900)), quick=True)
    (one,) = (f for f in there if f.check == "disk")
    assert "3,000 MB should be: the database has 8.0 GB" in one.message


def test_a_file_system_that_cannot_be_asked(folder: Path) -> None:
    def refuse(_: str) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    (one,) = (f for f in examined(folder, _around(read_space=refuse)) if f.check == "disk")
    assert (one.severity, "Input/output error" in one.message) == ("error", True)


def test_no_place_for_temporary_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.doctor.environment.find_temporary_folder", lambda _: None)
    (one,) = (f for f in examined(folder, _around()) if f.check == "disk")
    assert (one.severity, "no folder for SQLite's temporary files" in one.message) == ("error", True)


# Clock and packages


def test_a_clock_that_was_set_back(folder: Path) -> None:
    those = {
        f.message.split(":")[0].split(" at ")[0]: f for f in examined(folder, _around(current_time=lambda: "2026-03-02T12:00:00+00:00"))
    }
    told_ = "\n".join(those)
    assert "the clock shows 2026-03-02T12" in told_ or any("the clock was set back" in f.message for f in those.values())
    assert any(f.message.startswith("a file has a modification time in the future") for f in those.values())
    assert any(
        f.message.startswith("pages whose current sighting has a time in the future: 10 (") and "zone" in f.remedy for f in those.values()
    )
    assert {f.severity for f in those.values()} == {"error", "warning"}


def test_a_crawl_of_tomorrow(tmp_path: Path) -> None:
    Made(crawled_at="2199-01-01 00:00:00").write(tmp_path / "crawl")
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    (one,) = found(tmp_path)
    assert (one["check"], one["severity"]) == ("clock", "warning")
    assert "pages whose current sighting has a time in the future" in one["message"]


def test_a_package_that_makes_it_faster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("dedup.doctor.environment.version", missing)
    (one,) = (f for f in examined(folder, _around()) if f.check == "packages")
    assert (one.severity, "numba is not installed" in one.message) == ("ok", True)


def test_a_sqlite_that_is_too_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 0))
    those = examined(folder, _around())
    assert [f.severity for f in those if f.check == "packages"] == ["error"]


def test_modes_are_those_that_the_program_makes(folder: Path) -> None:
    """What the permissions are compared with."""
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.glob("dedup.db*")} == {0o600}


def test_a_database_behind_a_link(folder: Path) -> None:
    """What lies beside a database lies where that really is."""
    (folder / "real").mkdir(mode=0o700)
    (folder / "dedup.db").rename(folder / "real" / "kept.db")
    (folder / "dedup.db").symlink_to(folder / "real" / "kept.db")
    for end in (".index", ".passages", ".search"):
        (folder / f"dedup.db{end}").rename(folder / "real" / f"kept.db{end}")
    assert found(folder) == []
    (folder / "real" / "kept.db-wal").write_bytes(bytes(100))
    (folder / "real" / "kept.db-wal").chmod(0o666)
    (one,) = found(folder)
    assert f"{folder / 'real' / 'kept.db-wal'} (mode 666)" in one["message"]


def test_a_backup_is_examined_as_it_is(folder: Path) -> None:
    """It has no indexes and no log, and need not have them."""
    assert run(folder, "backup", "copy.db").code == 0
    ran = run(folder, "doctor", "--database", "copy.db", "--format", "json")
    assert ran.code == 0
    assert {(f["check"], f["severity"]) for f in ran.json()["findings"]} - {("disk", "warning")} == {("indexes", "ok")}
    assert sorted(p.name for p in folder.glob("copy.db*") if p.stat().st_size) == ["copy.db"]


@pytest.mark.parametrize(("rights", "warned"), [(LeaseRights(os.geteuid() + 1, False), True), (LeaseRights(os.geteuid() + 1, True), False)])
def test_files_whose_writers_cannot_be_detected_are_named_with_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rights: LeaseRights, warned: bool
) -> None:
    monkeypatch.setattr(leases, "read_rights", lambda *_: rights)
    those = [f for f in examined(folder) if "cannot detect writers" in f.message]
    assert [(f.check, f.severity) for f in those] == [("directories", "warning")] * warned
    assert all(f"files of user {os.geteuid()}" in f.message and "CAP_LEASE" in f.remedy for f in those)
