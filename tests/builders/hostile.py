"""Articles whose every field attacks an output: terminal escapes, markup, SQL, bidirectional controls."""

from __future__ import annotations

SECRET = "s3cr3t-w0rd"


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u200b\u2060\u00ad"


TERMINAL = "\x1b[31m\x1b]0;x\x07\x9b2J\x85\x7f\b"


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"


SQL = "'; DROP TABLE files; --"


ESCAPES = "../../../../../../tmp/escaped"


ALL = f"{TERMINAL}{BIDI}{MARKUP}{SQL}{ESCAPES}"


URLS = [
    f"https://me:{SECRET}@hostile.example/a?b=1",
    f"https:\t//me:{SECRET}@hostile.example/a?b=1&utm_source=x",
    f"https://me%3A{SECRET}%40hostile.example/a",
    f"https://me:{SECRET}/x@hostile.example/a",
    f"https://{SECRET}@аpple.example/b",
    f"ftp://me:{SECRET}@hostile.example/c",
    f"file:///etc/passwd?{ALL}",
    f"javascript:alert('{ALL}')",
    f"//me:{SECRET}@hostile.example/d",
    f"me:{SECRET}@hostile.example/e",
    f"https://hostile.example/{ESCAPES}/%2e%2e/%00{ALL}",
    f"https://hostile\u202e.example/{ALL}",
]
