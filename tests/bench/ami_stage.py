"""Pretend Asterisks in a process of their own. Run with: dialers, areas, filtered 0/1; each line in is a stage."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field

import orjson
import uvloop

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.campaign import DEFAULT_GROUP
from ami_rotator.domain.types import Campaign
from ami_rotator.simulator import (
    DAEMON_EVENTS,
    CallPlan,
    CallRecord,
    SimulatedCampaign,
    Simulator,
    SimulatorOptions,
    Uniform,
)
from ami_rotator.simulator.checks import Checks
from ami_rotator.simulator.placed import PlacedCall
from tests.bench.figures import as_json
from tests.bench.load import areas, percentile

CAMPAIGNS = (
    SimulatedCampaign(Campaign("CAMP0"), "9", (DEFAULT_GROUP,)),
    SimulatedCampaign(Campaign("CAMP1"), "8", (DEFAULT_GROUP,)),
    SimulatedCampaign(Campaign("CAMP2"), "7", (DEFAULT_GROUP,)),
)
_DRAIN_S = 15.0
_TICK_S, _TICKS = 0.01, 100


class Lag:
    """How far this process has been behind at the most, as the last hundred ticks of a timer tell: a second or more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._late_s: deque[float] = deque([0.0], maxlen=_TICKS)
        self._due_s = 0.0
        self._next()

    @property
    def most_s(self) -> float:
        """Return it in seconds."""
        return max(self._late_s)

    def _next(self) -> None:
        self._due_s = time.monotonic() + _TICK_S
        self._loop.call_later(_TICK_S, self._tick)

    def _tick(self) -> None:
        self._late_s.append(time.monotonic() - self._due_s)
        self._next()


@dataclass(slots=True)
class Tap:
    """When calls were placed, and how long after it the Setvar for each was read."""

    began_s: dict[str, float] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    lag: Lag = field(default_factory=Lag)


class _TappedChecks(Checks):
    def __init__(self, options: SimulatorOptions, clock: Clock, tap: Tap) -> None:
        super().__init__(options, clock)
        self._tap = tap

    @property
    def grace_s(self) -> float:
        """As of an Asterisk, which has a thread a session: this one writes a turn late, and reads a turn late."""
        return super().grace_s + 2 * self._tap.lag.most_s

    def setvar_arrived(self, call: PlacedCall) -> None:
        super().setvar_arrived(call)
        began_s = self._tap.began_s.pop(call.plan.code, None)
        if began_s is not None:
            self._tap.took_s.append(time.monotonic() - began_s)


class _TappedSimulator(Simulator):
    def __init__(self, options: SimulatorOptions, tap: Tap) -> None:
        super().__init__(options)
        self._tap = tap
        self._plans: deque[CallPlan] = deque()
        self._exchange.checks = _TappedChecks(options, SystemClock(), tap)

    def plan_ahead(self, calls: int) -> None:
        """Draw calls before they are placed: a processor has better things to do meanwhile."""
        self._plans.extend(self.plan() for _ in range(calls - len(self._plans)))

    def place(self, plan: CallPlan | None = None) -> asyncio.Task[CallRecord]:
        chosen = plan or (self._plans.popleft() if self._plans else self.plan())
        self._tap.began_s[chosen.code] = time.monotonic()
        return super().place(chosen)


def _options(number: int, area_count: int, filtered: bool) -> SimulatorOptions:
    # Short calls, so that as many end as begin within seconds; each still has its whole stream of events.
    return SimulatorOptions(
        seed=number + 1,
        first_lead_id=1_000_001 + number * 1_000_000,
        campaigns=CAMPAIGNS,
        areas=dict.fromkeys(areas(area_count), 1.0),
        event_filter=DAEMON_EVENTS | {"VarSet:ROTATOR_PROBE"} if filtered else frozenset(),
        answer_after_s=Uniform(0.3, 1.2),
        reject_after_s=Uniform(0.2, 0.8),
        talk_s=Uniform(0.5, 2.0),
        auto_timeout_s=1.5,
        manual_timeout_s=1.5,
        keep_records=10,
    )


async def main(dialers: int, area_count: int, filtered: bool) -> None:
    """Serve AMI until the input ends; a stage is `{"rate": calls/s of all together, "seconds": ..., "settle": ...}`."""
    tap = Tap()
    simulators = [_TappedSimulator(_options(number, area_count, filtered), tap) for number in range(dialers)]
    for simulator in simulators:
        await simulator.start()
    print(as_json([simulator.port for simulator in simulators]), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = orjson.loads(line)
        if "rate" in order:
            print(as_json(await _stage(simulators, tap, **order)), flush=True)
        else:
            print(as_json({"sessions": sum(simulator.sessions for simulator in simulators)}), flush=True)
    for simulator in simulators:
        await simulator.stop()


async def _stage(
    simulators: list[_TappedSimulator], tap: Tap, rate: float, seconds: float, settle: float
) -> dict[str, object]:
    for simulator in simulators:
        simulator.plan_ahead(int(1.1 * rate / len(simulators) * (seconds + settle)))
    gc.collect()
    running = [asyncio.create_task(simulator.run(rate / len(simulators))) for simulator in simulators]
    await asyncio.sleep(settle)
    before = _counts(simulators)
    tap.took_s.clear()
    began_s, used_s = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    took_s, used_s = time.monotonic() - began_s, time.process_time() - used_s
    waited_s, counted = list(tap.took_s), _counts(simulators) - before
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    drained = await asyncio.gather(*(simulator.drain(_DRAIN_S) for simulator in simulators))
    tap.began_s.clear()
    reports = [simulator.report for simulator in simulators]
    return {
        "placed_per_s": counted["placed"] / took_s,
        "presented": counted["presented"],
        "own": counted["own"],
        "setvar_p50_ms": percentile(waited_s, 0.5) * 1000,
        "setvar_p99_ms": percentile(waited_s, 0.99) * 1000,
        "setvars": len(waited_s),
        "cpu": used_s / took_s,
        "violations": sum(report.violations for report in reports),
        "numbers_twice": sum(report.duplicates for report in reports),
        "set_after_trunk": sum(report.setvars_after_trunk for report in reports),
        "cut_off": sum(report.cut_off_readers for report in reports),
        "drained": all(drained),
    }


def _counts(simulators: list[_TappedSimulator]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for simulator in simulators:
        report = simulator.report
        counts.update(placed=report.placed, presented=report.presented, own=report.by_way.get("own", 0))
    return counts


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"))
