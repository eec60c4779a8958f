"""`doctor` on the database file and its environment: pages, truncation, logs, permissions, watches, mounts, disks, clocks."""

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
from tests.builders.crawl import ArticleFile
from tests.builders.doctor import base_rows, copy_of, format_findings, list_findings, run_doctor, scanned_crawl
from tests.builders.permissions import run_without_capabilities

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]


@pytest.fixture(scope="module")
def scanned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scanned_crawl(tmp_path_factory.mktemp("scanned"))


@pytest.fixture
def folder(scanned_folder: Path, tmp_path: Path) -> Path:
    return copy_of(scanned_folder, tmp_path)


# Damage: found and measured, without false claims


@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_every_kind_of_damage_is_found_without_a_traceback(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    before = (folder / "dedup.db").read_bytes()
    findings = run_doctor(folder)
    assert [f for f in findings if f["check"] == "database" and f["severity"] == "error" and "dedup restore FILE" in f["remedy"]]
    assert ".recover" in findings[0]["remedy"]
    assert run(folder, "doctor").code == 1
    assert run(folder, "doctor", "--quick").code == 1
    assert run(folder, "doctor", "--repair").code == 1
    assert (folder / "dedup.db").read_bytes() == before


@pytest.mark.system
def test_an_overwritten_page_is_found_wherever_it_is(scanned_folder: Path, tmp_path: Path) -> None:
    """Every fourth page of the file, with zeros or random bytes. A new database has no unused page."""
    copy_of(scanned_folder, tmp_path)
    db, rng, undetected = tmp_path / "dedup.db", random.Random(3), []
    intact = db.read_bytes()
    for page in range(rng.randrange(4), damaging.pages(db), 4):
        damaging.overwrite(db, [page], bytes if rng.random() < 0.5 else lambda: rng.randbytes(damaging.PAGE))
        if not [f for f in list_findings(tmp_path) if f.severity == "error"]:
            undetected.append(page)
        db.write_bytes(intact)
    assert undetected == []


def test_an_altered_body_is_found_wherever_it_is(scanned_folder: Path, tmp_path: Path) -> None:
    """One bit of a stored text is inverted in the file, which SQLite does not notice."""
    copy_of(scanned_folder, tmp_path)
    db, rng = tmp_path / "dedup.db", random.Random(4)
    bodies = [row["body"].encode() for row in running.dump(db, "revisions")]
    for body in rng.sample(bodies, 8):
        content = bytearray(db.read_bytes())
        offset = content.find(body[200:260]) + rng.randrange(60)
        assert offset > damaging.PAGE
        content[offset] ^= 1 << rng.randrange(7)
        (tmp_path / "altered.db").write_bytes(content)
        findings = [f for f in examine_database(tmp_path, "altered.db") if f.severity == "error"]
        assert [f.check for f in findings] == ["digests"]
        assert findings[0].message.startswith("revisions whose digest does not match their title and body: 1 (")


def examine_database(folder: Path, name: str) -> list[Finding]:
    """The findings for another database with the same configuration."""
    config = (folder / "config.toml").read_text().replace("dedup.db", name)
    (folder / "other").mkdir(exist_ok=True)
    (folder / "other" / "config.toml").write_text(config)
    return list_findings(folder / "other")


def test_the_remaining_rows_are_counted(folder: Path) -> None:
    db = folder / "dedup.db"
    with closing(sqlite3.connect(db)) as connection:
        (total,) = connection.execute("SELECT count(*) FROM revisions").fetchone()
        leaves = connection.execute(
            "SELECT pageno, ncell FROM dbstat WHERE name = 'revisions' AND pagetype = 'leaf' ORDER BY path"
        ).fetchall()
    lost = leaves[3:9] + leaves[-2:]
    damaging.overwrite(db, [page - 1 for page, _ in lost], bytes)
    findings = run_doctor(folder)
    assert not findings[0]["message"].endswith("damaged: database disk image is malformed"), "the messages of SQLite name the pages"
    assert f"of {total} known rows of revisions, {total - sum(n for _, n in lost)} can be read" in format_findings(findings)
    assert format_findings(findings).count("known rows of") == 1, "the other tables are whole"
    assert (
        f"digests error: revisions that could not be checked because they, or rows they refer to, cannot be read: {sum(n for _, n in lost)}"
        in format_findings(findings)
    )


def test_the_readable_rows_of_a_truncated_file_are_counted(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "VACUUM")  # puts the list of tables first
    leaves = sorted(damaging.leaves(db, "revisions"))
    os.truncate(db, leaves[len(leaves) // 2] * damaging.PAGE)
    messages = format_findings(run_doctor(folder))
    assert "the file is damaged" in messages
    lines = [line for line in messages.splitlines() if "known rows of revisions" in line]
    assert lines
    assert not lines[0].endswith(" 0 can be read")


def test_a_truncated_file_without_its_list_of_tables_is_reported(folder: Path) -> None:
    """SQLite finds rows by that list, so nothing is known about rows."""
    db = folder / "dedup.db"
    os.truncate(db, min(damaging.leaves(db, "sqlite_schema")) * damaging.PAGE)
    messages = format_findings(run_doctor(folder))
    assert "the file is damaged" in messages
    assert "the list of tables cannot be read, so no table can be" in messages


def test_indexes_of_sqlite_are_rebuilt(folder: Path) -> None:
    db = folder / "dedup.db"
    before, base = running.dump(db), base_rows(db)
    page = damaging.leaves(db, "sightings_revision")[0]
    damaging.overwrite(db, [page], lambda: b"\x0a\0\0\0\0\x10\0\0")  # a valid leaf page without entries
    findings = run_doctor(folder)
    (finding,) = (f for f in findings if f["check"] == "database")
    assert finding["message"].startswith("SQLite's indexes do not match their tables: row 1 missing from index sightings_revision")
    assert finding["repairable"]
    assert "revisions without a sighting" in format_findings(findings), "a query by that index finds no sighting"
    assert run(folder, "doctor", "--repair").code == 0
    assert run_doctor(folder) == []
    assert running.dump(db) == before
    assert base_rows(db) == base


def test_one_repair_corrects_what_a_damaged_index_hid(folder: Path) -> None:
    """The index has the entries of changes that were deleted, so that only a check after its repair finds them missing."""
    db = folder / "dedup.db"
    before = running.dump(db)
    with closing(sqlite3.connect(db)) as connection:
        sql, root = connection.execute("SELECT sql, rootpage FROM sqlite_master WHERE name = 'changes_page'").fetchone()
    damaging.by_sql(db, "PRAGMA writable_schema=ON", "DELETE FROM sqlite_master WHERE name = 'changes_page'")
    damaging.by_sql(db, "DELETE FROM changes")
    restore_index = f"INSERT INTO sqlite_master VALUES ('index', 'changes_page', 'changes', {root}, '{sql}')"
    damaging.by_sql(db, "PRAGMA writable_schema=ON", restore_index)
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert (result.code, [f["message"] for f in result.json()["findings"] if f["severity"] == "error"]) == (0, [])
    assert run_doctor(folder) == []
    assert running.dump(db) == before


def test_an_index_with_entries_of_lost_rows_is_not_rebuilt(folder: Path) -> None:
    """The index has entries for rows that the table lost. A rebuild would hide the loss."""
    db = folder / "dedup.db"
    with closing(sqlite3.connect(db)) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'metadata_article'").fetchone()
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'metadata_article'").fetchone()
        rows = connection.execute("SELECT count(*) FROM metadata").fetchone()[0]
    remove_index = "DELETE FROM sqlite_master WHERE name = 'metadata_article'"
    damaging.by_sql(db, "PRAGMA writable_schema=ON", remove_index)
    damaging.by_sql(db, "DELETE FROM metadata WHERE id = 5")
    restore_index = f"INSERT INTO sqlite_master VALUES ('index', 'metadata_article', 'metadata', {root[0]}, '{sql}')"
    damaging.by_sql(db, "PRAGMA writable_schema=ON", restore_index)
    findings = run_doctor(folder)
    assert "the file is damaged: wrong # of entries in index metadata_article" in format_findings(findings)
    assert f"of {rows} known rows of metadata, {rows - 1} can be read" in format_findings(findings)
    before = db.read_bytes()
    result = run(folder, "doctor", "--repair", "--format", "json")
    assert (result.code, result.json()["repaired"]) == (1, [])
    assert result.json()["findings"][0]["message"].startswith("nothing was repaired: the file itself is damaged")
    assert db.read_bytes() == before


def test_damage_of_derived_tables_alone_is_reported_as_such(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.overwrite(db, damaging.leaves(db, "followers"), bytes)
    messages = format_findings(run_doctor(folder))
    assert "all known rows of crawl_directories, pages, aliases, metadata, revisions, sightings, files, readings can be read" in messages
    assert "only derived tables are damaged (followers)" in messages


def test_an_unreadable_list_of_tables_is_reported(folder: Path) -> None:
    """The pages of the list of tables are overwritten."""
    db = folder / "dedup.db"
    damaging.overwrite(db, damaging.leaves(db, "sqlite_schema"), bytes)
    findings = run_doctor(folder)
    assert "the list of tables cannot be read" in format_findings(findings)
    counts = run(folder, "doctor", "--format", "json").json()["checked"]
    assert "records" not in counts
    assert "directories" in counts, "the other checks ran nevertheless"


# The file


def check_missing(folder: Path) -> str:
    (folder / "dedup.db").unlink()
    return format_findings(run_doctor(folder))


def test_a_missing_database_is_reported(folder: Path) -> None:
    for path in folder.glob("dedup.db*"):
        path.unlink()
    (finding,) = run_doctor(folder)
    assert (finding["message"], finding["remedy"]) == (f"there is no database at {folder / 'dedup.db'}", "Run 'dedup scan' to create it.")
    assert run(folder, "doctor", "--repair").code == 1
    assert not list(folder.glob("dedup.db*")), "a check creates no files"


def test_a_removed_database_is_reported(folder: Path) -> None:
    (folder / "dedup.db").unlink()
    (finding,) = run_doctor(folder)
    assert "There was a database:" in finding["remedy"]
    assert "dedup.db.index" in finding["remedy"]


def test_an_empty_database_is_reported(folder: Path) -> None:
    (folder / "dedup.db").write_bytes(b"")
    (finding,) = run_doctor(folder)
    assert (finding["severity"], finding["message"]) == ("error", f"{folder / 'dedup.db'} is empty")


def test_a_folder_in_place_of_the_database_is_reported(folder: Path) -> None:
    (folder / "dedup.db").unlink()
    (folder / "dedup.db").mkdir()
    (finding,) = run_doctor(folder)
    assert finding["message"].endswith("is not a regular file")


def test_newer_and_older_databases_are_reported(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('dedup', '9999_later', 'x')")
    (finding,) = run_doctor(folder)
    assert (finding["severity"], "9999_later" in finding["message"], finding["remedy"]) == ("error", True, "Install that version.")
    last = max(schema.MIGRATION_NAMES)
    damaging.by_sql(db, f"DELETE FROM _sqlite_migrations WHERE name IN ('9999_later', '{last}')")
    before = db.read_bytes()
    (finding,) = run_doctor(folder)
    assert (finding["severity"], "older version" in finding["message"]) == ("warning", True)
    assert run(folder, "doctor", "--repair").code == 0
    assert db.read_bytes() == before


@pytest.mark.parametrize("name", ["dedup.db", "dedup.db.index", "dedup.db.lock"])
def test_files_that_other_users_can_open_are_reported(folder: Path, name: str) -> None:
    (folder / name).chmod(0o644)
    (finding,) = run_doctor(folder)
    assert finding["severity"] == "warning"
    assert f"{folder / name} (mode 644)" in finding["message"]
    assert finding["remedy"] == f"Run chmod 600 {folder / name}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_other_users_are_reported(folder: Path) -> None:
    os.chown(folder / "dedup.db.index", 12345, -1)
    (finding,) = run_doctor(folder)
    assert finding["message"] == f"{folder / 'dedup.db.index'} belong to a user other than the owner of the database"
    assert f"chown {os.geteuid()}" in finding["remedy"]
    os.chown(folder / "dedup.db.index", 0, -1)


def test_a_folder_that_every_user_can_write_is_reported(folder: Path) -> None:
    folder.chmod(0o777)
    (finding,) = run_doctor(folder)
    assert (finding["severity"], "any user may replace the database" in finding["message"]) == ("error", True)
    folder.chmod(0o1777)
    assert run_doctor(folder) == [], "the sticky bit prevents it"


def test_an_unreadable_database_is_reported(folder: Path) -> None:
    (folder / "dedup.db").chmod(0)
    result = run_without_capabilities(folder, "doctor", "--format", "json")
    assert result.code == 1
    assert "may not read" in format_findings(result.json()["findings"])


def test_a_database_not_in_wal_mode_is_reported(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "dedup.db")) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    (finding,) = run_doctor(folder)
    assert (finding["severity"], "not in WAL mode" in finding["message"]) == ("warning", True)
    assert run(folder, "scan").code == 0
    assert run_doctor(folder) == []


def test_a_large_log_is_reported(folder: Path) -> None:
    log = folder / "dedup.db-wal"
    with open(log, "wb") as file:
        file.truncate(300 << 20)
    log.chmod(0o600)
    (finding,) = run_doctor(folder)
    assert (finding["severity"], "has 315 MB" in finding["message"]) == ("warning", True)


@pytest.mark.system
def test_a_log_of_another_database_is_reported(tmp_path: Path) -> None:
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
    errors = [f for f in run_doctor(tmp_path) if f["severity"] == "error"]
    assert len(errors) == 1, "without that log the backup is sound"
    assert "dedup.db-wal does not belong to this database" in errors[0]["message"]
    assert f"move {db}-wal and {db}-shm away" in errors[0]["remedy"]
    assert db.read_bytes() == before


def test_a_copied_backup_is_reported(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    shutil.copy(tmp_path / "dedup.db", tmp_path / "backup.db")
    damaging.fill(tmp_path / "crawl", 8, first=50)
    assert run(tmp_path, "scan").code == 0
    assert run_doctor(tmp_path) == []
    shutil.copy(tmp_path / "backup.db", tmp_path / "dedup.db")
    findings = run_doctor(tmp_path)
    assert {f["severity"] for f in findings} == {"warning"}
    assert "a later state of it, with 13 more texts" in format_findings(findings)
    assert "is that of another state of the database" in format_findings(findings)


_WRITE = """
import sys
from dedup.store import open_writable
with open_writable(sys.argv[1], "watch") as store:
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_file_replaced_under_the_writer_is_reported(folder: Path) -> None:
    db = folder / "dedup.db"
    shutil.copy(db, folder / "backup.db")
    with subprocess.Popen([sys.executable, "-c", _WRITE, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert "what it records is lost" not in format_findings(run_doctor(folder))
        (folder / "backup.db").rename(db)
        (finding,) = (f for f in run_doctor(folder) if f["severity"] == "error")
        assert f"'dedup watch' (process {process.pid}" in finding["message"]
        assert "what it records is lost" in finding["message"]
        process.communicate(b"")


# Watches


def probes(**overrides: Any) -> SystemProbes:
    plenty = os.statvfs_result((4096, 4096, 1 << 40, 1 << 40, 1 << 40, 1 << 30, 1 << 30, 1 << 30, 0, 255))
    defaults: dict[str, Any] = {
        "read_inotify_limits": lambda: InotifyLimits(1 << 20, 128),
        "read_mounts": list,
        "read_space": lambda _: plenty,
    }
    return SystemProbes(**defaults | overrides)


def test_a_machine_with_enough_resources_has_no_findings(folder: Path) -> None:
    assert [f for f in list_findings(folder, probes()) if f.severity != "ok"] == []


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
def test_too_few_inotify_watches_are_reported(folder: Path, limits: InotifyLimits, words: str, remedy: str) -> None:
    (finding,) = (f for f in list_findings(folder, probes(read_inotify_limits=lambda: limits)) if f.check == "watches")
    assert finding.severity == "warning", "the periodic scan finds what has no event"
    assert words in finding.message
    assert remedy in finding.remedy


def test_unknown_inotify_limits_are_not_reported(folder: Path) -> None:
    assert [f for f in list_findings(folder, probes(read_inotify_limits=lambda: InotifyLimits(None, None))) if f.check == "watches"] == []


@pytest.mark.system
def test_the_limit_of_a_user_namespace_is_reported(folder: Path) -> None:
    inner = 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$0" -m dedup doctor --format json'
    result = subprocess.run(["unshare", "-Ur", "sh", "-c", inner, sys.executable], cwd=folder, capture_output=True, check=False)
    assert b"folders to watch: 3, with a limit of 2" in result.stdout


# Crawl directories


def configure(folder: Path, *directories: Path, database: Path | None = None) -> None:
    quoted = ", ".join(f'"{d}"' for d in directories)
    (folder / "config.toml").write_text(f'[crawl]\ndirectories = [{quoted}]\n[database]\npath = "{database or folder / "dedup.db"}"\n')


def test_a_missing_crawl_directory_is_reported(folder: Path) -> None:
    configure(folder, folder / "nowhere")
    missing, unconfigured = run_doctor(folder)
    assert (unconfigured["severity"], "is not configured" in unconfigured["message"]) == ("warning", True), unconfigured
    assert (missing["check"], missing["severity"]) == ("directories", "error")
    assert "nowhere does not exist" in missing["message"]


def test_crawl_directories_and_folders_that_cannot_be_listed_are_reported(folder: Path) -> None:
    for name in ("locked", "open/inner/one", "open/inner/two"):
        (folder / name).mkdir(parents=True)
    configure(folder, folder / "locked", folder / "open")
    unlistable = [folder / "locked", folder / "open" / "inner" / "one", folder / "open" / "inner" / "two"]
    for path in unlistable:
        path.chmod(0)
    try:
        result = run_without_capabilities(folder, "doctor", "--format", "json")
    finally:
        for path in unlistable:
            path.chmod(0o755)
    findings = [f for f in result.json()["findings"] if f["check"] == "directories" and "is not configured" not in f["message"]]
    assert [f["severity"] for f in findings] == ["error", "warning"]
    assert "locked cannot be listed by this user" in findings[0]["message"]
    assert "that this user cannot list: 2 (" in findings[1]["message"]
    assert result.json()["checked"]["watches"] == 4


def test_scanned_directories_are_checked_if_none_is_configured(folder: Path) -> None:
    """Without a configured directory, the scanned directories are checked. Without any, that is reported."""
    (folder / "config.toml").write_text(f'[database]\npath = "{folder / "dedup.db"}"\n')
    assert run_doctor(folder) == []
    for path in folder.glob("dedup.db*"):
        path.unlink()
    assert "no crawl directory is configured" in format_findings(run_doctor(folder))


def test_overlapping_crawl_directories_are_reported(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    configure(folder, folder / "a", folder / "a" / "b")
    overlap, unconfigured = run_doctor(folder)
    assert (overlap["severity"], "overlap" in overlap["message"]) == ("error", True)
    assert (unconfigured["severity"], "is not configured" in unconfigured["message"]) == ("warning", True), unconfigured


def test_a_replaced_crawl_directory_is_reported(tmp_path: Path) -> None:
    scanned_crawl(tmp_path)
    (tmp_path / "crawl").rename(tmp_path / "away")
    (tmp_path / "crawl").mkdir()
    (finding,) = run_doctor(tmp_path)
    assert (finding["severity"], "it counts as not mounted" in finding["message"], finding["remedy"]) == ("error", True, "Mount it.")
    (tmp_path / "crawl" / "file").touch()
    (finding,) = run_doctor(tmp_path)
    assert (finding["severity"], "is not the directory of the last scan" in finding["message"]) == ("warning", True)


def test_a_database_inside_a_crawl_directory_is_reported(folder: Path, scanned_folder: Path) -> None:
    """`scan` refuses to create one there. It was moved, or a directory around it was configured later."""
    (folder / "dedup.db").rename(scanned_folder / "dedup.db")
    configure(folder, scanned_folder, database=scanned_folder / "dedup.db")
    assert [finding["severity"] for finding in run_doctor(folder) if "is inside the crawl directory" in finding["message"]] == ["error"]
    result = run(folder, "scan")
    assert (result.code, "lies inside the crawl directory" in result.err) == (2, True)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"])
def test_network_file_systems_are_reported(folder: Path, scanned_folder: Path, kind: str) -> None:
    mount_table = [Mount(b"/", "ext4"), Mount(os.fsencode(scanned_folder), kind)]
    (finding,) = (f for f in list_findings(folder, probes(read_mounts=lambda: mount_table)) if f.check == "directories")
    assert (finding.severity, f"network file system ({kind} at {scanned_folder})" in finding.message) == ("warning", True)
    mount_table = [Mount(b"/", "ext4"), Mount(os.fsencode(folder), kind)]
    (finding,) = (f for f in list_findings(folder, probes(read_mounts=lambda: mount_table)) if f.check == "directories")
    assert (finding.severity, "the database is on a network file system" in finding.message) == ("error", True)
    mount_table = [Mount(b"/", kind), Mount(os.fsencode(folder), "ext4"), Mount(os.fsencode(scanned_folder), "xfs")]
    assert [f for f in list_findings(folder, probes(read_mounts=lambda: mount_table)) if f.check == "directories"] == []


def test_mountinfo_of_the_kernel_is_parsed(tmp_path: Path) -> None:
    mountinfo = (
        b"22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"36 35 98:0 / /srv/with\\040blank\\011and\\134more rw,noatime master:1 propagate_from:2 - nfs4 server:/x rw\n"
        b"37 35 98:0 / /srv rw,noatime - xfs /dev/vdb rw\nnonsense\n"
        b"38 35 98:0 / /srv/with rw - fuse.sshfs a@b: rw\n39 35 98:0 / /srv/with rw - tmpfs none rw\n"
    )
    (tmp_path / "mountinfo").write_bytes(mountinfo)
    table = mounts.read_mounts(str(tmp_path / "mountinfo"))
    assert [(m.mount_point, m.type) for m in table] == [
        (b"/", "ext4"), (b"/srv/with blank\tand\\more", "nfs4"), (b"/srv", "xfs"), (b"/srv/with", "fuse.sshfs"), (b"/srv/with", "tmpfs"),
    ]  # fmt: skip
    for path, kind in ((b"/srv/without", "xfs"), (b"/srv/with/x", "tmpfs"), (b"/srv/with blank\tand\\more/x", "nfs4"), (b"/etc", "ext4")):
        mount = mounts.find_mount(path, table)
        assert mount is not None
        assert mount.type == kind
    assert mounts.find_mount(b"/x", []) is None
    assert mounts.read_mounts(str(tmp_path / "none")) == []
    assert mounts.find_mount(os.fsencode(tmp_path), mounts.read_mounts()) is not None, "also on this machine"


# Disk


def free_space(megabytes: int, files: int = 1 << 20) -> Callable[[str], os.statvfs_result]:
    blocks = megabytes * 1_000_000 // 4096
    return lambda _: os.statvfs_result((4096, 4096, 1 << 30, blocks, blocks, files and 1 << 20, files, files, 0, 255))


@pytest.mark.parametrize(
    ("space", "severity", "words"),
    [
        (free_space(2000), None, ""),
        (free_space(800), "warning", "800 MB are free for the database"),
        (free_space(50), "error", "50 MB are free for the database"),
        (free_space(0), "error", "0 MB are free"),
        (free_space(2000, files=10), "error", "(inodes): 10"),
        (free_space(2000, files=0), None, ""),
    ],
)
def test_too_little_free_space_is_reported(
    folder: Path, space: Callable[[str], os.statvfs_result], severity: str | None, words: str
) -> None:
    findings = [f for f in list_findings(folder, probes(read_space=space)) if f.check == "disk" and "temporary" not in f.message]
    assert [f.severity for f in findings] == [severity] * (severity is not None)
    assert words in "".join(f.message for f in findings)


def test_a_large_database_needs_more_free_space(folder: Path) -> None:
    """A quarter of the database, and twice its indexes."""
    with open(folder / "dedup.db", "r+b") as file:
        file.truncate(8_000_000_000)
    with open(folder / "dedup.db.index", "r+b") as file:
        file.truncate(500_000_000)
    findings = list_findings(folder, probes(read_space=free_space(2900)), quick=True)
    (finding,) = (f for f in findings if f.check == "disk")
    assert "3,000 MB should be: the database has 8.0 GB" in finding.message


def test_unknown_free_space_is_reported(folder: Path) -> None:
    def fail(_: str) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    (finding,) = (f for f in list_findings(folder, probes(read_space=fail)) if f.check == "disk")
    assert (finding.severity, "Input/output error" in finding.message) == ("error", True)


def test_a_missing_temporary_folder_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.doctor.environment.find_temporary_folder", lambda _: None)
    (finding,) = (f for f in list_findings(folder, probes()) if f.check == "disk")
    assert (finding.severity, "no folder for SQLite's temporary files" in finding.message) == ("error", True)


# Clock and packages


def test_a_clock_that_was_set_back_is_reported(folder: Path) -> None:
    findings = {
        f.message.split(":")[0].split(" at ")[0]: f for f in list_findings(folder, probes(current_time=lambda: "2026-03-02T12:00:00+00:00"))
    }
    messages = "\n".join(findings)
    assert "the clock shows 2026-03-02T12" in messages or any("the clock was set back" in f.message for f in findings.values())
    assert any(f.message.startswith("a file has a modification time in the future") for f in findings.values())
    assert any(
        f.message.startswith("pages whose current sighting has a time in the future: 10 (") and "zone" in f.remedy
        for f in findings.values()
    )
    assert {f.severity for f in findings.values()} == {"error", "warning"}


def test_a_crawl_in_the_future_is_reported(tmp_path: Path) -> None:
    ArticleFile(crawled_at="2199-01-01 00:00:00").write(tmp_path / "crawl")
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    (finding,) = run_doctor(tmp_path)
    assert (finding["check"], finding["severity"]) == ("clock", "warning")
    assert "pages whose current sighting has a time in the future" in finding["message"]


def test_a_missing_accelerator_is_mentioned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("dedup.doctor.environment.version", fail)
    (finding,) = (f for f in list_findings(folder, probes()) if f.check == "packages")
    assert (finding.severity, "numba is not installed" in finding.message) == ("ok", True)


def test_an_old_sqlite_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 0))
    findings = list_findings(folder, probes())
    assert [f.severity for f in findings if f.check == "packages"] == ["error"]


def test_the_expected_modes_are_the_modes_of_new_files(folder: Path) -> None:
    """The permissions check compares with these modes."""
    assert {stat.S_IMODE(p.stat().st_mode) for p in folder.glob("dedup.db*")} == {0o600}


def test_files_beside_the_target_of_a_link_are_checked(folder: Path) -> None:
    """The files of a database are beside its real path."""
    (folder / "real").mkdir(mode=0o700)
    (folder / "dedup.db").rename(folder / "real" / "kept.db")
    (folder / "dedup.db").symlink_to(folder / "real" / "kept.db")
    for end in (".index", ".passages", ".search"):
        (folder / f"dedup.db{end}").rename(folder / "real" / f"kept.db{end}")
    assert run_doctor(folder) == []
    (folder / "real" / "kept.db-wal").write_bytes(bytes(100))
    (folder / "real" / "kept.db-wal").chmod(0o666)
    (finding,) = run_doctor(folder)
    assert f"{folder / 'real' / 'kept.db-wal'} (mode 666)" in finding["message"]


def test_a_backup_without_indexes_is_sound(folder: Path) -> None:
    """A backup has no indexes and no log, and needs neither."""
    assert run(folder, "backup", "copy.db").code == 0
    result = run(folder, "doctor", "--database", "copy.db", "--format", "json")
    assert result.code == 0
    assert {(f["check"], f["severity"]) for f in result.json()["findings"]} - {("disk", "warning")} == {("indexes", "ok")}
    assert sorted(p.name for p in folder.glob("copy.db*") if p.stat().st_size) == ["copy.db"]


@pytest.mark.parametrize(
    ("rights", "is_reported"), [(LeaseRights(os.geteuid() + 1, False), True), (LeaseRights(os.geteuid() + 1, True), False)]
)
def test_files_whose_writers_cannot_be_detected_are_reported_with_a_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rights: LeaseRights, is_reported: bool
) -> None:
    monkeypatch.setattr(leases, "read_rights", lambda *_: rights)
    findings = [f for f in list_findings(folder) if "cannot detect writers" in f.message]
    assert [(f.check, f.severity) for f in findings] == [("directories", "warning")] * is_reported
    assert all(f"files of user {os.geteuid()}" in f.message and "CAP_LEASE" in f.remedy for f in findings)
