"""A policy's ladder for one destination as people read it: which step looks where, and what a call would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from ami_rotator.domain.geography import places_of
from ami_rotator.domain.ladder import Step
from ami_rotator.domain.numbers import Presentation, present
from ami_rotator.domain.types import E164, Area, Group, Rung
from ami_rotator.http.pages.call_rows import MISSES, RUNGS
from ami_rotator.pool.explaining import ExplainedStep, Explanation, PassedOver

_PASSED_MOST = 4
_STATES = {
    "idle": "idle",
    "warm": "warm",
    "in_use": "in use",
    "waiting": "waiting",
    "resting": "resting",
    "disabled": "disabled",
}
_HOW = {
    "free": "free, and of those the one not used the longest",
    "warm": "held ready",
    "sticky": "the one that this lead saw before",
    "seen": "one that this person has seen already",
    "overflow": "in overflow",
}
_WHY_NOT = {
    "in_use": "in use",
    "cool_down": "cools down",
    "minute_cap": "at its limit of the minute",
    "hourly_cap": "at its limit of the hour",
    "daily_cap": "at its limit of the day",
    "soft_cap": "at its soft limit of the day",
    "resting": "rests",
    "disabled": "switched off",
    "destination": "is the number called",
    "attestation": "not signed well enough",
    "left_to_others": "left to a campaign with a greater share",
    "not_reached": "used more lately",
}
_EVENTS = {
    "bond resting": "The caller-ID that was shown before rests, so another is taken.",
    "bond capped": "The caller-ID that was shown before is at a limit, so another is taken.",
    "bond busy": "The caller-ID that was shown before is busy, so another is taken this time.",
    "bond unanswered": "The caller-ID that was shown before was not answered too often, so another is taken.",
    "bond gone": "The caller-ID that was shown before is no longer the campaign's, so another is taken.",
    "exhausted keep_own": "All of a rung are taken, so the call keeps VICIdial's number.",
    "exhausted refuse": "All of a rung are taken, so the dialplan is told to refuse the call.",
    "exhausted overflow": "All of a rung are taken, so overflow is tried.",
    "exhausted next_rung": "All of a rung are taken, so the next rung is looked at.",
}


@dataclass(frozen=True, slots=True)
class Look:
    """One step. `caller_ids` are switched on there; `new`: those that no step before had.

    `states` says what state those of a step that was looked at are in now, `passed` why some of them were not taken,
    `chosen` which one was.
    """

    rung: str
    group: str
    place: str
    caller_ids: int
    new: int
    states: str = ""
    passed: tuple[str, ...] = ()
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a call would get now: the caller-ID, or none; `why` in a sentence, `notes` what else decided."""

    caller_id: str
    why: str
    notes: tuple[str, ...]


def ladder_look(
    ladder: Sequence[Step],
    supply: Mapping[tuple[Group, Area], int],
    found: Explanation | None,
    presentation: Presentation,
    zone: ZoneInfo,
) -> tuple[Look, ...]:
    """Return the steps of a call; `supply` is the caller-IDs that are switched on, by group and area."""
    looks: list[Look] = []
    before: set[tuple[Group, Area]] = set()
    filed = {area: {area, *places_of(area, tuple(Rung))} for _, area in supply}
    walked = {(step.rung, step.group, step.place): step for step in found.steps} if found else {}
    for step in ladder:
        here = {
            (group, area)
            for group, area in supply
            if group == step.group and (not step.place or step.place in filed[area])
        }
        # What is held ready was taken without a look at the place: its step has none.
        seen = walked.get((step.rung, step.group, step.place)) or walked.pop((step.rung, step.group, ""), None)
        place = step.place.partition(":")[2] if ":" in step.place else step.place
        looks.append(
            Look(
                RUNGS[step.rung.value],
                step.group,
                place or "anywhere",
                sum(supply[key] for key in here),
                sum(supply[key] for key in here - before),
                _states(seen),
                tuple(_passed(one, presentation, zone) for one in seen.passed[:_PASSED_MOST]) if seen else (),
                present(E164(seen.chosen), presentation) if seen and seen.chosen else "",
            )
        )
        before |= here
    return tuple(looks)


def verdict(found: Explanation, presentation: Presentation) -> Verdict:
    """Return what a call would get."""
    notes = tuple(_note(step.event) for step in found.steps if step.event)
    if found.caller_id is None:
        return Verdict("", MISSES.get(found.reason, found.reason), notes)
    how, _, broken = found.how.partition(":")
    rung = RUNGS.get(found.rung, found.rung)
    why = f"{rung}, group {found.group}: {_HOW.get(how, how)}"
    return Verdict(present(found.caller_id, presentation), why + (f" ({broken})" if broken else ""), notes)


def _states(step: ExplainedStep | None) -> str:
    if step is None or not step.counts:
        return ""
    return ", ".join(f"{step.counts[name]:,} {text}" for name, text in _STATES.items() if step.counts.get(name))


def _passed(one: PassedOver, presentation: Presentation, zone: ZoneInfo) -> str:
    until = f" until {datetime.fromtimestamp(one.until_ms / 1000, zone):%H:%M:%S}" if one.until_ms else ""
    return f"{present(one.number, presentation)} {_WHY_NOT.get(one.why, one.why)}{until}"


def _note(event: str) -> str:
    if event.startswith("distinct "):
        return f"This person has seen {event.removeprefix('distinct ')} caller-IDs, as many as may be: only those are used."
    return _EVENTS.get(event, event)
