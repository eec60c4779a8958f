"""Messages in each form, and the escaping of crawled text in them."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from dedup.alerts import render
from dedup.alerts.content import MessageStyle, format_subject
from dedup.alerts.messages import MAX_DIGEST_ALERTS, Message, build_message, build_test_message
from dedup.alerts.render import MessageLine, MessagePiece, MessageSection
from dedup.alerts.strings import LANGUAGES, STRINGS
from dedup.changes.evidence import EvidenceKind
from dedup.model import SEVERITIES, Language
from dedup.rules import EVENT_KINDS, DigestReason, Event
from dedup.text import sanitise
from tests.builders.alerts import AT, event
from tests.builders.messages import EN, KO, alert, hostile

pytestmark = pytest.mark.slow


def message_of(source: Event | None = None, style: MessageStyle = KO) -> Message:
    return build_message([alert(source)], style)


def test_a_message_of_a_change_has_classification_times_evidence_diff_and_commands() -> None:
    message = message_of(event(silent=True))
    assert message.subject == "[중대] 한빛일보 · 내용 수정 · 새솔시 의회, 예산안 의결 1"
    assert message.text == (
        "새솔시 의회, 예산안 의결 1\n"
        "한빛일보 · 정치\n"
        "https://paper.example/1\n"
        "분류: 내용 수정, 중대, 고지 없이 수정\n"
        "시각: 수집 2026-03-05 09:30 KST → 2026-03-05 18:00 KST, 발행 2026-03-05 09:00 KST\n"
        "근거: 금액 [-638조원-] → {+639조원+}\n"
        "본문: 예산안 규모는 [-638조원-]{+639조원+}으로 늘었다.\n"
        "자세히 보기: dedup diff https://paper.example/1, dedup history https://paper.example/1\n"
        "규칙: major edits\n"
        f"알림 ID: {message.id}\n"
    )


def test_a_message_uses_the_configured_language_and_time_zone() -> None:
    message = message_of(event(corrected=True), EN)
    assert message.subject == "[major] 한빛일보 · substance changed · 새솔시 의회, 예산안 의결 1"
    assert "Classification: substance changed, major, marked as a correction\n" in message.text
    assert "When: crawled 2026-03-04 19:30 EST → 2026-03-05 04:00 EST" in message.text


def test_markdown_and_html_have_the_same_content() -> None:
    message = message_of()
    assert "**본문:** 예산안 규모는 \\[-638조원-\\]{+639조원+}으로 늘었다.  \n" in message.markdown
    assert "<https://paper.example/1>" in message.markdown
    assert "<b>본문:</b> 예산안 규모는 <del>[-638조원-]</del><ins>{+639조원+}</ins>으로 늘었다.<br>" in message.html
    assert '<a href="https://paper.example/1">https://paper.example/1</a>' in message.html


OTHER = {"url": "https://other.example/1", "title": "다른 제목", "publisher": "물결방송"}
TOPICS = [
    (
        event(topic="mismatch", kind="altered", payload={"path": "/srv/a.md", "claimed_digest": "sha256:ab", "computed_digest": "cd"}),
        ["/srv/a.md", "sha256:ab", "cd"],
    ),
    (
        event(topic="duplicate", kind="near", similarity=0.91, across_publishers=True, payload={"other": OTHER, "coverage": 0.5}),
        ["91%", "50%", "물결방송: 다른 제목", "다른 매체"],
    ),
    (event(topic="cluster", kind="growing", size=40, payload={"members": [OTHER]}), ["(40)", "다른 제목", "+39"]),
    (
        event(topic="faults", kind="rate", size=1200, url="", title="", payload={"counts": {"empty": 3}, "message": "4 %"}),
        ["(1,200)", "empty 3", "4 %"],
    ),
    (event(topic="daemon", kind="database", url="", title="", payload={"message": "disk is full"}), ["데이터베이스", "disk is full"]),
    (event(kind="metadata", payload={"fields": [["author", "하늘봄", None]]}), ["기자: [-하늘봄-] → {+(없음)+}"]),
    (event(kind="removed", payload={"diff": {"body": [{"kind": "moved_from", "text": "가나다"}]}}), ["기사 삭제", "[-가나다-]"]),
]


@pytest.mark.parametrize(("change", "words"), TOPICS, ids=lambda v: f"{v.topic} {v.kind}" if isinstance(v, Event) else "")
@pytest.mark.parametrize("style", [KO, EN], ids=["ko", "en"])
def test_every_topic_has_a_message_with_its_details(change: Event, words: list[str], style: MessageStyle) -> None:
    message = message_of(change, style)
    assert all(word in message.text for word in words if style is KO or word.isascii())
    assert message.id in message.text
    assert message.json_body["alerts"][0]["payload"] == change.payload


def test_an_incident_message_has_the_page_count_and_examples() -> None:
    examples = [{"url": f"https://paper.example/{n}", "title": f"제목 {n}", "publisher": "한빛일보", "at": AT} for n in range(20)]
    message = build_message([alert(page_count=36, payload={**event().payload, "pages": 36, "examples": examples, "times": 1})], KO)
    assert "36개 페이지 동일 수정" in message.subject
    assert "제목 9 https://paper.example/9; … +26" in message.text
    again = build_message([alert(page_count=2, payload={**event().payload, "examples": examples[:2], "times": 2})], EN)
    assert "same edit on 2 more pages" in again.subject


def test_every_kind_severity_evidence_and_reason_is_translated() -> None:
    from typing import get_args

    assert sorted(LANGUAGES) == sorted(get_args(Language)) == sorted(STRINGS)
    assert STRINGS["ko"].keys() == STRINGS["en"].keys()
    assert all(all(words.values()) for words in STRINGS.values())
    needed = {f"{topic}.{kind}" for topic, kinds in EVENT_KINDS.items() for kind in kinds} | set(SEVERITIES) | set(get_args(EvidenceKind))
    needed |= {f"digest.{reason}" for reason in get_args(DigestReason)} | {
        "title",
        "body",
        "author",
        "publisher",
        "category",
        "published_at",
    }
    assert needed <= STRINGS["ko"].keys()
    for table in STRINGS.values():
        assert all(re.findall(r"\{(.*?)\}", text) == re.findall(r"\{(.*?)\}", STRINGS["en"][key]) for key, text in table.items())


# Digests


def test_a_digest_has_its_reason_its_count_and_the_highest_severity() -> None:
    alerts = [alert(event(n, severity="major" if n == 7 else "minor")) for n in range(9)]
    message = build_message(alerts, KO, "rate_limit")
    assert message.subject == "[중대] 알림 9건"
    assert message.text.startswith("시간당 발송 한도를 넘은 알림을 모아 보냅니다.\n\n")
    assert [a["id"] for a in message.json_body["alerts"]] == [a.public_id for a in alerts]
    assert message.json_body["digest_reason"] == "rate_limit"
    assert build_message([alert()], KO, "quiet_hours").subject == message_of().subject


def test_the_text_of_a_long_digest_is_limited_while_json_and_feed_have_all_alerts() -> None:
    message = build_message([alert(event(n)) for n in range(MAX_DIGEST_ALERTS + 12)], EN, "backlog")
    assert message.text.count("Alert: ") == MAX_DIGEST_ALERTS
    assert message.text.rstrip().endswith("and 12 more: dedup alerts list")
    assert len(message.json_body["alerts"]) == len(message.entries) == MAX_DIGEST_ALERTS + 12


def test_the_id_of_a_message_depends_on_its_alerts_and_not_on_their_order() -> None:
    alerts = [alert(event(n)) for n in range(5)]
    assert (
        build_message(alerts, KO, "rate_limit").id
        == build_message(alerts[::-1], EN, "schedule").id
        != build_message(alerts[1:], KO, "rate_limit").id
    )
    assert message_of().id == alert().public_id


def test_a_test_message_contains_no_alert() -> None:
    message = build_test_message("mail", EN)
    assert message.json_body["kind"] == "test"
    assert message.json_body["alerts"] == []
    assert build_test_message("mail", EN).id != message.id


def test_long_values_are_truncated() -> None:
    long = "가" * 100_000
    diff = {"body": [{"kind": "removed", "text": long}, {"kind": "added", "text": long}]}
    message = message_of(
        event(
            title=long,
            publisher=long,
            category=long,
            payload={"diff": diff, "message": long, "evidence": [{"kind": "words", "before": long, "after": ""}]},
        )
    )
    assert len(message.subject) < 300
    assert len(message.text) < 105_000  # the heading is the title, whole
    assert len(message.text.splitlines()[1]) < 200


# Hostile text

kinds = st.sampled_from(["plain", "removed", "added", "link", "code"])
pieces = st.lists(st.builds(MessagePiece, kinds, hostile), max_size=4).map(tuple)
sections = st.lists(
    st.builds(MessageSection, hostile, st.lists(st.builds(MessageLine, st.sampled_from(["", "제목"]), pieces), max_size=3).map(tuple)),
    max_size=2,
)

STEERING = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}


def is_safe(text: str) -> bool:
    """Whether the text has no control characters and, of format characters, only joiners."""
    return all(unicodedata.category(c) not in STEERING | {"Cf"} or c in "\n\u200c\u200d\u2060" for c in text)


def mentions_people(text: str) -> bool:
    """Whether the text would notify people in a chat."""
    return re.search(r"@(everyone|here|channel)|<[@!#]", text, re.IGNORECASE) is not None


@hypothesis_settings(deadline=None)
@given(hostile)
def test_to_one_line_returns_one_safe_line_and_is_idempotent(raw: str) -> None:
    output = sanitise.to_one_line(raw)
    assert is_safe(output)
    assert "\n" not in output
    assert not re.search(r"@(everyone|here|channel)", output, re.IGNORECASE)
    assert sanitise.to_one_line(output) == output


@hypothesis_settings(deadline=None)
@given(sections)
def test_text_has_no_control_characters_and_no_mentions(content: list[MessageSection]) -> None:
    output = render.to_text(content)
    assert is_safe(output)
    assert not mentions_people(output)
    assert output.count("\n") <= sum(len(s.lines) + 3 for s in content) + 1


class _HtmlReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: set[str] = set()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert [name for name, _ in attrs] == (["href"] if tag == "a" else [])
        self.hrefs += [str(value) for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    handle_pi = unknown_decl = handle_decl  # type: ignore[assignment]  # their parameters have other names


@hypothesis_settings(deadline=None)
@given(sections)
def test_html_has_only_tags_of_the_template(content: list[MessageSection]) -> None:
    output = render.to_html(content)
    parsed = _HtmlReader()
    parsed.feed(output)
    parsed.close()
    assert parsed.tags <= {"p", "b", "br", "a", "del", "ins"}
    assert all(re.match(r"https?://", href) for href in parsed.hrefs)
    assert is_safe(output)
    assert not re.search(r"@(everyone|here|channel)", parsed.text, re.IGNORECASE) or parsed.hrefs


@hypothesis_settings(deadline=None)
@given(sections)
@example([MessageSection("\r", ())])
def test_markdown_of_a_page_s_text_is_escaped(content: list[MessageSection]) -> None:
    """A CommonMark parser finds only bold text, links, code and line breaks: no image, heading, list or HTML."""
    output = render.to_markdown(content)
    assert is_safe(output)
    tokens = [t for block in MarkdownIt("commonmark").parse(output) for t in (block, *(block.children or ()))]
    assert {t.type for t in tokens} <= {
        "paragraph_open", "paragraph_close", "inline", "text", "text_special", "strong_open", "strong_close", "link_open",
        "link_close", "code_inline", "hardbreak", "softbreak",
    }  # fmt: skip
    links = [t.attrGet("href") for t in tokens if t.type == "link_open"]
    addresses = {p.text for s in content for line in s.lines for p in line.pieces if p.kind == "link"}
    assert len(links) <= len([a for a in addresses for _ in content for _ in range(12)])
    assert not mentions_people(output)


@hypothesis_settings(deadline=None)
@given(st.lists(hostile, min_size=5, max_size=5), st.sampled_from(["change", "duplicate", "cluster", "daemon", "mismatch"]))
def test_subjects_are_one_safe_line(fields: list[str], topic: Any) -> None:
    title, publisher, url, rule, kind = fields
    row = alert(event(topic=topic, title=title, publisher=publisher, url=url, kind=kind), rule=rule)
    for style in (KO, EN):
        output = format_subject(row, style)
        assert is_safe(output)
        assert "\n" not in output
        assert not re.search(r"@(everyone|here|channel)", output, re.IGNORECASE)


@hypothesis_settings(deadline=None)
@given(hostile, hostile, hostile)
def test_hostile_text_is_safe_in_every_form_of_a_message(title: str, body: str, url: str) -> None:
    payload = {
        "diff": {"title": [{"kind": "added", "text": title}], body: [{"kind": "removed", "text": body}]},
        "fields": [[title, body, url]],
        "evidence": [{"kind": body, "before": title, "after": body}],
        "crawled_at": [title, body],
        "other": {"url": url, "title": title, "publisher": body},
        "examples": [{"url": url, "title": title, "publisher": body}],
        "counts": {title: 3},
        "path": body,
    }
    message = build_message(
        [alert(event(title=title, publisher=body, url=url, payload=payload), payload=payload, page_count=3)], EN, "late"
    )
    assert all(
        is_safe(form)
        for form in (message.subject, message.text, message.markdown, message.html, *(e.title + e.html for e in message.entries))
    )
    assert not any(mentions_people(form) for form in (message.subject, message.text, message.markdown))
    json.dumps(message.json_body)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        'https://a.example/"onclick="x',
        "https://a.example/ x",
        "https://a.example/<b>",
        "",
        "ftp://a.example",
        "https://a.example/\u202e",
    ],
)
def test_only_plain_http_urls_become_links(url: str) -> None:
    content = [MessageSection("", (MessageLine("", (MessagePiece("link", url),)),))]
    assert "<a" not in render.to_html(content)
    assert not any(t.type == "link_open" for b in MarkdownIt().parse(render.to_markdown(content)) for t in b.children or ())


def test_a_command_can_be_pasted_into_a_shell() -> None:
    message = message_of(event(url="https://a.example/?a=1&b=$(id)"))
    assert "dedup diff 'https://a.example/?a=1&b=$(id)'" in message.text
    assert "dedup alerts show" in message_of(event(url="https://a.example/@everyone")).text


def test_printable_ascii_is_unchanged() -> None:
    content = [MessageSection("", (MessageLine("", (MessagePiece("plain", string.printable.strip().replace("@", "")),)),))]
    assert render.to_text(content).strip() == string.printable.strip().replace("@", "")
