"""The sample crawl in dedup/share/sample/crawl, file by file: the purpose of each file and its expected result.

The relations were computed from the files' bodies by `tests/builders/relations.py`, the definitions in plain Python, which
`tests/unit/test_relations_oracle.py` repeats. Except for the first wire stories, every measure is at least 10 % away from its threshold.
The page histories were determined without dedup.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Check = Literal["verified", "mismatched", "unclaimed"]
Cause = Literal["truncated", "stale", "altered", "malformed"]
FaultKind = Literal["empty", "not_an_article", "truncated_before_body", "no_url"]
RelationKind = Literal["exact", "near", "copy", "excerpt", "quote"]


@dataclass(frozen=True)
class Expected:
    """The expected reading of one file. A file with a fault has no check and no page."""

    path: str  # relative to crawl/
    check: Check | None
    cause: Cause | None  # as decided with the page's history; without it, "stale" is "altered"
    url: str | None  # of the page, canonical
    note: str
    fault: FaultKind | None = None


@dataclass(frozen=True)
class Page:
    """The history of a page with several sightings. Truncated readings do not count."""

    url: str
    states: int  # distinct (title, body)
    sightings: int  # distinct (crawled_at, state)
    changes: int  # of state, between successive sightings
    returned: int  # changes back to an earlier state


@dataclass(frozen=True)
class Related:
    """Two related pages, a < b, and their relation."""

    a: str
    b: str
    relation: RelationKind
    similarity: float  # Jaccard, 2 decimals
    coverage: float  # share of the shorter text, without known boilerplate; 2 decimals
    note: str
    revision: str | None = None  # the file of the earlier revision, if the relation is not that of the latest


@dataclass(frozen=True)
class Unrelated:
    """Two pages that look related and must not be reported."""

    a: str
    b: str
    shared: int  # characters in common runs of 20
    note: str


FILES: tuple[Expected, ...] = (
    # A Korean wire story, run by an agency and three newspapers.
    Expected(
        "2026-03-02/901_0000100001_가람항_자동화_부두_6월_개장연간_120만_상자_처리.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "Korean wire story, the agency's own text",
    ),
    Expected(
        "2026-03-02/hanbit_101_사람_없는_크레인_가람항에_들어선다.md",
        "verified",
        None,
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "the wire with another lead and a copyright tail",
    ),
    Expected(
        "2026-03-02/903_0000100012_가람항_자동화부두_6월_개장_연_120만_상자_처리.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "the wire with particles and spacing changed",
    ),
    Expected(
        "2026-03-02/905_0000100033_가람항_자동화_부두_6월_문_연다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "the first 45 % of the wire, cut off in a sentence",
    ),
    # An English wire story, run by an agency and two newspapers.
    Expected(
        "2026-03-02/908_0000100005_salmon_farms_ordered_offshore_by_2031.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/908/0000100005",
        "English wire story, the agency's own text",
    ),
    Expected(
        "2026-03-02/bellmoor_salmon-pens_salmon_pens_must_leave_the_inlets.md",
        "verified",
        None,
        "https://news.bellmoor-courier.example/2026/03/salmon-pens",
        "the English wire with another lead and a tail",
    ),
    Expected(
        "2026-03-02/913_0000100021_lindow_salmon_farmers_face_offshore_rule.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/913/0000100021",
        "the English wire in another editorial style",
    ),
    # One press release on three pages: exact copies.
    Expected(
        "2026-03-03/906_0000100041_한별시_오래된_수도관_146_바꾼다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/906/0000100041",
        "a press release, copied word for word",
    ),
    Expected(
        "2026-03-03/914_0000100018_다온은솔구_노후_수도관_16일부터_교체.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100018",
        "the same body; the file ends without a newline",
    ),
    Expected(
        "2026-03-03/sibo_330_노후_수도관_교체_공사_안내.md",
        "verified",
        None,
        "https://www.hanbyeol-sibo.example/press/330",
        "the same but for white space and punctuation; no category",
    ),
    # The showcase: one page crawled three times, edited each time.
    Expected(
        "2026-03-03/915_0000100070_fire_on_hernsay_ferry_passengers_brought_to_safety.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/915/0000100070",
        "showcase: the first report",
    ),
    Expected(
        "2026-03-04/915_0000100070_fire_on_hernsay_ferry_passengers_brought_to_safety.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/915/0000100070",
        "showcase: two numbers corrected, the cause filled in",
    ),
    Expected(
        "2026-03-05/915_0000100070_fire_on_hernsay_ferry_passengers_brought_to_safety.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/915/0000100070",
        "showcase: paragraphs and a correction added; mobile URL",
    ),
    # A new title for the same body.
    Expected(
        "2026-03-03/911_0000100027_권비나_결승골파발마_개막전서_물수리_제압.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/911/0000100027",
        "under its first title",
    ),
    Expected(
        "2026-03-04/911_0000100027_신인_골키퍼가_막고_권비나가_끝냈다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/911/0000100027",
        "new title, so a new file name; same body",
    ),
    # A page that returns to its earlier text.
    Expected(
        "2026-03-02/903_0000100015_새솔시_차_없는_광장_조례안_진통.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100015",
        "A of A, B, A",
    ),
    Expected(
        "2026-03-03/903_0000100015_새솔시_차_없는_광장_조례안_진통.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100015",
        "B of A, B, A: another outcome of the vote",
    ),
    Expected(
        "2026-03-04/903_0000100015_새솔시_차_없는_광장_조례안_진통.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100015",
        "A again; URL without mnews, with a sid",
    ),
    # A page crawled twice, unchanged.
    Expected(
        "2026-03-02/909_0000100052_polar_sponge_pauses_for_months_then_restarts.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/909/0000100052",
        "first crawl of a page that stays as it is",
    ),
    Expected(
        "2026-03-03/909_0000100052_polar_sponge_pauses_for_months_then_restarts.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/909/0000100052",
        "crawled again, unchanged",
    ),
    # Only the metadata changes.
    Expected(
        "2026-03-02/913_0000100017_factories_in_lindow_hire_again_after_five_quarters.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/913/0000100017",
        "no author yet, filed under the wrong category",
    ),
    Expected(
        "2026-03-03/913_0000100017_factories_in_lindow_hire_again_after_five_quarters.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/913/0000100017",
        "author added, category corrected; same state",
    ),
    # The variant with comments: one crawl of a page saved both ways, and a page without any comment.
    Expected(
        "2026-03-04/906_0000100048_물뫼군_산간_23_눈고갯길_다섯_곳_막혀.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/906/0000100048",
        "saved plain ...",
    ),
    Expected(
        "2026-03-04/906_0000100048_물뫼군_산간_23_눈고갯길_다섯_곳_막혀_with_comments.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/906/0000100048",
        "... and with its comments, in the same crawl",
    ),
    Expected(
        "2026-03-03/902_0000100066_옹기장_맹두산_씨_별세향년_91세_with_comments.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/902/0000100066",
        "the variant with comments, without any; no category",
    ),
    # Escaping.
    Expected(
        "2026-03-04/904_0000100062_연구개발이_연구amp개발로ab도_b도_깨졌다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100062",
        "entities in title, URL and body; author over many lines",
    ),
    # Bodies that look like the template.
    Expected(
        "2026-03-04/905_0000100039_오지_않은_새도_적는다봉하늬_박사_인터뷰.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100039",
        "an interview whose body holds --- lines",
    ),
    Expected(
        "2026-03-04/cbgazette_press-feed_county_press_feed_leaks_its_own_stage_directions.md",
        "verified",
        None,
        "https://www.calder-bay-gazette.example/2026/03/04/press-feed",
        "a body with key: value lines and a footer's words",
    ),
    # Claims that fail, are missing or follow another recipe; unusual headers.
    Expected(
        "2026-03-04/904_0000100055_2분기_물가_24_오른다채소빵이_끌어올려.md",
        "mismatched",
        "truncated",
        "https://n.news.naver.com/mnews/article/904/0000100055",
        "cut inside a UTF-8 sequence in the middle of the body",
    ),
    Expected(
        "2026-03-05/904_0000100055_2분기_물가_24_오른다채소빵이_끌어올려.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100055",
        "the same article, whole, a day later",
    ),
    Expected(
        "2026-03-04/905_0000100044_인사_한별시물뫼군가람항만공사_등.md",
        "unclaimed",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100044",
        "content_hash is empty",
    ),
    Expected(
        "2026-03-04/910_0000100031_council_keeps_libraries_open_raises_parking_charge.md",
        "mismatched",
        "altered",
        "https://n.news.naver.com/mnews/article/910/0000100031",
        "$212 million became $221 million after hashing",
    ),
    Expected(
        "2026-03-04/909_0000100058_plumber_in_goal_settles_cup_tie_in_the_rain.md",
        "mismatched",
        "malformed",
        "https://n.news.naver.com/mnews/article/909/0000100058",
        "content_hash is n/a",
    ),
    Expected(
        "2026-03-03/914_0000100022_장터_할머니에게_배우는_봄나물_고르는_법.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100022",
        "no published_at",
    ),
    Expected(
        "2026-03-03/910_0000100026_storm_to_hit_lindow_coast_on_wednesday_night.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/910/0000100026",
        "an unknown key: section_id",
    ),
    Expected(
        "2026-03-04/910_0000100026_storm_to_hit_lindow_coast_on_wednesday_night.md",
        "mismatched",
        "stale",
        "https://n.news.naver.com/mnews/article/910/0000100026",
        "body edited, the claim is still the first crawl's",
    ),
    Expected(
        "2026-03-05/913_0000100036_brindle_wins_order_for_six_runway-free_aircraft.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/913/0000100036",
        "content_hash is the MD5 of the body",
    ),
    Expected(
        "2026-03-05/hanbit_118_은솔구_공유_자전거_선_밖에_세우면_요금_계속.md",
        "verified",
        None,
        "https://www.hanbit-ilbo.example/news/2026/03/05/118",
        "content_hash is the SHA-256 of title, newline, body",
    ),
    # Encodings.
    Expected(
        "2026-03-05/914_0000100029_기차_대신_책이_선다솔내역_막차_책방.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100029",
        "the file is in CP949, its claim over UTF-8",
    ),
    Expected(
        "2026-03-05/912_0000100009_굴_껍데기로_콘크리트_균열_스스로_메운다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/912/0000100009",
        "BOM and CRLF line ends; the claim over LF",
    ),
    # Short texts that are similar but do not match.
    Expected(
        "2026-03-04/904_0000100059_표_종합주가지수_마감.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100059",
        "a stock ticker line: too short to match",
    ),
    Expected(
        "2026-03-03/905_0000100036_오늘의_운세_3월_4일.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100036",
        "a horoscope; no category",
    ),
    Expected(
        "2026-03-04/905_0000100042_오늘의_운세_3월_5일.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100042",
        "the next day's: similar, but too short to match",
    ),
    # An agency's story and two rewrites of it.
    Expected(
        "2026-03-04/901_0000100120_새솔도시철도_새_전동차_열한_달_늦는다헌_차_고장_47건.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/901/0000100120",
        "agency story, the original of two rewrites",
    ),
    Expected(
        "2026-03-04/903_0000100121_31년_된_지하철_한_해_더_탄다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100121",
        "the agency story with another lead, a paragraph moved up and a street survey added",
    ),
    Expected(
        "2026-03-04/906_0000100122_새솔_지하철_새_열차_열한_달_지각.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/906/0000100122",
        "the agency story as a broadcast: other endings, cuts, an anchor's lead and a sign-off",
    ),
    # A county's press release, half reworded and fully reworded.
    Expected(
        "2026-03-04/914_0000100123_은하군_빈집은행_4월_문_연다1차_26채.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100123",
        "a county's press release, run as it came",
    ),
    Expected(
        "2026-03-05/902_0000100124_월_5만원에_시골집_4년은하군의_실험.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/902/0000100124",
        "the press release with most sentences reworded and long passages kept",
    ),
    Expected(
        "2026-03-05/905_0000100125_빈_농가_102채_새_식구_기다린다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100125",
        "the same press release wholly reworded: no relation",
    ),
    # A newsletter of three stories; the other two are an obituary and the shared bicycles, both above.
    Expected(
        "2026-03-05/902_0000100126_한별천_왜가리_다리_밑에_둥지_열두_개.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/902/0000100126",
        "one of the newsletter's three stories",
    ),
    Expected(
        "2026-03-06/hanbit_letter-0306_한빛_아침편지_3월_6일_금요일.md",
        "verified",
        None,
        "https://www.hanbit-ilbo.example/letter/2026-03-06",
        "a morning letter that bundles three stories with a line of its own before each",
    ),
    # A series by one template.
    Expected(
        "2026-03-03/904_0000100127_마감시황_지수_사흘_만에_하락2860선_내줘.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100127",
        "the daily market close, first of three: the same phrasing, other numbers",
    ),
    Expected(
        "2026-03-04/904_0000100128_마감시황_조선주_반등에_12포인트_상승.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100128",
        "the daily market close, second of three",
    ),
    Expected(
        "2026-03-05/904_0000100129_마감시황_물가_걱정에_075_하락.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/904/0000100129",
        "the daily market close, third of three",
    ),
    # Notices: one shape, other names.
    Expected(
        "2026-03-05/903_0000100130_부고_강다미_씨_부친상_외.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100130",
        "obituary notices",
    ),
    Expected(
        "2026-03-05/914_0000100131_부고_하늘누리_씨_모친상_외.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100131",
        "another paper's notices of the same shape, other names",
    ),
    Expected(
        "2026-03-05/902_0000100132_인사_새솔시은하군새솔교통공사.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/902/0000100132",
        "personnel notices, of the shape of another paper's and with other names",
    ),
    # Photos with one agency caption among other text.
    Expected(
        "2026-03-06/903_0000100133_포토_경칩_이튿날_바다도_기지개.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100133",
        "a photo with the agency's caption",
    ),
    Expected(
        "2026-03-06/914_0000100134_사진으로_보는_오늘.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100134",
        "a photo page with the same agency caption among others: too little in common",
    ),
    # Two papers quote one post in full.
    Expected(
        "2026-03-06/905_0000100135_한별시장_비의_잘못_아닌_우리_잘못_사과_글.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/905/0000100135",
        "a mayor's post quoted in full",
    ),
    Expected(
        "2026-03-06/903_0000100136_갈대동_펌프_절반이_멈춰_있었다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/903/0000100136",
        "the same post quoted, all else in its own words",
    ),
    # A column that copies two paragraphs of the report on prices.
    Expected(
        "2026-03-06/914_0000100137_장바구니_앞에서_멈춘_손.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100137",
        "a column that takes two paragraphs of another paper's report",
    ),
    # One publisher's boilerplate in seven otherwise unrelated articles, and a copy of the news in one of them.
    Expected(
        "2026-03-02/907_0000100141_너븐나루_도선_하루_네_번으로_줄어.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100141",
        "boilerplate 1 of 7: nothing in common with the others but the tail",
    ),
    Expected(
        "2026-03-03/907_0000100142_김_말리는_기계_햇볕을_이겼다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100142",
        "boilerplate 2 of 7",
    ),
    Expected(
        "2026-03-04/907_0000100143_등대지기_관사_책_읽는_여관으로.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100143",
        "boilerplate 3 of 7",
    ),
    Expected(
        "2026-03-05/907_0000100144_항구_고양이_급식소_두고_찬반.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100144",
        "boilerplate 4 of 7: the last that arrives before the tail is learned",
    ),
    Expected(
        "2026-03-06/907_0000100145_염전에_태양광_소금꽃_대신_전기꽃.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100145",
        "boilerplate 5 of 7: with it the tail is learned, and has no relation any more",
    ),
    Expected(
        "2026-03-06/907_0000100146_해녀_학교_첫_졸업생_아홉_명_바다로.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100146",
        "boilerplate 6 of 7: has a copy of its own",
    ),
    Expected(
        "2026-03-06/907_0000100147_갯벌_마라톤_물때_따라_출발_시각_바뀐다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/907/0000100147",
        "boilerplate 7 of 7",
    ),
    Expected(
        "2026-03-06/914_0000100148_욕심이_숨보다_길면_죽는다해녀_학교_졸업식.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/914/0000100148",
        "another paper's copy of the news in boilerplate 6, without its tail",
    ),
    # A page whose first revision was copied before it was rewritten.
    Expected(
        "2026-03-04/910_0000100150_seal_naps_in_tidal_turbine_power_plant_stops.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/910/0000100150",
        "first revision, the one that was copied",
    ),
    Expected(
        "2026-03-05/910_0000100150_seal_naps_in_tidal_turbine_power_plant_stops.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/910/0000100150",
        "second revision, largely rewritten",
    ),
    Expected(
        "2026-03-05/909_0000100151_sleeping_seal_halts_turbine_at_skerry.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/909/0000100151",
        "another paper's copy of the page's first revision",
    ),
    # Faults.
    Expected(
        "2026-03-04/911_0000100030_탁은별_부상_회복_훈련_합류.md",
        None,
        None,
        None,
        "0 bytes: the crawler died between create and write",
        fault="empty",
    ),
    Expected(
        "2026-03-04/908_0000100011.md",
        None,
        None,
        None,
        "a gateway's error page saved as an article",
        fault="not_an_article",
    ),
    Expected(
        "2026-03-03/915_0000100077_night_market_returns_to_the_old_tram_depot.md",
        None,
        None,
        None,
        "ends within the header",
        fault="truncated_before_body",
    ),
    Expected(
        "2026-03-05/__다온구_도서관_목요일엔_밤_10시까지.md",
        None,
        None,
        None,
        "neither url nor oid, aid, id",
        fault="no_url",
    ),
    # Five short reports whose line about subscriptions the site altered everywhere on one day: one incident.
    Expected(
        "2026-03-03/917_0000100161_느티마을_공동_빨래방_하루_마흔_집이_쓴다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100161",
        "short report 1 of 5, with the old telephone number",
    ),
    Expected(
        "2026-03-03/917_0000100162_버들고개_옛길_자전거에는_닫는다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100162",
        "short report 2 of 5, with the old telephone number",
    ),
    Expected(
        "2026-03-04/917_0000100163_학교_텃밭_감자_올해는_급식에_오른다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100163",
        "short report 3 of 5, with the old telephone number",
    ),
    Expected(
        "2026-03-04/917_0000100164_물레방앗간_기계음_밤_아홉_시면_멎는다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100164",
        "short report 4 of 5, with the old telephone number",
    ),
    Expected(
        "2026-03-05/917_0000100165_사라진_우체통_책_반납함으로_돌아왔다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100165",
        "short report 5 of 5, with the old telephone number",
    ),
    Expected(
        "2026-03-06/917_0000100161_느티마을_공동_빨래방_하루_마흔_집이_쓴다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100161",
        "short report 1 of 5, with the new one",
    ),
    Expected(
        "2026-03-06/917_0000100162_버들고개_옛길_자전거에는_닫는다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100162",
        "short report 2 of 5, with the new one",
    ),
    Expected(
        "2026-03-06/917_0000100163_학교_텃밭_감자_올해는_급식에_오른다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100163",
        "short report 3 of 5, with the new one",
    ),
    Expected(
        "2026-03-06/917_0000100164_물레방앗간_기계음_밤_아홉_시면_멎는다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100164",
        "short report 4 of 5, with the new one",
    ),
    Expected(
        "2026-03-06/917_0000100165_사라진_우체통_책_반납함으로_돌아왔다.md",
        "verified",
        None,
        "https://n.news.naver.com/mnews/article/917/0000100165",
        "short report 5 of 5, with the new one",
    ),
)

# The page for the README: a number corrected, a cause found, a correction printed.
SHOWCASE = "https://n.news.naver.com/mnews/article/915/0000100070"

# All pairs of pages whose latest revisions have a relation, ordered by URL, once all boilerplate is known:
# after `dedup reindex`. `tests/builders/relations.py` holds the definitions.
RELATIONS: tuple[Related, ...] = (
    Related(
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "near",
        0.87,
        0.99,
        "one wire story, particles and spacing changed",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "copy",
        0.45,
        1.0,
        "a wire story and its first 45 %: all of the shorter one was taken over",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "near",
        0.83,
        0.91,
        "one wire story, another lead and a tail",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/901/0000100120",
        "https://n.news.naver.com/mnews/article/903/0000100121",
        "copy",
        0.39,
        0.6,
        "wire story, rewritten by a newspaper: other lead and endings, cuts, a paragraph moved up, a survey added",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/901/0000100120",
        "https://n.news.naver.com/mnews/article/906/0000100122",
        "copy",
        0.32,
        0.63,
        "wire story, rewritten by a broadcaster: formal endings, cuts, a sign-off",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/902/0000100066",
        "https://www.hanbit-ilbo.example/letter/2026-03-06",
        "excerpt",
        0.22,
        0.59,
        "newsletter with this story in it, one of three",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/902/0000100124",
        "https://n.news.naver.com/mnews/article/914/0000100123",
        "copy",
        0.33,
        0.59,
        "press release, most sentences reworded, long passages kept",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/902/0000100126",
        "https://www.hanbit-ilbo.example/letter/2026-03-06",
        "excerpt",
        0.2,
        0.62,
        "newsletter with this story in it, one of three",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "copy",
        0.4,
        0.99,
        "two papers' versions of one wire story, one cut off",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "near",
        0.73,
        0.89,
        "two papers' versions of one wire story",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/903/0000100121",
        "https://n.news.naver.com/mnews/article/906/0000100122",
        "excerpt",
        0.19,
        0.38,
        "two rewrites of one wire story, each with another selection of it",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/903/0000100136",
        "https://n.news.naver.com/mnews/article/905/0000100135",
        "quote",
        0.25,
        0.42,
        "the same post of the mayor quoted, nothing else in common",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/904/0000100055",
        "https://n.news.naver.com/mnews/article/914/0000100137",
        "excerpt",
        0.26,
        0.44,
        "column that takes over two paragraphs of a report",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "copy",
        0.36,
        0.86,
        "two papers' versions of one wire story, one cut off",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/906/0000100041",
        "https://n.news.naver.com/mnews/article/914/0000100018",
        "exact",
        1.0,
        1.0,
        "press release, word for word",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/906/0000100041",
        "https://www.hanbyeol-sibo.example/press/330",
        "exact",
        1.0,
        1.0,
        "press release, but for white space and punctuation",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100146",
        "https://n.news.naver.com/mnews/article/914/0000100148",
        "copy",
        0.31,
        0.71,
        "news copied by another paper; the boilerplate at its end has no part in it",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/908/0000100005",
        "https://n.news.naver.com/mnews/article/913/0000100021",
        "near",
        0.92,
        0.98,
        "one wire story in another editorial style",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/908/0000100005",
        "https://news.bellmoor-courier.example/2026/03/salmon-pens",
        "near",
        0.79,
        0.88,
        "one wire story, another lead and a tail",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/909/0000100151",
        "https://n.news.naver.com/mnews/article/910/0000100150",
        "excerpt",
        0.23,
        0.29,
        "copied from the first revision; of the second, largely rewritten, only these passages are left",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/913/0000100021",
        "https://news.bellmoor-courier.example/2026/03/salmon-pens",
        "near",
        0.74,
        0.87,
        "two papers' versions of one wire story",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/914/0000100018",
        "https://www.hanbyeol-sibo.example/press/330",
        "exact",
        1.0,
        1.0,
        "press release, but for white space and punctuation",
    ),
    Related(
        "https://www.hanbit-ilbo.example/letter/2026-03-06",
        "https://www.hanbit-ilbo.example/news/2026/03/05/118",
        "excerpt",
        0.24,
        0.63,
        "newsletter with this story in it, one of three",
    ),
)

# Boilerplate is learned when the fifth article of a publisher has it. Until then the first four are excerpts of each other,
# measured without masks. They stay excerpts until `dedup reindex`.
RELATIONS_UNTIL_REINDEX: tuple[Related, ...] = (
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100141",
        "https://n.news.naver.com/mnews/article/907/0000100142",
        "excerpt",
        0.26,
        0.44,
        "the tail alone",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100141",
        "https://n.news.naver.com/mnews/article/907/0000100143",
        "excerpt",
        0.26,
        0.45,
        "the tail alone",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100141",
        "https://n.news.naver.com/mnews/article/907/0000100144",
        "excerpt",
        0.26,
        0.45,
        "the tail alone",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100142",
        "https://n.news.naver.com/mnews/article/907/0000100143",
        "excerpt",
        0.26,
        0.45,
        "the tail alone",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100142",
        "https://n.news.naver.com/mnews/article/907/0000100144",
        "excerpt",
        0.26,
        0.45,
        "the tail alone",
    ),
    Related(
        "https://n.news.naver.com/mnews/article/907/0000100143",
        "https://n.news.naver.com/mnews/article/907/0000100144",
        "excerpt",
        0.27,
        0.45,
        "the tail alone",
    ),
)

# Relations of an earlier revision of one page. RELATIONS has the same pairs with their latest revisions.
RELATIONS_OF_EARLIER_REVISIONS: tuple[Related, ...] = (
    Related(
        "https://n.news.naver.com/mnews/article/909/0000100151",
        "https://n.news.naver.com/mnews/article/910/0000100150",
        "copy",
        0.58,
        0.72,
        "another paper's copy of the first revision, with another first sentence",
        revision="2026-03-04/910_0000100150_seal_naps_in_tidal_turbine_power_plant_stops.md",
    ),
)

# Pairs that look related but have no relation.
UNRELATED: tuple[Unrelated, ...] = (
    Unrelated(
        "https://n.news.naver.com/mnews/article/905/0000100125",
        "https://n.news.naver.com/mnews/article/914/0000100123",
        0,
        "a press release and what a paper made of it in words of its own",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/902/0000100124",
        "https://n.news.naver.com/mnews/article/905/0000100125",
        0,
        "two papers' words on one press release",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/904/0000100127",
        "https://n.news.naver.com/mnews/article/904/0000100128",
        33,
        "two numbers of a daily series: phrasing and a last sentence",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/904/0000100127",
        "https://n.news.naver.com/mnews/article/904/0000100129",
        33,
        "two numbers of a daily series",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/904/0000100128",
        "https://n.news.naver.com/mnews/article/904/0000100129",
        33,
        "two numbers of a daily series",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/905/0000100036",
        "https://n.news.naver.com/mnews/article/905/0000100042",
        0,
        "two days' horoscopes",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/903/0000100130",
        "https://n.news.naver.com/mnews/article/914/0000100131",
        0,
        "two papers' obituary notices",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/902/0000100132",
        "https://n.news.naver.com/mnews/article/905/0000100044",
        0,
        "two papers' personnel notices",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/903/0000100133",
        "https://n.news.naver.com/mnews/article/914/0000100134",
        64,
        "one agency caption of 64 characters under two papers' photos",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/902/0000100066",
        "https://n.news.naver.com/mnews/article/902/0000100126",
        0,
        "two of the newsletter's stories",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/902/0000100066",
        "https://www.hanbit-ilbo.example/news/2026/03/05/118",
        0,
        "two of the newsletter's stories",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/902/0000100126",
        "https://www.hanbit-ilbo.example/news/2026/03/05/118",
        0,
        "two of the newsletter's stories",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/907/0000100145",
        "https://n.news.naver.com/mnews/article/907/0000100146",
        0,
        "the tail alone, learned with the first of them",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/907/0000100145",
        "https://n.news.naver.com/mnews/article/907/0000100147",
        0,
        "the tail alone, learned by then",
    ),
    Unrelated(
        "https://n.news.naver.com/mnews/article/907/0000100146",
        "https://n.news.naver.com/mnews/article/907/0000100147",
        0,
        "the tail alone, learned by then",
    ),
)

PAGES: tuple[Page, ...] = (
    Page("https://n.news.naver.com/mnews/article/903/0000100015", states=2, sightings=3, changes=2, returned=1),
    Page("https://n.news.naver.com/mnews/article/909/0000100052", states=1, sightings=2, changes=0, returned=0),
    Page("https://n.news.naver.com/mnews/article/910/0000100026", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/910/0000100150", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/911/0000100027", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/913/0000100017", states=1, sightings=2, changes=0, returned=0),
    Page("https://n.news.naver.com/mnews/article/915/0000100070", states=3, sightings=3, changes=2, returned=0),
    Page("https://n.news.naver.com/mnews/article/917/0000100161", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/917/0000100162", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/917/0000100163", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/917/0000100164", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/917/0000100165", states=2, sightings=2, changes=1, returned=0),
)
