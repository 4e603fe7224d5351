"""From a call, as a door describes it, to the caller-ID it shows: number, policy, ladder, pool."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from ami_rotator.domain.campaign import CampaignPolicy, policy_of
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.numbers import area_of, parse_dialled
from ami_rotator.domain.types import Area, Assignment, CallRequest, Campaign, Miss, ReservationId
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.redis_pool import RedisPool


class Assigner:
    """The one way in for all doors. Policies are replaced as a whole when they change."""

    def __init__(self, pool: RedisPool, region: str, dial_prefixes: Sequence[str]) -> None:
        self.policies: Mapping[Campaign, CampaignPolicy] = {}
        self._pool = pool
        self._region = region
        self._dial_prefixes = tuple(dial_prefixes)

    async def assign(self, request: CallRequest) -> Assignment | Miss:
        """Give a call its caller-ID. Never raises: with Redis away it is a Miss, and the call keeps its own number.

        A destination that cannot be read as a number has no area: it gets the last rungs.
        """
        destination = parse_dialled(request.dialled, self._dial_prefixes, self._region)
        area = area_of(destination) if destination else Area("")
        policy = policy_of(request.campaign, self.policies)
        reservation = ReservationId(str(uuid.uuid4()))
        try:
            return await self._pool.assign(reservation, request, destination, area, steps(policy, area))
        except PoolUnavailableError as error:
            return Miss("unavailable", str(error))
