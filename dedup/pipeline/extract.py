"""Parallel half of a scan: read, parse, verify, canonicalise and sign batches of files, without the database."""

from __future__ import annotations

import errno
import hashlib
import os
import stat as modes
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import xxhash

from dedup import formats
from dedup.files import leases
from dedup.files.descriptors import is_exhausted
from dedup.files.leases import NO_LEASE_SUPPORT, LeaseState
from dedup.files.nofollow import NoFollowTree
from dedup.formats import ReadOptions
from dedup.model import FAULT_MESSAGES, Article, Fault, PickleBySlots
from dedup.pipeline.isolation import internal_fault, is_file_error, isolate_failures
from dedup.runtime.heartbeat import beat, with_beats
from dedup.similarity import minhash, winnowing
from dedup.store.rows import FileStamp
from dedup.text import normalise
from dedup.text.urls import Canonicaliser, strip_credentials

OPEN_SETTLE_FACTOR = 10
"""Factor on `unprobed_settle_seconds` for a file that was created and, by its events, not closed. It is read in the end because events
can be lost."""

FileOutcome = Literal["article", "fault", "unsettled", "unproven", "inaccessible", "vanished", "symlink", "special"]
"""`inaccessible`: its folder may not be entered, so nothing is known about it. `unproven`: its writers cannot be detected, it changed
recently, and nothing shows that it is complete."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """The bytes of a file, its stamp when they were read, the result of the lease probe, and the file's owner (NO_LEASE_SUPPORT: the file
    system supports no leases)."""

    raw: bytes
    stamp: FileStamp
    probe: LeaseState
    owner_uid: int


ReadResult = FileContent | Fault | FileOutcome
"""Result of reading a file."""


@dataclass(frozen=True, slots=True)
class ExtractOptions:
    """Settings that extraction depends on. They are sent to worker processes."""

    read_options: ReadOptions
    canonicaliser: Canonicaliser
    max_file_bytes: int
    min_characters: int
    num_perm: int
    passages: bool
    unprobed_settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CrawlFile(PickleBySlots):
    """A file as its folder lists it. `path` is absolute; `folder` and `name` are relative to the crawl directory.

    `is_trusted`: its writer closed it, or it was unchanged for long enough; nothing else has to show that it is complete. `is_open`: it
    was created and, by its events, not closed. `is_reread`: it is as recorded, and is read again because settings changed.
    """

    directory_id: int
    directory_path: bytes
    folder: bytes
    name: bytes
    stamp: FileStamp
    is_trusted: bool = False
    is_open: bool = False
    is_reread: bool = False

    @property
    def relative_path(self) -> bytes:
        return self.folder + b"/" + self.name if self.folder else self.name

    @property
    def path(self) -> bytes:
        return os.path.join(self.directory_path, self.relative_path)


@dataclass(frozen=True, slots=True)
class Extraction(PickleBySlots):
    """Result of extracting one file.

    For an article: the canonical URL of its page, `state_digest` (see the function of that name), `text_digest` (XXH3-128 of the
    normalised text; None if it has no letters or numbers), the number of normalised characters, and the signature and packed fingerprints
    (None below `min_characters`). `unprobed_owner`: the owner of an `unproven` file, whose writers could not be detected.
    """

    file: CrawlFile
    outcome: FileOutcome
    content_digest: bytes | None = None
    faults: tuple[Fault, ...] = ()
    article: Article | None = None
    url: str | None = None
    state_digest: bytes = b""
    text_digest: bytes | None = None
    characters: int = 0
    signature: bytes | None = None
    fingerprints: bytes | None = None
    unprobed_owner: int | None = None


def extract_files(files: Iterable[CrawlFile], options: ExtractOptions) -> list[Extraction]:
    """Extract files; returns one result per file, in the same order.

    A file that the program fails on becomes a fault of the kind `internal`. Raises OSError only if the process runs out of descriptors
    (EMFILE) or memory (ENOMEM).
    """
    with NoFollowTree() as tree:
        results = [_extract_file(f, options, tree) for f in with_beats(files)]
    signed_results = iter(_sign_articles([r for r in results if isinstance(r, _UnsignedArticle)], options))
    return [r if isinstance(r, Extraction) else next(signed_results) for r in results]


def _sign_articles(articles: Sequence[_UnsignedArticle], options: ExtractOptions) -> list[Extraction]:
    """Sign articles; order is kept. An article that cannot be signed becomes a fault."""

    def sign_batch(batch: Sequence[_UnsignedArticle]) -> list[Extraction]:
        signatures = sign_bodies((r.article.body for r in batch), options)
        return [
            Extraction(
                r.file, "article", r.content_digest, r.faults, r.article, r.url, state_digest(r.article.title, r.article.body),
                s.digest, s.characters, s.signature, fingerprints,
            )
            for r, (s, fingerprints) in zip(batch, signatures, strict=True)
        ]  # fmt: skip

    failures: dict[int, Extraction] = {}

    def sign_positions(positions: Sequence[int]) -> list[tuple[int, Extraction]]:
        return list(zip(positions, sign_batch([articles[i] for i in positions]), strict=True))

    def add_fault(i: int, error: Exception) -> None:
        failures[i] = Extraction(articles[i].file, "fault", articles[i].content_digest, (internal_fault(error, "signing"),))

    results = {i: e for part in isolate_failures(range(len(articles)), sign_positions, add_fault) for i, e in part} | failures
    return [results[i] for i in range(len(articles))]


def to_fault(extraction: Extraction, fault: Fault) -> Extraction:
    """Return the extraction of a file as a fault in place of an article."""
    return Extraction(extraction.file, "fault", extraction.content_digest, (fault,))


def sign_bodies(bodies: Iterable[str], options: ExtractOptions) -> list[tuple[minhash.SignedText, bytes | None]]:
    """Return the signed text and the packed fingerprints of each body, in the same order."""
    results: list[tuple[minhash.SignedText, bytes | None]] = []
    for folded in normalise.fold_batches(bodies):
        beat()
        signatures = minhash.sign_folded(folded, options.num_perm, options.min_characters)
        beat()
        fingerprints = winnowing.fingerprint_texts_packed(folded, options.min_characters) if options.passages else [None] * len(signatures)
        results += zip(signatures, fingerprints, strict=True)
    return results


def state_digest(title: str, body: str) -> bytes:
    """Return the digest that identifies a state of a page: SHA-256 of title, the byte 0xFF (which never occurs in UTF-8), and body."""
    return hashlib.sha256(title.encode() + b"\xff" + body.encode()).digest()


class _UnsignedArticle(NamedTuple):
    """An article that is not signed yet."""

    file: CrawlFile
    content_digest: bytes
    faults: tuple[Fault, ...]
    article: Article
    url: str


def _extract_file(file: CrawlFile, options: ExtractOptions, tree: NoFollowTree) -> Extraction | _UnsignedArticle:
    content_digest: bytes | None = None

    def on_read(file_as_read: CrawlFile, digest: bytes) -> None:
        nonlocal file, content_digest
        file, content_digest = file_as_read, digest

    try:
        return _parse_file(file, options, tree, on_read)
    except Exception as error:
        if not is_file_error(error):
            raise
        return Extraction(file, "fault", content_digest, (internal_fault(error, "reading"),))


def _parse_file(
    file: CrawlFile, options: ExtractOptions, tree: NoFollowTree, on_read: Callable[[CrawlFile, bytes], None]
) -> Extraction | _UnsignedArticle:
    """Read and parse a file. `on_read` receives the file and the digest of its bytes once they are read."""
    result = read_in_directory(tree, file.directory_path, file.folder, file.name, options.max_file_bytes)
    if isinstance(result, Fault):
        return Extraction(file, "fault", faults=(result,))
    if isinstance(result, str):
        return Extraction(file, result)
    file = CrawlFile(
        file.directory_id, file.directory_path, file.folder, file.name, result.stamp, file.is_trusted, file.is_open, file.is_reread
    )
    content_digest = xxhash.xxh3_128_digest(result.raw)
    on_read(file, content_digest)
    parse_result = formats.read_article(file.name, result.raw, options.read_options)
    settle_seconds = (
        0.0 if result.probe == "free" or parse_result.complete else unproven_settle_seconds(file, options.unprobed_settle_seconds)
    )
    if settle_seconds and seconds_since_change(result.stamp) < settle_seconds:
        return Extraction(file, "unproven", unprobed_owner=result.owner_uid)
    article = parse_result.article
    if article is None:
        return Extraction(file, "fault", content_digest, parse_result.faults)
    url = options.canonicaliser.page_url(article.url, article.metadata.oid, article.metadata.aid)
    if url is None:
        return Extraction(file, "fault", content_digest, (*parse_result.faults, Fault("no_url", _describe_missing_url(article))))
    return _UnsignedArticle(file, content_digest, parse_result.faults, article, url)


def _describe_missing_url(article: Article) -> str:
    if not article.url:
        return FAULT_MESSAGES["no_url"]
    return f"{strip_credentials(article.url)[:120]!r} is not an http or https URL, and there is no oid and aid to build one from"


_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def read_file(path: bytes, max_bytes: int) -> ReadResult:
    """Read a file named by a user. Returns its content, or the fault or outcome that explains why it was not read.

    The file must be the same before and after reading, and no process may have it open for writing (see `leases`; if that cannot be
    found out, the content's `probe` is `unknown`). A link at the end of the path is not followed. Only regular files are opened: the writer
    of a fifo would take this process for its reader.
    """
    return _read_content(path, lambda: None, max_bytes)


def read_in_directory(tree: NoFollowTree, directory_path: bytes, folder: bytes, name: bytes, max_bytes: int) -> ReadResult:
    """Read a file below a crawl directory as `read_file` does, without following links in its path below `directory_path`."""
    return _read_content(name, lambda: tree.open_folder(directory_path, folder), max_bytes)


def _read_content(path: bytes, open_folder: Callable[[], int | None], max_bytes: int) -> ReadResult:
    try:
        folder_fd = open_folder()
        mode = os.stat(path, dir_fd=folder_fd, follow_symlinks=False).st_mode
    except PermissionError:
        return "inaccessible"
    except OSError as error:
        return _open_error_outcome(error)
    try:
        if not modes.S_ISREG(mode):
            return "symlink" if modes.S_ISLNK(mode) else "vanished" if modes.S_ISDIR(mode) else "special"
        fd = os.open(path, _OPEN_FLAGS, dir_fd=folder_fd)
    except OSError as error:
        return _open_error_outcome(error)
    try:
        stat_before = os.fstat(fd)
        if not modes.S_ISREG(stat_before.st_mode):
            return "special"
        if stat_before.st_size > max_bytes:
            return Fault("too_large", f"the file has {stat_before.st_size} bytes, more than max_file_bytes = {max_bytes}")
        probe, lease_errno = leases.probe_lease(fd)
        if probe == "open_for_writing":
            return "unsettled"
        raw = os.read(fd, stat_before.st_size)
        stamp = to_file_stamp(stat_before)
        if stamp != to_file_stamp(os.fstat(fd)) or len(raw) != stat_before.st_size:
            return "unsettled"
        return FileContent(raw, stamp, probe, stat_before.st_uid if lease_errno in (0, errno.EACCES, errno.EPERM) else NO_LEASE_SUPPORT)
    except OSError as error:
        return unreadable_fault(error)
    finally:
        os.close(fd)


def _open_error_outcome(error: OSError) -> Fault | FileOutcome:
    """Return the fault or outcome that an error of opening a file means."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "vanished"
    if error.errno == errno.ELOOP:
        return "symlink"
    if error.errno in (errno.ENXIO, errno.ENODEV):
        return "special"
    if error.errno == errno.EAGAIN:
        return "unsettled"  # a process has a write lease; the kernel now asks it to give that up
    return unreadable_fault(error)


def unreadable_fault(error: OSError) -> Fault:
    """Return the fault of a file or folder that the system refuses to read.

    Raises the error again if this process is out of descriptors or memory: that is not a fault of the file, and can be retried.
    """
    if is_exhausted(error):
        raise error
    return Fault("unreadable", f"{FAULT_MESSAGES['unreadable']}: {os.strerror(error.errno or 0)}")


def to_file_stamp(stat: os.stat_result) -> FileStamp:
    """Return the stamp of a file, in signed 64-bit numbers as SQLite stores them.

    A larger inode number becomes the negative number with the same bits. A time before 1677-09-21 or after 2262-04-11 becomes the nearest
    one that fits.
    """
    inode = stat.st_ino if stat.st_ino < 1 << 63 else stat.st_ino - (1 << 64)
    return FileStamp(stat.st_size, _clamp_to_int64(stat.st_mtime_ns), inode, _clamp_to_int64(stat.st_ctime_ns))


def _clamp_to_int64(nanoseconds: int) -> int:
    return max(-(1 << 63), min(nanoseconds, (1 << 63) - 1))


def seconds_since_change(stamp: FileStamp) -> float:
    """Return the seconds since the file last changed, by its own time stamps; negative if they lie in the future."""
    return (time.time_ns() - max(stamp.mtime_ns, stamp.ctime_ns)) / 1e9


def unproven_settle_seconds(file: CrawlFile, unprobed_settle_seconds: float) -> float:
    """Return for how many seconds a file must be unchanged before it is read although its writers cannot be detected and nothing in it
    shows that it is complete. `unprobed_settle_seconds` is the setting of `[crawl]`."""
    if file.is_trusted:
        return 0.0
    return unprobed_settle_seconds * OPEN_SETTLE_FACTOR if file.is_open else unprobed_settle_seconds
