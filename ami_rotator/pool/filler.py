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
_COUNT_EVERY = 30
"""How many runs go by until the inventory is counted again: that reads every leaf, and it changes by hand only."""


class Filler:
    """Sets the depth of every warm pool from demand; run it every second."""

    def __init__(self, pool: RedisPool, assigner: Assigner, share_max: float) -> None:
        self._pool = pool
        self._assigner = assigner
        self._share_max = share_max
        # What is expected from what was called lately; replaced where VICIdial's hopper tells what will be dialled.
        self.expect: Callable[[Sequence[Demand]], Sequence[Demand]] = lambda history: history
        self._inventory = 0
        self._count_after = 0

    async def fill(self) -> None:
        """Bring all warm pools to their depth; close those that nobody asks for any more."""
        inventory = await self._count()
        have = await self._pool.depths()
        demands = self.expect([Demand(*item) for item in await self._pool.demand(_POOLS_MAX)])
        # Warm ones are asked before the ladder: they must be what its first rung would find.
        begin_near = {
            campaign
            for campaign in {demand.campaign for demand in demands}
            if policy_of(campaign, self._assigner.policies).rungs[:1] == (Rung.AREA,)
        }
        wanted: dict[tuple[Campaign, Area], int] = {
            (target.campaign, target.area): target.depth
            for target in targets(demands, inventory, self._share_max)
            if target.campaign in begin_near
        }
        too_deep = [at for at, depth in have.items() if depth > wanted.get(at, 0)]
        too_shallow = [at for at, depth in wanted.items() if depth > have.get(at, 0)]
        # What is given back first may be what others are short of.
        for changed in (too_deep, too_shallow):
            for first in range(0, len(changed), _AT_ONCE):
                await asyncio.gather(*(self._set(*at, wanted.get(at, 0)) for at in changed[first : first + _AT_ONCE]))

    async def close(self) -> None:
        """Give all warm caller-IDs back."""
        for at in await self._pool.depths():
            await self._set(*at, 0)

    async def _count(self) -> int:
        """Return how many caller-IDs there are, or were a while ago."""
        self._count_after -= 1
        if self._count_after <= 0:
            counted = sum((await self._pool.pulse()).states.values())
            # While it is empty or being loaded it is counted each time.
            self._count_after = _COUNT_EVERY if counted and counted == self._inventory else 0
            self._inventory = counted
        return self._inventory

    async def _set(self, campaign: Campaign, area: Area, depth: int) -> None:
        policy = policy_of(campaign, self._assigner.policies)
        await self._pool.warm(campaign, area, policy.groups, depth, attestations_from(policy.attestation_min))
