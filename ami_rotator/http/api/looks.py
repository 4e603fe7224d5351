"""What the dashboard's pictures and previews are made of: usage, supply and demand by area, a policy tried."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ami_rotator.admin.policies import CampaignBody, read_campaign
from ami_rotator.domain.numbers import area_of
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import Text
from ami_rotator.http.api.problems import problem_error
from ami_rotator.ledger.usage import AreaCalls, AreaSupply, by_day, by_hour, calls_by_area, supply

_HOUR_MS = 3_600_000
_WEEK_MS = 7 * 24 * _HOUR_MS
_CALLS_MAX = 50_000


class UsageQuery(BaseModel):
    """How far back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hours: int = Field(24, ge=1, le=24 * 31)
    days: int = Field(30, ge=1, le=366)


class HourItem(BaseModel):
    """The hour that began at `at_ms`; hours without calls are left out."""

    model_config = ConfigDict(from_attributes=True)

    at_ms: int
    calls: int
    answered: int


class DayItem(BaseModel):
    """A day of the time zone of the limits. `short`: answered for less than six seconds."""

    model_config = ConfigDict(from_attributes=True)

    day: date
    calls: int
    dialled: int
    answered: int
    short: int
    declined: int
    not_found: int
    talk_ms: int


class UsageAnswer(BaseModel):
    """How a caller-ID was used, oldest first; counted once a minute."""

    hours: list[HourItem]
    days: list[DayItem]


class CoverageQuery(BaseModel):
    """Of which campaign; empty: of all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: Text = ""


class CoverageAnswer(BaseModel):
    """The newest calls of the last week, 50,000 at most, by area and how they were served; and the caller-IDs for them."""

    calls: list[AreaCalls]
    supply: list[AreaSupply]


class PreviewQuery(BaseModel):
    """The number called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: Text = Field(min_length=1)


class PreviewAnswer(BaseModel):
    """What a call would get. `caller_id` null: none, for `reason`. `new_rungs` no saved policy uses yet for these groups."""

    caller_id: str | None
    rung: str
    group: str
    how: str
    reason: str
    new_rungs: list[str]


async def usage(call: Call) -> UsageAnswer:
    """Return how a caller-ID was used."""
    number = call.desk.caller_ids.read_number(call.part("number"))
    now_ms, zone = call.deps.clock.wall_ms(), call.deps.settings.zone
    today = datetime.fromtimestamp(now_ms / 1000, zone).date()
    query: UsageQuery = call.query
    hours, days = await asyncio.gather(
        by_hour(call.desk.database, number, (now_ms // _HOUR_MS - query.hours + 1) * _HOUR_MS),
        by_day(call.desk.database, number, today - timedelta(days=query.days - 1)),
    )
    return UsageAnswer(
        hours=[HourItem.model_validate(one) for one in hours], days=[DayItem.model_validate(one) for one in days]
    )


async def coverage(call: Call) -> CoverageAnswer:
    """Return supply and demand by area."""
    name, database = call.query.campaign, call.desk.database
    groups = None
    if name:
        policies = {policy.name: policy for policy in await call.desk.campaigns.list()}
        policy = policies.get(name) or read_campaign(name, {})
        groups = [*policy.groups, *policy.next_groups]
    since_ms = call.deps.clock.wall_ms() - _WEEK_MS
    calls, have = await asyncio.gather(
        calls_by_area(database, name, since_ms, _CALLS_MAX),
        supply(database, groups, call.deps.settings.default_daily_limit),
    )
    return CoverageAnswer(calls=calls, supply=have)


async def preview(call: Call) -> PreviewAnswer:
    """Return what a call would get under a policy, without saving it."""
    policy = read_campaign(call.part("name"), dict(call.body))
    number = call.desk.caller_ids.read_number(call.query.to)
    if call.deps.try_policy is None:
        raise problem_error("redis_away", "There is no pool here to try it on.")
    areas: dict[Any, list[Any]] = {}
    groups = [*policy.groups, *policy.next_groups]
    for item in await supply(call.desk.database, groups, call.deps.settings.default_daily_limit):
        areas.setdefault(item.group, []).append(item.area)
    trial = await call.deps.try_policy(policy, number, area_of(number), areas)
    found = trial.found
    return PreviewAnswer(
        caller_id=found.caller_id,
        rung=found.rung,
        group=found.group,
        how=found.how,
        reason=found.reason,
        new_rungs=[rung.value for rung in trial.new_rungs],
    )


ENDPOINTS = (
    Endpoint("GET", "/caller-ids/{number}/usage", usage, "viewer", "How a caller-ID was used, by hour and day",
             query=UsageQuery, answer=UsageAnswer),
    Endpoint("GET", "/coverage", coverage, "viewer", "Supply and demand by area", query=CoverageQuery,
             answer=CoverageAnswer),
    Endpoint("POST", "/campaigns/{name}/preview", preview, "viewer", "What a call would get under a policy not saved",
             query=PreviewQuery, body=CampaignBody, answer=PreviewAnswer, errors=("redis_away",)),
)  # fmt: skip
