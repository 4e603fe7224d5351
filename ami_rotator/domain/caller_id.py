"""A caller-ID of the inventory, as the pool needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ami_rotator.domain.types import E164, Area, Group

Switch = Literal["active", "resting", "disabled"]


@dataclass(frozen=True, slots=True)
class CallerId:
    """One number that we own, with its limits resolved: no defaults left to look up.

    `hourly_limit` and `daily_limit` are uses in a calendar window, 0 is never; `cooldown_s` seconds after a call before the
    next; `max_concurrent` live calls at once; `resting_until_ms` wall time in ms, only where `switch` is `resting` (0:
    until somebody says otherwise).
    """

    number: E164
    area: Area
    group: Group
    hourly_limit: int
    daily_limit: int
    cooldown_s: int
    max_concurrent: int = 1
    switch: Switch = "active"
    resting_until_ms: int = 0
    carrier: str = ""
    meta_json: str = ""
