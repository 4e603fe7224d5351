"""Mode push: VICIdial goes on choosing by itself, among the numbers of its own CID groups that we leave switched on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp

from ami_rotator.clock import Clock
from ami_rotator.domain.types import State
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.metrics import Metrics
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import Settings
from ami_rotator.stopping import background
from ami_rotator.vicidial.address import DatabaseAddress
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialUnavailableError
from ami_rotator.vicidial.push import Push, PushMetrics
from ami_rotator.vicidial.push_plan import Eligibility
from ami_rotator.vicidial.push_transports import ApiTransport, PushTransport, SqlTransport

_ELIGIBLE = (State.IDLE, State.WARM, State.IN_USE)


@asynccontextmanager
async def pushing(
    settings: Settings, address: DatabaseAddress | None, pool: RedisPool, metrics: Metrics, clock: Clock
) -> AsyncIterator[None]:
    """Keep VICIdial's CID groups switched while the context is open, where VICIDIAL_PUSH says so."""
    async with AsyncExitStack() as stack:
        transport: PushTransport | None = None
        if settings.vicidial_push == "api" and settings.vicidial_api_url:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            transport = ApiTransport(
                session,
                settings.vicidial_api_url,
                settings.vicidial_api_user,
                settings.vicidial_api_password.get_secret_value(),
                settings.vicidial_push_groups,
            )
        elif settings.vicidial_push == "sql" and address is not None:
            transport = SqlTransport(VicidialConnection(address, purpose="push"))
        if transport is not None:
            push = Push(
                transport,
                lambda: _eligibility(pool),
                metrics=PushMetrics(metrics.registry),
                clock=clock,
                region=settings.default_region,
            )
            await stack.enter_async_context(background("push", push.run))
        yield


async def _eligibility(pool: RedisPool) -> Eligibility:
    """Return our caller-IDs, and those that may be shown. One on a live call may: push knows no exclusivity."""
    try:
        states = await pool.numbers_by_state()
    except PoolUnavailableError as error:
        # Without Redis nothing is known of eligibility; to Push it is one more reason to wait for the next round.
        raise VicidialUnavailableError(str(error)) from error
    eligible = frozenset(number for state in _ELIGIBLE for number in states[state])
    return Eligibility(frozenset(number for some in states.values() for number in some), eligible)
