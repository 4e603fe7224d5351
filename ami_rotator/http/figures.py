"""What the dashboard shows, worked out from the data: pure, so that it can be tested without a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ami_rotator.domain.numbers import Presentation, mask, present
from ami_rotator.domain.types import E164, State
from ami_rotator.http.deps import DashboardData, DialerHealth, LastCall, Minute, NextCalls
from ami_rotator.http.heat import Heat, heat
from ami_rotator.http.pages.call_rows import MISSES, RUNGS
from ami_rotator.pool.answer_times import Latency

CALLS_MAX = 20
BAR_WIDTH = 1000

_STATE_ORDER = (State.IN_USE, State.WARM, State.IDLE, State.WAITING, State.RESTING, State.DISABLED)
_STATE_NAMES = {
    State.IN_USE: ("In use", "on a live call"),
    State.WARM: ("Warm", "held ready for a campaign and area"),
    State.IDLE: ("Idle", "free"),
    State.WAITING: ("Waiting", "cooling down, or at a limit"),
    State.RESTING: ("Resting", "switched off until a time"),
    State.DISABLED: ("Disabled", "switched off, or with a limit of 0"),
}
_DOORS = {"feed": "VICIdial's own table", "ami": "AMI", "http": "HTTP", "fastagi": "FastAGI"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A state's share of the inventory; `x` and `width` in 1000ths of the bar."""

    key: str
    name: str
    meaning: str
    count: int
    percent: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class CallRow:
    """An assignment as it is shown. `verdict` is `match`, `differs` or `pending`."""

    time: str
    campaign: str
    dialer: str
    destination: str
    caller_id: str
    presented: str
    rung: str
    source: str
    outcome: str
    verdict: str


@dataclass(frozen=True, slots=True)
class MinuteRow:
    """A minute of the chart and of its table; `at_s` seconds since the epoch, `bar` its height in percent of the peak."""

    at_s: int
    time: str
    assigned: int
    missed: int
    bar: int
    is_open: bool

    @property
    def total(self) -> int:
        """All calls of the minute."""
        return self.assigned + self.missed


@dataclass(frozen=True, slots=True)
class View:
    """Everything on the page, as text and numbers. `doors`: name, calls, share as text and of 100."""

    time: str
    zone: str
    status: str
    notices: tuple[str, ...]
    calls_last_minute: int
    calls_last_hour: int
    missed_last_hour: int
    missed_percent: str
    live: int
    total: int
    ready: int
    warm: int
    has_redis: bool
    has_records: bool
    dialers: tuple[DialerHealth, ...]
    dialers_up: int
    segments: tuple[Segment, ...]
    minutes: tuple[MinuteRow, ...]
    peak: MinuteRow | None
    heat: Heat
    calls: tuple[CallRow, ...]
    misses: tuple[tuple[str, int], ...]
    doors: tuple[tuple[str, int, str, float], ...]
    latency: Latency | None
    next_calls: tuple[NextCalls, ...] = ()


def view(data: DashboardData, now_ms: int, zone: ZoneInfo, presentation: Presentation) -> View:
    """Return what the page shows at `now_ms`."""
    now = datetime.fromtimestamp(now_ms / 1000, zone)
    rows = minute_rows(data.minutes, zone)
    done = rows[:-1] or rows
    asked = sum(row.total for row in rows)
    missed = sum(row.missed for row in rows)
    total = sum(data.states.values())
    return View(
        time=f"{now:%H:%M:%S}",
        zone=now.tzname() or zone.key,
        status=data.health.status,
        notices=notices(data),
        calls_last_minute=done[-1].total if done else 0,
        calls_last_hour=asked,
        missed_last_hour=missed,
        missed_percent=percent(missed, asked),
        live=data.live,
        total=total,
        ready=data.states.get(State.IDLE, 0) + data.states.get(State.WARM, 0),
        warm=data.states.get(State.WARM, 0),
        has_redis=data.health.redis_ok,
        has_records=data.health.postgresql_ok,
        dialers=data.health.dialers,
        dialers_up=sum(dialer.state == "up" for dialer in data.health.dialers),
        segments=segments(data),
        minutes=rows,
        peak=max((row for row in rows if row.total), key=lambda row: row.total, default=None),
        heat=heat(data.warm),
        calls=tuple(_call(call, zone, presentation) for call in data.last_calls[:CALLS_MAX]),
        misses=tuple(
            (_sentence(MISSES.get(reason, reason)), count)
            for reason, count in sorted(data.misses.items(), key=lambda item: -item[1])
            if count
        ),
        doors=doors(data),
        latency=data.latency,
        next_calls=tuple(data.next_calls),
    )


def doors(data: DashboardData) -> tuple[tuple[str, int, str, float], ...]:
    """Return by which way calls came in; those that nobody uses are left out, AMI and HTTP are always there."""
    whole = sum(data.doors.values())
    return tuple(
        (name, count, percent(count, whole), 100 * count / whole)
        for key, name in _DOORS.items()
        if whole and ((count := data.doors.get(key, 0)) or key in ("ami", "http"))
    )


def notices(data: DashboardData) -> tuple[str, ...]:
    """Return what needs a look: what is wrong, what it means, what to do."""
    found = []
    health = data.health
    if not health.redis_ok:
        found.append(
            "Redis does not answer. Calls go out with the caller-ID that VICIdial chose until it does. "
            "Check that the server runs and that REDIS_URL is right."
        )
    if not health.postgresql_ok:
        found.append(
            f"PostgreSQL does not answer. Calls are not affected; {data.outbox} records wait in the outbox. "
            "Check that the server runs and that DATABASE_URL is right."
        )
    if health.feed not in (None, "ok"):
        found.append(
            f"VICIdial's database is not read: {health.feed}. Calls get their caller-ID by AMI and HTTP until it is; some "
            "are later for that. It is tried again all the time."
        )
    down = [dialer.name for dialer in health.dialers if dialer.state != "up"]
    if down:
        found.append(
            f"{'Dialers' if len(down) > 1 else 'Dialer'} {', '.join(down)} not connected. Calls there ask over HTTP if the "
            "hook is installed. See the reason under Dialers."
        )
    total = sum(data.states.values())
    if total and not data.states.get(State.IDLE, 0) + data.states.get(State.WARM, 0):
        found.append("No caller-ID is free. Import more, raise their limits, or shorten the cool-down.")
    return tuple(found)


def segments(data: DashboardData) -> tuple[Segment, ...]:
    """Return the bar of states; what is there at all is at least visible."""
    total = sum(data.states.values())
    found = []
    x = 0.0
    for state in _STATE_ORDER:
        count = data.states.get(state, 0)
        width = BAR_WIDTH * count / total if total else 0.0
        name, meaning = _STATE_NAMES[state]
        found.append(
            Segment(state.value, name, meaning, count, percent(count, total), round(x, 1), round(max(width, 3), 1))
            if count
            else Segment(state.value, name, meaning, 0, percent(0, total), round(x, 1), 0.0)
        )
        x += width
    return tuple(found)


def minute_rows(minutes: Sequence[Minute], zone: ZoneInfo) -> tuple[MinuteRow, ...]:
    """Return the minutes of the chart; the last one is still open."""
    peak = max((minute.assigned + minute.missed for minute in minutes), default=0)
    return tuple(
        MinuteRow(
            minute.at_ms // 1000,
            f"{datetime.fromtimestamp(minute.at_ms / 1000, zone):%H:%M}",
            minute.assigned,
            minute.missed,
            round(100 * (minute.assigned + minute.missed) / peak) if peak else 0,
            is_open=minute is minutes[-1],
        )
        for minute in minutes
    )


def percent(part: int, whole: int) -> str:
    """Return a share as text; a small one is never shown as none."""
    if not whole or not part:
        return "0 %"
    share = 100 * part / whole
    return "<0.1 %" if share < 0.1 else f"{share:.1f} %" if share < 10 else f"{share:.0f} %"


def _call(call: LastCall, zone: ZoneInfo, presentation: Presentation) -> CallRow:
    return CallRow(
        time=f"{datetime.fromtimestamp(call.at_ms / 1000, zone):%H:%M:%S}",
        campaign=call.campaign,
        dialer=call.dialer,
        destination=mask(present(E164(call.destination), presentation)) if call.destination else "",
        caller_id=present(E164(call.caller_id), presentation),
        presented=call.presented,
        rung=RUNGS.get(call.rung, call.rung),
        source=call.source,
        outcome=call.outcome.replace("_", " "),
        verdict={None: "pending", True: "match", False: "differs"}[call.is_match],
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
