"""`GET /health`: whether calls are served; `/livez`: whether the process lives; `/api/stats`: three counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from aiohttp import web

from ami_rotator.domain.types import State
from ami_rotator.http.asking import may_ask
from ami_rotator.http.auth import access, require
from ami_rotator.http.deps import DEPS, Health
from ami_rotator.http.replies import ApiError, json_reply

_HEALTH_BUDGET_S = 3.0
_NO_ANSWER = "error: no answer"


@access("public")
async def health(request: web.Request) -> web.Response:
    """Answer 200 only while calls are served; 503 otherwise, so that a monitor that looks at codes sees it."""
    deps = request.app[DEPS]
    try:
        async with asyncio.timeout(_HEALTH_BUDGET_S):
            found = await deps.health()
    except TimeoutError:
        found = Health(redis_ok=False, postgresql_ok=False)
    body: dict[str, object] = {
        "status": found.status,
        "redis": "ok" if found.redis_ok else _NO_ANSWER,
        "timestamp": timestamp(deps.clock.wall_ms()),
        "postgresql": "ok" if found.postgresql_ok else _NO_ANSWER,
        "dialers": {dialer.name: dialer.why or dialer.state for dialer in found.dialers},
        "simulator": found.simulator or "off",
    }
    if found.feed is not None:
        body["feed"] = "ok" if found.feed == "ok" else "off"
    return json_reply(body, 200 if found.serves_calls else 503)


@access("public")
async def livez(_request: web.Request) -> web.Response:
    """Answer as long as the process does."""
    return json_reply({"status": "alive"})


@access("caller")
async def metrics(request: web.Request) -> web.Response:
    """Answer with everything that is counted, in Prometheus' text format. For admins, and networks that may ask."""
    deps = request.app[DEPS]
    if not may_ask(deps.settings, request.transport.get_extra_info("peername") if request.transport else None):
        require(request, "viewer")
    return web.Response(body=deps.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@access("viewer")
async def stats(request: web.Request) -> web.Response:
    """Answer with the counts of the inventory and of reservations.

    Raises:
        ApiError: 401, 403; 503 while Redis is away.
    """
    deps = request.app[DEPS]
    data = await deps.dashboard()
    if not data.states:
        raise ApiError(503, "Redis does not answer; the counts are there again when it does")
    total = sum(data.states.values())
    switched_off = data.states.get(State.DISABLED, 0) + data.states.get(State.RESTING, 0)
    return json_reply(
        {
            "total_caller_ids": total,
            "active_caller_ids": total - switched_off,
            "active_reservations": data.live,
            "timestamp": timestamp(deps.clock.wall_ms()),
        }
    )


def timestamp(wall_ms: int) -> str:
    """Return a time as the seed writes it: UTC without saying so, always with microseconds."""
    return datetime.fromtimestamp(wall_ms / 1000, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
