"""Keep the warm pools at the depth that demand asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.types import Area, Campaign, Rung
from ami_rotator.domain.warmth import Demand, targets
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.policy_terms import attestations_from
from ami_rotator.pool.redis_pool import RedisPool

_POOLS_MAX = 5_000
"""How many campaigns and areas are looked at, the most called first: ten campaigns that call all of North America. How many
caller-IDs lie warm is bounded by the share of the inventory, not by this."""
_AT_ONCE = 16
"""How many are changed together; more would make calls wait."""


class Filler:
    """Sets the depth of every warm pool from demand; run it every second."""

    def __init__(self, pool: RedisPool, assigner: Assigner, share_max: float) -> None:
        self._pool = pool
        self._assigner = assigner
        self._share_max = share_max
        # What is expected from what was called lately; replaced where VICIdial's hopper tells what will be dialled.
        self.expect: Callable[[Sequence[Demand]], Sequence[Demand]] = lambda history: history

    async def fill(self) -> None:
        """Bring all warm pools to their depth; close those that nobody asks for any more."""
        snapshot = await self._pool.snapshot()
        demands = self.expect([Demand(*item) for item in await self._pool.demand(_POOLS_MAX)])
        wanted: dict[tuple[Campaign, Area], int] = {
            (target.campaign, target.area): target.depth
            for target in targets(demands, sum(snapshot.states.values()), self._share_max)
            # Warm ones are asked before the ladder: they must be what its first rung would find.
            if policy_of(target.campaign, self._assigner.policies).rungs[:1] == (Rung.AREA,)
        }
        have = {(pool.campaign, pool.area): pool.depth for pool in snapshot.warm}
        too_deep = [at for at, depth in have.items() if depth > wanted.get(at, 0)]
        too_shallow = [at for at, depth in wanted.items() if depth > have.get(at, 0)]
        # What is given back first may be what others are short of.
        for changed in (too_deep, too_shallow):
            for first in range(0, len(changed), _AT_ONCE):
                await asyncio.gather(*(self._set(*at, wanted.get(at, 0)) for at in changed[first : first + _AT_ONCE]))

    async def close(self) -> None:
        """Give all warm caller-IDs back."""
        for pool in (await self._pool.snapshot()).warm:
            if pool.depth:
                await self._set(pool.campaign, pool.area, 0)

    async def _set(self, campaign: Campaign, area: Area, depth: int) -> None:
        policy = policy_of(campaign, self._assigner.policies)
        await self._pool.warm(campaign, area, policy.groups, depth, attestations_from(policy.attestation_min))
