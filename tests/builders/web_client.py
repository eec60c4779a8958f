"""Requests to a running dashboard."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request, urlopen


def get(address: str, **headers: str) -> tuple[int, str]:
    try:
        with urlopen(Request(address, headers=headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
