"""Missing optional packages, and the logs of libraries."""

from __future__ import annotations

import logging
import sys
from typing import get_args

import pytest

from dedup.errors import MissingExtraError
from dedup.runtime.extras import _FEATURES, Extra, require_extra
from dedup.runtime.log_capture import capture_log


@pytest.mark.parametrize("extra", get_args(Extra))
def test_a_missing_package_is_named_with_the_command_that_installs_it(extra: Extra, monkeypatch: pytest.MonkeyPatch) -> None:
    feature, packages = _FEATURES[extra]
    monkeypatch.setitem(sys.modules, packages[0], None)
    with pytest.raises(MissingExtraError) as error:
        require_extra(extra)
    assert str(error.value).startswith(f"{feature} needs the package {packages[0]}, which is not installed; run: ")
    assert f'pip install "crawl-dedup[{extra}]"' in str(error.value)


def test_a_captured_log_line_goes_nowhere_else(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("captured")
    lines: list[str] = []
    with capture_log("captured", lambda record: lines.append(record.getMessage())):
        log.info("less")
        log.warning("the address %s", "secret")
    log.warning("after")
    assert lines == ["the address secret"]
    assert capfd.readouterr().err == ""
    assert caplog.records == []
