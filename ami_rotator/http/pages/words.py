"""Numbers and times as people read them."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from ami_rotator.domain.caller_id import NO_LIMIT

_STEPS = ((60, 1, "s"), (3600, 60, "min"), (172_800, 3600, "h"), (10**12, 86_400, "days"))

# The first that fits names it: Edge and Opera say that they are Chrome too, and Chrome that it is Safari.
_BROWSERS = (
    ("Edge", r"Edg/(\d+)"),
    ("Opera", r"OPR/(\d+)"),
    ("Firefox", r"Firefox/(\d+)"),
    ("Chrome", r"Chrome/(\d+)"),
    ("Safari", r"Version/(\d+)[\d.]* (?:Mobile/\w+ )?Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("macOS", "Mac OS X"),
    ("Linux", "Linux"),
)


def ago(at_ms: int, now_ms: int) -> str:
    """Return how long ago something was; 0 is never."""
    if not at_ms:
        return "never"
    seconds = max(0, now_ms - at_ms) // 1000
    for below, unit_s, unit in _STEPS:
        if seconds < below:
            return f"{seconds // unit_s} {unit} ago"
    return "never"


def moment(at_ms: int, zone: ZoneInfo) -> str:
    """Return date and time; 0 is empty."""
    return f"{datetime.fromtimestamp(at_ms / 1000, zone):%Y-%m-%d %H:%M:%S}" if at_ms else ""


def duration(ms: float) -> str:
    """Return a short time."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = round(ms / 1000)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60}:{seconds % 60:02d} min"


def every(seconds: float) -> str:
    """Return an interval."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit_s, name in ((86_400, "day"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {name}"
    return ""


def browser_name(sent: str) -> str:
    """Return browser and system of a User-Agent as people call them; of one that is not known its beginning."""
    browser = next((f"{name} {match[1]}" for name, mark in _BROWSERS if (match := re.search(mark, sent))), "")
    system = next((name for name, mark in _SYSTEMS if mark in sent), "")
    return f"{browser} on {system}" if browser and system else browser or sent[:60]


def limit_text(limit: int | None) -> str:
    """Return a limit; None is that of the group."""
    if limit is None:
        return "default"
    return "no limit" if limit >= NO_LIMIT else "never" if limit == 0 else f"{limit:,}"


def share(part: int, whole: int) -> int:
    """Return how much of a limit is used, in percent, 100 at the most."""
    return min(100, round(100 * part / whole)) if whole else 0
