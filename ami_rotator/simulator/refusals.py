"""How Asterisk shows a Dial that reached nobody (captures; for no trunk and an agent's own timeout app_dial.c, dial.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ami_rotator.simulator.options import CarrierOutcome


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a Dial that reached nobody looks: `dial_end` is what AMI says, `dial_status` what the dialplan has."""

    cause: int
    dial_end: str
    dial_status: str
    sip: int = 0
    reason: str = ""


CONGESTION = Refusal(34, "CONGESTION", "CONGESTION", 503, "Service Unavailable")
NO_TRUNK = Refusal(3, "CHANUNAVAIL", "CHANUNAVAIL")
RUNG_OUT = Refusal(16, "NOANSWER", "NOANSWER", 180, "Ringing")
REFUSALS: Mapping[CarrierOutcome, Refusal] = MappingProxyType(
    {
        "busy": Refusal(17, "BUSY", "BUSY", 486, "Busy Here"),
        "not_found": Refusal(1, "NOANSWER", "CHANUNAVAIL", 404, "Not Found"),
        "declined": Refusal(21, "NOANSWER", "CHANUNAVAIL", 603, "Decline"),
        "unwanted": Refusal(127, "NOANSWER", "CHANUNAVAIL", 607, "Unwanted"),
        "congestion": CONGESTION,
    }
)
