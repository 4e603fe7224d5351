"""How many numbers are needed where, for administrators: from the ledger or from a list of leads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from ami_rotator.admin.changes import Line
from ami_rotator.clock import Clock
from ami_rotator.domain.advice import on_limits
from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.planner import Caps, Demand, Per, Plan, lead_demand, make_plan, what_if
from ami_rotator.domain.types import Area, Campaign, Group
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.demand import past_demand, stock_by_area
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.lead_list import read_leads

DAYS_MAX = 400
_USUAL_CALL_S = 45.0


class PlanQuestion(BaseModel):
    """What a plan is to be made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: Line = Field("", max_length=100, description="Calls and groups of this campaign alone")
    days: int = Field(14, ge=1, le=DAYS_MAX, description="How many days of the ledger to look at")
    per: Per = Field("area", description="What is local enough; region: the areas that overlay each other")
    daily_limit: int | None = Field(None, ge=1, le=1_000_000, description="What if every number had this daily limit?")
    hourly_limit: int | None = Field(
        None, ge=1, le=1_000_000, description="What if every number had this hourly limit?"
    )
    headroom_percent: float = Field(25.0, ge=0, le=500, description="On top of the busiest day and hour")


class LeadQuestion(PlanQuestion):
    """The same for a list of leads; `days` means nothing there."""

    calls_per_lead: float = Field(3.0, ge=0.01, le=1000, description="Calls to each lead of the list")
    lead_days: float = Field(5.0, ge=0.1, le=1000, description="Days in which the list is to be called")
    hours_a_day: float = Field(8.0, ge=0.5, le=24, description="Hours a day in which the list is called")


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it was made with, and what a person should know of it. `calls`: in the ledger, or leads in the list."""

    plan: Plan
    caps: Caps
    notes: tuple[str, ...]
    calls: int


class Planning:
    """Makes plans. Everything raises LedgerUnavailableError while PostgreSQL is away."""

    def __init__(self, database: Database, defaults: LimitDefaults, region: str, clock: Clock) -> None:
        self._database = database
        self._defaults = defaults
        self._region = region
        self._clock = clock

    async def of_ledger(self, question: PlanQuestion) -> Planned:
        """Plan for the calls of the past days. Without any, `calls` is 0 and the plan says what is idle."""
        campaign = Campaign(question.campaign)
        today = datetime.fromtimestamp(self._clock.wall_ms() / 1000, self._defaults.zone).date()
        past = await past_demand(self._database, today - timedelta(days=question.days), campaign)
        return await self._plan(question, past.areas, past.call_s or _USUAL_CALL_S, past.calls)

    async def of_leads(self, question: LeadQuestion, path: Path) -> Planned:
        """Plan for a list of leads.

        Raises:
            LeadListError: the file cannot be read as one.
        """
        leads = await asyncio.to_thread(read_leads, path, self._region)
        demand = lead_demand(
            leads.areas,
            calls_per_lead=question.calls_per_lead,
            days=question.lead_days,
            hours_a_day=question.hours_a_day,
        )
        notes = (f"{leads.unread:,} rows have no phone number.",) if leads.unread else ()
        return await self._plan(question, demand, _USUAL_CALL_S, sum(leads.areas.values()), notes)

    async def _plan(
        self,
        question: PlanQuestion,
        demand: Mapping[Area, Demand],
        call_s: float,
        calls: int,
        notes: tuple[str, ...] = (),
    ) -> Planned:
        defaults = self._defaults
        groups = await self._groups(Campaign(question.campaign)) if question.campaign else None
        stock = await stock_by_area(self._database, groups, defaults, self._clock.wall_ms() / 1000)
        caps = what_if(
            Caps(
                max(defaults.daily_limit, 1),
                max(defaults.hourly_limit, 1),
                busy_s=call_s + defaults.cooldown_s,
                headroom=question.headroom_percent / 100,
            ),
            daily_limit=question.daily_limit,
            hourly_limit=question.hourly_limit,
        )
        advice = on_limits("The limits of this plan", caps.hourly_limit, caps.daily_limit)
        return Planned(make_plan(demand, stock, caps, question.per), caps, (*notes, *advice), calls)

    async def _groups(self, campaign: Campaign) -> tuple[Group, ...]:
        policy = policy_of(campaign, await Inventory(self._database, self._defaults).campaigns())
        return (*policy.groups, *policy.next_groups)
