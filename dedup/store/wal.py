"""Detect a write-ahead log that does not belong to the database next to it.

SQLite copies every log with valid frames into the database file of its name. If a killed process leaves a log and a backup is then
copied over the database, SQLite copies the log over pages that it does not fit, and the backup is lost too. Therefore every
transaction increments a counter in the database header (`PRAGMA user_version`, which starts at a random number), and the first count
in the log must continue that of the file. A backup has the mark `BACKUP_COUNT` instead of a count until a writer opens it, because
no log belongs to it. https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import os
import struct

from dedup.files.descriptors import is_exhausted
from dedup.store.descriptors import shared_descriptor

BACKUP_COUNT = 0x6465_6475
"""Mark of a backup in place of the count. It is greater than every initial count."""
COUNT_OFFSET = 60
"""Byte offset of `user_version` in the database header."""
_LOG_HEADER = struct.Struct(">IIIIIIII")
_FRAME_HEADER = struct.Struct(">IIII")
_FRAME_BYTES = 24


def read_commit_count(path: str) -> int:
    """The count in the header of a database file, without its log. 0 if the file has no header or nothing was counted yet."""
    raw = os.pread(shared_descriptor(path), 4, COUNT_OFFSET)
    return int.from_bytes(raw, "big") if len(raw) == 4 else 0


def is_foreign(path: str, *, has_writer: bool) -> bool:
    """Return whether the log next to a database has frames that SQLite would copy into it and that do not continue it.

    `has_writer`: a process has the database open for writing. The file may then be newer than the part of the log that was read.
    Raises OSError if this process has no file descriptors left.
    """
    try:
        with open(path + "-wal", "rb") as log:
            log_counts = _commit_count_range(log.fileno(), to_end=not has_writer)
        if log_counts is None:
            return False
        count = read_commit_count(path)  # after the log: the file had the count that the log continues before the log's first frame
    except OSError as error:
        if is_exhausted(error):
            raise  # with a False here SQLite would copy a foreign log into the database
        return False
    if count == BACKUP_COUNT:
        return True
    first, last = log_counts
    return count != 0 and (_distance(first, count) > 1 or (not has_writer and _distance(count, last) > 0))


def _commit_count_range(fd: int, *, to_end: bool) -> tuple[int, int] | None:
    """(first, last) count in the committed frames of a log, or None if it has none. Without `to_end` only the first commit is read."""
    header = os.pread(fd, _LOG_HEADER.size, 0)
    if len(header) < _LOG_HEADER.size or not _is_valid_header(header):
        return None
    _, _, page_bytes, _, *salts, _, _ = _LOG_HEADER.unpack(header)
    first = last = pending = None
    offset = _LOG_HEADER.size
    while len(raw := os.pread(fd, _FRAME_HEADER.size, offset)) == _FRAME_HEADER.size:
        page_number, commit, *frame_salts = _FRAME_HEADER.unpack(raw)
        if frame_salts != salts:
            break  # left over from before the log was reset
        if page_number == 1:
            pending = int.from_bytes(os.pread(fd, 4, offset + _FRAME_BYTES + COUNT_OFFSET), "big")
            first = pending if first is None else first
        if commit and pending is not None:
            last = pending
            if not to_end:
                break
        offset += _FRAME_BYTES + page_bytes
    return None if first is None or last is None else (first, last)


def _is_valid_header(header: bytes) -> bool:
    """Return whether SQLite accepts this as the header of a log: its magic number and its checksum are right."""
    magic = int.from_bytes(header[:4], "big")
    if magic & ~1 != 0x377F0682:
        return False
    words = struct.unpack((">" if magic & 1 else "<") + "6I", header[:24])
    a = b = 0
    for x, y in zip(words[::2], words[1::2], strict=True):
        a = (a + x + b) & 0xFFFFFFFF
        b = (b + y + a) & 0xFFFFFFFF
    return (a, b) == struct.unpack(">II", header[24:])


def _distance(count: int, other_count: int) -> int:
    """`count - other_count` for counts that wrap around at 2^32."""
    return (count - other_count + (1 << 31)) % (1 << 32) - (1 << 31)
