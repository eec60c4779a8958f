"""The linguistic knowledge of the classifier: endings, units, titles and negations of Korean and English. Phrases that a newsroom may
want to adapt are configured in `[changes]`."""

from __future__ import annotations

import re
from typing import Literal

import regex

NUMBER_WORDS = regex.compile(
    r"(?i)\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen"
    r"|(?:twen|thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand|million|billion|half|dozen)s?\b"
    r"|(?<!\p{Hangul})(?:다섯|여섯|일곱|여덟|아홉|열(?:하나|한|둘|두|셋|세|넷|네|다섯|여섯|일곱|여덟|아홉)|스물?|서른|마흔|쉰|예순|일흔|여든|아흔)"
    r"|(?<!\p{Hangul})(?:한|두|세|네)(?=\x20?(?:명|개|곳|번|차례|시간|달|해|가지|사람|배|살|마리|건|대))"
)
"""Numbers in words."""

NEGATIONS = regex.compile(
    r"(?i)\b(?:not|no|never|none|nobody|nothing|neither|nor|without|cannot|\w{1,10}n['’]t|refus\w{0,4}|den(?:y|ie[sd]|ial)\w{0,4}|fail(?:s|ed|ure)?)\b"
    r"|(?<!\p{Hangul})(?:안|못|비|불)(?=\x20\p{Hangul})|\p{Hangul}{0,8}(?:않|못[하한할했해]|아니|아닌|아닐|없|부인[하했한])\p{Hangul}{0,8}"
)
"""Words that reverse the meaning of a sentence."""

_TITLES = (
    "씨|의원|대표|장관|차관|총리|대통령|위원장|위원|사장|부사장|회장|부회장|교수|기자|시장|군수|구청장|도지사|지사|청장|총장|검사|판사|변호사"
    "|감독|선수|코치|대변인|원장|국장|과장|팀장|이사장|이사|본부장|의장|후보|부장|수석|실장|소장|박사|총재|행장|대사|장군|목사|신부|스님|작가|배우"
    "|가수|연구원|연구위원|사무총장|비서관|비서실장|군|양"
)
_PARTICLES = "은는이가을를의도와과에께로만며라고"
NAMES = regex.compile(
    rf"(?P<name>(?<!\p{{Hangul}})\p{{Hangul}}{{2,4}})\x20?(?:전\x20)?(?:{_TITLES})(?![\p{{Hangul}}--[{_PARTICLES}]])"
    # capitalised words within a sentence
    r"|(?<=[\p{Ll},\d]\x20)(?P<latin>\p{Lu}[\p{L}'’-]+(?:\x20\p{Lu}[\p{L}'’-]+)*)"
    r"|\b(?P<acronym>\p{Lu}{2,}\d*)\b",
    regex.V1,
)
"""Names that can be recognised without a dictionary: a person before a title, capitalised words within a sentence, acronyms."""


def contains_korean_name(name: str, text: str) -> bool:
    """Return whether a Korean name occurs in a text other than as a part of a longer name."""
    boundary = rf"(?=\P{{Hangul}}|$|[{_PARTICLES}]|(?:전\x20)?(?:{_TITLES}))"
    return regex.search(rf"(?<!\p{{Hangul}}){regex.escape(name)}{boundary}", text) is not None


_OPENING_QUOTE = re.compile("[“\"「『‘']")
_CLOSING_QUOTES = {"“": ("”", 2), '"': ('"', 2), "「": ("」", 2), "『": ("』", 2), "‘": ("’", 4), "'": ("'", 4)}
"""Opening mark → (closing mark, characters between them at least)."""
_MAX_QUOTATION_CHARACTERS = 600


def find_quotations(text: str) -> list[str]:
    """Return the quoted texts of at most 600 characters on one line, from left to right. An apostrophe within a word is not a quotation
    mark."""
    quoted_texts: list[str] = []
    position = 0
    while mark := _OPENING_QUOTE.search(text, position):
        begin = position = mark.end()
        closing, minimum = _CLOSING_QUOTES[mark[0]]
        end = text.find(closing, begin, begin + _MAX_QUOTATION_CHARACTERS + 1)
        if end - begin < minimum or "\n" in text[begin:end]:
            continue
        if closing == "'" and (_is_word(text[begin - 2 : begin - 1]) or _is_word(text[end + 1 : end + 2])):
            continue
        quoted_texts.append(text[begin:end])
        position = end + 1
    return quoted_texts


def _is_word(character: str) -> bool:
    return _WORD.match(character) is not None


_WORD = regex.compile(r"\w")

TIME_STAMP_LINE = regex.compile(
    r"(?i)^\W{0,20}(?:기사\s?)?(?:입력|수정|등록|승인|송고|최종\s?수정|최종\s?업데이트|업데이트"
    r"|published|posted|updated|last updated|modified)"
    r"(?:\s?(?:시간|일시|on|at))?\s?[:：]?\s?(?:\d|\p{L}{3,9}\.?\s\d)[^\n]{0,80}$",
)
"""A line that only states when a page was published or updated."""

RELATIVE_TIME_LINE = regex.compile(
    r"(?i)^\W{0,20}(?:updated|posted|published|last updated)\s[^\n\d.]{0,20}\d{0,4}[^\n\d.]{0,20}"
    r"\b(?:ago|week|month|year|today|yesterday)\W{0,20}$"
    r"|^\W{0,20}\d{1,4}\s?(?:초|분|시간|일|주|개월|달|년)\s?전(?:\s?(?:입력|수정|업데이트))?\W{0,20}$",
)
"""A line that only states how long ago that was. It changes without an edit."""

LINK_TARGET = regex.compile(r"(?<=\]\()(?=[^\s()/#:.]*+[/#:.])[^\s()]*+(?:\([^\s()]*+\)[^\s()]*+)?+(?:\s++\"[^\"\n]*+\")?+(?=\))")
"""The target of a Markdown link or image, with its title."""
LINK_WITHOUT_TARGET = regex.compile(r"!?\[[^\[\]\n]*+\]\(\)")
"""A link without its target."""

CREDIT_LINE = regex.compile(
    r"(?i)^\W{0,20}(?:사진|영상|그래픽|자료|photo|image|video|graphic|credit)s?\s?(?:제공|출처|편집|by|courtesy of|credit)?"
    r"\s?[=:：/|·ⓒ©][^\n]{0,80}$"
    r"|^\W{0,20}[/|]\s?[^\n]{0,30}(?:제공|캡처|갈무리|뉴스|연합)\W{0,20}$|^\W{0,20}[ⓒ©][^\n]{0,100}$"
    r"|^[^\n]{0,60}(?:무단\s?전재|재배포\s?금지|all rights reserved|trademarks? of|may not be (?:published|reproduced))[^\n]{0,60}$"
    r"|^\W{0,20}\p{Hangul}{2,4}\s?(?:기자|특파원|인턴기자)\W{0,20}(?:[\w.+-]{1,64}@[\w.-]{1,100})?\W{0,20}$|^\W{0,20}[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}\W{0,20}$",
)
"""A line or sentence of credits only: photographs, rights, a reporter's address."""

NumberKind = Literal["percentage", "date", "amount", "number"]
"""Kinds of numbers."""
_PERCENT = regex.compile(r"%|퍼센트|포인트|‰")
_DATE = regex.compile(r"[년월일]$|\d{4}[-./]\d|:\d\d|[시분초]$|am$|pm$", regex.IGNORECASE)
_MONEY = regex.compile(r"^[+\-−±]?[$€£¥₩₤￦]|(?:원|달러|유로|엔|위안|파운드)$")


def number_kind(number: str) -> NumberKind:
    """Return `percentage`, `date`, `amount` (of money) or `number`."""
    if _PERCENT.search(number):
        return "percentage"
    if _DATE.search(number):
        return "date"
    return "amount" if _MONEY.search(number) else "number"
