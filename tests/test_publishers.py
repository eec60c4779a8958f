"""Which house an article is from: by id, name or host, and what it is called where no alias says so."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.text.publishers import House, Publishers

HANBIT = House("한빛일보", ("Hanbit Ilbo", "한빛 일보"), ("901", "902"), ("hanbit.example", "news.hanbit-media.example"))
GANGNARU = House("강나루신문", ("Gangnaru",), ("905",), ("gangnaru.example", "m.hanbit.example"))
BOTH = Publishers([HANBIT, GANGNARU])


@pytest.mark.parametrize("oid", ["901", "902"])
def test_an_article_is_known_by_its_id(oid: str) -> None:
    assert BOTH.house("", oid, "") == "한빛일보"
    assert BOTH.house("모르는 신문", oid, "https://other.example/1") == "한빛일보"


@pytest.mark.parametrize(
    "name", ["한빛일보", " 한빛일보\n", "Hanbit Ilbo", "hanbit ilbo", "HANBIT  ILBO", "\u3000Hanbit\u00a0\tIlbo ", "한빛 일보"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_article_is_known_by_a_name_however_it_is_spelt(name: str, form: str) -> None:
    spelt = unicodedata.normalize("NFD" if form == "NFD" else "NFC", name)
    assert BOTH.house(spelt, "", "") == "한빛일보"
    assert BOTH.house(spelt, "999", "https://other.example/1") == "한빛일보"


def test_a_name_in_the_configuration_may_be_spelt_in_any_way_too() -> None:
    publishers = Publishers([House("A", (" Caf\u00e9  NEWS ", unicodedata.normalize("NFD", "달빛"), "STRASSE"))])
    for name in ("cafe\u0301 news", "달빛", "Straße"):
        assert publishers.house(name, "", "") == "A"


def test_a_name_is_not_part_of_another() -> None:
    for name in ("한빛", "한빛일보사", "한 빛일보", "Hanbit"):
        assert BOTH.house(name, "", "") == name


@pytest.mark.parametrize(
    ("url", "house"),
    [
        ("https://hanbit.example/1", "한빛일보"),
        ("https://news.hanbit.example/1", "한빛일보"),
        ("https://a.b.hanbit.example:8080/1?x#y", "한빛일보"),
        ("HTTPS://WWW.HANBIT.EXAMPLE/1", "한빛일보"),
        ("https://user@hanbit.example/1", "한빛일보"),
        ("https://news.hanbit-media.example/1", "한빛일보"),
        ("https://m.hanbit.example/1", "강나루신문"),  # the nearest counts
        ("https://x.m.hanbit.example/1", "강나루신문"),
        ("https://hanbit-media.example/1", "hanbit-media.example"),
        ("https://nothanbit.example/1", "nothanbit.example"),
        ("https://hanbit.example.org/1", "hanbit.example.org"),
        ("https://other.example/hanbit.example", "other.example"),
    ],
)
def test_an_article_is_known_by_its_host_or_one_above(url: str, house: str) -> None:
    assert BOTH.house("", "", url) == house


def test_hosts_of_the_configuration_may_be_spelt_in_capitals() -> None:
    assert Publishers([House("A", hosts=("News.Example.KR",))]).house("b", "", "https://news.example.kr/") == "A"


def test_the_id_goes_before_the_name_and_the_name_before_the_host() -> None:
    url = "https://hanbit.example/1"
    assert BOTH.house("강나루신문", "901", "https://gangnaru.example/1") == "한빛일보"
    assert BOTH.house("Gangnaru", "999", url) == "강나루신문"
    assert BOTH.house("다른 신문", "999", url) == "한빛일보"
    assert BOTH.house("", "905", url) == "강나루신문"


@pytest.mark.parametrize("publishers", [Publishers(), BOTH], ids=["none", "others"])
def test_without_an_alias_a_house_goes_by_its_name_as_printed_its_id_or_its_host(publishers: Publishers) -> None:
    url = "https://www.other.example/1"
    assert publishers.house(" 다른\u00a0 신문\n", "77", url) == "다른 신문"
    assert publishers.house(unicodedata.normalize("NFD", "다른 신문"), "77", url) == "다른 신문"
    assert publishers.house("The Other", "", "") == "The Other"
    assert publishers.house("", "77", url) == publishers.house(" \n", "77", url) == "oid 77"
    assert publishers.house("", "", url) == "www.other.example"
    assert publishers.house("", "", "") == ""


@given(st.text(max_size=12), st.sampled_from(["", "7"]), st.sampled_from(["", "https://a.example/", "https://localhost/x"]))
@settings(deadline=None)
def test_a_house_without_an_alias_is_the_same_whatever_others_are_configured(publisher: str, oid: str, url: str) -> None:
    bare = Publishers().house(publisher, oid, url)
    assert BOTH.house(publisher, oid, url) == bare
    assert Publishers().house(bare, oid, url) == bare
    assert bare == " ".join(bare.split())


def test_a_house_is_called_as_it_was_first_configured() -> None:
    assert Publishers([House("Hanbit DAILY", ("hanbit",))]).house("HANBIT daily", "", "") == "Hanbit DAILY"
    assert Publishers([House("A", oids=("1",)), House("A", ("B",), ("1", "2"))]).house("b", "", "") == "A"


@pytest.mark.parametrize(
    ("other", "claimed"),
    [
        (House("B", names=("hanbit  ilbo",)), "hanbit ilbo"),
        (House("한빛 일보"), "한빛 일보"),
        (House("hanbit ILBO"), "hanbit ilbo"),
        (House("B", names=(unicodedata.normalize("NFD", "한빛일보"),)), "한빛일보"),
        (House("B", oids=("1", "902")), "902"),
        (House("B", hosts=("HANBIT.example",)), "hanbit.example"),
    ],
)
def test_what_two_houses_claim_is_refused(other: House, claimed: str) -> None:
    for houses in ([HANBIT, other], [other, HANBIT], [GANGNARU, other, HANBIT]):
        with pytest.raises(ValueError, match="is claimed by") as refused:
            Publishers(houses)
        assert repr(claimed) in str(refused.value)
        assert repr("한빛일보") in str(refused.value)
        assert repr(other.name) in str(refused.value)


def test_a_host_below_another_houses_is_no_conflict() -> None:
    publishers = Publishers([House("A", hosts=("example.kr",)), House("B", hosts=("b.example.kr",))])
    assert [publishers.house("", "", f"https://{host}/") for host in ("example.kr", "b.example.kr", "c.example.kr")] == ["A", "B", "A"]


def test_an_address_that_is_none_has_no_host() -> None:
    assert Publishers([House("한빛일보", hosts=("hanbit.example",))]).house("", "", "http://[x") == ""
