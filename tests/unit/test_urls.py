"""Canonical URLs: one identity for a page, whatever the spelling of its URL."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dedup.config import UrlsConfig
from dedup.text import urls
from dedup.text.urls import Canonicaliser

SHIPPED = UrlsConfig().build_canonicaliser()
OID, AID = "901", "0000100001"
PAGE = f"https://n.news.naver.com/mnews/article/{OID}/{AID}"


def site(pattern: str, template: str) -> Canonicaliser:
    return Canonicaliser([(pattern, template)], ["utm_*"], "")


PATH_FORMS = ("n.news.naver.com/mnews/article", "n.news.naver.com/article", "m.news.naver.com/article", "news.naver.com/article")
QUERY_FORMS = (
    ("news.naver.com/main/read.naver", "oid", "aid"),
    ("news.naver.com/main/read.nhn", "oid", "aid"),
    ("m.news.naver.com/read.naver", "oid", "aid"),
    ("m.news.naver.com/read.nhn", "oid", "aid"),
    ("finance.naver.com/news/news_read.naver", "office_id", "article_id"),
    ("finance.naver.com/news/news_read.nhn", "office_id", "article_id"),
)
EXTRAS = st.lists(
    st.sampled_from(
        ["sid=101", "mode=LSD", "mid=shm", "sid1=001", "utm_source=x", "type=journalists", "ntype=", "flag", "a=%EA%B0%80", "b=1=2"]
    ),
    unique=True,
    max_size=4,
)


@st.composite
def naver_spellings(draw: st.DrawFn) -> str:
    scheme = draw(st.sampled_from(["http://", "https://", "HTTPS://", " https://", "https://someone:secret@"]))
    port = draw(st.sampled_from(["", ":80", ":443", ".", ":"]))
    parts = draw(EXTRAS)
    if draw(st.booleans()):
        address, slash = draw(st.sampled_from(PATH_FORMS)), draw(st.sampled_from(["", "/"]))
        path = f"{address}/{OID}/{AID}{slash}"
    else:
        path, office, article = draw(st.sampled_from(QUERY_FORMS))
        parts = draw(st.permutations([*parts, f"{office}={OID}", f"{article}={AID}"]))
    host, _, rest = path.partition("/")
    host = draw(st.sampled_from([host, host.upper(), host.title()]))
    fragment = draw(st.sampled_from(["", "#", "#comment", "#oid=1&aid=2", "#/article/1/2"]))
    return f"{scheme}{host}{port}/{rest}{'?' if parts else ''}{'&'.join(parts)}{fragment}"


@given(naver_spellings())
@settings(deadline=None, max_examples=400)
def test_all_naver_urls_of_an_article_are_one_page(url: str) -> None:
    assert SHIPPED.canonicalise(url) == PAGE


@pytest.mark.parametrize(
    "url",
    [
        f"https://n.news.naver.com/mnews/article/{OID}/0000100002",
        f"https://n.news.naver.com/mnews/article/902/{AID}",
        f"https://n.news.naver.com/mnews/article/comment/{OID}/{AID}",
        f"https://news.naver.com/main/read.naver?oid={OID}",
        f"https://news.naver.com/main/read.naver?oid={OID}&aid=",
        f"https://news.naver.com/main/read.naver?oid={OID}&aid=12x",
        f"https://news.naver.com/main/read.naver?OID={OID}&AID={AID}",
        f"https://n.news.naver.com.evil.example/mnews/article/{OID}/{AID}",
        f"https://evil.example/?n.news.naver.com/mnews/article/{OID}/{AID}",
        f"https://n.news.naver.com:8443/mnews/article/{OID}/{AID}",
        f"https://n.news.naver.com@evil.example/mnews/article/{OID}/{AID}",
        "https://n.news.naver.com/mnews/article/٩٠١/١",
    ],
)
def test_other_urls_are_other_pages(url: str) -> None:
    assert SHIPPED.canonicalise(url) not in (PAGE, None)


EQUIVALENT = [
    [
        "https://hanbit.example/a?b=1&a=2",
        "http://HANBIT.example:80/a?a=2&b=1#top",
        "https://me:pw@hanbit.example:443/a?a=2&utm_source=x&b=1",
    ],
    [
        "https://hanbit.example",
        "https://hanbit.example/",
        "https://hanbit.example./",
        "https://hanbit.example/#x",
        "https://hanbit.example/?fbclid=1",
    ],
    ["https://hanbit.example/%ea%b0%80", "https://hanbit.example/가", "https://hanbit.example/%EA%B0%80"],
    ["https://hanbit.example/a/../b", "https://hanbit.example/./b", "  https://hanbit.example/b\n"],
    ["https://[::1]:443/a", "http://[0:0::1]/a"],
    ["https://hanbit%2Eexample/a", "https://%48anbit.example/a", "https://ｈanbit.example/a"],
]


@pytest.mark.parametrize("spellings", EQUIVALENT, ids=lambda s: str(s[0]))
def test_equivalent_urls_are_one_page(spellings: list[str]) -> None:
    assert len({SHIPPED.canonicalise(url) for url in spellings}) == 1
    assert SHIPPED.canonicalise(spellings[0]) is not None


def test_an_international_host_and_its_punycode_are_one_host() -> None:
    punycode = "한빛.example".encode("idna").decode()
    assert SHIPPED.canonicalise("https://한빛.example/a") == SHIPPED.canonicalise(f"https://{punycode}/a") == f"https://{punycode}/a"


DIFFERENT = [
    ("https://hanbit.example/a", "https://hanbit.example/A"),
    ("https://hanbit.example/a", "https://hanbit.example/a?id=1"),
    ("https://hanbit.example/a?id=1", "https://hanbit.example/a?id=2"),
    ("https://hanbit.example/a%2Fb", "https://hanbit.example/a/b"),
    ("https://hanbit.example/a%3Fb", "https://hanbit.example/a?b"),
    ("https://hanbit.example/a?x=1%26y=2", "https://hanbit.example/a?x=1&y=2"),
    ("https://hanbit.example:8080/a", "https://hanbit.example/a"),
    ("https://www.hanbit.example/a", "https://hanbit.example/a"),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_urls_that_may_be_different_pages_stay_different(a: str, b: str) -> None:
    assert SHIPPED.canonicalise(a) != SHIPPED.canonicalise(b)


@pytest.mark.parametrize("name", ["utm_source", "utm_anything", "fbclid", "gclid", "_ga"])
def test_tracking_parameters_are_removed(name: str) -> None:
    assert SHIPPED.canonicalise(f"https://hanbit.example/a?{name}=1&id=7&{name}=2") == "https://hanbit.example/a?id=7"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "hanbit.example/a",
        "/article/1/2",
        "ftp://hanbit.example/a",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:desk@hanbit.example",
        "https://",
        "https:///a",
        "https://./a",
        "https://han bit.example/",
        "https://´.example/",
        "https://hanbit.example:99999/",
        "https://hanbit.example:port/",
        "https://[::1/a",
        "https://hanbit.example/" + "a" * urls.MAX_URL_CHARACTERS,
        "https://hanbit\u202e.example/",
        "https://" + "가" * 70 + ".example/",
        "https://hanbit.example\\@evil.example/",
        "https://me:pw\\@hanbit.example/",
        "https://me%3Apw%40hanbit.example/",
        "https://hanbit%2F.example/",
        "https://hanbit%EF%BC%8F.example/",
        "https://hanbit%2541.example/",
        "https://[v1.x]/",
        "https://[::1]x/",
        "https://x[::1]/",
    ],
)
def test_a_url_that_is_not_http_is_none(url: str) -> None:
    assert SHIPPED.canonicalise(url) is None


URL_PIECES = (
    "http://", "https://", "//", "/", "?", "#", "@", ":", "80", "443", ".", "..", "%", "%2f", "%25", "%2525", "%EA%B0%80", "%zz", "[", "]",
    "::1", "&", "=", ";", "+", " ", "\t", "\n", "\0", "\\", "가", "é", "İ", "ß", "℀", "。", "\ud800", "\u202e", "xn--", "hanbit.example",
    "utm_x=1", "n.news.naver.com", "/mnews/article/", "901", "oid=901", "aid=1", "{oid}", "{", "}", "*",
)  # fmt: skip
URL_LIKE = st.one_of(
    st.lists(st.sampled_from(URL_PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(URL_PIECES), max_size=12).map(lambda rest: "https://hanbit.example/" + "".join(rest)),
    st.text(max_size=40).map("https://hanbit.example/".__add__),
    st.text(max_size=40).map("https://hanbit.example/?".__add__),
    st.text(max_size=20).map("http://".__add__),
    st.text(),
)


@pytest.mark.system
@given(URL_LIKE)
@settings(deadline=None, max_examples=1500)
@example("https://hanbit.example/%2525252525")
@example("https://hanbit.example//a//b/;p;q?;x=1;&&==&+")
def test_canonicalising_is_idempotent_and_never_raises(url: str) -> None:
    once = SHIPPED.canonicalise(url)
    if once is not None:
        assert once.startswith("https://")
        assert SHIPPED.canonicalise(once) == once
        assert once.isascii()
        assert not set(once) & set(' \t\r\n<>"')


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\\"), max_size=30), st.text(max_size=15))
@settings(deadline=None, max_examples=400)
def test_any_path_and_query_of_a_valid_host_is_a_page(path: str, query: str) -> None:
    assert SHIPPED.canonicalise(f"https://hanbit.example/{quote(path)}?{quote(query, errors='replace')}") is not None


@given(URL_LIKE, st.text(max_size=5), st.text(max_size=5))
@settings(deadline=None)
def test_the_identity_of_a_page_never_raises(url: str, oid: str, aid: str) -> None:
    page = SHIPPED.page_url(url, oid, aid)
    assert page is None or SHIPPED.canonicalise(page) == page


def test_the_url_wins_over_the_ids() -> None:
    assert SHIPPED.page_url("https://hanbit.example/a", OID, AID) == "https://hanbit.example/a"


@pytest.mark.parametrize("url", ["", "none", "javascript:alert(1)", "https://"])
def test_without_a_usable_url_the_ids_give_one(url: str) -> None:
    assert SHIPPED.page_url(url, OID, AID) == PAGE
    assert Canonicaliser([], [], "").page_url(url, OID, AID) is None


@pytest.mark.parametrize(("oid", "aid"), [("", AID), (OID, ""), ("../..", AID), (OID, "1?x"), (OID, "{aid}"), ("", "")])
def test_invalid_ids_give_no_url(oid: str, aid: str) -> None:
    assert SHIPPED.page_url("", oid, aid) is None


def test_the_first_matching_rule_wins() -> None:
    rules = [("a.example/{x:d}", "https://first.example/{x}"), ("a.example/{x}", "https://second.example/{x}")]
    both = Canonicaliser(rules, [], "")
    assert both.canonicalise("https://a.example/12") == "https://first.example/12"
    assert both.canonicalise("https://a.example/ab") == "https://second.example/ab"


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
)
@settings(deadline=None, max_examples=300)
@example("a#b", "a#c")
@example("a/b", "a")
@example("a?b", "a")
@example("%41", "A")
def test_a_rule_does_not_merge_different_segments(a: str, b: str) -> None:
    rule = site("old.example/view/{name}", "https://new.example/{name}")
    x, y = (rule.canonicalise("https://old.example/view/" + quote(name, safe="")) for name in (a, b))
    plain = site("unused.example/{x}", "https://unused.example/{x}")
    direct = [plain.canonicalise("https://new.example/" + quote(name, safe="")) for name in (a, b)]
    if a not in (".", "..") and b not in (".", ".."):
        assert [x, y] == direct


@pytest.mark.parametrize(
    ("pattern", "template", "words"),
    [
        ("/article/{x}", "https://a.example/{x}", "names no host"),
        ("a.example/{x}", "https://a.example/{y}", "{y}"),
        ("a.example/{x}", "a.example/{x}", "https://"),
        ("a.example/{x}", "https://b.example/{x}/{", "brace"),
        ("a.example/{x}", "https://b.example/{x}}", "brace"),
        ("a.example/{x}", "https://b.example/{x!r}", "x!r"),
        ("a.example/{x}", "https://b.example/{}", "{}"),
    ],
)
def test_an_invalid_rule_is_refused_in_one_line(pattern: str, template: str, words: str) -> None:
    with pytest.raises(ValueError) as error:
        site(pattern, template)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_circular_rules_are_refused() -> None:
    rules = [("a.example/{x}", "https://b.example/{x}"), ("b.example/{x}", "https://a.example/{x}")]
    with pytest.raises(ValueError, match="another rule"):
        Canonicaliser(rules, [], "")


def test_the_recipe_depends_on_the_rules_but_not_on_the_order_of_tracking_parameters() -> None:
    rule = ("a.example/{x}", "https://a.example/{x}")
    recipe = Canonicaliser([rule], ["a", "b"], "").recipe
    assert recipe == Canonicaliser([rule], ["b", "a"], "").recipe
    assert recipe.startswith("urls/")
    others = [
        Canonicaliser([], ["a", "b"], ""),
        Canonicaliser([rule], ["a"], ""),
        Canonicaliser([rule], ["a", "b"], "https://a.example/{oid}/{aid}"),
    ]
    assert len({recipe, *(o.recipe for o in others)}) == 4


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:secret@hanbit.example/a", "https://hanbit.example/a"),
        ("https://me@x:secret@hanbit.example?q=@", "https://hanbit.example?q=@"),
        ("https://hanbit.example/@me", "https://hanbit.example/@me"),
        ("https://hanbit.example#a@b", "https://hanbit.example#a@b"),
        ("no address at all", "no address at all"),
        ("mailto:desk@hanbit.example", "mailto:desk@hanbit.example"),
        ("https:\n//me:sec\tret@hanbit.example/", "https://hanbit.example/"),
        (" https://me:secret@hanbit.example/", " https://hanbit.example/"),
        ("ftp://me:secret@hanbit.example/", "ftp://hanbit.example/"),
        ("//me:secret@hanbit.example/", "//hanbit.example/"),
        ("https:me:secret@hanbit.example/", "https:hanbit.example/"),
        ("https:/\\me:secret@hanbit.example/", "https:/\\hanbit.example/"),
        ("https://me:secret\\@hanbit.example/", "https://hanbit.example/"),
        ("https://me:sec/ret@hanbit.example/", "https://hanbit.example/"),
        ("https://me%3Asecret%40hanbit.example/", "https://hanbit.example/"),
        ("me:secret@hanbit.example/a", "hanbit.example/a"),
        ("https://hanbit.example:8080/@me", "https://hanbit.example:8080/@me"),
        ("https://[::1]:80/@me", "https://[::1]:80/@me"),
        ("https://me:secret@[::1]/a%40b", "https://[::1]/a%40b"),
    ],
)
def test_credentials_are_not_shown(url: str, expected: str) -> None:
    assert urls.strip_credentials(url) == expected
    assert urls.to_display_url(url) == expected.strip()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:pw@аpple.example:8080/а", "https://xn--pple-43d.example:8080/а"),
        ("https://한빛.example", "https://xn--xx3br43b.example"),
        ("https://ａpple.example/", "https://apple.example/"),
        ("https://a\u202eb.example/", "https://a%E2%80%AEb.example/"),
        ("https://a%EF%BC%8Fа.example/", "https://a%EF%BC%8F%D0%B0.example/"),
        ("https://hanbit.example:٨٠/", "https://hanbit.example:%D9%A8%D9%A0/"),
        ("한빛", "한빛"),
    ],
)
def test_a_misleading_host_is_displayed_unambiguously(url: str, expected: str) -> None:
    """The host of the first URL contains a Cyrillic letter."""
    assert urls.to_display_url(url) == expected
