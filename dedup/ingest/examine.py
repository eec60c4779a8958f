"""The half of the work that is pure CPU: read, parse, verify, canonicalise, sign. No database; batches in, batches out."""

from __future__ import annotations

import errno
import fcntl
import gc
import hashlib
import os
import signal
import stat as modes
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import xxhash

from dedup import formats, minhash, text, winnowing
from dedup.formats import ReadOptions
from dedup.heartbeat import beat, beating
from dedup.ingest.beneath import Beneath
from dedup.model import FAULTS, Article, Fault, Packed
from dedup.store.rows import Stat
from dedup.urls import Canonicaliser, without_credentials

Outcome = Literal["article", "fault", "unsettled", "barred", "vanished", "symlink", "special"]
"""`barred`: it lies in a folder that may not be entered, so that nothing is known of it."""
Read = tuple[bytes, Stat] | Fault | Outcome
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


@dataclass(frozen=True, slots=True)
class Found(Packed):
    """A file as the directory shows it; `path` is the whole path, `folder` and `name` are relative to the crawl directory."""

    directory: int
    root: bytes
    folder: bytes
    name: bytes
    stat: Stat

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
    winnowed keys (None for one that is shorter than `min_characters`)."""

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


def examine(found: Iterable[Found], options: Options) -> list[Examined]:
    """Each file read and worked out; order kept. Never raises for what a file is or holds."""
    with Beneath() as beneath:
        read = [_read(f, options, beneath) for f in beating(found)]
    signed = iter(sign((r.article.body for r in read if isinstance(r, _Read)), options))
    examined = []
    for r in read:
        if isinstance(r, Examined):
            examined.append(r)
            continue
        (s, keys), state = next(signed), state_digest(r.article.title, r.article.body)
        examined.append(
            Examined(r.found, "article", r.content, r.faults, r.article, r.url, state, s.digest, s.characters, s.signature, keys)
        )
    return examined


def sign(bodies: Iterable[str], options: Options) -> list[tuple[minhash.Signed, bytes | None]]:
    """Each body normalised and signed, with its packed winnowed keys; order kept."""
    signed: list[tuple[minhash.Signed, bytes | None]] = []
    for folded in text.folded(bodies):
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
    read = read_beneath(beneath, found.root, found.folder, found.name, options.max_file_bytes)
    if isinstance(read, Fault):
        return Examined(found, "fault", faults=(read,))
    if isinstance(read, str):
        return Examined(found, read)
    raw, stat = read
    found = Found(found.directory, found.root, found.folder, found.name, stat)
    content = xxhash.xxh3_128_digest(raw)
    reading = formats.read(found.name, raw, options.read)
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

    The file must be the same before and after reading, and nobody may have it open for writing: a read lease is asked for
    and let go at once (fcntl(2), F_SETLEASE; a lease that may not be had says nothing). A link at the path's end is not followed, and
    what is no file is never opened: a fifo's writer would take this for its reader.
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
        if _being_written(fd):
            return "unsettled"
        raw = os.read(fd, before.st_size)
        stat = signature(before)
        return (raw, stat) if stat == signature(os.fstat(fd)) and len(raw) == before.st_size else "unsettled"
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
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error
    return Fault("unreadable", f"{FAULTS['unreadable']}: {os.strerror(error.errno or 0)}")


def signature(stat: os.stat_result) -> Stat:
    """What tells one state of a file from another; inode numbers beyond 63 bits as the negative of the same bits."""
    inode = stat.st_ino if stat.st_ino < 1 << 63 else stat.st_ino - (1 << 64)
    return Stat(stat.st_size, stat.st_mtime_ns, inode, stat.st_ctime_ns)


def ignore_lease_breaks() -> None:
    """A writer that opens a file in the instant a lease is probed sends SIGIO, which ends a process that does not expect it."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def collect_rarely() -> None:
    """Let Python's collector of cycles look less often: a batch is some 20,000 objects without any, and all of them go at its end."""
    gc.set_threshold(50_000, 20, 100)


def _being_written(fd: int) -> bool:
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        return False  # nobody prepared for SIGIO; a probe could end the process
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
