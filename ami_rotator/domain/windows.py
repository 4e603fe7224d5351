"""Calendar windows: what a script must know of a time zone to tell which hour and day it is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@dataclass(frozen=True, slots=True)
class ZoneOffsets:
    """A zone's distance from UTC in seconds, when it changes next (epoch seconds), and to what."""

    offset_s: int
    change_at_s: int
    next_offset_s: int


_FAR = timedelta(days=3)


def zone_named(name: str) -> ZoneInfo | None:
    """Return a time zone by its IANA name; None where nobody knows it (or it is empty): the inventory's own counts."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError):
        return None


def zone_offsets(zone: ZoneInfo, now_s: float) -> ZoneOffsets:
    """Return the offsets of a zone around a time. They hold for a day at least: ask anew every hour.

    Only the next three days are looked at; a change further away is given as one that changes nothing.
    """
    now = datetime.fromtimestamp(now_s, UTC)
    offset = _offset_s(now, zone)
    low, high = now, now + _FAR
    later = _offset_s(high, zone)
    if later == offset:
        return ZoneOffsets(offset, int(high.timestamp()), offset)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if _offset_s(middle, zone) == offset:
            low = middle
        else:
            high = middle
    # Changes happen on whole minutes; the search ends within a second of one.
    return ZoneOffsets(offset, round(high.timestamp() / 60) * 60, later)


def window_starts_ms(zone: ZoneInfo, now_ms: int) -> tuple[int, int, int]:
    """Return when minute, hour and day of a time began in a zone, in ms: the windows that the scripts count in."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    part_ms = _offset_s(now, zone) % 3600 * 1000
    hour = (now_ms + part_ms) // 3_600_000 * 3_600_000 - part_ms
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    return now_ms // 60_000 * 60_000, hour, int(midnight.timestamp() * 1000)


def _offset_s(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0
