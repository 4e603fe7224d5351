from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

from ami_rotator.clock import SystemClock
from ami_rotator.domain.types import State
from ami_rotator.gauges import Gauges
from ami_rotator.metrics import Metrics
from ami_rotator.pool.redis_pool import PoolSnapshot

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


async def test_every_metric_is_on_its_page_and_the_page_names_no_other() -> None:
    metrics = Metrics()
    pool = Mock(tag="{t}", outbox_stream="outbox:{t}")

    async def snapshot() -> PoolSnapshot:
        return PoolSnapshot(dict.fromkeys(State, 0), 0, (), 0)

    async def nothing(*_: object, **__: object) -> list[object]:
        return []

    pool.snapshot, redis = snapshot, Mock(xrange=nothing)
    gauges = Gauges(pool, redis, (), SystemClock())
    await gauges.job().run()
    metrics.registry.register(gauges)

    known = {family.name for family in metrics.registry.collect()}

    on_page = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")}
    assert on_page == known


async def test_an_old_look_at_the_pool_is_left_out_and_redis_is_said_to_be_away() -> None:
    gauges = Gauges(Mock(), Mock(), (), SystemClock())

    found = {family.name: family for family in gauges.collect()}

    assert found["rotator_redis_up"].samples[0].value == 0
    assert "rotator_live_reservations" not in found
