"""Changes labelled by hand. Each case is an invented pair of states, of a kind seen in real re-crawls.

All cases edit the same few articles, so that a case shows only the words that matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BODY = (
    "새솔시 의회는 5일 본회의를 열고 내년도 예산안을 의결했다. 예산안 규모는 638조원으로 올해보다 3.5% 늘었다."
    " 한별시장은 “시민의 삶을 먼저 살피겠다”고 말했다. 야당은 복지 예산이 줄었다며 반발했다."
    "\n박노을 의원은 표결에 참여하지 않았다. 본회의는 오전 10시 30분에 시작해 다섯 시간 동안 이어졌다."
    " 시민단체 회원 120명은 의회 앞에서 집회를 열었다. 경찰은 충돌이 없었다고 밝혔다."
    " 의회는 다음 달 12일 임시회를 열어 조례안을 다룰 예정이다."
)
TITLE = "새솔시 의회, 638조원 예산안 의결"
ENGLISH = (
    "The Lindow council passed a budget of $4.2bn on Monday. Mayor Ada Kestrel said the plan would not raise taxes."
    ' "We kept our word," she said. The vote was 24 to 11. Opponents left the chamber before the count ended.'
    " The budget sets aside 120 million for libraries and 80 million for the harbour. Salmon farmers in Bellmoor asked for more time."
    " The council meets again on 12 March to discuss the offshore rule."
)


@dataclass(frozen=True)
class Case:
    """A labelled change.

    `first`: edits of `body` that give the state before. `edits`: edits of the state before that give the state after. `evidence`:
    (kind, before, after) of evidence that must be reported.
    """

    name: str
    kind: str
    severity: str
    edits: tuple[tuple[str, str], ...] = ()
    evidence: tuple[tuple[str, str, str], ...] = ()
    title: tuple[str, str] = (TITLE, TITLE)
    body: str = BODY
    first: tuple[tuple[str, str], ...] = ()
    after: str | None = None
    silent: bool = False
    corrected: bool = False
    metadata: tuple[dict[str, str], dict[str, str]] = field(default=({}, {}))


def _case(name: str, kind: str, severity: str, *edits: tuple[str, str], **more: object) -> Case:
    return Case(name, kind, severity, edits, **more)  # type: ignore[arg-type]


CASES = [
    # form only
    _case("two blanks for one", "cosmetic", "trivial", (". 예산안", ".  예산안")),
    _case("line ends", "cosmetic", "trivial", ("\n", "\r\n\r\n")),
    _case("a paragraph broken in two", "cosmetic", "trivial", (" 시민단체", "\n\n시민단체")),
    _case("spacing", "cosmetic", "trivial", ("시민의 삶을", "시민의삶을")),
    _case("an added comma", "cosmetic", "trivial", ("말했다. 야당은", "말했다. 야당은,")),
    _case("curved quotation marks", "cosmetic", "trivial", ("“", '"'), ("”", '"')),
    _case("a thousands separator", "cosmetic", "trivial", ("1120명", "1,120명"), first=(("120명", "1120명"),)),
    _case("full-width percent", "cosmetic", "trivial", ("3.5%", "3.5％")),
    _case("entities unescaped", "cosmetic", "trivial", (" & ", "&"), first=(("삶을 먼저", "삶을 & 먼저"),)),
    _case("dashes", "cosmetic", "trivial", ("plan would", "plan — would"), body=ENGLISH),
    _case("capitals", "cosmetic", "trivial", ("council meets", "Council meets"), body=ENGLISH),
    _case("hyphen", "cosmetic", "trivial", ("offshore rule", "off-shore rule"), body=ENGLISH),
    _case("zero-width space", "cosmetic", "trivial", ("본회의는", "본회\u200b의는")),
    _case("bullets", "cosmetic", "trivial", ("\n박노을", "\n▶박노을")),
    _case("photo credit", "cosmetic", "trivial", ("\n박노을", "\n사진=해솔신문\n박노을"), evidence=(("credit", "", "사진=해솔신문"),)),
    _case("photo credit in English", "cosmetic", "trivial", (" The vote", "\nPhoto: Bellmoor Courier\nThe vote"), body=ENGLISH),
    _case("reporter's address", "cosmetic", "trivial", ("예정이다.", "예정이다.\n하늘봄 기자 spring@haesol.example")),
    _case("rights", "cosmetic", "trivial", ("예정이다.", "예정이다.\nⓒ 해솔신문, 무단전재 및 재배포 금지")),
    _case(
        "time stamp", "cosmetic", "trivial", ("입력 2026.03.05 10:30", "입력 2026.03.05 11:45"),
        first=(("새솔시 의회는", "입력 2026.03.05 10:30\n새솔시 의회는"),),
        evidence=(("time_stamp", "입력 2026.03.05 10:30", "입력 2026.03.05 11:45"),),
    ),
    _case("title's punctuation", "cosmetic", "trivial", title=(TITLE, "새솔시 의회…638조원 예산안 의결")),
    _case("wrapped differently", "cosmetic", "trivial", ("열고 내년도", "열고\n내년도"), ("올해보다 3.5%", "올해보다\n3.5%"), ("표결에 참여", "표결에\n참여")),
    _case("wrapped differently in English", "cosmetic", "trivial", ("passed a", "passed\na"), ("plan would", "plan\nwould"), ("before the", "before\nthe"), body=ENGLISH),
    _case("spaces where a line was broken", "cosmetic", "trivial", ("chamber", "cham ber"), ("libraries", "libra\nries"), body=ENGLISH),
    _case("a repeated sentence", "cosmetic", "trivial", ("\n박노을", "\n경찰은 충돌이 없었다고 밝혔다.\n박노을")),
    _case("a heading of words that the text has", "cosmetic", "trivial", ("The budget sets", "\nSalmon farmers\nThe budget sets"), body=ENGLISH),
    _case("address of a picture", "cosmetic", "trivial", ("//a.example/1-72", "//b.example/y/2k41"), first=(("\n박노을", "\n![](//a.example/1-72)\n박노을"),)),
    _case("a link's title", "cosmetic", "trivial", ("/rule", '/rule "Rules of the council"'), body=ENGLISH, first=(("offshore rule", "[offshore rule](https://a.example/rule)"),)),
    _case("a word became a link", "cosmetic", "trivial", ("Salmon farmers", "[Salmon farmers](https://a.example/1)"), body=ENGLISH),
    _case("relative time", "cosmetic", "trivial", ("this week", "over a week ago"), body=ENGLISH, first=(("The Lindow council passed", "Updated this week\nThe Lindow council passed"),)),
    _case("relative time in Korean", "cosmetic", "trivial", ("3시간 전", "5시간 전"), first=(("새솔시 의회는", "3시간 전 입력\n새솔시 의회는"),)),
    # spelling
    _case("mistyped vowel", "typo", "minor", ("의결했다", "의결햇다")),
    _case("mistyped final consonant", "typo", "minor", ("밝혔다", "밝혓다")),
    _case("particle", "typo", "minor", ("한별시장은", "한별시장이")),
    _case("swapped English letters", "typo", "minor", ("chamber", "chamebr"), body=ENGLISH),
    _case("a letter left out", "typo", "minor", ("Opponents", "Oponents"), body=ENGLISH),
    _case("mistyped in the title", "typo", "minor", title=(TITLE, "새솔시 의회, 638조원 예산안 의걸")),
    # wording
    _case("another word", "wording", "minor", ("반발했다", "강하게 비판했다")),
    _case("an added word", "wording", "minor", ("시작해", "예정대로 시작해")),
    _case("target of a link", "cosmetic", "trivial", ("http://a.example/1", "https://a.example/2"), first=(("예정이다.", "예정이다. http://a.example/1 참고."),)),
    _case("another mail address", "wording", "minor", ("desk@a.example", "news@a.example"), first=(("예정이다.", "예정이다. 제보는 desk@a.example 로."),)),
    _case("another verb", "wording", "minor", ("asked for", "demanded"), body=ENGLISH),
    _case(
        "a sentence that moved", "wording", "minor", (" 경찰은 충돌이 없었다고 밝혔다.", ""), ("야당은 복지", "경찰은 충돌이 없었다고 밝혔다. 야당은 복지"),
        evidence=(("moved", "경찰은 충돌이 없었다고 밝혔다.", "경찰은 충돌이 없었다고 밝혔다."),),
    ),
    _case("other pages named in a menu", "wording", "minor", ("/1)", "/1)\n* [Rain in Bellmoor tonight](https://a.example/2)"), body=ENGLISH,
          first=(("offshore rule.", "offshore rule.\n* [Fish prices are falling](https://a.example/1)"),)),
    _case("a button", "wording", "minor", ("offshore rule.", "offshore rule.\nCopy this page"), body=ENGLISH),
    # headlines
    _case("another headline", "headline", "notable", title=(TITLE, "야당 반발 속 내년 예산안 통과")),
    _case("headline with another number", "headline", "notable", title=(TITLE, "새솔시 의회, 639조원 예산안 의결"), evidence=(("amount", "638조원", "639조원"),)),
    # substance
    _case("an amount", "substantive", "major", ("638조원", "639조원"), evidence=(("amount", "638조원", "639조원"),), silent=True),
    _case("an amount without its unit", "substantive", "major", ("638조원", "639조"), evidence=(("amount", "638조원", "639조"),), silent=True),
    _case("a percentage", "substantive", "major", ("3.5%", "5.3%"), evidence=(("percentage", "3.5%", "5.3%"),), silent=True),
    _case("a day", "substantive", "major", ("12일", "13일"), evidence=(("date", "12일", "13일"),), silent=True),
    _case("a time", "substantive", "major", ("10시", "11시"), evidence=(("date", "10시", "11시"),), silent=True),
    _case("a number of people", "substantive", "major", ("120명", "1200명"), evidence=(("number", "120명", "1200명"),), silent=True),
    _case("a score", "substantive", "major", ("24 to 11", "23 to 12"), body=ENGLISH, evidence=(("number", "24", "23"), ("number", "11", "12")), silent=True),
    _case("billions", "substantive", "major", ("$4.2bn", "$4.4bn"), body=ENGLISH, evidence=(("amount", "$4.2bn", "$4.4bn"),), silent=True),
    _case("a number in words", "substantive", "major", ("다섯 시간", "여섯 시간"), evidence=(("number", "다섯", "여섯"),), silent=True),
    _case("a number in English words", "substantive", "major", ("nineteen", "twenty"), body=ENGLISH, first=(("24 to 11", "nineteen to ten"),),
          evidence=(("number", "nineteen", "twenty"),), silent=True),
    _case("a negation removed", "substantive", "major", ("참여하지 않았다", "참여했다"), evidence=(("negation", "않았다", ""),), silent=True),
    _case("a negation added", "substantive", "major", ("여섯 시간", "다섯 시간"), ("이어졌다", "이어지지 못했다"), silent=True),
    _case("English negation removed", "substantive", "major", ("would not raise", "would raise"), body=ENGLISH, evidence=(("negation", "not", ""),), silent=True),
    _case(
        "a quotation", "substantive", "major", ("시민의 삶을 먼저 살피겠다", "시민의 삶을 다시 생각하겠다"),
        evidence=(("quotation", "시민의 삶을 먼저 살피겠다", "시민의 삶을 다시 생각하겠다"),), silent=True,
    ),
    _case("an English quotation", "substantive", "major", ("We kept our word", "We did our best"), body=ENGLISH,
          evidence=(("quotation", "We kept our word,", "We did our best,"),), silent=True),
    _case("a name", "substantive", "major", ("박노을 의원", "박노을빛 의원"), evidence=(("name", "박노을", "박노을빛"),), silent=True),
    _case("an English name", "substantive", "major", ("Ada Kestrel", "Ida Falcon"), body=ENGLISH, evidence=(("name", "Ada Kestrel", "Ida Falcon"),), silent=True),
    _case(
        "a sentence removed", "substantive", "major", (" 야당은 복지 예산이 줄었다며 반발했다.", ""),
        evidence=(("sentence", "야당은 복지 예산이 줄었다며 반발했다.", ""),), silent=True,
    ),
    _case(
        "a sentence added", "substantive", "major", ("예정이다.", "예정이다. 조례안에는 공원 이용료를 없애는 내용이 담겼다."),
        evidence=(("sentence", "", "조례안에는 공원 이용료를 없애는 내용이 담겼다."),), silent=True,
    ),
    _case("a clause added", "substantive", "major", ("반발했다", "시장이 거듭 약속했던 저소득층 지원을 되살리라고 반발했다"),
          evidence=(("sentence", "", "시장이 거듭 약속했던 저소득층 지원을 되살리라고"),), silent=True),
    _case("a clause removed", "substantive", "major", (", who had long argued against the new harbour,", ""), body=ENGLISH,
          first=(("Kestrel said", "Kestrel, who had long argued against the new harbour, said"),), silent=True),
    _case("an amount in a text wrapped differently", "substantive", "major", ("열고 내년도", "열고\n내년도"), ("638조원으로 올해보다", "639조원으로\n올해보다"),
          evidence=(("amount", "638조원", "639조원"),), silent=True),
    _case("a paragraph added", "substantive", "major", ("\n박노을", "\n의장은 표결에 앞서 정회를 선언했다. 정회는 한 시간 이어졌다.\n박노을"), silent=True),
    # changes that the page mentions
    _case(
        "corrected at the end", "substantive", "major", ("638조원", "639조원"), ("예정이다.", "예정이다.\n[정정] 예산안 규모를 바로잡았습니다."), corrected=True,
    ),
    _case("corrected in the title", "substantive", "major", ("638조원", "639조원"), title=(TITLE, "[수정] " + TITLE), corrected=True),
    _case("sentence of correction", "substantive", "notable", ("예정이다.", "예정이다.\n바로잡습니다. 참석자 이름을 고쳤습니다."), corrected=True),
    _case("correction in English", "substantive", "major", ("24 to 11", "23 to 12"), ("rule.", "rule.\nCorrection: An earlier version misstated the vote."), body=ENGLISH, corrected=True),
    _case("updated at", "substantive", "major", ("638조원", "639조원"), ("새솔시 의회는", "수정 2026.03.05 12:10\n새솔시 의회는"), corrected=True),
    _case("a bill that is amended is no correction", "substantive", "major", ("예정이다.", "예정이다. 의회는 수정 예산안도 다룬다."), silent=True),
    _case(
        "published again", "substantive", "major", ("638조원", "639조원"),
        metadata=({"published_at": "2026-03-05T01:30:00+00:00"}, {"published_at": "2026-03-05T03:10:00+00:00"}),
    ),
    # the whole text
    _case("another text", "rewrite", "major", after="해솔신문 문화면은 이번 주부터 새 연재를 싣는다. 첫 회는 바닷가 마을의 옛 우체국을 다룬다. "
          "우체국은 백 년 전 모습 그대로 남아 있다. 글은 하늘봄 작가가 쓴다. 연재는 매주 금요일에 나온다. 독자는 누리집에서도 읽을 수 있다.", silent=True),
    _case("a page not found", "removed", "major", title=(TITLE, "Content not found"), after="Content not found"),
    _case("a notice in Korean", "removed", "major", after="언론사의 요청에 의해 삭제된 기사입니다."),
    _case("only the first words", "removed", "major", after="새솔시 의회는 5일"),
    _case("an empty body", "removed", "major", after=""),
    _case("the text is back", "restored", "notable", body="페이지를 찾을 수 없습니다.", after=BODY, title=("오류", TITLE)),
    _case("a flash that became an article", "rewrite", "major", body="[속보] 새솔시 의회 예산안 의결", after=BODY, silent=True),
    # around the text
    _case("another author", "metadata", "minor", metadata=({"author": "하늘봄"}, {"author": "하늘봄, 강물결"})),
    _case("another section", "metadata", "minor", metadata=({"category": "사회"}, {"category": "정치"})),
]  # fmt: skip
