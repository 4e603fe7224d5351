"""Which entries of VICIdial's CID groups to switch on or off. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import E164
from ami_rotator.vicidial.settings_read import CidEntry


@dataclass(frozen=True, slots=True)
class Eligibility:
    """What we know of our caller-IDs now: all of them, and those that may be shown."""

    known: Collection[E164]
    eligible: Collection[E164]


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What to switch, in order. `kept` stay on as the last of their group and area; `waiting` are for the next rounds."""

    on: tuple[CidEntry, ...] = ()
    off: tuple[CidEntry, ...] = ()
    kept: tuple[CidEntry, ...] = ()
    waiting: int = 0


def plan_push(entries: Iterable[CidEntry], now: Eligibility, most: int, region: str = "US") -> PushPlan:
    """Compare what VICIdial has with what is eligible; `most` is how many entries one round may switch.

    Entries whose number is none of ours are left alone. The last active entry of a group and area is never switched off,
    counting only what is active already: a replacement that this round switches on counts in the next.
    """
    every = list(entries)
    active = Counter((entry.owner, entry.areacode) for entry in every if entry.active)
    on, off, kept = [], [], []
    for entry in every:
        number = parse_number(entry.number, region)
        if number is None or number not in now.known:
            continue
        if number in now.eligible:
            if not entry.active:
                on.append(entry)
        elif entry.active:
            place = (entry.owner, entry.areacode)
            if active[place] > 1:
                active[place] -= 1
                off.append(entry)
            else:
                kept.append(entry)
    now_on = on[:most]
    now_off = off[: most - len(now_on)]
    return PushPlan(tuple(now_on), tuple(now_off), tuple(kept), len(on) + len(off) - len(now_on) - len(now_off))
