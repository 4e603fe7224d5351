"""A process that reserves and gives back as fast as it can, to be killed: run with `python -m`, Redis URL and inventory."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import uuid
from zoneinfo import ZoneInfo

from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.domain.ladder import steps
from ami_rotator.domain.types import Area, Assignment, CallKey, CallRequest, Campaign, Dialer, End, Group, ReservationId
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.pool.connect import connect
from ami_rotator.pool.question import Question
from ami_rotator.pool.redis_pool import RedisPool
from tests.support.pool_setup import DESTINATION

_STEPS = steps(CampaignPolicy(Campaign("SALES"), (Group("default"),)), Area("212"))


async def main(url: str, inventory: str, ttl_s: float, tasks: int) -> None:
    """Reserve until killed. One call in fifty is forgotten, as a crash would."""
    print("ready", flush=True)
    pool = RedisPool(connect(url, timeout_s=5.0), inventory, ZoneInfo("UTC"), ttl_s)
    await asyncio.gather(*(_calls(pool, f"V{os.getpid():07d}{number:03d}") for number in range(tasks)))


async def _calls(pool: RedisPool, prefix: str) -> None:
    count = 0
    while True:
        count += 1
        key = CallKey(Dialer("d1"), f"{prefix}{count:09d}")
        request = CallRequest(key, "912125550199", Campaign("SALES"), "ami")
        try:
            found = await pool.assign(
                Question(ReservationId(str(uuid.uuid4())), request, DESTINATION, Area("212"), _STEPS)
            )
            if isinstance(found, Assignment):
                await pool.confirm(key, found.caller_id, f"trunk-{key.code}")
                if random.random() > 0.02:
                    await pool.release(key, End("answered", 16, 200, 1000))
            else:
                await asyncio.sleep(0.02)
        except PoolUnavailableError:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
