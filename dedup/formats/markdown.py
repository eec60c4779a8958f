"""The crawler's Markdown: a header that only looks like YAML, a title block, the body, perhaps comments, a footer.

Values are what the page gave, HTML-escaped and otherwise as they came: tabs, colons and line ends included. Where the
body ends is settled by the claimed digest, and only without a usable one by the template.
"""

from __future__ import annotations

import html
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from dedup.formats.decoding import decode
from dedup.formats.options import ReadOptions
from dedup.heartbeat import beat
from dedup.model import FAULTS, Article, Cause, Check, Fault, FaultKind, Metadata, Reading
from dedup.text import digests, times
from dedup.text.digests import BLANKS, Piece, Recipe
from dedup.text.urls import without_credentials

_EARLY = ("id", "title", "category", "publisher", "author")
_LATE = ("published_at", "crawled_at", "url", "oid", "aid", "content_hash", "comment_count")
_KEYS = frozenset(_EARLY + _LATE)
_TEMPLATE = [*_EARLY, *_LATE[:-1]]
"""The keys that the crawler always writes, in this order. Others can follow; before `published_at` there are none."""

_KEY = re.compile(r"([a-z][a-z0-9_]{0,39}):(?:[ \t]|$)|(" + "|".join(sorted(_KEYS)) + "):")
_LINE = re.compile(r"(?m)^(?:([a-z][a-z0-9_]{0,39}):(?:[ \t]([^\n]*))?|(" + "|".join(sorted(_KEYS)) + r"):([^\n]*))\n")
"""A header line that is a key and its value, nothing spilt."""
_RULE = re.compile(r"\n---[ \t]*(?=\n|$)")
_CUT = re.compile(r"---[ \t]*(?=\n|$)")
_RULE_AFTER_BLANK = re.compile(r"\n[ \t]*\n---[ \t]*(?=\n|$)")
_FOOTER = re.compile(r"\n---[ \t]*+\n++\*Crawled at: [^\n]*+(?:\n\*Source: [^\n]*+)?+\s*+$")
_PARTIAL_CUT = re.compile(r"\n[ \t]*\n-{1,2}$")
_COMMENTS = re.compile(r"\n+(?:\*댓글이 없습니다\.\*|📊 \*\*댓글 통계|## 댓글 \()")
_LONG_REFERENCE = re.compile(r"&#(?=[0-9]{640})")
_REST_OF_HEADER = re.compile(r"\ncontent_hash:[^\n]*\n")
_MOST_SPILT = 65_536
"""So far beyond its first line `---` a header or title block is looked for that holds such lines in its values."""
_MOST_LOOKED_AT = 40 * _MOST_SPILT
"""Characters of headers that are taken apart for that, one after the other; one that is longer than all of them is not a second time."""
_MOST_ENDS = 5_000
"""Possible ends of a body that are held against the claimed digest, from its first and from its last on."""
_ID = re.compile(r"([0-9A-Za-z]+)_([0-9A-Za-z]+)")


def read(raw: bytes, options: ReadOptions) -> Reading:
    """The article in a file's bytes, its check made; or the fault that leaves none. Never raises for content."""
    if not raw.strip(b"\0 \t\r\n"):
        return _fault("empty")
    decoded = decode(raw)
    if decoded is None:
        return _fault("undecodable")
    text = decoded.text
    if text.startswith("---\r\n"):
        text = text.replace("\r\n", "\n")
    elif text.startswith("---\r"):
        text = text.replace("\r", "\n")
    head = _read_head(text)
    if isinstance(head, Fault):
        return Reading(None, (head,))
    content = text[head.body_start :]
    if not content.strip():
        return _fault("truncated_before_body")
    body, check = _body(content, head, options.recipes, cut_short=decoded.truncated)
    faults: list[Fault] = []
    values = head.values

    def time(key: str, zone_name: str) -> str | None:
        printed = values.get(key, "")
        found = times.to_utc(printed, getattr(options, zone_name)) if printed else None
        if printed and found is None:
            faults.append(Fault("unparsable_time", f"{key} cannot be read as a time: {printed[:60]!r}; it is recorded as empty"))
        return found

    oid, aid = values.get("oid", ""), values.get("aid", "")
    ids = _ID.fullmatch(values.get("id", ""))
    if ids and not (oid and aid):
        oid, aid = ids[1], ids[2]
    metadata = Metadata(
        publisher=values.get("publisher", ""),
        author=values.get("author", ""),
        category=values.get("category", ""),
        published_at=time("published_at", "published_zone"),
        published_printed=values.get("published_at", ""),
        id=values.get("id") or (f"{oid}_{aid}" if oid and aid else None),
        oid=oid,
        aid=aid,
        extra=tuple(sorted((k, without_credentials(v)) for k, v in values.items() if k not in _KEYS or k == "comment_count")),
    )
    article = Article(
        title=values.get("title", ""),
        body=body,
        url=values.get("url", ""),
        crawled_at=time("crawled_at", "crawled_zone"),
        metadata=metadata,
        check=check,
        encoding=decoded.encoding,
    )
    complete = check.status == "verified" or (check.status == "unclaimed" and _last_footer(content) is not None)
    return Reading(article, tuple(faults), complete)


def _fault(kind: FaultKind) -> Reading:
    return Reading(None, (Fault(kind, FAULTS[kind]),))


@dataclass(frozen=True, slots=True)
class _Head:
    """`values` unescaped; `body_start` is the offset in the text of what follows the title block."""

    values: dict[str, str]
    body_start: int


def _read_head(text: str) -> _Head | Fault:
    if not re.match(r"---[ \t]*(?:\n|$)", text):
        return Fault("not_an_article", FAULTS["not_an_article"])
    header = _header(text)
    if header is None:
        looks_right = _KEY.match(text, text.find("\n") + 1) or len(text) < 8
        kind: FaultKind = "truncated_before_body" if looks_right else "not_an_article"
        return Fault(kind, FAULTS[kind])
    raw, after = header
    if not raw.keys() & _KEYS:
        return Fault("not_an_article", FAULTS["not_an_article"])
    start = _body_start(text, after, raw)
    if start is None:
        return Fault("truncated_before_body", FAULTS["truncated_before_body"])
    values = {key: unescape(value).strip() for key, value in raw.items()}
    for key in ("publisher", "author", "category"):
        if key in values:
            values[key] = " ".join(values[key].split())
    return _Head(values, start)


def _header(text: str) -> tuple[dict[str, str], int] | None:
    """The header's values as they stand in the file, and the offset of what follows the `---` line that closes it.

    The first such line, unless it stands inside a scraped value: then a later one is followed by the title block that the
    values up to it make, or at least by a title, and the rest of the header stands between the two.
    """
    begin = text.find("\n")
    first = _RULE.search(text, begin)
    if first is None:
        return None
    likely, values = first, _header_values(text[begin + 1 : first.start() + 1])
    if text.startswith(_title_block(values), first.end()):
        return values, first.end()
    most = _late_keys(values)
    limit, looked_at = first.end() + _MOST_SPILT, 0
    closing = (m for m in _RULE.finditer(text, first.end(), limit) if text.startswith("\n\n# ", m.end()))
    for match in islice(closing, 20):
        looked_at += match.start()
        if looked_at > _MOST_LOOKED_AT:
            break
        these = _header_values(text[begin + 1 : match.start() + 1])
        if text.startswith(_title_block(these), match.end()):
            return these, match.end()
        if _late_keys(these) > most and _REST_OF_HEADER.search(text, first.end(), match.start() + 1):
            likely, values, most = match, these, _late_keys(these)
    return values, likely.end()


def _late_keys(values: dict[str, str]) -> int:
    return len(values.keys() & _LATE)


def _header_values(header: str) -> dict[str, str]:
    """Key → value as it stands in the file, over several lines where it spills.

    A scraped value can spill a line that looks like another key. Keys that stand before the scraped ones in the template
    keep their first occurrence, those that follow keep their last, so that a spill cannot pass for either. In a header that has
    all keys of the template, a line before `published_at` that looks like any other key is a spill too. The title ends
    at its closing quote, which none of its own can be mistaken for: those are escaped.
    """
    values = _plain_values(header)
    if values is None:
        values = _spilt_values(header)
    title = values.get("title", "").strip()
    if len(title) >= 2 and title[0] == title[-1] == '"':
        values["title"] = title[1:-1]
    return values


def _plain_values(header: str) -> dict[str, str] | None:
    """The values of a header in which every line is a key of its own; None for any other."""
    found = _LINE.findall(header)
    values = {key or known: value or known_value for key, value, known, known_value in found}
    if len(found) != header.count("\n") or len(values) != len(found) or values.get("title", "").count('"') == 1:
        return None
    return None if _spill(list(values)) else values


def _spill(keys: Sequence[str]) -> set[str]:
    """Those of a header's keys, each named once and in their order, that the template does not have where they are."""
    if [key for key in keys if key in _KEYS and key != "comment_count"] != _TEMPLATE:
        return set()
    return set(keys[: keys.index("published_at")]).difference(_TEMPLATE)


def _spilt_values(header: str) -> dict[str, str]:
    parts: list[tuple[str, list[str]]] = []
    lines = header.split("\n")
    title_until = _quoted_title_end(lines)
    for i, line in enumerate(lines):
        match = None if title_until[0] < i <= title_until[1] else _KEY.match(line)
        if match:
            parts.append((match[1] or match[2], [line]))
        elif parts:
            parts[-1][1].append(line)
    last = {key: i for i, (key, _) in enumerate(parts)}
    first = {key: i for i, (key, _) in reversed(list(enumerate(parts)))}
    places = {key: last[key] if key in _LATE else first[key] for key in first}
    elsewhere = _spill(sorted(places, key=lambda key: places[key]))
    found: dict[str, list[str]] = {}
    spilt = ""
    for i, (key, spelt) in enumerate(parts):
        superseded = key in elsewhere or places[key] != i
        if not superseded:
            found[key] = spelt
            spilt = key
        elif spilt:
            found[spilt] += spelt
    return {key: _after_colon("\n".join(spelt)) for key, spelt in found.items()}


def _after_colon(spelt: str) -> str:
    value = spelt[spelt.index(":") + 1 :]
    return value[1:] if value.startswith((" ", "\t")) else value


def _quoted_title_end(lines: Sequence[str]) -> tuple[int, int]:
    """The numbers of the lines on which a quoted title begins and ends; equal where it is on one line, or not of this kind."""
    for begin, line in enumerate(lines):
        if line.startswith("title:"):
            if line[6:].lstrip().startswith('"') and line.count('"') == 1:
                end = next((i for i in range(begin + 1, len(lines)) if '"' in lines[i]), begin)
                if lines[end].rstrip().endswith('"') and lines[end].count('"') == 1:
                    return begin, end
            return begin, begin
    return 0, 0


def _title_block(raw: dict[str, str]) -> str:
    """What the crawler writes between the header and the body, of the header's own values."""
    return f"\n\n# {raw.get('title', '')}\n\n**{raw.get('publisher', '')}**{_title_block_end(raw)}"


def _title_block_end(raw: dict[str, str]) -> str:
    return f" | {raw.get('published_at', '').strip()} | {raw.get('category', '').strip()}\n\n---\n"


def _body_start(text: str, after: int, raw: dict[str, str]) -> int | None:
    """Offset of the body; None where the file ends before it."""
    block = _title_block(raw)
    if text.startswith(block, after):
        return after + len(block)
    rest = text[after : after + 4].lstrip("\n")
    if rest in ("", "#"):
        return None
    if not rest.startswith("# "):
        return after
    end = "**" + _title_block_end(raw)
    found = text.find(end, after, after + _MOST_SPILT)
    if found >= 0:
        return found + len(end)
    match = _RULE.search(text, after)
    return match.end() if match else None


def _pieces(content: str) -> Iterator[Piece]:
    """The stretches between the possible ends of the body, in order; the last one ends with the file. Of very many ends those in the
    middle are left out."""
    cuts = array("q", (cut for cut, _ in _cuts(content, len(content))))
    if len(cuts) > 2 * _MOST_ENDS:
        del cuts[_MOST_ENDS:-_MOST_ENDS]
    start = 0
    for cut in cuts:
        yield _piece(content, start, cut)
        start = cut
    partial = _PARTIAL_CUT.search(content, max(start, len(content) - 8))
    if partial:
        yield _piece(content, start, partial.start())
        start = partial.start()
    yield _piece(content, start, len(content))


def _cuts(content: str, limit: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every `---` line up to `limit` that a blank line precedes, its newline and that line's included; and of
    one that begins the content."""
    first = _CUT.match(content, 0, limit)
    if first:
        yield first.start(), first.end()
    for match in _RULE_AFTER_BLANK.finditer(content, 0, limit):
        yield match.start(), match.end()


def _piece(content: str, start: int, end: int) -> Piece:
    escaped = content[start:end]
    return Piece(end, escaped, unescape(escaped))


def _body(content: str, head: _Head, recipes: tuple[Recipe, ...], *, cut_short: bool) -> tuple[str, Check]:
    claimed = head.values.get("content_hash", "")
    title = head.values.get("title", "")
    claim = digests.claim_hex(claimed)
    fitting = digests.fitting(recipes, claim) if claim else []
    if claim and fitting and (found := digests.first_claimed(fitting, title, _pieces(content), claim)):
        recipe, end = found
        return _plain(content[:end]), Check("verified", None, claimed, claim, str(recipe))
    end, complete = _structural_end(content, commented="comment_count" in head.values)
    escaped = content[:end].strip(BLANKS)
    body = unescape(escaped).strip(BLANKS)
    recipe = (fitting or recipes)[0]
    computed = digests.digest(recipe, title, body, escaped)
    if cut_short:
        return body, Check("mismatched", "truncated", claimed, computed, str(recipe))
    if not claimed:
        return body, Check("unclaimed", None, claimed, computed, str(recipe))
    cause: Cause = "malformed" if not fitting else "altered" if complete else "truncated"
    return body, Check("mismatched", cause, claimed, computed, str(recipe))


def _plain(escaped: str) -> str:
    return unescape(escaped.strip(BLANKS)).strip(BLANKS)


def _structural_end(content: str, *, commented: bool) -> tuple[int, bool]:
    """Where the body ends by the template alone, and whether the footer is there.

    Plain variant: the last `---` line, which opens the footer. With comments: the first one that comments follow.
    """
    footer = _last_footer(content)
    if not commented:
        if footer is not None:
            return footer, True
        partial = _PARTIAL_CUT.search(content, max(0, len(content) - 8))
        return (partial.start() if partial else len(content)), False
    limit = len(content) if footer is None else footer
    first: int | None = None
    for start, end in _cuts(content, limit):
        if _COMMENTS.match(content, end):
            return start, footer is not None
        first = start if first is None else first
    return (limit if first is None else first), footer is not None


def _last_footer(content: str) -> int | None:
    at = content.rfind("\n---")
    return at if at >= 0 and _FOOTER.match(content, at) else None


_REFERENCES = (("&quot;", '"'), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#x3D;", "="), ("&#x60;", "`"), ("&amp;", "&"))
"""How the crawler escapes; `&amp;` last, so that what it stands before is not taken for a reference."""


def unescape(text: str) -> str:
    """HTML character references replaced, once. Numbers too long to mean a character stay as they are."""
    left = text.count("&")
    if not left:
        return text
    plain = text
    for reference, character in _REFERENCES:
        number = text.count(reference)
        if number:
            plain = plain.replace(reference, character)
            left -= number
            if not left:
                return plain  # there was nothing else to replace
    return "".join(_unescaped(block) for block in _blocks(text))


_BLOCK = 1_000_000
"""Characters of a text that are unescaped at once, about."""
_REFERENCE = re.compile(r"(&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?))")
"""What `html.unescape` takes for one reference. None of them has another `&` in it."""


def _blocks(text: str) -> Iterator[str]:
    """The text in blocks that begin with `&`, but for the first."""
    begin = 0
    while begin < len(text):
        cut = text.find("&", begin + _BLOCK)
        end = cut if cut >= 0 else len(text)
        yield text[begin:end]
        begin = end
        beat()


def _unescaped(block: str) -> str:
    if _LONG_REFERENCE.search(block):
        return "&#".join(map(_unescaped, _LONG_REFERENCE.split(block)))
    parts = _REFERENCE.split(block)
    parts[1::2] = map(_MEANINGS.__getitem__, parts[1::2])
    return "".join(parts)


class _Meanings(dict[str, str]):
    """Reference → what it means, of those that were met first. Names without a semicolon are looked for among 2,231, which takes
    microseconds."""

    def __missing__(self, reference: str) -> str:
        meaning = html.unescape(reference)
        if len(self) < 4096 and len(reference) <= 40:
            self[reference] = meaning
        return meaning


_MEANINGS = _Meanings()
