"""Unusual entries of a crawl directory. Each function writes one kind of them, together with ordinary articles."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tests.builders.crawl import ArticleFile

KOREAN = "한국어 기사 제목"
LONGEST = 255
"""Longest file name, in bytes."""
LEVELS = 1200
"""Depth of nested folders, above Python's default recursion limit."""


def article(number: int) -> ArticleFile:
    """Return an article of page `number`."""
    return ArticleFile(aid=f"{number:010d}", body=f"{number}번 본문이 한 문단으로 길게 이어진다.", title=f"기사 {number}")


def links(crawl: Path) -> None:
    """Symlinks: loops, to parents, into the crawl directory, out of it, and dangling. All must be ignored."""
    outside = crawl.with_name(crawl.name + " outside")
    article(1).write(outside, "a.md", age=0)
    inside = article(2).write(crawl / "in", "a.md", age=0)
    for name, target in {
        "loop a": "loop b",
        "loop b": "loop a",
        "itself.md": "itself.md",
        "in/parent": "..",
        "in/crawl": str(crawl),
        "root": "/",
        "in/here": ".",
        "file in.md": str(inside),
        "relative.md": "in/a.md",
        "file out.md": str(outside / "a.md"),
        "folder out": str(outside),
        "folder out.md": str(outside),
        "dangling.md": "nowhere.md",
        "null link.md": "/dev/null",
        "process": "/proc/self",
        "long.md": "x/" * 2000 + "x",
    }.items():
        (crawl / name).symlink_to(target)


def specials(crawl: Path) -> None:
    """Special files: opening them could block or change a device."""
    article(11).write(crawl, "beside.md", age=0)
    os.mkfifo(crawl / "pipe.md")
    (crawl / "deep").mkdir()
    os.mkfifo(crawl / "deep" / "pipe.md")
    with contextlib.chdir(crawl), socket.socket(socket.AF_UNIX) as listener:  # a socket path has at most 108 bytes
        listener.bind("socket.md")
    for name, kind, device in (("null.md", stat.S_IFCHR, (1, 3)), ("tape.md", stat.S_IFCHR, (9, 0)), ("disk.md", stat.S_IFBLK, (7, 99))):
        with contextlib.suppress(PermissionError):  # needs a privilege
            os.mknod(crawl / name, kind | 0o600, os.makedev(*device))


def _longest_name(character: str, ending: str = ".md") -> bytes:
    """Return a name of the maximum length."""
    room, each = LONGEST - len(ending), len(character.encode())
    return (character * (room // each)).encode() + b"x" * (room % each) + ending.encode()


NAMES: tuple[bytes, ...] = (
    b"\xff\xfe.md",
    KOREAN.encode("cp949") + b".md",
    KOREAN.encode("utf-16-le").replace(b"\0", b"\1").replace(b"/", b"\1") + b".md",
    b"\x80.md",
    b"\xbf\x80 \xed\xa0\x80.md",
    "가".encode()[:2] + b".md",
    _longest_name("가"),
    _longest_name("🐟"),
    _longest_name("\N{COMBINING ACUTE ACCENT}"),
    _longest_name("x"),
    b"\xff" * (LONGEST - 3) + b".md",
    b"two\nlines.md",
    b"tab\there.md",
    b"carriage\rreturn.md",
    b"\x1b[31mred\x1b]0;title\x07.md",
    "\u202eltr \u2066 \x9b2J.md".encode(),
    b"\x7f\x08.md",
    b"'single' \"double\" `touch x` $(touch x).md",
    b"back\\slash\\n.md",
    b"\\xff\\xfe.md",
    b"-rf.md",
    b"--config.md",
    b" leading.md",
    b"blank .md",
    b"..md",
    b"...md",
    b".md",
    b"%s %d {0} {x!r}.md",
    b"*?[a-z].md",
    b"a;b&c|d<e>f.md",
    b"~root.md",
    b"CON.md",
    "\N{COMBINING ACUTE ACCENT}\N{COMBINING GRAVE ACCENT}.md".encode(),
    "\N{HANGUL FILLER}\N{ZERO WIDTH JOINER}.md".encode(),
    unicodedata.normalize("NFC", KOREAN).encode() + b".md",
    unicodedata.normalize("NFD", KOREAN).encode() + b".md",
    b"case.md",
    b"Case.md",
    b"CASE.md",
)
"""Names of article files."""
NO_ARTICLES: tuple[bytes, ...] = (
    b"ends in a blank.md ",
    b"line.md\n",
    b"dot.md.",
    b"big.MD",
    b"md",
    b"-",
    b"\xff",
    _longest_name("가", ""),
)
"""Names that the pattern `*.md` does not match."""


def names(crawl: Path) -> None:
    """Unusual names of files and folders, and an empty file with such a name, which is reported as a fault."""
    top = os.fsencode(crawl)
    with open(os.path.join(top, b"\x1b]0;empty\x07\n\xff\xe2\x80\xae.md"), "wb"):
        pass
    for number, name in enumerate((*NAMES, *NO_ARTICLES), 100):
        _write_article(os.path.join(top, name), number)
    for number, name in enumerate(
        (b"\xff\xfe", b"two\nlines", b"folder.md", b"...", b" ", b"-r", _longest_name("한", ""), b"\x1b[2J"), 200
    ):
        os.mkdir(os.path.join(top, b"in " + name if os.path.lexists(os.path.join(top, name)) else name))
        _write_article(os.path.join(top, b"in " + name if name == b"\xff" else name, b"a.md"), number)


def _write_article(path: bytes, number: int) -> None:
    with open(path, "wb") as file:
        file.write(article(number).render().encode())


def sizes(crawl: Path) -> None:
    """An empty file, a sparse file of 1 TiB, hard links, and empty folders."""
    (crawl / "empty.md").touch()
    with open(crawl / "sparse.md", "wb") as file:
        file.truncate(1 << 40)
    first = article(301).write(crawl, "first.md", age=0)
    (crawl / "other").mkdir()
    for name in ("second.md", "other/third.md", "other/third.txt"):
        os.link(first, crawl / name)
    for number in range(2000):
        (crawl / "nothing" / f"{number % 40}" / f"{number}.md").mkdir(parents=True)


def deep(crawl: Path, name: bytes, levels: int, first: int) -> None:
    """Nested folders with an article in every hundredth and in the last.

    They are made step by step, since the path may be longer than PATH_MAX.
    """
    fd = os.open(crawl, os.O_RDONLY)
    for level in range(1, levels + 1):
        os.mkdir(name, dir_fd=fd)
        inner = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
        if level % 100 == 0 or level == levels:
            with open(os.open(b"a.md", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=fd), "wb") as file:
                file.write(article(first + level).render().encode())
    os.close(fd)


def far(crawl: Path) -> None:
    """Write paths longer than PATH_MAX."""
    deep(crawl, "멀리 더 멀리".encode(), 320, 1000)


def low(crawl: Path) -> None:
    """Nest more folders than the recursion limit, with paths shorter than PATH_MAX."""
    deep(crawl, b"d", LEVELS, 5000)


@contextlib.contextmanager
def removed(place: Path) -> Iterator[None]:
    """Remove at the end what pytest and Python cannot remove."""
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", "--", place], check=True)
