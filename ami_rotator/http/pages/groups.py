"""The page of a group: what it says of its caller-IDs, with what is recommended beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ami_rotator.admin.campaigns import GroupView
from ami_rotator.admin.errors import NotFoundError
from ami_rotator.admin.policies import read_group
from ami_rotator.domain.advice import RECOMMENDED_DAILY_LIMIT, RECOMMENDED_HOURLY_LIMIT, on_limits
from ami_rotator.domain.warmup import CURVES
from ami_rotator.http.pages.caller_ids import whole
from ami_rotator.http.pages.desk import desk_of
from ami_rotator.http.pages.frame import back, frame_of, page, shown

_NUMBERS = ("max_concurrent", "cooldown_s", "minute_limit", "hourly_limit", "daily_limit", "soft_daily_limit")


@shown()
async def group(request: web.Request) -> web.Response:
    """Show a group; one that does not exist yet as it would be."""
    frame = frame_of(request)
    name = request.match_info["name"]
    try:
        view = await desk_of(request).campaigns.group(name)
    except NotFoundError:
        view = GroupView(read_group(name, {}), 0, ())
    settings, defaults = view.settings, frame.pages.defaults
    hourly = defaults.hourly_limit if settings.hourly_limit is None else settings.hourly_limit
    daily = defaults.daily_limit if settings.daily_limit is None else settings.daily_limit
    context = {
        "name": name,
        "address": address_of(name),
        "view": view,
        "group": settings,
        "defaults": defaults,
        "notes": list(on_limits(f"Group {name}", hourly, daily)),
        "recommended": (RECOMMENDED_DAILY_LIMIT, RECOMMENDED_HOURLY_LIMIT),
        "curves": {curve: (uses[0], uses[-1], len(uses)) for curve, uses in CURVES.items()},
        "can_change": frame.can("admin"),
    }
    return page(request, "group.html", context)


@shown("admin")
async def new_group(request: web.Request) -> web.Response:
    """Lead to the page of a group that does not exist yet."""
    name = str((await request.post()).get("name", "")).strip()
    read_group(name, {})
    return back(address_of(name))


@shown("admin")
async def save_group(request: web.Request) -> web.Response:
    """Save what was entered of a group."""
    name = request.match_info["name"]
    values = values_of(await request.post())
    await desk_of(request).campaigns.save_group(frame_of(request).visitor.actor, name, values)
    return back(address_of(name), done="saved")


def address_of(name: str) -> str:
    """Return the address of a group's page."""
    return f"/groups/{quote(name, safe='')}"


def values_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Read a group from its form.

    Raises:
        FormError: something that must be a number is none.
    """
    values: dict[str, Any] = {name: str(form.get(name, "")).strip() for name in ("timezone", "warmup")}
    for name in _NUMBERS:
        number = whole(form, name, name.removesuffix("_s").replace("_", " ").capitalize())
        if number is not None or name != "max_concurrent":
            values[name] = number
    return values
