"""Why a caller-ID would be chosen for a call, and the others not: the choice of `assign`, written down instead of made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ami_rotator.domain.ladder import Step
from ami_rotator.domain.types import E164, Area, Campaign
from ami_rotator.pool.policy_terms import ladder_text, warm_pool
from ami_rotator.pool.redis_pool import RedisPool

_PASSED_MOST = 8


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A caller-ID that was not chosen at a step, why, and until when (ms, 0: not known).

    `why`: in_use, cool_down, minute_cap, hourly_cap, daily_cap, soft_cap, resting, disabled, destination (it is the number
    called), attestation, left_to_others (a campaign with a greater share waits for it), not_reached (others come first).
    """

    number: E164
    why: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One place of the ladder that was looked in, or what happened between two.

    `counts` are the caller-IDs there by state; `chosen` is empty where it gave none. `event` tells what else decided: a
    bond that did not hold (`bond resting`), exhaustion (`exhausted keep_own`), `distinct 3` caller-IDs seen already.
    """

    rung: str
    group: str
    place: str
    counts: Mapping[str, int]
    chosen: str
    how: str
    passed: tuple[PassedOver, ...]
    event: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a call would get now. `caller_id` is None for a miss; then `reason` says why, `detail` what of.

    `how` is that of `Assignment.why`. `destination` is None where what was dialled is no number.
    """

    campaign: Campaign
    destination: E164 | None
    area: Area
    caller_id: E164 | None
    rung: str
    group: str
    how: str
    reason: str
    detail: str
    steps: tuple[ExplainedStep, ...]


async def explain(
    pool: RedisPool,
    campaign: Campaign,
    destination: E164 | None,
    area: Area,
    steps: Sequence[Step],
    terms: str,
    lead_id: str = "",
) -> Explanation:
    """Return what `RedisPool.assign` would answer a new call now, and why. Nothing is reserved, counted or recorded.

    Raises:
        PoolUnavailableError: Redis is away or too slow.
    """
    answer = orjson.loads(
        await pool.command(
            "explain",
            *pool.zone_args(),
            campaign,
            destination or "",
            lead_id,
            warm_pool(campaign, area, steps),
            ladder_text(steps),
            terms,
            _PASSED_MOST,
        )
    )
    walked = tuple(_step(item) for item in answer["steps"]) if answer.get("steps") else ()
    found = answer.get("found")
    if found:
        number, rung, how, broken, group, _ = found
        how = f"{how}:{broken}" if broken else how
        return Explanation(campaign, destination, area, E164(number), rung, group, how, "", "", walked)
    reason, detail = answer["missed"]
    return Explanation(campaign, destination, area, None, "", "", "", reason, detail, walked)


def _step(item: Mapping[str, Any]) -> ExplainedStep:
    return ExplainedStep(
        rung=item.get("rung", ""),
        group=item.get("group", ""),
        place=item.get("place", ""),
        counts={state: int(count) for state, count in (item.get("counts") or {}).items()},
        chosen=item.get("chosen", ""),
        how=item.get("how", "") if item.get("chosen") else "",
        passed=tuple(PassedOver(E164(n), why, int(until)) for n, why, until in (item.get("passed") or ())),
        event=_event(item),
    )


def _event(item: Mapping[str, Any]) -> str:
    for name in ("bond", "exhausted", "distinct"):
        if name in item:
            return f"{name} {item[name]:g}" if isinstance(item[name], float | int) else f"{name} {item[name]}"
    return ""
