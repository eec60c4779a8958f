"""The sample crawl in dedup/share/sample/crawl, told file by file: what each one is there for and what must come of it.

The relations and page histories were computed by brute force, without any code of dedup: normalised text (NFC,
case-folded, Unicode letters, marks and numbers only), sets of overlapping runs of 5 characters, exact Jaccard and
containment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Check = Literal["verified", "mismatched", "unclaimed"]
Cause = Literal["truncated", "stale", "altered", "malformed"]
FaultKind = Literal["empty", "not_an_article", "truncated_before_body", "no_url"]
RelationKind = Literal["exact", "near", "excerpt"]


@dataclass(frozen=True)
class Expected:
    """What one file must be read as. A file with a fault has neither check nor page."""

    path: str  # relative to crawl/
    check: Check | None
    cause: Cause | None  # as decided with the page's history known; without it "stale" is "altered"
    url: str | None  # of the page, canonical
    note: str
    fault: FaultKind | None = None


@dataclass(frozen=True)
class Page:
    """The history of a page that was seen more than once. Truncated readings do not count."""

    url: str
    states: int  # distinct (title, body)
    sightings: int  # distinct (crawled_at, state)
    changes: int  # of state, between successive sightings
    returned: int  # those of the changes that lead back to an earlier state


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
        "the first 45 % of the wire: an excerpt",
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
        "the English wire in another house style",
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
    # Short texts, alike but no matches.
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
        "the next day's: alike, too short to match",
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
)

# The page for the README: a number corrected, a cause found, a correction printed.
SHOWCASE = "https://n.news.naver.com/mnews/article/915/0000100070"

# Every two pages whose latest revisions match: (URL, URL, relation, Jaccard). Exact: the same normalised text.
# Near: Jaccard >= 0.7. Excerpt: not near, at most half the other's shingles, containment >= 0.8. Texts under 80
# normalised characters take part in exact only.
RELATIONS: tuple[tuple[str, str, RelationKind, float], ...] = (
    (
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "near",
        0.87,
    ),
    (
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "excerpt",
        0.45,
    ),
    (
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "near",
        0.83,
    ),
    (
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "excerpt",
        0.4,
    ),
    (
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "near",
        0.73,
    ),
    (
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
        "excerpt",
        0.36,
    ),
    (
        "https://n.news.naver.com/mnews/article/906/0000100041",
        "https://n.news.naver.com/mnews/article/914/0000100018",
        "exact",
        1.0,
    ),
    (
        "https://n.news.naver.com/mnews/article/906/0000100041",
        "https://www.hanbyeol-sibo.example/press/330",
        "exact",
        1.0,
    ),
    (
        "https://n.news.naver.com/mnews/article/908/0000100005",
        "https://n.news.naver.com/mnews/article/913/0000100021",
        "near",
        0.92,
    ),
    (
        "https://n.news.naver.com/mnews/article/908/0000100005",
        "https://news.bellmoor-courier.example/2026/03/salmon-pens",
        "near",
        0.79,
    ),
    (
        "https://n.news.naver.com/mnews/article/913/0000100021",
        "https://news.bellmoor-courier.example/2026/03/salmon-pens",
        "near",
        0.74,
    ),
    (
        "https://n.news.naver.com/mnews/article/914/0000100018",
        "https://www.hanbyeol-sibo.example/press/330",
        "exact",
        1.0,
    ),
)

# Of each excerpt, the share of the shorter text's shingles that the longer one has.
CONTAINMENTS: dict[tuple[str, str], float] = {
    (
        "https://n.news.naver.com/mnews/article/901/0000100001",
        "https://n.news.naver.com/mnews/article/905/0000100033",
    ): 1.0,
    (
        "https://n.news.naver.com/mnews/article/903/0000100012",
        "https://n.news.naver.com/mnews/article/905/0000100033",
    ): 0.92,
    (
        "https://n.news.naver.com/mnews/article/905/0000100033",
        "https://www.hanbit-ilbo.example/news/2026/03/02/101",
    ): 0.86,
}

PAGES: tuple[Page, ...] = (
    Page("https://n.news.naver.com/mnews/article/903/0000100015", states=2, sightings=3, changes=2, returned=1),
    Page("https://n.news.naver.com/mnews/article/909/0000100052", states=1, sightings=2, changes=0, returned=0),
    Page("https://n.news.naver.com/mnews/article/910/0000100026", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/911/0000100027", states=2, sightings=2, changes=1, returned=0),
    Page("https://n.news.naver.com/mnews/article/913/0000100017", states=1, sightings=2, changes=0, returned=0),
    Page("https://n.news.naver.com/mnews/article/915/0000100070", states=3, sightings=3, changes=2, returned=0),
)
