"""What one call will be like, decided before it is placed: a seed gives the same calls whatever the timing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate, count
from random import Random
from typing import Generic, TypeVar

from ami_rotator.clock import Clock
from ami_rotator.domain.call_codes import Kind
from ami_rotator.simulator.demo import PEOPLE_LINES
from ami_rotator.simulator.options import CarrierOutcome, SimulatorOptions

_Choice = TypeVar("_Choice")


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call to a lead.

    `destination` is ten digits, `dial_prefix` stands before them and the 1; `name_suffix` is what VICIdial may append to
    the code of a manual call (extension or user, campaign); `failover` makes the first carrier answer 503 and the second
    one the outcome; `room` is the agent's conference of a manual call. `ring_s` is how long the carrier takes to answer or
    refuse, or the dialler to give up.
    """

    code: str
    kind: Kind
    campaign: str
    destination: str
    dial_prefix: str = "9"
    outcome: CarrierOutcome = "answered"
    name_suffix: str = ""
    failover: bool = False
    room: str = "8600051"
    own_number: str = "3125550000"
    call_log_before_s: float = 0.004
    call_log_after_s: float = 0.002
    ring_s: float = 0.05
    talk_s: float = 0.5
    redirect_s: float = 0.1

    @property
    def dialled(self) -> str:
        """What the carrier dialplan gets as its extension."""
        return f"{self.dial_prefix}1{self.destination}"

    @property
    def name(self) -> str:
        """The caller-ID name, which nobody may change."""
        return f"{self.code} {self.name_suffix}" if self.name_suffix else self.code


class Planner:
    """Plan calls one after another, from a seed."""

    def __init__(self, options: SimulatorOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._random = Random(options.seed)
        self._lead_ids = count(options.first_lead_id)
        self._rooms = count()
        self._areas = _Weighted(options.areas)
        self._outcomes = _Weighted(options.outcomes)
        self._campaigns = _Weighted({campaign: campaign.weight for campaign in options.campaigns})

    def next(self) -> CallPlan:
        """Return the next call. Each draws the same number of random values, so options change one thing at a time."""
        options, random = self._options, self._random
        campaign = self._campaigns.draw(random)
        area = self._areas.draw(random)
        line = random.choice(PEOPLE_LINES)
        kind: Kind = "manual" if random.random() < options.manual_share else "auto"
        outcome = self._outcomes.draw(random)
        failover = random.random() < options.failover_share
        answer_s, reject_s = options.answer_after_s.draw(random), options.reject_after_s.draw(random)
        if outcome == "no_answer":
            ring_s = options.manual_timeout_s if kind == "manual" else options.auto_timeout_s
        else:
            ring_s = answer_s if outcome == "answered" else reject_s
        return CallPlan(
            code=self.code(kind),
            kind=kind,
            campaign=campaign.name,
            destination=f"{area}555{line:04d}",
            dial_prefix=campaign.dial_prefix,
            outcome=outcome,
            failover=failover and outcome != "no_trunk",
            room=str(8600051 + next(self._rooms) % 150) if kind == "manual" else "",
            own_number=options.own_number,
            call_log_before_s=options.call_log_before_s.draw(random),
            call_log_after_s=options.call_log_after_s.draw(random),
            ring_s=ring_s,
            talk_s=options.talk_s.draw(random),
            redirect_s=options.redirect_after_s.draw(random),
        )

    def code(self, kind: Kind) -> str:
        """Return a new code: letter, `mmddhhmmss` in local time without its first digit, and ten digits of the lead."""
        now = time.localtime(self._clock.wall_ms() / 1000)
        letter = "M" if kind == "manual" else "V"
        return f"{letter}{time.strftime('%m%d%H%M%S', now)[1:]}{next(self._lead_ids):010d}"


class _Weighted(Generic[_Choice]):
    """Draw by weight; the sums are made once."""

    def __init__(self, weights: Mapping[_Choice, float]) -> None:
        self._choices = list(weights)
        self._sums = list(accumulate(weights.values()))

    def draw(self, random: Random) -> _Choice:
        return random.choices(self._choices, cum_weights=self._sums)[0]
