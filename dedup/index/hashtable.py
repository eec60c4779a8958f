"""A memory-mapped hash table in a file, from hashes to text ids. The indexes next to the database are such tables.

A file is a header followed by slots. Damage of any kind (truncated, overwritten, half written at a crash or a power cut) is detected:
the header holds a position-weighted sum of all slots, and no data is used that is not checked against the file or the database. A
damaged table is discarded and rebuilt from the database, see `open_table`.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from more_itertools import chunked
from numpy.typing import NDArray

from dedup.errors import TooManyTextsError
from dedup.files import secure
from dedup.files.atomic import PartFile
from dedup.files.descriptors import is_exhausted
from dedup.index import probing
from dedup.model import NO_COMMIT
from dedup.similarity import jit

Int64Array = NDArray[np.int64]

HEADER_BYTES = 4096
"""Bytes before the first slot."""
TAIL_SLOTS = 4096
"""Slots after the last home."""
MIN_HOMES = 2048
MAX_LOAD = 0.8
"""Used slots per home from which the table grows. It grows by `GROWTH_FACTOR`, so the load stays above two thirds."""
GROWTH_FACTOR = 1.2
MAX_TEXT_ID = (1 << 28) - 1
"""The largest text id that fits into a slot."""
HASH_BITS = 35
_HASH_MASK = np.uint64((1 << HASH_BITS) - 1)
_MAGIC = b"dedup/lsh/2\0\0\0\0\0"
_HEADER_FIELDS = struct.Struct("<16s16s16s16sqqqQ")
_SLOTS_PER_CHUNK = 1 << 20
_ROWS_PER_CHUNK = 8192

_Row = TypeVar("_Row", bound=tuple[int, object])
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class TableState:
    """The content of a table: every text of the database `uuid` up to id `last_text`, as of the commit `token`.

    `recipe`: XXH3-128 of the name of how hashes are computed. `used_slots`: slots in use, of `homes` and a tail. `checksum`: the
    sum of slot × (2 × position + 1), mod 2^64.
    """

    uuid: bytes
    recipe: bytes
    token: bytes
    last_text: int
    used_slots: int
    homes: int
    checksum: int


class HashTable:
    """An open-addressing hash table in a file; in memory if the file cannot be written (full disk)."""

    def __init__(self, path: str, state: TableState, slots: Int64Array, mapping: mmap.mmap | None, part: PartFile | None = None) -> None:
        self.path, self.state, self._slots, self._mapping = path, state, slots, mapping
        self._multipliers = np.frombuffer(hashlib.sha256(state.uuid + b"scattering").digest()[:24], "<u8") | np.uint64(1)
        self._part = part  # the file of a new table until the first commit
        self._committed_header = b"" if part or mapping is None else mapping[: _HEADER_FIELDS.size]

    @classmethod
    def create(cls, path: str, uuid: bytes, recipe: bytes) -> HashTable:
        """Create an empty table that replaces whatever is at `path`."""
        return cls._allocate(path, TableState(uuid, recipe, NO_COMMIT, 0, 0, MIN_HOMES, 0))

    @classmethod
    def load(cls, path: str) -> HashTable | None:
        """Return the table in a file; None if the file is missing or damaged. Raises OSError if no descriptor or memory is free."""
        return cls._map_file(path, os.O_RDWR, mmap.ACCESS_WRITE)[0]

    @classmethod
    def load_read_only(cls, path: str) -> tuple[HashTable | None, str]:
        """Return (the table in a file, ""), or (None, the reason) if the file is missing or damaged. Changes of the table never reach
        the file."""
        return cls._map_file(path, os.O_RDONLY, mmap.ACCESS_COPY)

    @classmethod
    def _map_file(cls, path: str, flags: int, access: int) -> tuple[HashTable | None, str]:
        try:
            fd = secure.open_private(path, flags)
        except FileNotFoundError:
            return None, "missing"
        except OSError as error:
            if is_exhausted(error):
                raise  # the file may be intact: do not rebuild it
            return None, f"unreadable ({error.strerror})"
        try:
            state = _read_header(os.pread(fd, HEADER_BYTES, 0))
            if state is None:
                return None, "damaged: the header is not valid"
            if (size := os.fstat(fd).st_size) != _file_size(state.homes):
                return None, f"damaged: it has {size:,} bytes, but its header requires {_file_size(state.homes):,}"
            mapping = mmap.mmap(fd, _file_size(state.homes), access=access)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_exhausted(error):
                raise
            return None, f"unreadable ({error})"
        finally:
            os.close(fd)
        slots: Int64Array = np.frombuffer(mapping, np.dtype("<i8"), offset=HEADER_BYTES)
        if _compute_checksum(slots) != (state.checksum, state.used_slots):
            return None, "damaged: the content does not match the checksum in the header"
        return cls(path, state, slots, mapping), ""

    @classmethod
    def _allocate(cls, path: str, state: TableState) -> HashTable:
        size = _file_size(state.homes)
        part: PartFile | None = None
        try:
            part = PartFile.create(os.path.realpath(os.path.dirname(path)))
            os.posix_fallocate(part.fd, 0, size)  # a mapped page without disk space would end the process (SIGBUS)
            mapping = mmap.mmap(part.fd, size)
        except OSError as error:
            if part is not None:
                part.discard()
            _log.warning("cannot write an index to %s (%s): it is kept in memory and rebuilt next time", path, error.strerror)
            return cls(path, state, np.zeros(state.homes + TAIL_SLOTS, np.int64), None)
        return cls(path, state, np.frombuffer(mapping, np.dtype("<i8"), offset=HEADER_BYTES), mapping, part)

    @property
    def size_bytes(self) -> int:
        """Bytes of the file, or of memory."""
        return _file_size(self.state.homes)

    def is_intact(self) -> bool:
        """Return whether the file still has its length and the header that was last written.

        Call it before each use: reading beyond the end of a truncated file would end the process (SIGBUS). It takes a few
        microseconds.
        """
        if self._mapping is None:
            return True
        if self._mapping.size() < self.size_bytes:
            return False
        return not self._committed_header or self._mapping[: _HEADER_FIELDS.size] == self._committed_header

    def commit(self, token: bytes, last_text: int) -> None:
        """Record that the table holds all texts up to `last_text` as of the commit `token`. Before that, a new file is not used."""
        self.state = replace(self.state, token=token, last_text=last_text)
        if self._mapping is None:
            return
        self._mapping[:HEADER_BYTES] = header = _pack_header(self.state)
        self._committed_header = header[: _HEADER_FIELDS.size]
        if self._part is not None:
            part, self._part = self._part, None
            try:
                part.move_to(self.path, durable=False)  # it can be rebuilt from the database
            except OSError as error:
                _log.warning("cannot write an index to %s (%s): it is rebuilt next time", self.path, error.strerror)
            part.discard()

    def release_part(self) -> PartFile | None:
        """Hand the file of a new table over to another object."""
        part, self._part = self._part, None
        return part

    def slots_and_mapping(self) -> tuple[Int64Array, mmap.mmap | None]:
        """Return the slots and the mapping that contains them; None as the mapping for a table in memory."""
        return self._slots, self._mapping

    def kernel_slots(self) -> Int64Array | memoryview:
        """Return the slots in the form that the loops of `probing` take, see `to_kernel_array`."""
        return to_kernel_array(self._slots)

    def permute_hashes(self, hashes: Int64Array) -> Int64Array:
        """Permute hashes (`HASH_BITS` bits) in a way that is secret to this database. Only permuted hashes are entered and looked
        up.

        Hashes come from crawled content. Without the permutation, a text could be crafted with thousands of adjacent hashes,
        and the table would grow without end to separate them.
        """
        h = hashes.astype(np.uint64)
        for multiplier in self._multipliers:
            h = (h * multiplier) & _HASH_MASK
            h ^= h >> np.uint64(17)
        return h.astype(np.int64)

    def insert(self, hashes: Int64Array, text_ids: Int64Array, hashes_per_text: int, max_bucket: int) -> None:
        """Enter texts under their hashes, growing the table if needed. `hashes`: permuted, `hashes_per_text` for each text, flat. See
        `probing.insert`."""
        while self.state.used_slots + len(hashes) > MAX_LOAD * self.state.homes:
            self._grow()
        insert = jit.compiled(probing.insert)
        added, checksum = insert(
            self.kernel_slots(), self.state.homes, to_kernel_array(hashes), to_kernel_array(text_ids), hashes_per_text, max_bucket
        )
        while added < 0:
            self._grow()
            added, checksum = insert(
                self.kernel_slots(), self.state.homes, to_kernel_array(hashes), to_kernel_array(text_ids), hashes_per_text, max_bucket
            )
        self.state = replace(self.state, used_slots=self.state.used_slots + added, checksum=(self.state.checksum + checksum) % (1 << 64))

    def count_missing(self, hashes: Int64Array, text_ids: Int64Array, hashes_per_text: int, max_bucket: int) -> tuple[int, int]:
        """Return (entries of these texts, entries that they lack). Takes hashes as `insert` does. An entry is missing if it is
        absent although its bucket holds fewer than `max_bucket`."""
        bucket_sizes = np.zeros(len(hashes), np.int64)
        gather = jit.compiled(probing.gather)
        capacity = 4 * len(hashes) + 1024
        while True:
            bucket_texts = np.zeros(capacity, np.int64)
            count = gather(
                self.kernel_slots(),
                self.state.homes,
                to_kernel_array(hashes),
                max_bucket,
                to_kernel_array(bucket_sizes),
                to_kernel_array(bucket_texts),
            )
            if count >= 0:
                break
            capacity *= 4
        own_text_ids = np.repeat(text_ids, hashes_per_text)
        hash_indexes = np.repeat(np.arange(len(hashes)), bucket_sizes)
        is_present = np.zeros(len(hashes), np.bool_)
        is_present[hash_indexes[bucket_texts[:count] == own_text_ids[hash_indexes]]] = True
        entries = np.unique((hashes[is_present] << 28) | own_text_ids[is_present])  # two bands of a text may have the same hash
        return len(entries), int(np.count_nonzero(~is_present & (bucket_sizes < max_bucket)))

    def _grow(self) -> None:
        homes = int(self.state.homes * GROWTH_FACTOR)
        while True:
            larger = HashTable._allocate(self.path, replace(self.state, homes=homes))
            used_slots, checksum = jit.compiled(probing.rehash)(self.kernel_slots(), larger.kernel_slots(), homes)
            if used_slots >= 0:
                break
            homes = int(homes * GROWTH_FACTOR)
        self.state = replace(larger.state, used_slots=used_slots, checksum=checksum % (1 << 64))
        self._slots, self._mapping = larger.slots_and_mapping()  # the old mapping is freed with its last view
        if self._part is not None:
            self._part.discard()
        self._part = larger.release_part()


def open_table(
    path: str, label: str, uuid: bytes, recipe: bytes,
    token: bytes, last_text_of: Callable[[bytes], int | None],
    rows: Callable[[int], Iterable[_Row]], add: Callable[[HashTable, Sequence[_Row]], None], progress: Callable[[int], None],
) -> HashTable:  # fmt: skip
    """Return the table of a database as of its commit `token`: loaded, brought up to date, or rebuilt.

    `label`: name of the table in log lines. `last_text_of`: commit token → the last text of that commit; None for an unknown
    commit. `rows`: text id → the stored rows (text id, …) after that text, in order of id. `add`: enters such rows. `progress`:
    receives the number of texts added.
    """
    table = HashTable.load(path)
    reason = "missing or damaged" if table is None else find_mismatch(table.state, uuid, recipe, last_text_of)
    if table is None or reason:
        table = HashTable.create(path, uuid, recipe)
    if reason or table.state.token != token:
        if reason and last_text_of(token):
            _log.info("%s is %s: rebuilding it from the database", label, reason)
        started = time.monotonic()
        added = _catch_up(table, rows(table.state.last_text), add, progress)
        table.commit(token, table.state.last_text)
        if reason and added:
            _log.info("%s was rebuilt from %d texts in %.1f s", label, added, time.monotonic() - started)
        elif added:
            _log.info("%s was behind: %d texts added", label, added)
    return table


def read_state(path: str) -> TableState | None:
    """Return the state in a file's header, without any check; None if there is no file or no valid header."""
    try:
        with open(secure.open_private(path, os.O_RDONLY), "rb") as file:
            return _read_header(file.read(HEADER_BYTES))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None


def find_mismatch(state: TableState, uuid: bytes, recipe: bytes, last_text_of: Callable[[bytes], int | None]) -> str:
    """Return why a table is unusable for this database, as the end of a sentence "it is …"; "" if it is usable.

    It must be of this database (`uuid`) and `recipe`, and its state must be one of the commits that `last_text_of` knows, see
    `open_table`.
    """
    if state.uuid != uuid:
        return "that of another database"
    if state.recipe != recipe:
        return "built with other settings"
    return "" if last_text_of(state.token) == state.last_text else "that of another state of the database"


def _catch_up(
    table: HashTable, rows: Iterable[_Row], add: Callable[[HashTable, Sequence[_Row]], None], progress: Callable[[int], None]
) -> int:
    added = 0
    for chunk in chunked(rows, _ROWS_PER_CHUNK):
        jit.count_work(len(chunk))
        add(table, chunk)
        table.commit(NO_COMMIT, chunk[-1][0])
        added += len(chunk)
        progress(len(chunk))
    return added


def to_text_id_array(text_ids: Sequence[int]) -> Int64Array:
    """Return text ids as an array for the slots. Raises TooManyTextsError for an id above `MAX_TEXT_ID`."""
    if text_ids and max(text_ids) > MAX_TEXT_ID:
        raise TooManyTextsError(limit=f"{MAX_TEXT_ID:,}")
    return np.array(text_ids, np.int64)


def to_kernel_array(array: Int64Array) -> Int64Array | memoryview:
    """Return an array in the form that the loops take: itself if they are compiled, else a view whose elements are Python integers."""
    return array if jit.is_enabled() else memoryview(array.data).cast("B").cast("q")


def _file_size(homes: int) -> int:
    return HEADER_BYTES + 8 * (homes + TAIL_SLOTS)


def _pack_header(state: TableState) -> bytes:
    s = state
    fields = _HEADER_FIELDS.pack(_MAGIC, s.uuid, s.recipe, s.token, s.last_text, s.used_slots, s.homes, s.checksum)
    return fields.ljust(HEADER_BYTES, b"\0")


def _read_header(raw: bytes) -> TableState | None:
    if len(raw) < HEADER_BYTES:
        return None
    magic, *values = _HEADER_FIELDS.unpack(raw[: _HEADER_FIELDS.size])
    return TableState(*values) if magic == _MAGIC else None


def _compute_checksum(slots: Int64Array) -> tuple[int, int]:
    """(sum of slot × (2 × position + 1) mod 2^64, slots in use)."""
    total = used_slots = 0
    for begin in range(0, len(slots), _SLOTS_PER_CHUNK):
        chunk = slots[begin : begin + _SLOTS_PER_CHUNK]
        weights = np.arange(2 * begin + 1, 2 * (begin + len(chunk)) + 1, 2, dtype=np.int64)
        total += int(np.dot(chunk, weights))
        used_slots += int(np.count_nonzero(chunk))
    return total % (1 << 64), used_slots
