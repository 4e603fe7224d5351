"""How pages say things."""

from __future__ import annotations

import pytest

from ami_rotator.http.pages.words import browser_name

_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/17.4 Safari/605.1.15"
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605 Version/17.4 Mobile/15E148 Safari/604.1"
)
_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (_CHROME, "Chrome 156 on Linux"),
        (_CHROME + " Edg/156.0.1", "Edge 156 on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140 on Windows"),
        (_MAC, "Safari 17 on macOS"),
        (_IPHONE, "Safari 17 on iPhone"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("", ""),
    ],
)
def test_a_browser_is_named_as_people_call_it(sent: str, shown: str) -> None:
    assert browser_name(sent) == shown
