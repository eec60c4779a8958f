"""The crawler's Markdown: header, title block, body, comments, footer; and whether the claimed digest is right."""

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
WRONG = "0" * 64


def read(content: str | bytes) -> ParseResult:
    return markdown.read_markdown(content if isinstance(content, bytes) else content.encode(), OPTIONS)


def article(content: str | bytes) -> Article:
    reading = read(content)
    assert reading.article is not None, reading.faults
    return reading.article


def verdict(check: Check) -> tuple[str, str | None]:
    return check.status, check.cause


def fault(content: str | bytes) -> FaultKind:
    reading = read(content)
    assert reading.article is None
    (only,) = reading.faults
    return only.kind


# What articles are made of, hostile pieces included.

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
def test_whatever_the_crawler_wrote_is_read_back_and_verified(body: str, title: str, author: str, publisher: str) -> None:
    for comments in (None, NO_COMMENTS):
        found = article(ArticleFile(body=body, title=title, author=author, publisher=publisher, comments=comments).render())
        assert found.body == body
        assert (*verdict(found.check), found.check.recipe) == ("verified", None, "sha256(body)")
        assert found.check.computed == found.check.claimed == hashlib.sha256(body.encode()).hexdigest()


@given(BODY, PROSE, PROSE)
@settings(deadline=None, max_examples=200)
def test_nothing_that_an_author_or_title_spills_displaces_the_page(body: str, title: str, author: str) -> None:
    made = ArticleFile(body=body, title=title, author=author)
    found = article(made.render())
    assert found.url == made.address
    assert (found.crawled_at, found.metadata.published_at) == ("2026-03-02T00:30:00+00:00", "2026-03-02T00:00:00+00:00")
    assert (found.metadata.oid, found.metadata.aid, found.metadata.id) == ("901", "0000000001", "901_0000000001")
    assert (found.title, found.metadata.publisher) == (title.strip(), "한빛일보")


def test_every_value_finds_its_place() -> None:
    made = ArticleFile(
        title="가람항: '6월' & \"개장\" = #1",
        author="김가나\n\t\t기자  \nreporter@hanbit.example",
        publisher="한빛 & 일보",
        category="경제: 항만",
        url="https://news.example/read?oid=901&aid=1",
        comments=COMMENTS,
        extra=(("language", "ko"), ("section_2", "A: B")),
    )
    found = article(made.render())
    assert (found.title, found.body, found.url) == (made.title, made.body, made.url)
    assert found.metadata.author == "김가나 기자 reporter@hanbit.example"
    assert (found.metadata.publisher, found.metadata.category) == (made.publisher, made.category)
    assert (found.metadata.published_printed, found.metadata.published_at) == ("2026-03-02 09:00", "2026-03-02T00:00:00+00:00")
    assert found.metadata.extra == (("comment_count", "8"), ("language", "ko"), ("section_2", "A: B"))
    assert found.encoding == "utf-8"
    assert verdict(found.check) == ("verified", None)


# Unescaping.


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(deadline=None)
def test_unescaping_undoes_escaping_once(raw: str) -> None:
    assert markdown.unescape(escape(raw)) == raw
    assert markdown.unescape(escape(escape(raw))) == escape(raw)


@given(st.lists(st.sampled_from(["&", "#", "x", "lt", ";", "amp", "38", "1" * 700, "가", "\n", "0" * 639 + "9"])).map("".join))
@settings(deadline=None, max_examples=200)
def test_unescaping_is_pythons_but_for_numbers_too_long_to_mean_a_character(raw: str) -> None:
    set_aside = re.sub(r"&#(?=[0-9]{640})", "\f", raw)
    assert markdown.unescape(raw) == html.unescape(set_aside).replace("\f", "&#")


def test_a_value_escaped_twice_stays_escaped_once() -> None:
    found = article(ArticleFile(title="a &amp; b", body="&lt;p&gt; &amp;#39;", author="&quot;").render())
    assert (found.title, found.body, found.metadata.author) == ("a &amp; b", "&lt;p&gt; &amp;#39;", "&quot;")


# The header.


def headed(*lines: str, body: str = "본문") -> str:
    return (
        "---\n" + "".join(f"{line}\n" for line in lines) + f"---\n\n# 제목\n\n**한빛** |  | \n\n---\n\n{body}\n\n---\n\n*Crawled at: x*\n"
    )


def test_the_keys_may_stand_in_any_order() -> None:
    claim = hashlib.sha256("본문".encode()).hexdigest()
    lines = [f"content_hash: {claim}", "url: https://hanbit.example/1", "author: 김가나", 'title: "제목"', "publisher: 한빛", "id: 901_2"]
    found = article(headed(*reversed(lines)))
    assert found == article(headed(*lines))
    assert (found.url, found.metadata.author, found.title, found.metadata.publisher) == (
        "https://hanbit.example/1",
        "김가나",
        "제목",
        "한빛",
    )
    assert verdict(found.check) == ("verified", None)


@pytest.mark.parametrize("missing", ["id", "title", "category", "publisher", "author", "published_at", "crawled_at", "url", "oid", "aid"])
def test_any_key_may_be_missing(missing: str) -> None:
    lines = ArticleFile(author="김가나", category="경제").render().split("\n")
    found = article("\n".join(line for line in lines if not line.startswith(missing + ":")))
    assert (found.body, verdict(found.check)) == (ArticleFile().body, ("verified", None))
    values = {
        "id": found.metadata.id != "901_0000000001",
        "title": not found.title,
        "category": not found.metadata.category,
        "publisher": not found.metadata.publisher,
        "author": not found.metadata.author,
        "published_at": found.metadata.published_at is None,
        "crawled_at": found.crawled_at is None,
        "url": not found.url,
    }
    made_up_from_others = {"id", "oid", "aid"}  # each follows from the rest
    assert {key for key, absent in values.items() if absent} == {missing} - made_up_from_others
    assert (found.metadata.oid, found.metadata.aid) == ("901", "0000000001")


def test_without_content_hash_an_article_is_unclaimed() -> None:
    found = article("\n".join(line for line in ArticleFile(body=RULED).render().split("\n") if not line.startswith("content_hash:")))
    assert (found.body, verdict(found.check), found.check.claimed) == (RULED, ("unclaimed", None), "")


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
def test_values_are_plain_text_not_yaml(line: str, key: str, value: str) -> None:
    assert getattr(article(headed(line, "url: https://hanbit.example/1")).metadata, key) == value


@pytest.mark.parametrize(
    ("printed", "title"),
    [('"제목"', "제목"), ("제목", "제목"), ('"', '"'), ('""', ""), ('"가" 나', '"가" 나'), ("&quot;가&quot;", '"가"'), ("'가'", "'가'")],
)
def test_a_title_loses_the_quotes_around_it_and_no_others(printed: str, title: str) -> None:
    assert article(headed(f"title: {printed}", "url: https://hanbit.example/1")).title == title


@pytest.mark.parametrize("spilt", ["note: 둘째 줄", "note: 둘째\nalso: 셋째", "comment_count: 3"])
def test_a_title_over_several_lines_is_one_even_where_a_line_looks_like_a_key(spilt: str) -> None:
    found = article(ArticleFile(title=f"첫 줄\n{spilt}").render())
    assert found.title == f"첫 줄\n{spilt}"
    assert found.metadata.extra == ()
    assert found.check.status == "verified"


def test_unknown_keys_are_kept_once_unescaped() -> None:
    found = article(headed("url: https://hanbit.example/1", "zeta: 1 &amp; 2", "alpha: a\n  b", "zeta: 3"))
    assert found.metadata.extra == (("alpha", "a\n  b\nzeta: 3"), ("zeta", "1 & 2"))


@pytest.mark.parametrize(
    "spilt",
    [
        "url: https://evil.example",
        "url:https://evil.example",
        "content_hash: 00",
        "content_hash: " + WRONG,
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
def test_a_line_spilt_by_the_author_displaces_nothing(spilt: str) -> None:
    plain = article(ArticleFile(author="김가나").render())
    found = article(ArticleFile(author=f"김가나\n{spilt}\n\t끝").render())
    assert found.metadata.author == f"김가나 {' '.join(spilt.split())} 끝"
    assert (found.title, found.body, found.url, found.crawled_at) == (plain.title, plain.body, plain.url, plain.crawled_at)
    assert found.check == plain.check
    for key in ("id", "oid", "aid", "publisher", "category", "published_at", "extra"):
        assert getattr(found.metadata, key) == getattr(plain.metadata, key), key


@pytest.mark.parametrize("author", ["김가나\ncomment_count: 3", "김가나\nnote: 3", "comment_count: 3"])
def test_what_an_author_spills_does_not_decide_where_the_body_ends(author: str) -> None:
    """Without a digest: the body holds what begins the comments in the other variant of the template."""
    body = "첫 문단이다.\n\n---\n\n## 댓글 (3)\n\n둘째 문단이다."
    found = article(ArticleFile(author=author, claim="", body=body).render())
    assert (found.body, found.metadata.author, found.metadata.extra) == (body, " ".join(author.split()), ())


def test_keys_after_the_template_are_kept_whatever_the_author_spills() -> None:
    found = article(ArticleFile(author="김가나\ncomment_count: 9\ndesk: x", comments=COMMENTS, extra=(("language", "ko"),)).render())
    assert found.metadata.author == "김가나 comment_count: 9 desk: x"
    assert found.metadata.extra == (("comment_count", "8"), ("language", "ko"))


def test_an_article_told_by_id_alone_has_oid_and_aid() -> None:
    found = article(headed("id: 901_0000000007"))
    assert (found.metadata.oid, found.metadata.aid, found.metadata.id) == ("901", "0000000007", "901_0000000007")


@pytest.mark.parametrize("key", ["published_at", "crawled_at"])
def test_an_unreadable_time_is_a_fault_beside_the_article(key: str) -> None:
    reading = read(headed("url: https://hanbit.example/1", f"{key}: 어제\x1b[2J 저녁"))
    assert reading.article is not None
    assert reading.article.crawled_at is None
    assert reading.article.metadata.published_at is None
    (only,) = reading.faults
    assert only.kind == "unparsable_time"
    assert key in only.message
    assert "\x1b" not in only.message
    assert "\n" not in only.message


def test_an_empty_time_is_no_fault() -> None:
    assert read(headed("url: https://hanbit.example/1", "published_at: ", "crawled_at:")).faults == ()


# Faults.


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
def test_a_file_that_gives_no_article_says_why(content: bytes, kind: FaultKind) -> None:
    assert fault(content) == kind


def test_damaged_utf8_is_a_fault() -> None:
    raw = ArticleFile().render().encode()
    at = raw.index("본문".encode()) + 1
    assert fault(raw[:at] + b"\xff" + raw[at + 1 :]) == "undecodable"


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_the_reader_never_raises_on_arbitrary_bytes(raw: bytes) -> None:
    for content in (raw, b"---\n" + raw, b"---\nid: 1_2\n---\n" + raw, codecs.BOM_UTF16_LE + raw):
        for name in (b"a.md", b"a.TXT", b"a", b".md", b"\xff.html"):
            reading = formats.read_article(name, content, OPTIONS)
            assert (reading.article is None) <= bool(reading.faults)


LARGE = ArticleFile(body=RULED, author="김가나\n\t기자", comments=COMMENTS).render().encode()


@given(st.lists(st.tuples(st.integers(0, len(LARGE)), st.integers(0, 30), st.binary(max_size=8)), max_size=5), st.integers(0, len(LARGE)))
@settings(deadline=None, max_examples=500)
def test_the_reader_never_raises_on_mutated_articles(edits: list[tuple[int, int, bytes]], end: int) -> None:
    raw = LARGE
    for at, length, instead in edits:
        raw = raw[:at] + instead + raw[at + length :]
    for content in (raw, raw[:end]):
        found = read(content).article
        if found is not None and found.check.status == "verified":
            recipe = RECIPES[found.check.recipe]
            assert DIGESTS[recipe.algorithm](text_of(recipe, found.title, found.body)) == found.check.computed


# The body and its check.


def text_of(recipe: Recipe, title: str, body: str) -> bytes:
    return {"body": body, "escaped": escape(body), "title+newline+body": f"{title}\n{body}"}[recipe.text].encode()


VARIANTS = pytest.mark.parametrize("comments", [None, COMMENTS, NO_COMMENTS], ids=["plain", "comments", "no comments"])


@VARIANTS
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=str)
@pytest.mark.parametrize("spelt", ["{}", "algo:{}", "upper"])
def test_every_recipe_verifies(recipe: Recipe, comments: str | None, spelt: str) -> None:
    body, title = RULED + " A & B <c>", "제목 & 'title'"
    claim = DIGESTS[recipe.algorithm](text_of(recipe, title, body))
    written = claim.upper() if spelt == "upper" else spelt.format(claim).replace("algo", recipe.algorithm)
    found = article(ArticleFile(body=body, title=title, claim=written, comments=comments).render())
    assert found.body == body
    assert found.check == Check("verified", None, written, claim, str(recipe))


def test_of_recipes_that_agree_the_first_configured_one_is_named() -> None:
    last_first = ReadOptions(tuple(reversed(RECIPES.values())), OPTIONS.published_zone, OPTIONS.crawled_zone)
    found = markdown.read_markdown(ArticleFile(body="no entities").render().encode(), last_first).article
    assert found is not None
    assert found.check.recipe == "sha256(escaped)"


def test_a_recipe_that_is_not_configured_does_not_verify() -> None:
    only = ReadOptions((RECIPES["sha256(body)"],), OPTIONS.published_zone, OPTIONS.crawled_zone)
    raw = ArticleFile(claim=hashlib.md5(ArticleFile().body.encode()).hexdigest()).render().encode()
    found = markdown.read_markdown(raw, only).article
    assert found is not None
    assert verdict(found.check) == ("mismatched", "malformed")


CLAIMS = pytest.mark.parametrize(
    ("claim", "expected"),
    [(None, ("verified", None)), (WRONG, ("mismatched", "altered")), ("none", ("mismatched", "malformed")), ("", ("unclaimed", None))],
    ids=["right", "wrong", "malformed", "empty"],
)
BODIES = pytest.mark.parametrize("body", ["한 단락뿐이다.", RULED, "---\n\n위에 줄", "key: value\n---\nurl: https://evil.example/"])


@VARIANTS
@CLAIMS
@BODIES
def test_reader_comments_are_never_part_of_the_body(
    body: str, claim: str | None, expected: tuple[str, str | None], comments: str | None
) -> None:
    found = article(ArticleFile(body=body, claim=claim, comments=comments).render())
    assert found.body == body
    assert verdict(found.check) == expected
    if expected[1] != "malformed":
        assert found.check.computed == hashlib.sha256(body.encode()).hexdigest()


@pytest.mark.parametrize(("claim", "status"), [(None, "verified"), (WRONG, "mismatched"), ("", "unclaimed")])
@pytest.mark.parametrize("footer", ["", "\n", "\n\n---\n\n*Crawled at: x*", "\n\n---\n*Crawled at: x*\n*Source: y*\n\n\n"])
def test_the_footer_may_be_missing_or_spelt_otherwise(footer: str, claim: str | None, status: str) -> None:
    whole = ArticleFile(body=RULED, claim=claim).render()
    found = article(whole[: whole.rindex("\n\n---\n")] + footer)
    assert (found.body, found.check.status) == (RULED, status)
    assert found.check.cause == (None if status != "mismatched" else "altered" if "Crawled" in footer else "truncated")


def test_without_a_title_block_the_body_follows_the_header() -> None:
    claim = hashlib.sha256("본문".encode()).hexdigest()
    found = article(f"---\nurl: https://hanbit.example/1\ncontent_hash: {claim}\n---\n본문")
    assert (found.body, verdict(found.check)) == ("본문", ("verified", None))
    quoted = "본문은 이렇다.\nurl: https://evil.example/\n\n---\n\n# 다른 제목\n\n끝."
    assert article(f"---\ntitle: 제목\noid: 901\naid: 1\n---\n{quoted}").body == quoted


@pytest.mark.parametrize("bom", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_bom_make_no_difference(end: str, bom: bytes) -> None:
    for made in (
        ArticleFile(body=RULED),
        ArticleFile(body=RULED, claim=""),
        ArticleFile(body=RULED, comments=COMMENTS, author="김\n\t기자"),
    ):
        raw = bom + made.render().replace("\n", end).encode()
        assert article(raw) == article(made.render())


@pytest.mark.parametrize(
    ("encoding", "bom"),
    [("utf-16-le", b""), ("utf-16-le", codecs.BOM_UTF16_LE), ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE), ("cp949", b"")],
)
def test_other_encodings_are_read_and_noted(encoding: str, bom: bytes) -> None:
    found = article(bom + ArticleFile(body=RULED).render().encode(encoding))
    assert (found.body, found.encoding, found.check.status) == (RULED, encoding, "verified")


# Truncation.

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
    made = TRUNCATED[name]
    raw = (made.render() if encoding == "utf-8" else made.render().replace("📊", "").replace("👍", "").replace("👎", "")).encode(encoding)
    seen: set[str] = set()
    for cut in every_cut(raw):
        reading = read(cut)
        found = reading.article
        if found is None:
            seen.add(reading.faults[0].kind)
            assert reading.faults[0].kind in {"empty", "not_an_article", "truncated_before_body", "undecodable"}
            continue
        seen.add(found.check.status)
        if found.check.status == "verified":
            assert found.body == made.body
        else:
            assert verdict(found.check) == ("mismatched", "truncated")
            assert made.body.startswith(found.body) or found.body.startswith(made.body)
    assert {"truncated_before_body", "mismatched", "verified"} <= seen


@given(BODY, st.data())
@settings(deadline=None, max_examples=300)
def test_a_cut_article_never_passes_for_another_body(body: str, data: st.DataObject) -> None:
    raw = ArticleFile(body=body).render().encode()
    found = read(raw[: data.draw(st.integers(0, len(raw) - 1))]).article
    if found is not None:
        assert found.check.status != "unclaimed"
        assert (found.check.status == "verified") <= (found.body == body)


def test_a_character_cut_in_two_is_truncation_of_the_body() -> None:
    raw = ArticleFile(body="가나다라").render().encode()
    found = article(raw[: raw.index("라".encode()) + 1])
    assert (found.body, verdict(found.check)) == ("가나다", ("mismatched", "truncated"))


def test_a_cut_after_the_body_is_whole_does_no_harm() -> None:
    raw = ArticleFile(body="가나다라").render().encode()
    for end in range(raw.index("라".encode()) + 3, len(raw) + 1):
        assert (article(raw[:end]).body, article(raw[:end]).check.status) == ("가나다라", "verified")


@given(BODY, BODY)
@settings(deadline=None, max_examples=200)
def test_an_altered_body_is_never_verified(body: str, other: str) -> None:
    assume(body != other)
    claim = hashlib.sha256(other.encode()).hexdigest()
    found = article(ArticleFile(body=body, claim=claim).render())
    whole_part = found.body == other or (found.check.recipe == "sha256(escaped)" and escape(found.body) == other)
    assert found.check.status == "mismatched" or whole_part


# Whatever the file holds, it is read in linear time: these would take hours if anything were looked at twice over.

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
def test_a_large_hostile_file_is_read(unit: str) -> None:
    filling = unit * (SIZE // len(unit.encode()))
    assert read(b"---\n" + filling.encode()).article is None


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_large_hostile_body_is_read(unit: str) -> None:
    unescaped = "&#" + unit if unit == "1" else unit
    filling = unit * (SIZE // len(unit.encode()))
    whole = ArticleFile(body="@", claim=WRONG, comments="" if unit.startswith("\n\n---\n") else None).render()
    found = article(whole.replace("@", "a" + unescaped[: -len(unit)] + filling + "\nz"))
    assert found.check.status == "mismatched"


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_large_hostile_author_is_read(unit: str) -> None:
    whole = ArticleFile(author="@").render()
    assert read(whole.replace("author: @", "author: &#" + unit * (SIZE // 10 // len(unit.encode())))) != read(whole)


def test_a_footer_followed_by_millions_of_blanks_is_looked_at_once() -> None:
    found = article(headed("url: https://hanbit.example/1").rstrip("\n") + " " * SIZE + "\nmore")
    assert found.body.endswith("more")


def test_hundreds_of_thousands_of_spilt_keys_are_put_together_once() -> None:
    author = "a" * SIZE + "\nurl: x" * 700_000
    found = article(ArticleFile().render().replace("author: ", "author: " + author))
    assert (found.url, found.metadata.author) == (ArticleFile().address, author.replace("\n", " "))


@pytest.mark.parametrize(("lines", "most"), [(10, 25), (400_000, 3)])
def test_a_huge_header_is_not_taken_apart_for_every_line_that_may_close_it(lines: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    apart = markdown._parse_header

    def counted(header: str) -> dict[str, str]:
        taken.append(len(header))
        return apart(header)

    monkeypatch.setattr(markdown, "_parse_header", counted)
    read(b"---\n" + b"url: value\n" * lines + b"---\n\n# t\n" * 40)
    assert 1 <= len(taken) <= most
    assert lines > 10 or len(taken) == 21, "usual headers are looked at with care"
