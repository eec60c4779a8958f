"""The publisher of an article: found by id, name or host, and its name without a configured alias."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.text.publishers import Publisher, PublisherResolver

HANBIT = Publisher("한빛일보", ("Hanbit Ilbo", "한빛 일보"), ("901", "902"), ("hanbit.example", "news.hanbit-media.example"))
GANGNARU = Publisher("강나루신문", ("Gangnaru",), ("905",), ("gangnaru.example", "m.hanbit.example"))
BOTH = PublisherResolver([HANBIT, GANGNARU])


@pytest.mark.parametrize("oid", ["901", "902"])
def test_an_id_resolves_to_the_publisher(oid: str) -> None:
    assert BOTH.canonical_name("", oid, "") == "한빛일보"
    assert BOTH.canonical_name("모르는 신문", oid, "https://other.example/1") == "한빛일보"


@pytest.mark.parametrize(
    "name", ["한빛일보", " 한빛일보\n", "Hanbit Ilbo", "hanbit ilbo", "HANBIT  ILBO", "\u3000Hanbit\u00a0\tIlbo ", "한빛 일보"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_any_spelling_of_a_name_resolves_to_the_publisher(name: str, form: str) -> None:
    spelling = unicodedata.normalize("NFD" if form == "NFD" else "NFC", name)
    assert BOTH.canonical_name(spelling, "", "") == "한빛일보"
    assert BOTH.canonical_name(spelling, "999", "https://other.example/1") == "한빛일보"


def test_the_spelling_of_a_configured_name_does_not_matter() -> None:
    publishers = PublisherResolver([Publisher("A", (" Caf\u00e9  NEWS ", unicodedata.normalize("NFD", "달빛"), "STRASSE"))])
    for name in ("cafe\u0301 news", "달빛", "Straße"):
        assert publishers.canonical_name(name, "", "") == "A"


def test_a_part_of_a_name_does_not_resolve() -> None:
    for name in ("한빛", "한빛일보사", "한 빛일보", "Hanbit"):
        assert BOTH.canonical_name(name, "", "") == name


@pytest.mark.parametrize(
    ("url", "publisher"),
    [
        ("https://hanbit.example/1", "한빛일보"),
        ("https://news.hanbit.example/1", "한빛일보"),
        ("https://a.b.hanbit.example:8080/1?x#y", "한빛일보"),
        ("HTTPS://WWW.HANBIT.EXAMPLE/1", "한빛일보"),
        ("https://user@hanbit.example/1", "한빛일보"),
        ("https://news.hanbit-media.example/1", "한빛일보"),
        ("https://m.hanbit.example/1", "강나루신문"),  # the longest matching host wins
        ("https://x.m.hanbit.example/1", "강나루신문"),
        ("https://hanbit-media.example/1", "hanbit-media.example"),
        ("https://nothanbit.example/1", "nothanbit.example"),
        ("https://hanbit.example.org/1", "hanbit.example.org"),
        ("https://other.example/hanbit.example", "other.example"),
    ],
)
def test_a_host_or_its_parent_resolves_to_the_publisher(url: str, publisher: str) -> None:
    assert BOTH.canonical_name("", "", url) == publisher


def test_the_case_of_configured_hosts_does_not_matter() -> None:
    assert PublisherResolver([Publisher("A", hosts=("News.Example.KR",))]).canonical_name("b", "", "https://news.example.kr/") == "A"


def test_the_id_wins_over_the_name_and_the_name_over_the_host() -> None:
    url = "https://hanbit.example/1"
    assert BOTH.canonical_name("강나루신문", "901", "https://gangnaru.example/1") == "한빛일보"
    assert BOTH.canonical_name("Gangnaru", "999", url) == "강나루신문"
    assert BOTH.canonical_name("다른 신문", "999", url) == "한빛일보"
    assert BOTH.canonical_name("", "905", url) == "강나루신문"


@pytest.mark.parametrize("publishers", [PublisherResolver(), BOTH], ids=["none", "others"])
def test_without_an_alias_the_name_is_the_printed_name_the_id_or_the_host(publishers: PublisherResolver) -> None:
    url = "https://www.other.example/1"
    assert publishers.canonical_name(" 다른\u00a0 신문\n", "77", url) == "다른 신문"
    assert publishers.canonical_name(unicodedata.normalize("NFD", "다른 신문"), "77", url) == "다른 신문"
    assert publishers.canonical_name("The Other", "", "") == "The Other"
    assert publishers.canonical_name("", "77", url) == publishers.canonical_name(" \n", "77", url) == "oid 77"
    assert publishers.canonical_name("", "", url) == "www.other.example"
    assert publishers.canonical_name("", "", "") == ""


@given(st.text(max_size=12), st.sampled_from(["", "7"]), st.sampled_from(["", "https://a.example/", "https://localhost/x"]))
@settings(deadline=None)
def test_a_name_without_an_alias_does_not_depend_on_other_aliases(publisher: str, oid: str, url: str) -> None:
    bare = PublisherResolver().canonical_name(publisher, oid, url)
    assert BOTH.canonical_name(publisher, oid, url) == bare
    assert PublisherResolver().canonical_name(bare, oid, url) == bare
    assert bare == " ".join(bare.split())


def test_the_canonical_name_is_spelt_as_configured_first() -> None:
    assert PublisherResolver([Publisher("Hanbit DAILY", ("hanbit",))]).canonical_name("HANBIT daily", "", "") == "Hanbit DAILY"
    assert PublisherResolver([Publisher("A", oids=("1",)), Publisher("A", ("B",), ("1", "2"))]).canonical_name("b", "", "") == "A"


@pytest.mark.parametrize(
    ("other", "value"),
    [
        (Publisher("B", aliases=("hanbit  ilbo",)), "hanbit ilbo"),
        (Publisher("한빛 일보"), "한빛 일보"),
        (Publisher("hanbit ILBO"), "hanbit ilbo"),
        (Publisher("B", aliases=(unicodedata.normalize("NFD", "한빛일보"),)), "한빛일보"),
        (Publisher("B", oids=("1", "902")), "902"),
        (Publisher("B", hosts=("HANBIT.example",)), "hanbit.example"),
    ],
)
def test_a_name_id_or_host_of_two_publishers_is_refused(other: Publisher, value: str) -> None:
    for publishers in ([HANBIT, other], [other, HANBIT], [GANGNARU, other, HANBIT]):
        with pytest.raises(ValueError, match="is claimed by") as error:
            PublisherResolver(publishers)
        assert repr(value) in str(error.value)
        assert repr("한빛일보") in str(error.value)
        assert repr(other.name) in str(error.value)


def test_a_host_below_the_host_of_another_publisher_is_accepted() -> None:
    publishers = PublisherResolver([Publisher("A", hosts=("example.kr",)), Publisher("B", hosts=("b.example.kr",))])
    assert [publishers.canonical_name("", "", f"https://{host}/") for host in ("example.kr", "b.example.kr", "c.example.kr")] == [
        "A",
        "B",
        "A",
    ]


def test_an_invalid_url_has_no_host() -> None:
    assert PublisherResolver([Publisher("한빛일보", hosts=("hanbit.example",))]).canonical_name("", "", "http://[x") == ""
