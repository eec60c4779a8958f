"""Whether a write-ahead log belongs to the database that it lies beside.

SQLite copies any log with sound frames into the file of its name. One that a killed process left, beside a backup that was
copied over the database since, would be copied over pages that it does not fit, and the backup would be lost too. So every
transaction of the program counts in the header of the database (`PRAGMA user_version`, which begins at a random number), and the
first count of the log must go on from that of the file. A backup bears a mark in the count's place (`BACKUP_COUNT`) until a writer opens
it: no log is its own. https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import os
import struct

from dedup.files.descriptors import is_exhausted
from dedup.store.descriptors import shared_descriptor

BACKUP_COUNT = 0x6465_6475
"""The count of a backup: beyond any that a database begins with."""
COUNT_OFFSET = 60
"""Byte of the database's header where `user_version` lies."""
_LOG_HEADER = struct.Struct(">IIIIIIII")
_FRAME_HEADER = struct.Struct(">IIII")
_FRAME_BYTES = 24


def read_commit_count(path: str) -> int:
    """The count in the header of a database file, without its log; 0 where there is none, or nothing was counted yet."""
    raw = os.pread(shared_descriptor(path), 4, COUNT_OFFSET)
    return int.from_bytes(raw, "big") if len(raw) == 4 else 0


def is_foreign(path: str, *, has_writer: bool) -> bool:
    """Whether the log beside a database holds frames that SQLite would copy into it and that do not go on from it.

    `has_writer`: somebody writes now. The file may then be beyond what was read of the log a moment before.
    """
    try:
        with open(path + "-wal", "rb") as log:
            span = _commit_count_range(log.fileno(), to_end=not has_writer)
        if span is None:
            return False
        count = read_commit_count(path)  # after the log: what it goes on from was in the file before its first frame was
    except OSError as error:
        if is_exhausted(error):
            raise  # SQLite would copy a foreign log into the database
        return False
    if count == BACKUP_COUNT:
        return True
    first, last = span
    return count != 0 and (_distance(first, count) > 1 or (not has_writer and _distance(count, last) > 0))


def _commit_count_range(fd: int, *, to_end: bool) -> tuple[int, int] | None:
    """The first and the last count in the committed frames of a log (the first alone unless `to_end`); None where there is none."""
    header = os.pread(fd, _LOG_HEADER.size, 0)
    if len(header) < _LOG_HEADER.size or not _is_valid_header(header):
        return None
    _, _, page_bytes, _, *salts, _, _ = _LOG_HEADER.unpack(header)
    first = last = pending = None
    offset = _LOG_HEADER.size
    while len(raw := os.pread(fd, _FRAME_HEADER.size, offset)) == _FRAME_HEADER.size:
        page_number, commit, *frame_salts = _FRAME_HEADER.unpack(raw)
        if frame_salts != salts:
            break  # left from before the log began anew
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
    """Whether SQLite takes this for the beginning of a log: the magic number, and the sum of the rest."""
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
    """By how much one count is beyond another; they begin anew after 2^32."""
    return (count - other_count + (1 << 31)) % (1 << 32) - (1 << 31)
