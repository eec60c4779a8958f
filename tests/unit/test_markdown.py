"""The crawler's Markdown: header, title block, body, comments and footer, and the check of the claimed digest."""

from __future__ import annotations

import codecs
import hashlib
import html
import re
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from dedup import formats
from dedup.formats import ReadOptions, markdown
from dedup.model import Article, Check, FaultKind, ParseResult
from dedup.text.digests import RECIPES, Recipe
from tests.builders.crawl import DIGESTS, ArticleFile, escape

OPTIONS = ReadOptions(tuple(RECIPES.values()), ZoneInfo("Asia/Seoul"), ZoneInfo("UTC"))
WRONG_DIGEST = "0" * 64


def parse(content: str | bytes) -> ParseResult:
    return markdown.read_markdown(content if isinstance(content, bytes) else content.encode(), OPTIONS)


def parse_article(content: str | bytes) -> Article:
    reading = parse(content)
    assert reading.article is not None, reading.faults
    return reading.article


def verdict(check: Check) -> tuple[str, str | None]:
    return check.status, check.cause


def parse_fault(content: str | bytes) -> FaultKind:
    reading = parse(content)
    assert reading.article is None
    (only,) = reading.faults
    return only.kind


# Parts of articles, including hostile ones

PIECES = (
    "가람항", "Port opens", "\n", "\n\n", "\n---\n", "\n\n---\n\n", "---", "--", "\t", " ", "\u3000", "\r", "\x0b",
    "&", "&amp;", "&#38;lt;", "&#10;", '"', "'", "<b>", "=", "`", "# ", "\n\n# 제목\n\n", "**", " | ", "\nurl: https://evil.example/\n",
    "\ncontent_hash: 00\n", "\ntitle: other\n",
    "\nauthor: other\n", "\nkey: value\n", "\n*Crawled at: 2026-01-01 00:00:00*\n", "*Source: [원문 보기](x)*", "\n📊 **댓글 통계**: ",
    "\n*댓글이 없습니다.*\n", "\n## 댓글 (3 개)\n", "\n> ", "\ufeff", "\0", "😀",
)  # fmt: skip
PROSE = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
BODY = PROSE.map(str.strip)

STATISTICS = "📊 **댓글 통계**: 총 3 개 (최상위 2 | 답글 1 | BEST 0) | 최대 깊이: 1"
COMMENTS = (
    f"{STATISTICS}\n\n## 댓글 (3 개)\n\n**ganada** | 2026-03-02 10:00 | 👍 3 | 👎 0\n\n좋은 소식입니다.\n\n"
    "> **marabasa** | 2026-03-02 10:05 | 👍 1 | 👎 0\n>\n> 그렇네요.\n\n---\n\n"
    "**ajacha** | 2026-03-02 11:00 | 👍 0 | 👎 2\n\n글쎄요 & 음 <…>"
)
NO_COMMENTS = "*댓글이 없습니다.*"
RULED = "첫 단락이다.\n\n---\n\n둘째 단락이다.\n\n---\n\n셋째 단락이다."


@pytest.mark.slow
@given(BODY, PROSE, PROSE, PROSE)
@settings(deadline=None, max_examples=600)
@example("a", "제목\n---\n\n# 다른 제목\n\n---\n", "", "")
@example("a", 'x\nauthor: y\n---\n\n# "z', "", "")
@example("a", "t", "김 기자\n---\n\n# t\n\n---\n", "p")
@example("a", "t", "", "p\n---\nauthor: other\n")
@example("", "", "", "\nauthor: other\n\n\n---\n\n# ")
@example("", "", "", "\nurl: https://evil.example/\n\nauthor: other\n\n\n---\n\n# ")
@example("a\n\n---\n\n*Crawled at: 2026-01-01 00:00:00*\n*Source: [원문 보기](x)*", "t", "", "")
@example("", "", "", "")
def test_any_article_of_the_crawler_is_parsed_and_verified(body: str, title: str, author: str, publisher: str) -> None:
    for comments in (None, NO_COMMENTS):
        parsed = parse_article(ArticleFile(body=body, title=title, author=author, publisher=publisher, comments=comments).render())
        assert parsed.body == body
        assert (*verdict(parsed.check), parsed.check.recipe) == ("verified", None, "sha256(body)")
        assert parsed.check.computed == parsed.check.claimed == hashlib.sha256(body.encode()).hexdigest()


@given(BODY, PROSE, PROSE)
@settings(deadline=None, max_examples=200)
def test_line_breaks_in_author_or_title_do_not_change_the_page(body: str, title: str, author: str) -> None:
    source = ArticleFile(body=body, title=title, author=author)
    parsed = parse_article(source.render())
    assert parsed.url == source.address
    assert (parsed.crawled_at, parsed.metadata.published_at) == ("2026-03-02T00:30:00+00:00", "2026-03-02T00:00:00+00:00")
    assert (parsed.metadata.oid, parsed.metadata.aid, parsed.metadata.id) == ("901", "0000000001", "901_0000000001")
    assert (parsed.title, parsed.metadata.publisher) == (title.strip(), "한빛일보")


def test_every_header_value_is_parsed() -> None:
    source = ArticleFile(
        title="가람항: '6월' & \"개장\" = #1",
        author="김가나\n\t\t기자  \nreporter@hanbit.example",
        publisher="한빛 & 일보",
        category="경제: 항만",
        url="https://news.example/read?oid=901&aid=1",
        comments=COMMENTS,
        extra=(("language", "ko"), ("section_2", "A: B")),
    )
    parsed = parse_article(source.render())
    assert (parsed.title, parsed.body, parsed.url) == (source.title, source.body, source.url)
    assert parsed.metadata.author == "김가나 기자 reporter@hanbit.example"
    assert (parsed.metadata.publisher, parsed.metadata.category) == (source.publisher, source.category)
    assert (parsed.metadata.published_printed, parsed.metadata.published_at) == ("2026-03-02 09:00", "2026-03-02T00:00:00+00:00")
    assert parsed.metadata.extra == (("comment_count", "8"), ("language", "ko"), ("section_2", "A: B"))
    assert parsed.encoding == "utf-8"
    assert verdict(parsed.check) == ("verified", None)


# Unescaping


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_unescaping_undoes_escaping_once(raw: str) -> None:
    assert markdown.unescape(escape(raw)) == raw
    assert markdown.unescape(escape(escape(raw))) == escape(raw)


@given(st.lists(st.sampled_from(["&", "#", "x", "lt", ";", "amp", "38", "1" * 700, "가", "\n", "0" * 639 + "9"])).map("".join))
@settings(deadline=None, max_examples=200)
def test_unescaping_is_pythons_except_for_overlong_references(raw: str) -> None:
    text = re.sub(r"&#(?=[0-9]{640})", "\f", raw)
    assert markdown.unescape(raw) == html.unescape(text).replace("\f", "&#")


def test_a_value_escaped_twice_is_unescaped_once() -> None:
    parsed = parse_article(ArticleFile(title="a &amp; b", body="&lt;p&gt; &amp;#39;", author="&quot;").render())
    assert (parsed.title, parsed.body, parsed.metadata.author) == ("a &amp; b", "&lt;p&gt; &amp;#39;", "&quot;")


# The header


def render_header(*lines: str, body: str = "본문") -> str:
    return (
        "---\n" + "".join(f"{line}\n" for line in lines) + f"---\n\n# 제목\n\n**한빛** |  | \n\n---\n\n{body}\n\n---\n\n*Crawled at: x*\n"
    )


def test_header_keys_may_be_in_any_order() -> None:
    claim = hashlib.sha256("본문".encode()).hexdigest()
    lines = [f"content_hash: {claim}", "url: https://hanbit.example/1", "author: 김가나", 'title: "제목"', "publisher: 한빛", "id: 901_2"]
    parsed = parse_article(render_header(*reversed(lines)))
    assert parsed == parse_article(render_header(*lines))
    assert (parsed.url, parsed.metadata.author, parsed.title, parsed.metadata.publisher) == (
        "https://hanbit.example/1",
        "김가나",
        "제목",
        "한빛",
    )
    assert verdict(parsed.check) == ("verified", None)


@pytest.mark.parametrize(
    "missing_key", ["id", "title", "category", "publisher", "author", "published_at", "crawled_at", "url", "oid", "aid"]
)
def test_any_key_may_be_missing(missing_key: str) -> None:
    lines = ArticleFile(author="김가나", category="경제").render().split("\n")
    parsed = parse_article("\n".join(line for line in lines if not line.startswith(missing_key + ":")))
    assert (parsed.body, verdict(parsed.check)) == (ArticleFile().body, ("verified", None))
    values = {
        "id": parsed.metadata.id != "901_0000000001",
        "title": not parsed.title,
        "category": not parsed.metadata.category,
        "publisher": not parsed.metadata.publisher,
        "author": not parsed.metadata.author,
        "published_at": parsed.metadata.published_at is None,
        "crawled_at": parsed.crawled_at is None,
        "url": not parsed.url,
    }
    derived = {"id", "oid", "aid"}  # derived from each other
    assert {key for key, absent in values.items() if absent} == {missing_key} - derived
    assert (parsed.metadata.oid, parsed.metadata.aid) == ("901", "0000000001")


def test_without_content_hash_an_article_is_unclaimed() -> None:
    parsed = parse_article("\n".join(line for line in ArticleFile(body=RULED).render().split("\n") if not line.startswith("content_hash:")))
    assert (parsed.body, verdict(parsed.check), parsed.check.claimed) == (RULED, ("unclaimed", None), "")


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("author:김가나", "author", "김가나"),
        ("author:\t김가나\t기자", "author", "김가나 기자"),
        ("author: 김: 가: 나", "author", "김: 가: 나"),
        ("author: # no comment", "author", "# no comment"),
        ("author: ", "author", ""),
        ("author:", "author", ""),
        ("author: [a, {b]", "author", "[a, {b]"),
        ("category: 경제\n  항만", "category", "경제 항만"),
        ("publisher: 한빛\nhttps://hanbit.example", "publisher", "한빛 https://hanbit.example"),
        ("author: 김가나\n\n\t기자", "author", "김가나 기자"),
    ],
)
def test_header_values_are_plain_text_not_yaml(line: str, key: str, value: str) -> None:
    assert getattr(parse_article(render_header(line, "url: https://hanbit.example/1")).metadata, key) == value


@pytest.mark.parametrize(
    ("value", "title"),
    [('"제목"', "제목"), ("제목", "제목"), ('"', '"'), ('""', ""), ('"가" 나', '"가" 나'), ("&quot;가&quot;", '"가"'), ("'가'", "'가'")],
)
def test_only_the_quotes_around_a_title_are_removed(value: str, title: str) -> None:
    assert parse_article(render_header(f"title: {value}", "url: https://hanbit.example/1")).title == title


@pytest.mark.parametrize("extra_lines", ["note: 둘째 줄", "note: 둘째\nalso: 셋째", "comment_count: 3"])
def test_a_title_may_have_lines_that_look_like_keys(extra_lines: str) -> None:
    parsed = parse_article(ArticleFile(title=f"첫 줄\n{extra_lines}").render())
    assert parsed.title == f"첫 줄\n{extra_lines}"
    assert parsed.metadata.extra == ()
    assert parsed.check.status == "verified"


def test_unknown_keys_are_unescaped_once() -> None:
    parsed = parse_article(render_header("url: https://hanbit.example/1", "zeta: 1 &amp; 2", "alpha: a\n  b", "zeta: 3"))
    assert parsed.metadata.extra == (("alpha", "a\n  b\nzeta: 3"), ("zeta", "1 & 2"))


@pytest.mark.parametrize(
    "extra_lines",
    [
        "url: https://evil.example",
        "url:https://evil.example",
        "content_hash: 00",
        "content_hash: " + WRONG_DIGEST,
        "crawled_at: 1999-01-01 00:00:00",
        "oid: 666\naid: 666",
        "title: other",
        "id: 666_666",
        "publisher: other",
        "author: other",
        "category: other",
        "---",
        "---\n\n본문",
        "comment_count: 3",
        "comment_count: 3\ncomment_count: 4",
        "note: 둘째\nalso: 셋째",
        "desk: 경제\nurl: https://evil.example\ncomment_count: 3",
    ],
)
def test_a_line_break_in_the_author_changes_no_other_value(extra_lines: str) -> None:
    plain = parse_article(ArticleFile(author="김가나").render())
    parsed = parse_article(ArticleFile(author=f"김가나\n{extra_lines}\n\t끝").render())
    assert parsed.metadata.author == f"김가나 {' '.join(extra_lines.split())} 끝"
    assert (parsed.title, parsed.body, parsed.url, parsed.crawled_at) == (plain.title, plain.body, plain.url, plain.crawled_at)
    assert parsed.check == plain.check
    for key in ("id", "oid", "aid", "publisher", "category", "published_at", "extra"):
        assert getattr(parsed.metadata, key) == getattr(plain.metadata, key), key


@pytest.mark.parametrize("author", ["김가나\ncomment_count: 3", "김가나\nnote: 3", "comment_count: 3"])
def test_keys_inside_the_author_do_not_change_the_end_of_the_body(author: str) -> None:
    """Without a digest. The body contains the start of the comments in the other variant of the template."""
    body = "첫 문단이다.\n\n---\n\n## 댓글 (3)\n\n둘째 문단이다."
    parsed = parse_article(ArticleFile(author=author, claim="", body=body).render())
    assert (parsed.body, parsed.metadata.author, parsed.metadata.extra) == (body, " ".join(author.split()), ())


def test_extra_keys_are_kept_if_the_author_contains_keys() -> None:
    parsed = parse_article(ArticleFile(author="김가나\ncomment_count: 9\ndesk: x", comments=COMMENTS, extra=(("language", "ko"),)).render())
    assert parsed.metadata.author == "김가나 comment_count: 9 desk: x"
    assert parsed.metadata.extra == (("comment_count", "8"), ("language", "ko"))


def test_oid_and_aid_are_derived_from_the_id() -> None:
    parsed = parse_article(render_header("id: 901_0000000007"))
    assert (parsed.metadata.oid, parsed.metadata.aid, parsed.metadata.id) == ("901", "0000000007", "901_0000000007")


@pytest.mark.parametrize("key", ["published_at", "crawled_at"])
def test_an_invalid_time_is_a_fault_in_addition_to_the_article(key: str) -> None:
    reading = parse(render_header("url: https://hanbit.example/1", f"{key}: 어제\x1b[2J 저녁"))
    assert reading.article is not None
    assert reading.article.crawled_at is None
    assert reading.article.metadata.published_at is None
    (only,) = reading.faults
    assert only.kind == "unparsable_time"
    assert key in only.message
    assert "\x1b" not in only.message
    assert "\n" not in only.message


def test_an_empty_time_is_not_a_fault() -> None:
    assert parse(render_header("url: https://hanbit.example/1", "published_at: ", "crawled_at:")).faults == ()


# Faults


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"\n \r\n\t", "empty"),
        (b"\0" * 4096, "empty"),
        (b"# A note\n\nnothing else\n", "not_an_article"),
        (b"\n---\nid: 1_2\n---\n\nbody", "not_an_article"),
        (b"----\nid: 1_2\n----\n\nbody", "not_an_article"),
        (b"---\nlayout: post\n---\n\nA page of a site.\n", "not_an_article"),
        (b"---\n\n---\n\nbody", "not_an_article"),
        (b"---\nno header\n", "not_an_article"),
        (b"---\nid: 1_2\ntitle: \"a", "truncated_before_body"),
        (b"---\nid: 1_2\nurl: https://hanbit.example/1\n---\n", "truncated_before_body"),
        (b"---\nid: 1_2\nurl: https://hanbit.example/1\n---\n\n#", "truncated_before_body"),
        (b"---\nid: 1_2\nurl: https://hanbit.example/1\n---\n\n# a\n\n**p** | ", "truncated_before_body"),
        (b"---\nid: 1_2\ntitle: \"a\"\n---\n\n# a\n\n**p** |  | \n\n---\n\n", "truncated_before_body"),
        (b"---\n\xff\xff\xff\n---\n", "undecodable"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not_an_article"),
    ],
)  # fmt: skip
def test_a_file_without_an_article_is_a_fault_with_its_kind(content: bytes, kind: FaultKind) -> None:
    assert parse_fault(content) == kind


def test_damaged_utf8_is_a_fault() -> None:
    raw = ArticleFile().render().encode()
    at = raw.index("본문".encode()) + 1
    assert parse_fault(raw[:at] + b"\xff" + raw[at + 1 :]) == "undecodable"


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_the_reader_never_raises_on_arbitrary_bytes(raw: bytes) -> None:
    for content in (raw, b"---\n" + raw, b"---\nid: 1_2\n---\n" + raw, codecs.BOM_UTF16_LE + raw):
        for name in (b"a.md", b"a.TXT", b"a", b".md", b"\xff.html"):
            reading = formats.read_article(name, content, OPTIONS)
            assert (reading.article is None) <= bool(reading.faults)


LARGE = ArticleFile(body=RULED, author="김가나\n\t기자", comments=COMMENTS).render().encode()


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, len(LARGE)), st.integers(0, 30), st.binary(max_size=8)), max_size=5), st.integers(0, len(LARGE)))
@settings(deadline=None, max_examples=500)
def test_the_reader_never_raises_on_mutated_articles(edits: list[tuple[int, int, bytes]], end: int) -> None:
    raw = LARGE
    for at, length, replacement in edits:
        raw = raw[:at] + replacement + raw[at + length :]
    for content in (raw, raw[:end]):
        parsed = parse(content).article
        if parsed is not None and parsed.check.status == "verified":
            recipe = RECIPES[parsed.check.recipe]
            assert DIGESTS[recipe.algorithm](text_of(recipe, parsed.title, parsed.body)) == parsed.check.computed


# The body and its check


def text_of(recipe: Recipe, title: str, body: str) -> bytes:
    return {"body": body, "escaped": escape(body), "title+newline+body": f"{title}\n{body}"}[recipe.text].encode()


VARIANTS = pytest.mark.parametrize("comments", [None, COMMENTS, NO_COMMENTS], ids=["plain", "comments", "no comments"])


@VARIANTS
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
@pytest.mark.parametrize("form", ["{}", "algo:{}", "upper"])
def test_every_recipe_verifies(recipe: Recipe, comments: str | None, form: str) -> None:
    body, title = RULED + " A & B <c>", "제목 & 'title'"
    claim = DIGESTS[recipe.algorithm](text_of(recipe, title, body))
    claimed = claim.upper() if form == "upper" else form.format(claim).replace("algo", recipe.algorithm)
    parsed = parse_article(ArticleFile(body=body, title=title, claim=claimed, comments=comments).render())
    assert parsed.body == body
    assert parsed.check == Check("verified", None, claimed, claim, str(recipe))


def test_the_first_configured_recipe_that_verifies_is_reported() -> None:
    reversed_options = ReadOptions(tuple(reversed(RECIPES.values())), OPTIONS.published_zone, OPTIONS.crawled_zone)
    parsed = markdown.read_markdown(ArticleFile(body="no entities").render().encode(), reversed_options).article
    assert parsed is not None
    assert parsed.check.recipe == "sha256(escaped)"


def test_a_recipe_that_is_not_configured_does_not_verify() -> None:
    options = ReadOptions((RECIPES["sha256(body)"],), OPTIONS.published_zone, OPTIONS.crawled_zone)
    raw = ArticleFile(claim=hashlib.md5(ArticleFile().body.encode()).hexdigest()).render().encode()
    parsed = markdown.read_markdown(raw, options).article
    assert parsed is not None
    assert verdict(parsed.check) == ("mismatched", "malformed")


CLAIMS = pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (None, ("verified", None)),
        (WRONG_DIGEST, ("mismatched", "altered")),
        ("none", ("mismatched", "malformed")),
        ("", ("unclaimed", None)),
    ],
    ids=["right", "wrong", "malformed", "empty"],
)
BODIES = pytest.mark.parametrize("body", ["한 단락뿐이다.", RULED, "---\n\n위에 줄", "key: value\n---\nurl: https://evil.example/"])


@VARIANTS
@CLAIMS
@BODIES
def test_reader_comments_are_never_part_of_the_body(
    body: str, claim: str | None, expected: tuple[str, str | None], comments: str | None
) -> None:
    parsed = parse_article(ArticleFile(body=body, claim=claim, comments=comments).render())
    assert parsed.body == body
    assert verdict(parsed.check) == expected
    if expected[1] != "malformed":
        assert parsed.check.computed == hashlib.sha256(body.encode()).hexdigest()


@pytest.mark.parametrize(("claim", "status"), [(None, "verified"), (WRONG_DIGEST, "mismatched"), ("", "unclaimed")])
@pytest.mark.parametrize("footer", ["", "\n", "\n\n---\n\n*Crawled at: x*", "\n\n---\n*Crawled at: x*\n*Source: y*\n\n\n"])
def test_the_footer_may_be_missing_or_different(footer: str, claim: str | None, status: str) -> None:
    content = ArticleFile(body=RULED, claim=claim).render()
    parsed = parse_article(content[: content.rindex("\n\n---\n")] + footer)
    assert (parsed.body, parsed.check.status) == (RULED, status)
    assert parsed.check.cause == (None if status != "mismatched" else "altered" if "Crawled" in footer else "truncated")


def test_without_a_title_block_the_body_follows_the_header() -> None:
    claim = hashlib.sha256("본문".encode()).hexdigest()
    parsed = parse_article(f"---\nurl: https://hanbit.example/1\ncontent_hash: {claim}\n---\n본문")
    assert (parsed.body, verdict(parsed.check)) == ("본문", ("verified", None))
    body = "본문은 이렇다.\nurl: https://evil.example/\n\n---\n\n# 다른 제목\n\n끝."
    assert parse_article(f"---\ntitle: 제목\noid: 901\naid: 1\n---\n{body}").body == body


@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_bom_make_no_difference(end: str, bom: bytes) -> None:
    for source in (
        ArticleFile(body=RULED),
        ArticleFile(body=RULED, claim=""),
        ArticleFile(body=RULED, comments=COMMENTS, author="김\n\t기자"),
    ):
        raw = bom + source.render().replace("\n", end).encode()
        assert parse_article(raw) == parse_article(source.render())


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [("utf-16-le", b""), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE), ("cp949", b"")],
)
def test_other_encodings_are_decoded_and_recorded(encoding: str, bom: bytes) -> None:
    parsed = parse_article(bom + ArticleFile(body=RULED).render().encode(encoding))
    assert (parsed.body, parsed.encoding, parsed.check.status) == (RULED, encoding, "verified")


# Truncation

TRUNCATED = {
    "plain": ArticleFile(title="가 & 나", author="김가나\n\t기자"),
    "ruled": ArticleFile(body=RULED),
    "comments": ArticleFile(body=RULED, comments=COMMENTS),
    "ends in a rule": ArticleFile(body="첫 단락\n\n---"),
    "begins with a rule": ArticleFile(body="---\n\n단락"),
    "dashes": ArticleFile(body="첫 단락\n\n--\n\n-"),
}


def every_cut(raw: bytes) -> Iterator[bytes]:
    return (raw[:end] for end in range(len(raw)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp949"])
@pytest.mark.parametrize("name", TRUNCATED)
def test_an_article_cut_anywhere_is_a_fault_or_truncated_or_whole(name: str, encoding: str) -> None:
    source = TRUNCATED[name]
    raw = (source.render() if encoding == "utf-8" else source.render().replace("📊", "").replace("👍", "").replace("👎", "")).encode(
        encoding
    )
    outcomes: set[str] = set()
    for cut in every_cut(raw):
        reading = parse(cut)
        parsed = reading.article
        if parsed is None:
            outcomes.add(reading.faults[0].kind)
            assert reading.faults[0].kind in {"empty", "not_an_article", "truncated_before_body", "undecodable"}
            continue
        outcomes.add(parsed.check.status)
        if parsed.check.status == "verified":
            assert parsed.body == source.body
        else:
            assert verdict(parsed.check) == ("mismatched", "truncated")
            assert source.body.startswith(parsed.body) or parsed.body.startswith(source.body)
    assert {"truncated_before_body", "mismatched", "verified"} <= outcomes


@given(BODY, st.data())
@settings(deadline=None, max_examples=300)
def test_a_truncated_article_never_verifies_another_body(body: str, data: st.DataObject) -> None:
    raw = ArticleFile(body=body).render().encode()
    parsed = parse(raw[: data.draw(st.integers(0, len(raw) - 1))]).article
    if parsed is not None:
        assert parsed.check.status != "unclaimed"
        assert (parsed.check.status == "verified") <= (parsed.body == body)


def test_an_incomplete_character_at_the_end_is_truncation() -> None:
    raw = ArticleFile(body="가나다라").render().encode()
    parsed = parse_article(raw[: raw.index("라".encode()) + 1])
    assert (parsed.body, verdict(parsed.check)) == ("가나다", ("mismatched", "truncated"))


def test_a_cut_after_the_body_still_verifies() -> None:
    raw = ArticleFile(body="가나다라").render().encode()
    for end in range(raw.index("라".encode()) + 3, len(raw) + 1):
        assert (parse_article(raw[:end]).body, parse_article(raw[:end]).check.status) == ("가나다라", "verified")


@given(BODY, BODY)
@settings(deadline=None, max_examples=200)
def test_an_altered_body_is_never_verified(body: str, claimed_body: str) -> None:
    assume(body != claimed_body)
    claim = hashlib.sha256(claimed_body.encode()).hexdigest()
    parsed = parse_article(ArticleFile(body=body, claim=claim).render())
    is_whole = parsed.body == claimed_body or (parsed.check.recipe == "sha256(escaped)" and escape(parsed.body) == claimed_body)
    assert parsed.check.status == "mismatched" or is_whole


# Any file is parsed in linear time: these would take hours if the parser read anything twice.

SIZE = 5_000_000
HOSTILE = {
    "rules": "---\n",
    "rules between blank lines": "\n\n---",
    "ampersands": "&",
    "one line": "가나다라 ",
    "combining marks": "\u0301\u0323",
    "digits": "1",
    "references": "&#1",
    "names": "&ampamp;",
    "blanks": " ",
    "line ends": "\n",
    "blank lines": " \n",
    "keys": "url: x\n",
    "unknown keys": "a: x\n",
    "quotes": 'title: "\n',
    "titles": "\n---\n\n# ",
    "footers": "\n---\n*Crawled at: ",
    "comments": "\n\n---\n\n\n*댓글이",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_large_hostile_file_is_parsed(unit: str) -> None:
    filling = unit * (SIZE // len(unit.encode()))
    assert parse(b"---\n" + filling.encode()).article is None


@pytest.mark.system
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_large_hostile_body_is_parsed(unit: str) -> None:
    prefix = "&#" + unit if unit == "1" else unit
    padding = unit * (SIZE // len(unit.encode()))
    content = ArticleFile(body="@", claim=WRONG_DIGEST, comments="" if unit.startswith("\n\n---\n") else None).render()
    parsed = parse_article(content.replace("@", "a" + prefix[: -len(unit)] + padding + "\nz"))
    assert parsed.check.status == "mismatched"


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_large_hostile_author_is_parsed(unit: str) -> None:
    content = ArticleFile(author="@").render()
    assert parse(content.replace("author: @", "author: &#" + unit * (SIZE // 10 // len(unit.encode())))) != parse(content)


def test_millions_of_blanks_are_parsed_in_linear_time() -> None:
    parsed = parse_article(render_header("url: https://hanbit.example/1").rstrip("\n") + " " * SIZE + "\nmore")
    assert parsed.body.endswith("more")


@pytest.mark.slow
def test_many_keys_inside_the_author_are_parsed_in_linear_time() -> None:
    author = "a" * SIZE + "\nurl: x" * 700_000
    parsed = parse_article(ArticleFile().render().replace("author: ", "author: " + author))
    assert (parsed.url, parsed.metadata.author) == (ArticleFile().address, author.replace("\n", " "))


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "max_calls"), [(10, 25), (400_000, 3)])
def test_a_huge_header_is_parsed_a_few_times_only(lines: int, max_calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    original = markdown._parse_header

    def count(header: str) -> dict[str, str]:
        lengths.append(len(header))
        return original(header)

    monkeypatch.setattr(markdown, "_parse_header", count)
    parse(b"---\n" + b"url: value\n" * lines + b"---\n\n# t\n" * 40)
    assert 1 <= len(lengths) <= max_calls
    assert lines > 10 or len(lengths) == 21, "each line of a usual header is tried"
