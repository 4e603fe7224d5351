"""The pages of campaigns: who dials, the editor of a policy with its ladder beside it, and where their calls go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ami_rotator.admin.errors import InvalidError, NotFoundError
from ami_rotator.admin.policies import read_campaign
from ami_rotator.domain.advice import on_policy
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.types import Campaign, Rung
from ami_rotator.http.pages.call_rows import RUNGS
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.http.pages.policy_preview import preview_of
from ami_rotator.http.pages.tile_map import Coverage, coverage
from ami_rotator.ledger.usage import calls_by_area, campaigns_seen, supply

WEEK_MS = 7 * 86_400_000
CALLS_MAX = 50_000
_INTEGERS = (
    "weight", "overflow_percent", "overflow_concurrent", "sticky_days", "sticky_unanswered_max", "distinct_max",
    "distinct_days", "neighbour_miles",
)  # fmt: skip
_LIMITS = ("minute_limit", "hourly_limit", "daily_limit")
_EXAMPLE = "2125550100"


@dataclass(frozen=True, slots=True)
class CampaignRow:
    """A campaign in the list; without a policy of its own it uses the group default."""

    name: str
    address: str
    has_policy: bool
    groups: str
    rungs: str
    calls: int
    missed_percent: str
    answered_percent: str


@shown()
async def campaigns(request: web.Request) -> web.Response:
    """Show the campaigns that have a policy, and those that dialled in the last week."""
    frame = frame_of(request)
    today = datetime.fromtimestamp(frame.deps.clock.wall_ms() / 1000, frame.deps.settings.zone).date()
    policies, seen, groups = await asyncio.gather(
        desk_of(request).campaigns.list(),
        campaigns_seen(frame.pages.database, today - timedelta(days=6)),
        desk_of(request).campaigns.groups(),
    )
    by_name: dict[str, CampaignPolicy] = {policy.name: policy for policy in policies}
    used = {item.campaign: item for item in seen}
    rows = []
    for name in sorted({*by_name, *used}):
        policy = by_name.get(name) or CampaignPolicy(Campaign(name))
        use = used.get(name)
        calls, missed = (use.calls, use.missed) if use else (0, 0)
        rows.append(
            CampaignRow(
                name,
                address_of(name),
                name in by_name,
                ", ".join(policy.groups),
                " → ".join(RUNGS[rung] for rung in policy.rungs),
                calls + missed,
                f"{100 * missed / (calls + missed):.1f} %" if calls + missed else "–",
                f"{100 * use.answered / use.dialled:.0f} %" if use and use.dialled else "–",
            )
        )
    context = {"rows": rows, "groups": groups, "can_change": frame.can("admin")}
    return page(request, "campaigns.html", context)


@shown()
async def campaign(request: web.Request) -> web.Response:
    """Show one campaign's policy, its ladder and where its calls go. One without a policy shows what holds for it."""
    policy, has_policy = await _policy(request)
    return await _shown_campaign(request, policy, has_policy=has_policy, destination=request.query.get("to", _EXAMPLE))


@shown("admin")
async def new_campaign(request: web.Request) -> web.Response:
    """Lead to the editor of a campaign that has no policy yet."""
    name = str((await request.post()).get("name", "")).strip()
    read_campaign(name, {})
    return back(address_of(name))


@shown()
async def preview(request: web.Request) -> web.Response:
    """Show what a call would get under what is entered, saved or not; alone where only that part is asked for."""
    name = request.match_info["name"]
    form = await request.post()
    destination = str(form.get("to", ""))[:40]
    try:
        policy, problem = read_campaign(name, values_of(form)), ""
    except (InvalidError, FormError) as error:
        policy, problem = (await _policy(request))[0], str(error)
    if "HX-Request" in request.headers:
        frame = frame_of(request)
        groups = [*policy.groups, *policy.next_groups]
        have = await supply(frame.pages.database, groups, frame.pages.defaults.daily_limit)
        looked = await preview_of(frame, policy, destination, have)
        return page(request, "ladder.html", {"preview": looked, "problem": problem})
    return await _shown_campaign(request, policy, has_policy=True, destination=destination, problem=problem)


@shown("admin")
async def save_campaign(request: web.Request) -> web.Response:
    """Save a policy."""
    frame = frame_of(request)
    name = request.match_info["name"]
    form = await request.post()
    await desk_of(request).campaigns.save(frame.visitor.actor, name, values_of(form))
    return back(address_of(name), done="saved", to=str(form.get("to", ""))[:40])


@shown("admin")
async def remove_campaign(request: web.Request) -> web.Response:
    """Delete a policy, once it was asked whether that is meant."""
    frame = frame_of(request)
    name = request.match_info["name"]
    if (await request.post()).get("sure") != "yes":
        return page(request, "campaign_sure.html", {"name": name, "address": address_of(name)})
    await desk_of(request).campaigns.remove(frame.visitor.actor, name)
    return back("/campaigns", done="saved")


def values_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Read a policy from its form.

    Raises:
        FormError: something that must be a number is none.
    """
    order = sorted(
        (number, index, rung.value)
        for index, rung in enumerate(Rung)
        if (number := _number(form, f"rung_{rung.value}", "The order of a rung")) is not None
    )
    values: dict[str, Any] = {
        "groups": _names(form, "groups"),
        "next_groups": _names(form, "next_groups"),
        "rungs": [rung for _, _, rung in order],
        "exhaustion": str(form.get("exhaustion", "next_rung")),
        "overflow_soft_cap": form.get("overflow_soft_cap") == "yes",
        "sticky_by": str(form.get("sticky_by", "lead")),
        "sticky_breaks": [name for name in ("resting", "capped") if form.get(f"breaks_{name}") == "yes"],
        "attestation_min": str(form.get("attestation_min", "")),
        "timezone": str(form.get("timezone", "")).strip(),
    }
    for name in _LIMITS:
        values[name] = _number(form, name, name.replace("_", " ").capitalize())
    for name in _INTEGERS:
        number = _number(form, name, name.replace("_", " ").capitalize())
        if number is not None:
            values[name] = number
    return values


def address_of(name: str) -> str:
    """Return the address of a campaign's page."""
    return f"/campaigns/{quote(name, safe='')}"


async def _policy(request: web.Request) -> tuple[CampaignPolicy, bool]:
    name = request.match_info["name"]
    try:
        return await desk_of(request).campaigns.get(name), True
    except NotFoundError:
        return read_campaign(name, {}), False


async def _shown_campaign(
    request: web.Request, policy: CampaignPolicy, *, has_policy: bool, destination: str, problem: str = ""
) -> web.Response:
    frame = frame_of(request)
    groups = [*policy.groups, *policy.next_groups]
    now_ms = frame.deps.clock.wall_ms()
    have, calls, all_groups = await asyncio.gather(
        supply(frame.pages.database, groups, frame.pages.defaults.daily_limit),
        calls_by_area(frame.pages.database, policy.name, now_ms - WEEK_MS, CALLS_MAX),
        frame.pages.database.rows("all_groups"),
    )
    looked = await preview_of(frame, policy, destination, have)
    picture = coverage(calls, have, now_ms, CALLS_MAX)
    places = {rung: policy.rungs.index(rung) + 1 for rung in policy.rungs}
    context = {
        "name": policy.name,
        "address": address_of(policy.name),
        "policy": policy,
        "has_policy": has_policy,
        "rungs": [(rung.value, RUNGS[rung.value], places.get(rung, "")) for rung in Rung],
        "preview": looked,
        "problem": problem,
        "notes": list(on_policy(policy)) if has_policy else [],
        "to": destination,
        "coverage": picture,
        "days_text": days_text(picture),
        "group_names": [row["name"] for row in all_groups],
        "can_change": frame.can("admin"),
    }
    return page(request, "campaign.html", context)


def days_text(picture: Coverage) -> str:
    """Say which calls a picture is of."""
    if picture.calls >= CALLS_MAX:
        return f"the newest {CALLS_MAX:,}, of {picture.days:.1f} days"
    return "of the last week"


def _names(form: Mapping[str, Any], name: str) -> list[str]:
    return [part for part in str(form.get(name, "")).replace(",", " ").split() if part]


def _number(form: Mapping[str, Any], name: str, what: str) -> int | None:
    text = str(form.get(name, "")).strip().replace(",", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise FormError(f"{what} is a whole number; {text[:20]!r} is none.")
    return int(text)
