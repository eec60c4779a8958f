"""The half of the work that is pure CPU: read, parse, verify, canonicalise, sign. No database; batches in, batches out."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import signal
import stat as modes
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import xxhash

from dedup import formats
from dedup.files import leases
from dedup.files.descriptors import is_exhausted
from dedup.files.leases import NO_LEASES, Probe
from dedup.files.nofollow import Beneath
from dedup.formats import ReadOptions
from dedup.heartbeat import beat, beating
from dedup.model import FAULTS, Article, Fault, Packed
from dedup.scan.isolation import each_apart, fault_of, is_of_file
from dedup.similarity import minhash, winnowing
from dedup.store.rows import Stat
from dedup.text import normalise
from dedup.text.urls import Canonicaliser, without_credentials

OPEN_SETTLES = 10
"""Times `unprobed_settle_seconds` that a file is left alone which was created and not closed, as far as events show. Events can be
lost: the file is read in the end."""

Outcome = Literal["article", "fault", "unsettled", "unproven", "barred", "vanished", "symlink", "special"]
"""`barred`: it lies in a folder that may not be entered, so that nothing is known of it. `unproven`: writers of the file cannot be
detected, it changed lately, and nothing shows that it is complete."""


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, the state that they were read in, whether somebody was writing it, and who the file belongs to (NO_LEASES:
    the file system has none)."""

    raw: bytes
    stat: Stat
    probe: Probe
    owner: int


Read = Content | Fault | Outcome
"""What came of reading a file."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the pure half needs to know of the configuration."""

    read: ReadOptions
    urls: Canonicaliser
    max_file_bytes: int
    min_characters: int
    num_perm: int
    passages: bool
    unprobed_settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Found(Packed):
    """A file as the directory shows it; `path` is the whole path, `folder` and `name` are relative to the crawl directory. `trusted`:
    its writer closed it, or it was watched for long enough; no further sign is needed that it is complete. `open`: it was created and
    not closed, as far as events show. `reread`: it is as recorded, and is read again because settings changed."""

    directory: int
    root: bytes
    folder: bytes
    name: bytes
    stat: Stat
    trusted: bool = False
    open: bool = False
    reread: bool = False

    @property
    def relative(self) -> bytes:
        return self.folder + b"/" + self.name if self.folder else self.name

    @property
    def path(self) -> bytes:
        return os.path.join(self.root, self.relative)


@dataclass(frozen=True, slots=True)
class Examined(Packed):
    """What became of one file. For an article: its page's canonical URL, the digest of its state (SHA-256 of title, 0xFF,
    body), of its normalised text (XXH3-128; None for a text without letters or numbers), its signature and its packed
    winnowed keys (None for one that is shorter than `min_characters`). `unprobed`: the owner of a file whose writers could not be
    detected when it was too young to be read without that."""

    found: Found
    outcome: Outcome
    content: bytes | None = None
    faults: tuple[Fault, ...] = ()
    article: Article | None = None
    url: str | None = None
    state: bytes = b""
    text: bytes | None = None
    characters: int = 0
    signature: bytes | None = None
    keys: bytes | None = None
    unprobed: int | None = None


def examine(found: Iterable[Found], options: Options) -> list[Examined]:
    """Each file read and worked out; order kept. Never raises for what a file is or holds: a file that the program fails on is a fault
    of the kind `internal`. Raises OSError where the process has no descriptors (EMFILE) or no memory (ENOMEM) left."""
    with Beneath() as beneath:
        read = [_read(f, options, beneath) for f in beating(found)]
    signed = iter(_signed([r for r in read if isinstance(r, _Read)], options))
    return [r if isinstance(r, Examined) else next(signed) for r in read]


def _signed(read: Sequence[_Read], options: Options) -> list[Examined]:
    """These articles signed; order kept."""

    def work(some: Sequence[_Read]) -> list[Examined]:
        signed = sign((r.article.body for r in some), options)
        return [
            Examined(
                r.found, "article", r.content, r.faults, r.article, r.url, state_digest(r.article.title, r.article.body),
                s.digest, s.characters, s.signature, keys,
            )
            for r, (s, keys) in zip(some, signed, strict=True)
        ]  # fmt: skip

    failed: dict[int, Examined] = {}

    def one(part: Sequence[int]) -> list[tuple[int, Examined]]:
        return list(zip(part, work([read[i] for i in part]), strict=True))

    def aside(i: int, error: Exception) -> None:
        failed[i] = Examined(read[i].found, "fault", read[i].content, (fault_of(error, "signing"),))

    done = {i: e for part in each_apart(range(len(read)), one, aside) for i, e in part} | failed
    return [done[i] for i in range(len(read))]


def as_fault(e: Examined, fault: Fault) -> Examined:
    """The file as one that could not be read as an article."""
    return Examined(e.found, "fault", e.content, (fault,))


def sign(bodies: Iterable[str], options: Options) -> list[tuple[minhash.Signed, bytes | None]]:
    """Each body normalised and signed, with its packed winnowed keys; order kept."""
    signed: list[tuple[minhash.Signed, bytes | None]] = []
    for folded in normalise.folded(bodies):
        beat()
        made = minhash.sign_folded(folded, options.num_perm, options.min_characters)
        beat()
        keys = winnowing.packed(folded, options.min_characters) if options.passages else [None] * len(made)
        signed += zip(made, keys, strict=True)
    return signed


def state_digest(title: str, body: str) -> bytes:
    """The key of a page's state: SHA-256 of title, the byte 0xFF (which UTF-8 never has), and body."""
    return hashlib.sha256(title.encode() + b"\xff" + body.encode()).digest()


class _Read(NamedTuple):
    """An article that is still to be signed."""

    found: Found
    content: bytes
    faults: tuple[Fault, ...]
    article: Article
    url: str


def _read(found: Found, options: Options, beneath: Beneath) -> Examined | _Read:
    content: bytes | None = None

    def keep(as_read: Found, digest: bytes) -> None:
        nonlocal found, content
        found, content = as_read, digest

    try:
        return _parsed(found, options, beneath, keep)
    except Exception as error:
        if not is_of_file(error):
            raise
        return Examined(found, "fault", content, (fault_of(error, "reading"),))


def _parsed(found: Found, options: Options, beneath: Beneath, keep: Callable[[Found, bytes], None]) -> Examined | _Read:
    """A file as an article; `keep` gets its state and the digest of its bytes once they are read."""
    read = read_beneath(beneath, found.root, found.folder, found.name, options.max_file_bytes)
    if isinstance(read, Fault):
        return Examined(found, "fault", faults=(read,))
    if isinstance(read, str):
        return Examined(found, read)
    found = Found(found.directory, found.root, found.folder, found.name, read.stat, found.trusted, found.open, found.reread)
    content = xxhash.xxh3_128_digest(read.raw)
    keep(found, content)
    reading = formats.read(found.name, read.raw, options.read)
    settle = 0.0 if read.probe == "free" or reading.complete else unproven_settle(found, options.unprobed_settle_seconds)
    if settle and unchanged_for(read.stat) < settle:
        return Examined(found, "unproven", unprobed=read.owner)
    article = reading.article
    if article is None:
        return Examined(found, "fault", content, reading.faults)
    url = options.urls.page(article.url, article.metadata.oid, article.metadata.aid)
    if url is None:
        return Examined(found, "fault", content, (*reading.faults, Fault("no_url", _no_url(article))))
    return _Read(found, content, reading.faults, article, url)


def _no_url(article: Article) -> str:
    if not article.url:
        return FAULTS["no_url"]
    return f"{without_credentials(article.url)[:120]!r} is no http or https address, and there is no oid and aid to make one of"


_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_file(path: bytes, max_bytes: int) -> Read:
    """A file that somebody named: its bytes and the state they were read in; or why not: a fault, or an outcome that is none.

    The file must be the same before and after reading, and nobody may have it open for writing (see `leases`; where that cannot be
    known, the `probe` of the content says so). A link at the path's end is not followed, and what is no file is never opened: a fifo's
    writer would take this for its reader.
    """
    return _content(path, lambda: None, max_bytes)


def read_beneath(beneath: Beneath, root: bytes, folder: bytes, name: bytes, max_bytes: int) -> Read:
    """The same for a file below a crawl directory. No link on the way to it is followed."""
    return _content(name, lambda: beneath.folder(root, folder), max_bytes)


def _content(path: bytes, folder: Callable[[], int | None], max_bytes: int) -> Read:
    try:
        within = folder()
        mode = os.stat(path, dir_fd=within, follow_symlinks=False).st_mode
    except PermissionError:
        return "barred"
    except OSError as error:
        return _refused(error)
    try:
        if not modes.S_ISREG(mode):
            return "symlink" if modes.S_ISLNK(mode) else "vanished" if modes.S_ISDIR(mode) else "special"
        fd = os.open(path, _READING, dir_fd=within)
    except OSError as error:
        return _refused(error)
    try:
        before = os.fstat(fd)
        if not modes.S_ISREG(before.st_mode):
            return "special"
        if before.st_size > max_bytes:
            return Fault("too_large", f"the file has {before.st_size} bytes, more than max_file_bytes = {max_bytes}")
        probe, refused = leases.probe(fd)
        if probe == "written":
            return "unsettled"
        raw = os.read(fd, before.st_size)
        stat = signature(before)
        if stat != signature(os.fstat(fd)) or len(raw) != before.st_size:
            return "unsettled"
        return Content(raw, stat, probe, before.st_uid if refused in (0, errno.EACCES, errno.EPERM) else NO_LEASES)
    except OSError as error:
        return unreadable_because(error)
    finally:
        os.close(fd)


def _refused(error: OSError) -> Fault | Outcome:
    """What it means that a file could not be opened."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "vanished"
    if error.errno == errno.ELOOP:
        return "symlink"
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return "special"
    if error.errno == errno.EAGAIN:
        return "unsettled"  # somebody has a write lease, who is asked by this to give it up
    return unreadable_because(error)


def unreadable_because(error: OSError) -> Fault:
    """The fault of a file or folder that the system does not let be read. Where it is this process that has no descriptor or memory
    left, the error is raised on: that is no fault of the file's, and can be tried again."""
    if is_exhausted(error):
        raise error
    return Fault("unreadable", f"{FAULTS['unreadable']}: {os.strerror(error.errno or 0)}")


def signature(stat: os.stat_result) -> Stat:
    """What tells one state of a file from another, in signed 64-bit numbers, which SQLite stores: an inode number beyond them is the
    negative number of the same bits; a time stamp before 1677-09-21 or after 2262-04-11 is the nearest that fits."""
    inode = stat.st_ino if stat.st_ino < 1 << 63 else stat.st_ino - (1 << 64)
    return Stat(stat.st_size, _clamped(stat.st_mtime_ns), inode, _clamped(stat.st_ctime_ns))


def _clamped(nanoseconds: int) -> int:
    return max(-(1 << 63), min(nanoseconds, (1 << 63) - 1))


def unchanged_for(stat: Stat) -> float:
    """Seconds since the file last changed, by its own time stamps; negative where they are in the future."""
    return (time.time_ns() - max(stat.mtime_ns, stat.ctime_ns)) / 1e9


def unproven_settle(found: Found, seconds: float) -> float:
    """Seconds for which a file must not have changed to be read though its writers cannot be detected and nothing in it shows that it is
    complete; `seconds` is `unprobed_settle_seconds`."""
    if found.trusted:
        return 0.0
    return seconds * OPEN_SETTLES if found.open else seconds


def ignore_lease_breaks() -> None:
    """A writer that opens a file in the instant a lease is probed sends SIGIO, which ends a process that does not expect it."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def collect_rarely() -> None:
    """Let Python's collector of cycles look less often: a batch is some 20,000 objects without any, and all of them go at its end."""
    gc.set_threshold(50_000, 20, 100)
