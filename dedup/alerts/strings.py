"""The words of messages: one row for each string, one column for each language.

To add a language, extend `dedup.model.Language`, LANGUAGES and every row. A test checks that rows are complete and placeholders agree.
"""

from __future__ import annotations

from collections.abc import Mapping

from dedup.model import Language

LANGUAGES: tuple[Language, ...] = ("en", "ko")
"""The columns of the table."""

_ROWS: Mapping[str, tuple[str, ...]] = {
    # topics and kinds
    "change.cosmetic": ("formatting changed", "형식만 수정"),
    "change.typo": ("typo corrected", "오탈자 수정"),
    "change.wording": ("wording changed", "표현 수정"),
    "change.headline": ("headline changed", "제목 수정"),
    "change.substantive": ("substance changed", "내용 수정"),
    "change.rewrite": ("rewritten", "전면 수정"),
    "change.removed": ("article removed", "기사 삭제"),
    "change.restored": ("article restored", "기사 복구"),
    "change.returned": ("back to an earlier revision", "이전 내용으로 되돌림"),
    "change.flapping": ("alternates between revisions", "내용이 번갈아 바뀜"),
    "change.metadata": ("metadata changed", "기사 정보 변경"),
    "mismatch.truncated": ("body truncated", "본문 잘림"),
    "mismatch.stale": ("content_hash of an earlier revision", "content_hash가 이전 버전의 값"),
    "mismatch.altered": ("body does not match content_hash", "본문과 content_hash 불일치"),
    "mismatch.malformed": ("content_hash is malformed", "content_hash 형식 오류"),
    "duplicate.exact": ("same text", "본문 동일"),
    "duplicate.near": ("nearly the same text", "본문 거의 동일"),
    "duplicate.copy": ("copy", "전재"),
    "duplicate.excerpt": ("excerpt", "발췌"),
    "duplicate.quote": ("quotation", "인용"),
    "cluster.growing": ("cluster is growing", "중복 기사 증가"),
    "faults.rate": ("many files cannot be read", "읽지 못한 파일이 많음"),
    "daemon.database": ("the database cannot be written", "데이터베이스에 쓸 수 없음"),
    "daemon.absent": ("a crawl directory is missing", "수집 폴더를 찾을 수 없음"),
    "daemon.unwatched": ("some folders are not watched", "감시되지 않는 폴더가 있음"),
    "daemon.events": ("no file events arrive", "파일 변경 이벤트가 들어오지 않음"),
    "daemon.alerts": ("alerts cannot be delivered", "알림을 보내지 못함"),
    "daemon.internal": ("internal error", "프로그램 내부 오류"),
    "daemon.derived": ("summaries or the search index cannot be updated", "요약이나 검색 색인을 갱신하지 못함"),
    # severities
    "trivial": ("trivial", "사소"),
    "minor": ("minor", "경미"),
    "notable": ("notable", "주목"),
    "major": ("major", "중대"),
    # evidence
    "number": ("number", "수치"),
    "amount": ("amount", "금액"),
    "date": ("date or time", "날짜·시각"),
    "percentage": ("percentage", "비율"),
    "quotation": ("quotation", "인용문"),
    "name": ("name", "이름"),
    "negation": ("negation", "부정 표현"),
    "sentence": ("sentence", "문장"),
    "moved": ("moved sentence", "옮겨진 문장"),
    "words": ("words", "단어"),
    "address": ("address", "주소"),
    "form": ("form", "형식"),
    "credit": ("credit", "사진·자료 출처"),
    "time_stamp": ("time stamp", "입력·수정 시각"),
    "placeholder": ("placeholder page", "대체 페이지"),
    "stub": ("characters left", "남은 글자 수"),
    "state_durations": ("shown for (seconds)", "게시 시간(초)"),
    # parts of an article
    "title": ("Title", "제목"),
    "body": ("Body", "본문"),
    "author": ("Author", "기자"),
    "publisher": ("Publisher", "매체"),
    "category": ("Category", "섹션"),
    "published_at": ("Published at", "발행 시각"),
    # labels
    "silent": ("silent change", "고지 없이 수정"),
    "corrected": ("marked as a correction", "정정 고지"),
    "across_publishers": ("another publisher", "다른 매체"),
    "when": ("When", "시각"),
    "crawled": ("crawled", "수집"),
    "published": ("published", "발행"),
    "classification": ("Classification", "분류"),
    "evidence": ("Evidence", "근거"),
    "other_article": ("Other article", "비교 기사"),
    "similarity": ("Similarity", "유사도"),
    "coverage": ("Coverage", "겹치는 비율"),
    "members": ("Articles", "기사"),
    "path": ("File", "파일"),
    "claimed_digest": ("Claimed", "기재된 값"),
    "computed_digest": ("Computed", "계산한 값"),
    "message": ("Message", "내용"),
    "count": ("Count", "건수"),
    "commands": ("Details", "자세히 보기"),
    "rule": ("Rule", "규칙"),
    "id": ("Alert", "알림 ID"),
    "none": ("(nothing)", "(없음)"),
    "more": ("and {n} more: dedup alerts list", "외 {n}건: dedup alerts list"),
    # incidents, digests and tests
    "incident": ("same edit on {n} pages", "{n}개 페이지 동일 수정"),
    "incident.update": ("same edit on {n} more pages", "동일 수정 {n}개 페이지 추가"),
    "digest": ("{n} alerts", "알림 {n}건"),
    "digest.schedule": ("Scheduled digest.", "정해진 시각에 모아 보내는 알림입니다."),
    "digest.backlog": ("Digest of alerts from a backlog of files.", "밀린 파일을 처리하면서 발생한 알림을 모아 보냅니다."),
    "digest.quiet_hours": ("Digest of alerts from quiet hours.", "방해 금지 시간에 발생한 알림을 모아 보냅니다."),
    "digest.rate_limit": ("Digest of alerts over the hourly limit.", "시간당 발송 한도를 넘은 알림을 모아 보냅니다."),
    "digest.late": ("Digest of alerts that could not be sent on time.", "제때 보내지 못한 알림을 모아 보냅니다."),
    "digest.incident": ("Digest of alerts about the same edit.", "같은 수정에 대한 알림을 모아 보냅니다."),
    "test": ("Test alert", "테스트 알림"),
    "test.text": ("This channel receives alerts. No action is needed.", "이 채널로 알림이 전송됩니다. 별도 조치는 필요 없습니다."),
}

STRINGS: Mapping[Language, Mapping[str, str]] = {
    language: {key: row[column] for key, row in _ROWS.items()} for column, language in enumerate(LANGUAGES)
}
"""Language → key → string. `{n}` in a string is a number."""
