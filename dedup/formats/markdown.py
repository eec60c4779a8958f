"""The crawler's Markdown: a header that resembles YAML, a title block, the body, optional comments, a footer.

Values are those of the page, HTML-escaped and otherwise unchanged: they may contain tabs, colons and line ends. The claimed digest
decides where the body ends; without a usable digest, the template does.
"""

from __future__ import annotations

import html
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice

from dedup.formats.decoding import decode
from dedup.formats.options import ReadOptions
from dedup.model import FAULT_MESSAGES, Article, Check, Fault, FaultKind, Metadata, MismatchCause, ParseResult
from dedup.runtime.heartbeat import beat
from dedup.text import digests, times
from dedup.text.digests import WHITESPACE, BodySegment, Recipe
from dedup.text.urls import strip_credentials

_EARLY_KEYS = ("id", "title", "category", "publisher", "author")
_LATE_KEYS = ("published_at", "crawled_at", "url", "oid", "aid", "content_hash", "comment_count")
_KEYS = frozenset(_EARLY_KEYS + _LATE_KEYS)
_TEMPLATE_KEYS = [*_EARLY_KEYS, *_LATE_KEYS[:-1]]
"""The keys that the crawler always writes, in this order. Others may follow, but not before `published_at`."""

_KEY_START = re.compile(r"([a-z][a-z0-9_]{0,39}):(?:[ \t]|$)|(" + "|".join(sorted(_KEYS)) + "):")
_KEY_LINE = re.compile(r"(?m)^(?:([a-z][a-z0-9_]{0,39}):(?:[ \t]([^\n]*))?|(" + "|".join(sorted(_KEYS)) + r"):([^\n]*))\n")
"""A header line with a key and its whole value."""
_RULE = re.compile(r"\n---[ \t]*(?=\n|$)")
_RULE_AT_START = re.compile(r"---[ \t]*(?=\n|$)")
_RULE_AFTER_BLANK = re.compile(r"\n[ \t]*\n---[ \t]*(?=\n|$)")
_FOOTER = re.compile(r"\n---[ \t]*+\n++\*Crawled at: [^\n]*+(?:\n\*Source: [^\n]*+)?+\s*+$")
_PARTIAL_RULE = re.compile(r"\n[ \t]*\n-{1,2}$")
_COMMENTS_START = re.compile(r"\n+(?:\*댓글이 없습니다\.\*|📊 \*\*댓글 통계|## 댓글 \()")
_LONG_REFERENCE = re.compile(r"&#(?=[0-9]{640})")
_REST_OF_HEADER = re.compile(r"\ncontent_hash:[^\n]*\n")
_MAX_SPILL_CHARACTERS = 65_536
"""Characters after the first `---` line within which a header or title block is searched whose values contain such lines."""
_MAX_HEADER_CHARACTERS = 40 * _MAX_SPILL_CHARACTERS
"""Characters of candidate headers that are parsed in this search, in total. A single longer header is parsed once."""
_MAX_BODY_ENDS = 5_000
"""Possible ends of a body that are compared with the claimed digest: this many from the first on, and this many up to the last."""
_ID_PATTERN = re.compile(r"([0-9A-Za-z]+)_([0-9A-Za-z]+)")


def read_markdown(raw: bytes, options: ReadOptions) -> ParseResult:
    """Return the article in a file's bytes with its check, or the fault that prevents it. Never raises for content."""
    if not raw.strip(b"\0 \t\r\n"):
        return _faulty_result("empty")
    decoded = decode(raw)
    if decoded is None:
        return _faulty_result("undecodable")
    text = _unify_line_ends(decoded.text)
    head = _read_head(text)
    if isinstance(head, Fault):
        return ParseResult(None, (head,))
    content = text[head.body_start :]
    if not content.strip():
        return _faulty_result("truncated_before_body")
    body, check = _parse_body(content, head, options.recipes, is_truncated=decoded.truncated)
    published_at, published_faults = _parse_time(head.values, "published_at", options.published_zone)
    crawled_at, crawled_faults = _parse_time(head.values, "crawled_at", options.crawled_zone)
    article = Article(
        title=head.values.get("title", ""),
        body=body,
        url=head.values.get("url", ""),
        crawled_at=crawled_at,
        metadata=_build_metadata(head.values, published_at),
        check=check,
        encoding=decoded.encoding,
    )
    complete = check.status == "verified" or (check.status == "unclaimed" and _find_footer(content) is not None)
    return ParseResult(article, (*published_faults, *crawled_faults), complete)


def _unify_line_ends(text: str) -> str:
    """Replace CRLF, or else CR, by LF throughout if the first line ends with it."""
    if text.startswith("---\r\n"):
        return text.replace("\r\n", "\n")
    return text.replace("\r", "\n") if text.startswith("---\r") else text


def _parse_time(values: dict[str, str], key: str, zone: tzinfo) -> tuple[str | None, tuple[Fault, ...]]:
    """(the time in UTC, None without one; a fault if the value is no time)."""
    printed = values.get(key, "")
    utc = times.to_utc(printed, zone) if printed else None
    if utc is not None or not printed:
        return utc, ()
    return None, (Fault("unparsable_time", f"{key} cannot be read as a time: {printed[:60]!r}; it is recorded as empty"),)


def _build_metadata(values: dict[str, str], published_at: str | None) -> Metadata:
    """The metadata of a header. `oid` and `aid` are taken from `id` if either is missing."""
    oid, aid = values.get("oid", ""), values.get("aid", "")
    ids = _ID_PATTERN.fullmatch(values.get("id", ""))
    if ids and not (oid and aid):
        oid, aid = ids[1], ids[2]
    return Metadata(
        publisher=values.get("publisher", ""),
        author=values.get("author", ""),
        category=values.get("category", ""),
        published_at=published_at,
        published_printed=values.get("published_at", ""),
        id=values.get("id") or (f"{oid}_{aid}" if oid and aid else None),
        oid=oid,
        aid=aid,
        extra=tuple(sorted((k, strip_credentials(v)) for k, v in values.items() if k not in _KEYS or k == "comment_count")),
    )


def _faulty_result(kind: FaultKind) -> ParseResult:
    return ParseResult(None, (Fault(kind, FAULT_MESSAGES[kind]),))


@dataclass(frozen=True, slots=True)
class _ParsedHead:
    """`values` are unescaped. `body_start` is the offset in the text after the title block."""

    values: dict[str, str]
    body_start: int


def _read_head(text: str) -> _ParsedHead | Fault:
    if not re.match(r"---[ \t]*(?:\n|$)", text):
        return Fault("not_an_article", FAULT_MESSAGES["not_an_article"])
    header = _find_header(text)
    if header is None:
        is_header_like = _KEY_START.match(text, text.find("\n") + 1) or len(text) < 8
        kind: FaultKind = "truncated_before_body" if is_header_like else "not_an_article"
        return Fault(kind, FAULT_MESSAGES[kind])
    raw_values, header_end = header
    if not raw_values.keys() & _KEYS:
        return Fault("not_an_article", FAULT_MESSAGES["not_an_article"])
    body_start = _find_body_start(text, header_end, raw_values)
    if body_start is None:
        return Fault("truncated_before_body", FAULT_MESSAGES["truncated_before_body"])
    values = {key: unescape(value).strip() for key, value in raw_values.items()}
    for key in ("publisher", "author", "category"):
        if key in values:
            values[key] = " ".join(values[key].split())
    return _ParsedHead(values, body_start)


def _find_header(text: str) -> tuple[dict[str, str], int] | None:
    """The header's values as written in the file, and the offset after the `---` line that closes the header.

    That line is the first one, unless it is inside a scraped value. In that case a later line is followed by the title block of the
    values before it, or at least by a title, and the rest of the header is between the two lines.
    """
    begin = text.find("\n")
    first = _RULE.search(text, begin)
    if first is None:
        return None
    best, values = first, _parse_header(text[begin + 1 : first.start() + 1])
    if text.startswith(_build_title_block(values), first.end()):
        return values, first.end()
    max_late_keys = _count_late_keys(values)
    limit, characters_read = first.end() + _MAX_SPILL_CHARACTERS, 0
    closing_rules = (m for m in _RULE.finditer(text, first.end(), limit) if text.startswith("\n\n# ", m.end()))
    for match in islice(closing_rules, 20):
        characters_read += match.start()
        if characters_read > _MAX_HEADER_CHARACTERS:
            break
        candidate_values = _parse_header(text[begin + 1 : match.start() + 1])
        if text.startswith(_build_title_block(candidate_values), match.end()):
            return candidate_values, match.end()
        if _count_late_keys(candidate_values) > max_late_keys and _REST_OF_HEADER.search(text, first.end(), match.start() + 1):
            best, values, max_late_keys = match, candidate_values, _count_late_keys(candidate_values)
    return values, best.end()


def _count_late_keys(values: dict[str, str]) -> int:
    return len(values.keys() & _LATE_KEYS)


def _parse_header(header: str) -> dict[str, str]:
    """Key → value as written in the file, over several lines if it spills.

    A scraped value can spill a line that looks like another key. Keys before the scraped ones in the template keep their first
    occurrence, later keys their last, so that a spilt line never replaces one. In a header with all keys of the template, a line
    before `published_at` that looks like any other key is a spill as well. The title ends at its closing quote, which is
    unambiguous: quotes inside the title are escaped.
    """
    values = _parse_simple_header(header)
    if values is None:
        values = _parse_spilt_header(header)
    title = values.get("title", "").strip()
    if len(title) >= 2 and title[0] == title[-1] == '"':
        values["title"] = title[1:-1]
    return values


def _parse_simple_header(header: str) -> dict[str, str] | None:
    """The values of a header in which every line is a key with its whole value; None for any other header."""
    matches = _KEY_LINE.findall(header)
    values = {key or template_key: value or template_value for key, value, template_key, template_value in matches}
    if len(matches) != header.count("\n") or len(values) != len(matches) or values.get("title", "").count('"') == 1:
        return None
    return None if _find_spilt_keys(list(values)) else values


def _find_spilt_keys(keys: Sequence[str]) -> set[str]:
    """The keys of a header (each once, in order) that are out of place in the template."""
    if [key for key in keys if key in _KEYS and key != "comment_count"] != _TEMPLATE_KEYS:
        return set()
    return set(keys[: keys.index("published_at")]).difference(_TEMPLATE_KEYS)


def _parse_spilt_header(header: str) -> dict[str, str]:
    parts: list[tuple[str, list[str]]] = []
    lines = header.split("\n")
    title_lines = _find_quoted_title(lines)
    for i, line in enumerate(lines):
        match = None if title_lines[0] < i <= title_lines[1] else _KEY_START.match(line)
        if match:
            parts.append((match[1] or match[2], [line]))
        elif parts:
            parts[-1][1].append(line)
    last = {key: i for i, (key, _) in enumerate(parts)}
    first = {key: i for i, (key, _) in reversed(list(enumerate(parts)))}
    positions = {key: last[key] if key in _LATE_KEYS else first[key] for key in first}
    spilt_keys = _find_spilt_keys(sorted(positions, key=lambda key: positions[key]))
    parts_by_key: dict[str, list[str]] = {}
    current_key = ""
    for i, (key, lines_of_key) in enumerate(parts):
        is_spill = key in spilt_keys or positions[key] != i
        if not is_spill:
            parts_by_key[key] = lines_of_key
            current_key = key
        elif current_key:
            parts_by_key[current_key] += lines_of_key
    return {key: _value_after_colon("\n".join(lines_of_key)) for key, lines_of_key in parts_by_key.items()}


def _value_after_colon(field: str) -> str:
    value = field[field.index(":") + 1 :]
    return value[1:] if value.startswith((" ", "\t")) else value


def _find_quoted_title(lines: Sequence[str]) -> tuple[int, int]:
    """The numbers of the first and last line of a quoted title; equal if it is on one line, or not quoted."""
    for begin, line in enumerate(lines):
        if line.startswith("title:"):
            if line[6:].lstrip().startswith('"') and line.count('"') == 1:
                end = next((i for i in range(begin + 1, len(lines)) if '"' in lines[i]), begin)
                if lines[end].rstrip().endswith('"') and lines[end].count('"') == 1:
                    return begin, end
            return begin, begin
    return 0, 0


def _build_title_block(raw_values: dict[str, str]) -> str:
    """The title block that the crawler writes between the header and the body, made of the header's values."""
    return f"\n\n# {raw_values.get('title', '')}\n\n**{raw_values.get('publisher', '')}**{_build_title_block_end(raw_values)}"


def _build_title_block_end(raw_values: dict[str, str]) -> str:
    return f" | {raw_values.get('published_at', '').strip()} | {raw_values.get('category', '').strip()}\n\n---\n"


def _find_body_start(text: str, header_end: int, raw_values: dict[str, str]) -> int | None:
    """Offset of the body; None if the file ends before it."""
    block = _build_title_block(raw_values)
    if text.startswith(block, header_end):
        return header_end + len(block)
    rest = text[header_end : header_end + 4].lstrip("\n")
    if rest in ("", "#"):
        return None
    if not rest.startswith("# "):
        return header_end
    end = "**" + _build_title_block_end(raw_values)
    position = text.find(end, header_end, header_end + _MAX_SPILL_CHARACTERS)
    if position >= 0:
        return position + len(end)
    match = _RULE.search(text, header_end)
    return match.end() if match else None


def _split_segments(content: str) -> Iterator[BodySegment]:
    """The segments between the possible ends of the body, in order; the last segment ends with the file. If there are very many ends,
    those in the middle are left out."""
    ends = array("q", (end for end, _ in _find_rules(content, len(content))))
    if len(ends) > 2 * _MAX_BODY_ENDS:
        del ends[_MAX_BODY_ENDS:-_MAX_BODY_ENDS]
    start = 0
    for end in ends:
        yield _make_segment(content, start, end)
        start = end
    partial_rule = _PARTIAL_RULE.search(content, max(start, len(content) - 8))
    if partial_rule:
        yield _make_segment(content, start, partial_rule.start())
        start = partial_rule.start()
    yield _make_segment(content, start, len(content))


def _find_rules(content: str, limit: int) -> Iterator[tuple[int, int]]:
    """(start, end) of every `---` line before `limit` that follows a blank line, including the newline before that blank line; and of
    one at the start of the content."""
    first = _RULE_AT_START.match(content, 0, limit)
    if first:
        yield first.start(), first.end()
    for match in _RULE_AFTER_BLANK.finditer(content, 0, limit):
        yield match.start(), match.end()


def _make_segment(content: str, start: int, end: int) -> BodySegment:
    escaped = content[start:end]
    return BodySegment(end, escaped, unescape(escaped))


def _parse_body(content: str, head: _ParsedHead, recipes: tuple[Recipe, ...], *, is_truncated: bool) -> tuple[str, Check]:
    claimed_text = head.values.get("content_hash", "")
    title = head.values.get("title", "")
    claim_hex = digests.parse_claim(claimed_text)
    fitting_recipes = digests.recipes_of_length(recipes, claim_hex) if claim_hex else []
    if claim_hex and fitting_recipes and (verified := digests.find_claimed(fitting_recipes, title, _split_segments(content), claim_hex)):
        recipe, end = verified
        return _unescape_trimmed(content[:end]), Check("verified", None, claimed_text, claim_hex, str(recipe))
    end, complete = _find_structural_end(content, has_comments="comment_count" in head.values)
    escaped = content[:end].strip(WHITESPACE)
    body = unescape(escaped).strip(WHITESPACE)
    recipe = (fitting_recipes or recipes)[0]
    computed = digests.compute_digest(recipe, title, body, escaped)
    if is_truncated:
        return body, Check("mismatched", "truncated", claimed_text, computed, str(recipe))
    if not claimed_text:
        return body, Check("unclaimed", None, claimed_text, computed, str(recipe))
    cause: MismatchCause = "malformed" if not fitting_recipes else "altered" if complete else "truncated"
    return body, Check("mismatched", cause, claimed_text, computed, str(recipe))


def _unescape_trimmed(escaped: str) -> str:
    return unescape(escaped.strip(WHITESPACE)).strip(WHITESPACE)


def _find_structural_end(content: str, *, has_comments: bool) -> tuple[int, bool]:
    """Where the body ends by the template alone, and whether the footer is there.

    Without comments: the last `---` line, which opens the footer. With comments: the first one that comments follow.
    """
    footer = _find_footer(content)
    if not has_comments:
        if footer is not None:
            return footer, True
        partial_rule = _PARTIAL_RULE.search(content, max(0, len(content) - 8))
        return (partial_rule.start() if partial_rule else len(content)), False
    limit = len(content) if footer is None else footer
    first: int | None = None
    for start, end in _find_rules(content, limit):
        if _COMMENTS_START.match(content, end):
            return start, footer is not None
        first = start if first is None else first
    return (limit if first is None else first), footer is not None


def _find_footer(content: str) -> int | None:
    start = content.rfind("\n---")
    return start if start >= 0 and _FOOTER.match(content, start) else None


_REFERENCES = (("&quot;", '"'), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#x3D;", "="), ("&#x60;", "`"), ("&amp;", "&"))
"""The references that the crawler writes. `&amp;` is last, so that text after it is not taken for a reference."""


def unescape(text: str) -> str:
    """Replace HTML character references, once. Numbers too long for a character remain as they are."""
    remaining = text.count("&")
    if not remaining:
        return text
    unescaped = text
    for reference, character in _REFERENCES:
        count = text.count(reference)
        if count:
            unescaped = unescaped.replace(reference, character)
            remaining -= count
            if not remaining:
                return unescaped  # no other references
    return "".join(_unescape_block(block) for block in _split_blocks(text))


_BLOCK_CHARACTERS = 1_000_000
"""Approximate number of characters that are unescaped at once."""
_REFERENCE = re.compile(r"(&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?))")
"""A reference as `html.unescape` recognises it. It contains no other `&`."""


def _split_blocks(text: str) -> Iterator[str]:
    """The text in blocks. Each block after the first begins with `&`."""
    begin = 0
    while begin < len(text):
        boundary = text.find("&", begin + _BLOCK_CHARACTERS)
        end = boundary if boundary >= 0 else len(text)
        yield text[begin:end]
        begin = end
        beat()


def _unescape_block(block: str) -> str:
    if _LONG_REFERENCE.search(block):
        return "&#".join(map(_unescape_block, _LONG_REFERENCE.split(block)))
    parts = _REFERENCE.split(block)
    parts[1::2] = map(_REFERENCE_CACHE.__getitem__, parts[1::2])
    return "".join(parts)


class _ReferenceCache(dict[str, str]):
    """Reference → its meaning, for the first references seen. The standard library searches 2,231 names for one without a semicolon,
    which takes microseconds."""

    def __missing__(self, reference: str) -> str:
        meaning = html.unescape(reference)
        if len(self) < 4096 and len(reference) <= 40:
            self[reference] = meaning
        return meaning


_REFERENCE_CACHE = _ReferenceCache()
