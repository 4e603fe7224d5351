"""The pages of the ledger: find calls, and look at one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, get_args
from urllib.parse import urlencode

from aiohttp import web

from ami_rotator.admin.errors import NotFoundError
from ami_rotator.domain.numbers import mask, parse_dialled, present
from ami_rotator.domain.types import E164, Outcome
from ami_rotator.http.pages.call_rows import MISSES, RUNGS, call_rows
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, Frame, frame_of, page, shown
from ami_rotator.http.pages.words import duration, moment
from ami_rotator.ledger.call_list import CallFilter, CallRecord, one_call
from ami_rotator.ledger.paging import Cursor

ROWS = 50
_DAYS = (("1", "the last day"), ("7", "a week"), ("31", "a month"), ("400", "all"))
_FILTERS = ("campaign", "destination", "code", "caller_id", "outcome", "dialer", "result", "days")
_RESULTS = {
    "": "all",
    "ours": "with one of ours",
    "missed": "without one of ours",
    "differs": "presented otherwise",
    **{f"miss:{reason}": f"without: {text}" for reason, text in MISSES.items()},
}


@shown()
async def calls(request: web.Request) -> web.Response:
    """Show a page of the ledger, the newest first."""
    frame = frame_of(request)
    asked = {name: request.query.get(name, "").strip()[:60].replace("\0", "") for name in _FILTERS}
    wanted = filter_of(frame, asked)
    found = await desk_of(request).calls(wanted, Cursor(request.query.get("after", "")), ROWS)
    kept = {name: value for name, value in asked.items() if value}
    context = {
        "calls": call_rows(found.calls, frame.deps.settings.zone, frame.presentation, is_whole=frame.can("operator")),
        "asked": asked,
        "kept": kept,
        "first": f"/calls?{urlencode(kept)}",
        "following": f"/calls?{urlencode({**kept, 'after': found.following})}" if found.following else "",
        "is_first": "after" not in request.query,
        "outcomes": get_args(Outcome),
        "results": _RESULTS,
        "spans": _DAYS,
        "dialers": [settings.name for settings, _ in frame.pages.dialers()],
    }
    return page(request, "calls.html", context)


@shown()
async def call(request: web.Request) -> web.Response:
    """Show one call: what was asked, what was chosen and why, what was presented, how it ended."""
    frame = frame_of(request)
    record = await one_call(frame.pages.database, request.match_info["reservation"])
    if record is None:
        raise NotFoundError(
            "There is no such call in the ledger. It may be too old, or not stored yet: try again soon."
        )
    zone = frame.deps.settings.zone
    is_whole = frame.can("operator")
    row = call_rows([record], zone, frame.presentation, is_whole=is_whole)[0]
    facts = {
        "Called": row.destination,
        "Dialled as": record.dialled if is_whole else mask(record.dialled),
        "Campaign": record.campaign,
        "Dialer": record.dialer,
        "Call code": record.code,
        "Channel": record.uniqueid,
        "Agent": record.agent,
        "Lead": record.lead_id,
        "Asked through": record.source,
        "Ended": moment(record.ended_at_ms, zone),
        "Talk": duration(record.talk_ms) if record.talk_ms else "",
        "Cause (Q.850)": str(record.cause or ""),
        "SIP": str(record.sip or ""),
    } | {name.replace("_", " ").capitalize(): str(value) for name, value in record.more.items()}
    context = {
        "row": row,
        "why": why(record, frame),
        "facts": {name: value for name, value in facts.items() if value},
    }
    return page(request, "call.html", context)


def why(record: CallRecord, frame: Frame) -> list[str]:
    """Say in sentences why the call showed what it showed."""
    shown_number = present(E164(record.caller_id), frame.presentation) if record.caller_id else ""
    if record.miss_reason:
        return [
            f"The call kept the number that VICIdial chose: {MISSES.get(record.miss_reason, record.miss_reason)}.",
            *(
                ["Import more caller-IDs for its groups, or raise their limits."]
                if record.miss_reason == "none_free"
                else []
            ),
        ]
    said = [
        f"{shown_number} was chosen on the rung “{RUNGS.get(record.rung, record.rung)}”: its area is"
        f" {record.area or 'unknown'}, its group {record.group}.",
        "It was held ready for this campaign and area."
        if record.was_warm
        else "It was taken from those that were free.",
    ]
    if record.presented_matches:
        said.append("The carrier leg showed this number.")
    elif record.presented_matches is False:
        said.append(
            f"The carrier leg showed {record.presented or 'another number'}: the hook did not run, ran too late, or the"
            " trunk sets a number of its own. See Dialers for the hook's lines."
        )
    else:
        said.append("No carrier leg has been seen (yet), so what was presented is not known.")
    return said


def filter_of(frame: Frame, asked: Mapping[str, Any]) -> CallFilter:
    """Read a filter of an address."""
    now = datetime.fromtimestamp(frame.deps.clock.wall_ms() / 1000, frame.deps.settings.zone)
    days = int(asked["days"]) if asked["days"] in dict(_DAYS) else 7
    result = asked["result"]
    outcome = asked["outcome"] if asked["outcome"] in get_args(Outcome) else ""
    reason = result.removeprefix("miss:") if result.startswith("miss:") else ""
    return CallFilter(
        campaign=asked["campaign"],
        destination=_number(frame, asked["destination"]),
        code=asked["code"].split(" ")[0],
        caller_id=_number(frame, asked["caller_id"]),
        outcome=outcome,
        dialer=asked["dialer"],
        miss_reason=reason if reason in MISSES else "",
        missed={"ours": False, "missed": True}.get(result),
        differs=result == "differs",
        since_ms=int((now - timedelta(days=days)).timestamp() * 1000),
    )


def _number(frame: Frame, text: str) -> str:
    if not text:
        return ""
    number = parse_dialled(
        text if not text.isdigit() or len(text) < 12 else f"+{text}", ("9",), frame.deps.settings.default_region
    )
    if number is None:
        raise FormError(f"{text!r} is not a whole phone number; write for example 2125550100.")
    return number
