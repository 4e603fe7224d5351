"""Read the policy of a campaign or group as people write it; what is wrong is said with the fix."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast, get_type_hints
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.domain.campaign import CampaignPolicy, is_group_name
from ami_rotator.domain.types import Rung
from ami_rotator.domain.warmup import curve_of
from ami_rotator.ledger.inventory import GroupSettings

_T = TypeVar("_T")
_LIMIT_MAX = 1_000_000_000
# Bounds of the schema (sql/schema.sql), by field.
_BOUNDS = {
    "weight": (1, 1000),
    "overflow_percent": (0, 100),
    "overflow_concurrent": (1, 1000),
    "sticky_days": (0, 365),
    "sticky_unanswered_max": (0, 1000),
    "distinct_max": (0, 100),
    "distinct_days": (0, 365),
    "neighbour_miles": (0, 1000),
    "max_concurrent": (1, 1000),
    "cooldown_s": (0, 86_400),
    "minute_limit": (0, _LIMIT_MAX),
    "hourly_limit": (0, _LIMIT_MAX),
    "daily_limit": (0, _LIMIT_MAX),
    "soft_daily_limit": (0, _LIMIT_MAX),
}
_LIST_MAX = 50


def _body(kept: type[Any], name: str, doc: str) -> type[BaseModel]:
    """Make a model with the fields of a dataclass, but for its name: what the domain learns, dashboard and API know."""
    hints = get_type_hints(kept)
    fields: dict[str, Any] = {
        field.name: (hints[field.name], field.default) for field in dataclasses.fields(kept) if field.name != "name"
    }
    config = ConfigDict(extra="forbid", frozen=True, strict=False)
    return cast(type[BaseModel], create_model(name, __config__=config, __doc__=doc, **fields))


CampaignBody = _body(
    CampaignPolicy,
    "CampaignPolicy",
    "A campaign's policy; docs/choosing.md explains each field. Left out: the default.",
)
GroupBody = _body(
    GroupSettings, "GroupSettings", "What a group says of its caller-IDs. Null: the default; a limit of 0 is never."
)


def read_campaign(name: str, values: Mapping[str, Any]) -> CampaignPolicy:
    """Return the policy.

    Raises:
        InvalidError: some of it cannot be used.
    """
    if not 1 <= len(name) <= 100 or not name.isprintable() or "|" in name:
        raise InvalidError(
            [Problem("name", "cannot name a campaign; write VICIdial's campaign id, 100 characters at most")]
        )
    policy = _read(CampaignBody, values, lambda fields: CampaignPolicy(name, **fields))  # type: ignore[arg-type]
    problems = [*_out_of_bounds(policy), *_campaign_problems(policy)]
    if problems:
        raise InvalidError(problems)
    return policy


def read_group(name: str, values: Mapping[str, Any]) -> GroupSettings:
    """Return a group's settings.

    Raises:
        InvalidError: some of it cannot be used.
    """
    if not is_group_name(name):
        message = "cannot name a group; use letters, digits, _ - . and 40 characters at most"
        raise InvalidError([Problem("name", message)])
    group = _read(GroupBody, values, lambda fields: GroupSettings(name, **fields))  # type: ignore[arg-type]
    problems = [*_out_of_bounds(group), *_zone_problems(group.timezone)]
    try:
        curve_of(group.warmup)
    except ValueError as error:
        problems.append(Problem("warmup", str(error)))
    if problems:
        raise InvalidError(problems)
    return dataclasses.replace(group, warmup=group.warmup.strip().lower().replace(" ", ""))


def _read(model: type[BaseModel], values: Mapping[str, Any], make: Callable[[dict[str, Any]], _T]) -> _T:
    try:
        return make(dict(model.model_validate(dict(values))))
    except ValidationError as error:
        raise InvalidError(
            [
                Problem(".".join(str(part) for part in item["loc"]), _said(item["type"], item["msg"]))
                for item in error.errors(include_url=False, include_context=False)
            ]
        ) from None


def _said(kind: str, message: str) -> str:
    return (
        "there is no such field; leave it out" if kind == "extra_forbidden" else message.removeprefix("Value error, ")
    )


def _out_of_bounds(kept: Any) -> Iterator[Problem]:
    for field in dataclasses.fields(kept):
        value = getattr(kept, field.name)
        low, high = _BOUNDS.get(field.name, (0, _LIMIT_MAX))
        if isinstance(value, int) and not isinstance(value, bool) and not low <= value <= high:
            yield Problem(field.name, f"is {value}; write a number from {low} to {high:,}")


def _campaign_problems(policy: CampaignPolicy) -> Iterator[Problem]:
    if not policy.groups:
        yield Problem("groups", "is empty; name at least one group")
    for field, names in (("groups", policy.groups), ("next_groups", policy.next_groups)):
        wrong = next((name for name in names if not is_group_name(name)), None)
        if wrong is not None:
            yield Problem(field, f"{wrong[:40]!r} cannot name a group; use letters, digits, _ - . and 40 at most")
        if len(names) > _LIST_MAX:
            yield Problem(field, f"has {len(names)} groups; use {_LIST_MAX} at most")
    all_groups = (*policy.groups, *policy.next_groups)
    twice = next((name for name in all_groups if all_groups.count(name) > 1), None)
    if twice is not None:
        yield Problem("groups", f"{twice[:40]!r} is named twice; name each group once, in groups or in next_groups")
    if not policy.rungs:
        yield Problem("rungs", "is empty; name at least one rung, for example area and any")
    if len(set(policy.rungs)) < len(policy.rungs):
        yield Problem("rungs", "has a rung twice; name each once, nearest first")
    if Rung.NEXT_GROUP in policy.rungs and not policy.next_groups:
        yield Problem("next_groups", "is empty but the rung next_group is on; name a group, or take the rung out")
    if policy.next_groups and Rung.NEXT_GROUP not in policy.rungs:
        yield Problem(
            "rungs", "lacks next_group, so next_groups would never be used; add the rung, or empty next_groups"
        )
    if policy.exhaustion == "overflow" and policy.overflow_percent == 0:
        yield Problem(
            "overflow_percent", "is 0, so nothing overflows; write the share of calls that may, for example 5"
        )
    if (policy.distinct_max == 0) != (policy.distinct_days == 0):
        yield Problem("distinct_days", "goes with distinct_max; set both, or both to 0 for no bound")
    yield from _zone_problems(policy.timezone)


def _zone_problems(zone: str) -> Iterator[Problem]:
    if zone and zone not in available_timezones():
        yield Problem(
            "timezone", f"{zone[:40]!r} is not a time zone; write one such as America/New_York, or leave it empty"
        )
