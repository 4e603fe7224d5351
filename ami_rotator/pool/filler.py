"""Keep the warm pools at the depth that demand asks for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ami_rotator.domain.campaign import policy_of
from ami_rotator.domain.types import Area, Campaign, Rung
from ami_rotator.domain.warmth import Demand, Target, targets
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.policy_terms import attestations_from
from ami_rotator.pool.redis_pool import MOVES_MOST, RedisPool, Warmed, WarmOrder

_At: TypeAlias = tuple[Campaign, Area]

_POOLS_MAX = 5_000
"""How many campaigns and areas are looked at, the most called first: ten campaigns that call all of North America. How many
caller-IDs lie warm is bounded by the share of the inventory, not by this."""
_AT_ONCE = 4
_POOLS_A_RUN = 4
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
        """Bring the warm pools to their depth that have too few or too many; close those that nobody asks for any more."""
        inventory = await self._count()
        have = await self._pool.depths()
        demands = self.expect([Demand(*item) for item in await self._pool.demand(_POOLS_MAX)])
        # Warm ones are asked before the ladder: they must be what its first rung would find.
        begin_near = {
            campaign
            for campaign in {demand.campaign for demand in demands}
            if policy_of(campaign, self._assigner.policies).rungs[:1] == (Rung.AREA,)
        }
        wanted: dict[_At, Target] = {
            (target.campaign, target.area): target
            for target in targets(demands, inventory, self._share_max)
            if target.campaign in begin_near
        }
        too_deep = {at: wanted[at].depth if at in wanted else 0 for at in have}
        too_deep = {at: depth for at, depth in too_deep.items() if have[at] > depth or at not in wanted}
        too_shallow = {at: target.depth for at, target in wanted.items() if have.get(at, 0) < target.enough}
        # What is given back first may be what others are short of.
        for depths in (too_deep, too_shallow):
            await self._bring(depths, have)

    async def close(self) -> None:
        """Give all warm caller-IDs back."""
        have = await self._pool.depths()
        await self._bring(dict.fromkeys(have, 0), have)

    async def _count(self) -> int:
        """Return how many caller-IDs there are, or were a while ago."""
        self._count_after -= 1
        if self._count_after <= 0:
            counted = sum((await self._pool.pulse()).states.values())
            # While it is empty or being loaded it is counted each time.
            self._count_after = _COUNT_EVERY if counted and counted == self._inventory else 0
            self._inventory = counted
        return self._inventory

    async def _bring(self, wanted: Mapping[_At, int], have: Mapping[_At, int]) -> None:
        """Bring pools from the depths they have to others, as far as there are idle ones."""
        left = {at: (have.get(at, 0), depth) for at, depth in wanted.items()}
        # Calls take from them meanwhile: what is not reached now is a matter of the next second.
        for _ in range(max((_rounds(*depths) for depths in left.values()), default=0)):
            runs = list(_runs(left))
            reached: list[list[Warmed]] = []
            for first in range(0, len(runs), _AT_ONCE):
                orders = [[self._order(at, wanted[at]) for at in run] for run in runs[first : first + _AT_ONCE]]
                reached += await asyncio.gather(*(self._pool.warm(*run) for run in orders))
            left = {
                at: (now.depth, wanted[at])
                for run, depths in zip(runs, reached, strict=True)
                for at, now in zip(run, depths, strict=True)
                if now.moved and now.depth != wanted[at]
            }

    def _order(self, at: _At, depth: int) -> WarmOrder:
        policy = policy_of(at[0], self._assigner.policies)
        return WarmOrder(*at, policy.groups, depth, attestations_from(policy.attestation_min))


def _rounds(have: int, wants: int) -> int:
    return max(1, math.ceil(abs(wants - have) / MOVES_MOST))


def _runs(left: Mapping[_At, tuple[int, int]]) -> Iterator[list[_At]]:
    """Put pools together, of which each has a depth and wants another, so that a script run moves a few caller-IDs."""
    run: list[_At] = []
    moves = 0
    for at, (have, wants) in left.items():
        more = min(abs(wants - have), MOVES_MOST)
        if run and (moves + more > MOVES_MOST or len(run) == _POOLS_A_RUN):
            yield run
            run, moves = [], 0
        run.append(at)
        moves += more
    if run:
        yield run
