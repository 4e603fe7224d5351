"""What a pretend Asterisk is like and what is dialled on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ami_rotator.domain.types import Area
from ami_rotator.simulator.demo import DEMO_AREAS, DEMO_CAMPAIGNS, SimulatedCampaign
from ami_rotator.simulator.spread import LogNormal, Spread, Uniform

CarrierOutcome = Literal[
    "answered",
    "busy",  # SIP 486
    "no_answer",  # rings until the dialler gives up
    "not_found",  # SIP 404
    "declined",  # SIP 603
    "unwanted",  # SIP 607
    "congestion",  # SIP 503
    "no_trunk",  # Asterisk has no way to the carrier: no trunk channel ever
]

SimulatorMode = Literal["hook", "direct"]
"""hook: the dialplan applies what it finds in the variable, AstDB or over HTTP, and says so in its events. direct: the
dialplan as VICIdial ships it and the captures have it; an AMI `Setvar` of `CALLERID(num)` is what counts."""

AsteriskVersion = Literal["16.28", "22.10"]

DAEMON_EVENTS = frozenset({"NewCallerid", "DialBegin", "DialEnd", "Hangup", "VarSet:CAMPCUST", "Shutdown"})
"""The events a caller-ID daemon needs, for `SimulatorOptions.event_filter`."""


# Shares of attempts as an outbound floor sees them: most calls are not answered.
DEFAULT_OUTCOMES: Mapping[CarrierOutcome, float] = MappingProxyType(
    {
        "answered": 0.31,
        "no_answer": 0.40,
        "busy": 0.09,
        "not_found": 0.08,
        "declined": 0.04,
        "unwanted": 0.01,
        "congestion": 0.05,
        "no_trunk": 0.02,
    }
)

# VICIdial's own call_log was measured at 2 to 7 ms to CAMPCUST, and 1 to 4 ms from there to the line behind it.
_CALL_LOG_BEFORE_S = LogNormal(0.004, 0.5, 0.1)
_CALL_LOG_AFTER_S = Uniform(0.001, 0.004)
_ANSWER_AFTER_S = LogNormal(11.0, 0.5, 20.0)
_REJECT_AFTER_S = LogNormal(1.2, 0.7, 10.0)
_TALK_S = LogNormal(20.0, 1.1, 1800.0)
_REDIRECT_AFTER_S = Uniform(0.15, 0.4)


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """All options. Durations are in seconds; shares are of all calls, 0 to 1.

    `event_filter` has the names of the events that are sent, as `eventfilter` in manager.conf, empty for all; `VarSet:NAME`
    lets only that variable through. `read` and `write` are the classes of the one AMI user, as in manager.conf: without
    `system` in `read` there is no `FullyBooted` and no `Shutdown`. `write_timeout_s` cuts off a reader whose socket has
    taken nothing for so long (Asterisk's own default is 0.1). `http_url` is the address of `/next-cid`, empty: the hook does
    not ask; `http_budget_s` is how long it waits. `grace_s`: a Setvar may cross the trunk's first event on the wire, so one
    that comes no later than this after it is only late. `keep_records` finished calls are kept for the report.
    """

    host: str = "127.0.0.1"
    port: int = 0
    username: str = "rotator"
    secret: str = "simulator"
    read: frozenset[str] = frozenset({"system", "call", "dialplan"})
    write: frozenset[str] = frozenset({"system", "call", "reporting", "command"})
    write_timeout_s: float = 5.0
    event_filter: frozenset[str] = frozenset()
    version: AsteriskVersion = "16.28"
    mode: SimulatorMode = "hook"
    http_url: str = ""
    http_budget_s: float = 0.25

    seed: int = 1
    campaigns: tuple[SimulatedCampaign, ...] = DEMO_CAMPAIGNS
    areas: Mapping[Area, float] = field(default_factory=lambda: DEMO_AREAS)
    own_number: str = "3125550000"
    first_lead_id: int = 1_000_001
    manual_share: float = 0.15
    failover_share: float = 0.02
    outcomes: Mapping[CarrierOutcome, float] = field(default_factory=lambda: DEFAULT_OUTCOMES)

    call_log_before_s: Spread = _CALL_LOG_BEFORE_S
    call_log_after_s: Spread = _CALL_LOG_AFTER_S
    answer_after_s: Spread = _ANSWER_AFTER_S
    reject_after_s: Spread = _REJECT_AFTER_S
    talk_s: Spread = _TALK_S
    redirect_after_s: Spread = _REDIRECT_AFTER_S
    auto_timeout_s: float = 22.0
    manual_timeout_s: float = 30.0

    grace_s: float = 0.1
    max_live_calls: int = 20_000
    keep_records: int = 10_000

    def dial_prefixes(self) -> dict[str, str | None]:
        """Return what a dialer's `dial_prefixes` setting should be: prefix to campaign, None where several share it."""
        found: dict[str, str | None] = {}
        for campaign in self.campaigns:
            found[campaign.dial_prefix] = None if campaign.dial_prefix in found else campaign.name
        return found
