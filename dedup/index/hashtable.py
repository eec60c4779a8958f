"""A table of keys to texts in a file: a header, then slots, mapped into memory. The indexes beside the database are such tables.

Whatever happens to the file (cut short, scribbled over, left half written by a crash or a power cut) shows: the header
holds the sum over all slots, each weighted with its place, and nothing that is not checked against the database or the file
itself. What does not add up is thrown away, and made again from what the database stores: `open_table`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dedup.errors import TooManyTextsError
from dedup.files import secure
from dedup.files.descriptors import is_exhausted
from dedup.index import probing
from dedup.model import NO_COMMIT
from dedup.similarity import jit

Slots = NDArray[np.int64]

HEADER = 4096
"""Bytes before the first slot."""
TAIL = 4096
"""Slots beyond the last home."""
LEAST = 2048
MOST_FULL = 0.8
"""Share of the homes in use from which on the table grows; by `GROWTH`, so that it is never under two thirds."""
GROWTH = 1.2
MOST_TEXTS = (1 << 28) - 1
"""The greatest key of a text that a slot has room for."""
HASH_BITS = 35
_HASHES = np.uint64((1 << HASH_BITS) - 1)
_MAGIC = b"dedup/lsh/2\0\0\0\0\0"
_FIELDS = struct.Struct("<16s16s16s16sqqqQ")
_CHUNK = 1 << 20
_ROWS = 8192

_Row = TypeVar("_Row", bound=tuple[int, object])
_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class State:
    """What a table holds: every text of a database (`uuid`) up to key `last_text`, as of the commit `token`, by a `recipe`
    (XXH3-128 of its name). `used` slots of `homes` and a tail; `sum_` of slot × (2 × place + 1), mod 2^64."""

    uuid: bytes
    recipe: bytes
    token: bytes
    last_text: int
    used: int
    homes: int
    sum_: int


class Table:
    """An open-addressing table in a file; without one (a full disk) in memory."""

    def __init__(self, path: str, state: State, slots: Slots, mapped: mmap.mmap | None, *, made: bool = False) -> None:
        self.path, self.state, self._slots, self._mapped = path, state, slots, mapped
        self._scattering = np.frombuffer(hashlib.sha256(state.uuid + b"scattering").digest()[:24], "<u8") | np.uint64(1)
        self._made = made  # it lies in `path`.new until it says what it holds
        self._noted = b"" if made or mapped is None else mapped[: _FIELDS.size]

    @classmethod
    def empty(cls, path: str, uuid: bytes, recipe: bytes) -> Table:
        """A new table in place of whatever is at `path`."""
        return cls._make(path, State(uuid, recipe, NO_COMMIT, 0, 0, LEAST, 0))

    @classmethod
    def load(cls, path: str) -> Table | None:
        """The table in a file; None where there is none, or it is damaged."""
        return cls._mapping(path, os.O_RDWR, mmap.ACCESS_WRITE)[0]

    @classmethod
    def view(cls, path: str) -> tuple[Table | None, str]:
        """The table in a file, for looking at: nothing reaches the file. Where there is none, or it is damaged: None, and why."""
        return cls._mapping(path, os.O_RDONLY, mmap.ACCESS_COPY)

    @classmethod
    def _mapping(cls, path: str, flags: int, access: int) -> tuple[Table | None, str]:
        try:
            fd = secure.open_own(path, flags)
        except FileNotFoundError:
            return None, "missing"
        except OSError as error:
            if is_exhausted(error):
                raise  # it may be sound: it is not made again for that
            return None, f"not to be read ({error.strerror})"
        try:
            state = _read_header(os.pread(fd, HEADER, 0))
            if state is None:
                return None, "damaged: its header is none"
            if (size := os.fstat(fd).st_size) != _size(state.homes):
                return None, f"damaged: it has {size:,} bytes where its header tells of {_size(state.homes):,}"
            mapped = mmap.mmap(fd, _size(state.homes), access=access)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and is_exhausted(error):
                raise
            return None, f"not to be read ({error})"
        finally:
            os.close(fd)
        slots: Slots = np.frombuffer(mapped, np.dtype("<i8"), offset=HEADER)
        if _sum(slots) != (state.sum_, state.used):
            return None, "damaged: its content does not add up to what its header says"
        return cls(path, state, slots, mapped), ""

    @classmethod
    def _make(cls, path: str, state: State) -> Table:
        size = _size(state.homes)
        new = path + ".new"
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)  # never cut short: it may be mapped still
            fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, size)  # a page that finds no room once it is mapped would end the process
                mapped = mmap.mmap(fd, size)
            finally:
                os.close(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(new)
            _log.warning("an index cannot be kept in %s (%s): it is kept in memory, and made again next time", path, error.strerror)
            return cls(path, state, np.zeros(state.homes + TAIL, np.int64), None)
        return cls(path, state, np.frombuffer(mapped, np.dtype("<i8"), offset=HEADER), mapped, made=True)

    @property
    def size(self) -> int:
        """Bytes of the file, or of memory."""
        return _size(self.state.homes)

    def is_intact(self) -> bool:
        """Whether the file is as long as it was, and its header is the one that was last written. To read beyond the end of a file that
        was cut short would end the process (SIGBUS): ask before each use. A few microseconds."""
        if self._mapped is None:
            return True
        if self._mapped.size() < self.size:
            return False
        return not self._noted or self._mapped[: _FIELDS.size] == self._noted

    def settle(self, token: bytes, last_text: int) -> None:
        """Note what is held now. Only then does the file count."""
        self.state = replace(self.state, token=token, last_text=last_text)
        if self._mapped is None:
            return
        self._mapped[:HEADER] = header = _header(self.state)
        self._noted = header[: _FIELDS.size]
        if self._made:
            self._made = False
            try:
                os.replace(self.path + ".new", self.path)
            except OSError as error:
                _log.warning("an index cannot be kept in %s (%s): it is made again next time", self.path, error.strerror)

    def parts(self) -> tuple[Slots, mmap.mmap | None]:
        """The slots, and the mapping they lie in."""
        return self._slots, self._mapped

    def slots(self) -> Slots | memoryview:
        """For the loops of `probing`: an array for compiled ones, a view of plain numbers otherwise."""
        return plain(self._slots)

    def scattered(self, hashes: Slots) -> Slots:
        """Hashes (`HASH_BITS` bits) as they are entered and looked up: permuted in a way that only this database knows. Hashes are
        made of what others wrote; as they are, a text could be put together that has thousands of them side by side, and the
        table would grow without end to keep them apart."""
        h = hashes.astype(np.uint64)
        for key in self._scattering:
            h = (h * key) & _HASHES
            h ^= h >> np.uint64(17)
        return h.astype(np.int64)

    def add(self, hashes: Slots, texts: Slots, bands: int, cap: int) -> None:
        """Enter texts under their hashes (n × bands, flat, `HASH_BITS` bits each); see `probing.add`."""
        while self.state.used + len(hashes) > MOST_FULL * self.state.homes:
            self._grow()
        add = jit.of(probing.add)
        made, sum_ = add(self.slots(), self.state.homes, plain(hashes), plain(texts), bands, cap)
        while made < 0:
            self._grow()
            made, sum_ = add(self.slots(), self.state.homes, plain(hashes), plain(texts), bands, cap)
        self.state = replace(self.state, used=self.state.used + made, sum_=(self.state.sum_ + sum_) % (1 << 64))

    def lacking(self, hashes: Slots, texts: Slots, bands: int, cap: int) -> tuple[int, int]:
        """(entries that these texts have, entries that they lack), under their hashes as `add` takes them: what is not there
        though fewer than `cap` are."""
        numbers = np.zeros(len(hashes), np.int64)
        gather = jit.of(probing.gather)
        room = 4 * len(hashes) + 1024
        while True:
            found = np.zeros(room, np.int64)
            all_ = gather(self.slots(), self.state.homes, plain(hashes), cap, plain(numbers), plain(found))
            if all_ >= 0:
                break
            room *= 4
        own = np.repeat(texts, bands)
        under = np.repeat(np.arange(len(hashes)), numbers)
        there = np.zeros(len(hashes), np.bool_)
        there[under[found[:all_] == own[under]]] = True
        entries = np.unique((hashes[there] << 28) | own[there])  # two bands of a text may have one hash
        return len(entries), int(np.count_nonzero(~there & (numbers < cap)))

    def _grow(self) -> None:
        homes = int(self.state.homes * GROWTH)
        while True:
            larger = Table._make(self.path, replace(self.state, homes=homes))
            used, sum_ = jit.of(probing.move)(self.slots(), larger.slots(), homes)
            if used >= 0:
                break
            homes = int(homes * GROWTH)
        self.state = replace(larger.state, used=used, sum_=sum_ % (1 << 64))
        self._slots, self._mapped = larger.parts()  # the old mapping goes with its last view
        self._made = self._mapped is not None


def open_table(
    path: str, what: str, uuid: bytes, recipe: bytes,
    token: bytes, last_text_of: Callable[[bytes], int | None],
    rows: Callable[[int], Iterable[_Row]], add: Callable[[Table, Sequence[_Row]], None], progress: Callable[[int], None],
) -> Table:  # fmt: skip
    """The table of a database as of its commit `token`, loaded, caught up or made anew; `what` is its name for people.

    `last_text_of` gives the last text that a commit brought, None for a commit that the database does not know; `rows` what
    is stored of the texts beyond one, in order of their keys, each (text, …); `add` enters such rows. `progress` hears of
    texts taken in.
    """
    table = Table.load(path)
    why = "missing or damaged" if table is None else misfit(table.state, uuid, recipe, last_text_of)
    if table is None or why:
        table = Table.empty(path, uuid, recipe)
    if why or table.state.token != token:
        if why and last_text_of(token):
            _log.info("%s is %s: making it again from what the database stores", what, why)
        begun = time.monotonic()
        number = _catch_up(table, rows(table.state.last_text), add, progress)
        table.settle(token, table.state.last_text)
        if why and number:
            _log.info("%s was made again from %d texts in %.1f s", what, number, time.monotonic() - begun)
        elif number:
            _log.info("%s was behind: %d texts added", what, number)
    return table


def state_of(path: str) -> State | None:
    """What a file says that it holds, unchecked; None where it is not there, or has no such header."""
    try:
        with open(secure.open_own(path, os.O_RDONLY), "rb") as file:
            return _read_header(file.read(HEADER))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None


def misfit(state: State, uuid: bytes, recipe: bytes, last_text_of: Callable[[bytes], int | None]) -> str:
    """Why a table is not one of this database, of this recipe and of one of the commits that it knows; "" where it is."""
    if state.uuid != uuid:
        return "another database's"
    if state.recipe != recipe:
        return "of other settings"
    return "" if last_text_of(state.token) == state.last_text else "not of this state of the database"


def _catch_up(table: Table, rows: Iterable[_Row], add: Callable[[Table, Sequence[_Row]], None], progress: Callable[[int], None]) -> int:
    rest = iter(rows)
    number = 0
    while chunk := list(islice(rest, _ROWS)):
        jit.worth(len(chunk))
        add(table, chunk)
        table.settle(NO_COMMIT, chunk[-1][0])
        number += len(chunk)
        progress(len(chunk))
    return number


def numbered(texts: Sequence[int]) -> Slots:
    """Keys of texts for the slots; raises TooManyTextsError for one that has no room there."""
    if texts and max(texts) > MOST_TEXTS:
        raise TooManyTextsError(most=f"{MOST_TEXTS:,}")
    return np.array(texts, np.int64)


def plain(numbers: Slots) -> Slots | memoryview:
    """An array as the loops take it: as it is when they are compiled, else as a view whose elements are Python's own."""
    return numbers if jit.engaged() else memoryview(numbers.data).cast("B").cast("q")


def _size(homes: int) -> int:
    return HEADER + 8 * (homes + TAIL)


def _header(state: State) -> bytes:
    s = state
    fields = _FIELDS.pack(_MAGIC, s.uuid, s.recipe, s.token, s.last_text, s.used, s.homes, s.sum_)
    return fields.ljust(HEADER, b"\0")


def _read_header(raw: bytes) -> State | None:
    if len(raw) < HEADER:
        return None
    magic, *values = _FIELDS.unpack(raw[: _FIELDS.size])
    return State(*values) if magic == _MAGIC else None


def _sum(slots: Slots) -> tuple[int, int]:
    """(sum of slot × (2 × place + 1) mod 2^64, slots in use)."""
    total = used = 0
    for begin in range(0, len(slots), _CHUNK):
        chunk = slots[begin : begin + _CHUNK]
        weights = np.arange(2 * begin + 1, 2 * (begin + len(chunk)) + 1, 2, dtype=np.int64)
        total += int(np.dot(chunk, weights))
        used += int(np.count_nonzero(chunk))
    return total % (1 << 64), used
