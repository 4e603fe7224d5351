"""Calls of the ledger as a table shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from ami_rotator.domain.numbers import Presentation, mask, present
from ami_rotator.domain.types import E164
from ami_rotator.http.pages.words import duration, moment
from ami_rotator.ledger.call_list import CallRecord

MISSES = {
    "none_free": "no caller-ID was free",
    "no_groups": "the campaign has no group",
    "refused": "not ours to number",
    "unavailable": "Redis did not answer in time",
    "observe": "observe mode: decided, not set",
    "opted_out": "the person called has opted out",
}
RUNGS = {
    "city": "same city",
    "area": "same area",
    "overlay": "overlay of the area",
    "neighbour": "neighbouring area",
    "state": "same state",
    "zone": "same time zone",
    "country": "same country",
    "any": "any area",
    "next_group": "next group",
}


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call. `verdict` is `match`, `differs`, `pending` or `missed`; `missed` says why it kept VICIdial's own number."""

    reservation: str
    at: str
    campaign: str
    destination: str
    caller_id: str
    caller_id_digits: str
    presented: str
    verdict: Literal["match", "differs", "pending", "missed"]
    missed: str
    rung: str
    source: str
    dialer: str
    outcome: str
    talk: str


def call_rows(
    calls: Sequence[CallRecord], zone: ZoneInfo, presentation: Presentation, *, is_whole: bool
) -> list[CallRow]:
    """Return calls as they are shown. Without `is_whole` the numbers called end in stars, as a viewer sees them."""
    return [_row(call, zone, presentation, is_whole=is_whole) for call in calls]


def destination_of(call: CallRecord, presentation: Presentation, *, is_whole: bool) -> str:
    """Return the number called as it is shown."""
    shown = present(E164(call.destination), presentation) if call.destination else call.dialled
    return shown if is_whole or not shown else mask(shown)


def _row(call: CallRecord, zone: ZoneInfo, presentation: Presentation, *, is_whole: bool) -> CallRow:
    verdict: Literal["match", "differs", "pending", "missed"] = "pending"
    if call.miss_reason:
        verdict = "missed"
    elif call.presented_matches is not None:
        verdict = "match" if call.presented_matches else "differs"
    return CallRow(
        reservation=call.reservation,
        at=moment(call.assigned_at_ms, zone),
        campaign=call.campaign,
        destination=destination_of(call, presentation, is_whole=is_whole),
        caller_id=present(E164(call.caller_id), presentation) if call.caller_id else "",
        caller_id_digits=call.caller_id[1:],
        presented=call.presented,
        verdict=verdict,
        missed=MISSES.get(call.miss_reason, call.miss_reason),
        rung=RUNGS.get(call.rung, call.rung),
        source=call.source,
        dialer=call.dialer,
        outcome=call.outcome.replace("_", " ") or ("" if call.miss_reason else "live"),
        talk=duration(call.talk_ms) if call.talk_ms else "",
    )
