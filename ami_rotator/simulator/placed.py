"""A call in progress and the record that is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ami_rotator.simulator.options import CarrierOutcome
from ami_rotator.simulator.plan import CallPlan

Way = Literal["variable", "astdb", "http", "direct", "own"]
"""How the presented number came: channel variable, AstDB, HTTP answer, a Setvar of `CALLERID(num)`, or not at all."""

Ending = CarrierOutcome | Literal["cut_off"]
"""How a call ended; `cut_off`: Asterisk stopped or restarted under it."""


@dataclass(slots=True)
class PlacedCall:
    """What is known of a live call. `channel` and `uniqueid` are of the Local half that runs the carrier dialplan."""

    plan: CallPlan
    placed_at_ms: int
    channel: str = ""
    uniqueid: str = ""
    way: Way = "own"
    presented: str = ""
    presented_name: str = ""
    guarded: bool = False
    hook_ms: float | None = None
    trunk_began_s: float | None = None
    trunk_uniqueids: list[str] = field(default_factory=list)
    holds: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One finished call. `presented` is empty where there never was a trunk leg; `hook_ms` is the delay the hook added, None
    without a hook; `guarded`: the hook was given something that is no number."""

    code: str
    kind: str
    campaign: str
    destination: str
    dialled: str
    channel: str
    uniqueid: str
    presented: str
    way: Way
    guarded: bool
    name_kept: bool
    hook_ms: float | None
    outcome: Ending
    trunk_uniqueids: tuple[str, ...]
    placed_at_ms: int
    ended_at_ms: int
