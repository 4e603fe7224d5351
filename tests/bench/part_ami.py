"""The AMI path: pretend Asterisks in their own process, the daemon in another, up to the rate where it no longer holds.

Redis and the daemon go first, as docs/deployment.md has it for a machine of their own: here Asterisks share it with them.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from tests.bench.ami_stage import CAMPAIGNS
from tests.bench.context import Bench
from tests.bench.figures import Figure, Series
from tests.bench.first import going_first
from tests.bench.histogram import Buckets, histogram
from tests.bench.load import areas
from tests.bench.part_http import daemon_settings
from tests.bench.processes import Helper, TimedDaemon, cpu_s, helper, timed_daemon

PART = "ami"
KNEE = "knee: the highest rate that holds its p99 within 10 ms"
_SETTLE_S = 4.0
_HOLDS_P99_MS = 10.0
_P50_MS, _P99_MS = 1.0, 10.0
_AT_RATE = 500
_METRIC = "rotator_ami_set_seconds"


@dataclass(frozen=True, slots=True)
class _Stage:
    rate: int
    answered: dict[str, Any]
    written: Buckets
    daemon_cpu: float

    @property
    def holds(self) -> bool:
        """The rate was reached, no rule broken, and 99 of 100 Setvars written within 10 ms.

        How many of them the dialplan waited for is a figure of its own: the window of VICIdial's `call_log` is narrower, and
        who is late asks over HTTP.
        """
        answer = self.answered
        return bool(
            answer["placed_per_s"] >= 0.9 * self.rate
            and self.written.ms(0.99) <= _HOLDS_P99_MS
            and not answer["violations"]
            and not answer["cut_off"]
        )

    @property
    def in_time(self) -> float:
        """Of 100 calls, how many showed a caller-ID of ours."""
        own: float = self.answered["own"] / max(1, self.answered["presented"])
        return 100 * (1 - own)


async def run(bench: Bench) -> None:
    """Measure each rate with whole event streams, one with `eventfilter` set as the stanza has it, one for the floor.

    The judged rate once more with Redis alone first, and with nobody.
    """
    rates = bench.size.ami_rates
    judged = _AT_RATE if _AT_RATE in rates else rates[-1]
    with going_first(await _redis_pid(bench)) as is_first:
        stages = await _stages(bench, rates)
        floor = await _floor(bench, judged)
        compared = stages[min(1, len(stages) - 1)]
        (filtered,) = await _stages(bench, (compared.rate,), filtered=True)
        redis_alone = await _stages(bench, (judged,), daemon_first=False) if is_first else []
    nobody = await _stages(bench, (judged,), daemon_first=False) if is_first else []
    if not is_first:
        bench.say(f"{PART}: this account may let no process go first; all is measured as any other program")
    at_judged = next(stage for stage in stages if stage.rate == judged)
    for stage in stages:
        bench.add(*_figures(stage, "" if is_first else "nobody goes first"))
    bench.add(*_against(floor, at_judged))
    for other in nobody:
        bench.add(*_sooner("Redis and the daemon first", at_judged, other))
        bench.add(*(figure for stage in redis_alone for figure in _sooner("Redis alone first", stage, other)))
    bench.add(
        Figure(
            PART,
            f"{compared.rate} calls/s: processor of the daemon with eventfilter",
            100 * filtered.daemon_cpu,
            "%",
            100 * compared.daemon_cpu,
            "% without",
            note="the filters of `ami-rotator manager-conf`",
        )
    )
    held = [stage.rate for stage in stages if stage.holds]
    bench.add(Figure(PART, KNEE, max(held, default=0), "calls/s", note=_why(stages)))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        points = tuple((float(stage.rate), stage.written.ms(share)) for stage in stages)
        bench.draw(Series(PART, name, "calls a second", "ms, event to Setvar", points))


async def _redis_pid(bench: Bench) -> int:
    async with bench.connections(1) as redis:
        return int((await redis.info("server"))["process_id"])


async def _stages(
    bench: Bench, rates: tuple[int, ...], *, filtered: bool = False, daemon_first: bool = True
) -> list[_Stage]:
    size, among = bench.size, areas(bench.size.areas)
    prefixes: dict[str, str | None] = {campaign.dial_prefix: campaign.name for campaign in CAMPAIGNS}
    async with (
        bench.database(size.caller_ids, among) as dsn,
        helper("ami_stage", str(size.ami_dialers), str(size.areas), str(int(filtered))) as asterisks,
    ):
        ports = {f"d{number:02d}": port for number, port in enumerate(await asterisks.told())}
        async with timed_daemon(bench.folder, daemon_settings(bench.redis_url, dsn, ports, prefixes)) as daemon:
            await _connected(asterisks, size.ami_dialers)
            with going_first(daemon.process.pid) if daemon_first else nullcontext():
                told = ", filtered" * filtered + ", the daemon as any other program" * (not daemon_first)
                stages = [await _stage(bench, asterisks, daemon, rate, told) for rate in rates]
    await bench.flush()
    return stages


async def _floor(bench: Bench, rate: int) -> dict[str, Any]:
    """Have the same calls served by a bare listener in Python (tests/bench/ami_floor.py)."""
    size = bench.size
    async with helper("ami_stage", str(size.ami_dialers), str(size.areas), "0") as asterisks:
        ports = await asterisks.told()
        async with helper("ami_floor", bench.redis_url, "rotator:simulator", *map(str, ports)) as listener:
            await listener.told()
            bench.say(f"{PART}: {rate} calls/s, the floor")
            with going_first(listener.process.pid):
                await asterisks.tell({"rate": rate, "seconds": size.ami_s, "settle": _SETTLE_S})
                await asyncio.sleep(_SETTLE_S)
                await listener.ask({})
                used_s = cpu_s(listener.process.pid)
                await asyncio.sleep(size.ami_s)
                answer: dict[str, Any] = await listener.ask({})
                answer["cpu"] = (cpu_s(listener.process.pid) - used_s) / size.ami_s
                answer |= {f"outside_{name}": value for name, value in (await asterisks.told(size.ami_s + 60)).items()}
    return answer


def _against(floor: dict[str, Any], stage: _Stage) -> list[Figure]:
    """Compare a stage with the floor, which chooses nothing, follows no call, takes nothing back and records nothing."""
    name = f"{stage.rate} calls/s against a listener that sets one constant number"
    return [
        Figure(PART, f"{name}: p50", stage.written.ms(0.5), "ms", floor["p50_ms"], "ms after an EVALSHA"),
        Figure(PART, f"{name}: p99", stage.written.ms(0.99), "ms", floor["p99_ms"], "ms after an EVALSHA"),
        *(
            Figure(
                PART,
                f"{name}: call placed to Setvar read, {share}",
                stage.answered[f"setvar_{share}_ms"],
                "ms",
                floor[f"outside_setvar_{share}_ms"],
                "ms after an EVALSHA",
            )
            for share in ("p50", "p99")
        ),
        Figure(PART, f"{name}: processor", 100 * stage.daemon_cpu, "%", 100 * floor["cpu"], "%"),
    ]


async def _connected(asterisks: Helper, dialers: int) -> None:
    async with asyncio.timeout(30):
        while (await asterisks.ask({}))["sessions"] < dialers:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    await asyncio.sleep(1.5)  # each asks what its account may do, and compares the calls


async def _stage(bench: Bench, asterisks: Helper, daemon: TimedDaemon, rate: int, told: str) -> _Stage:
    bench.say(f"{PART}: {rate} calls/s{told}")
    await asterisks.tell({"rate": rate, "seconds": bench.size.ami_s, "settle": _SETTLE_S})
    await asyncio.sleep(_SETTLE_S)
    before, used_s = histogram(await daemon.metrics(), _METRIC), cpu_s(daemon.process.pid)
    await asyncio.sleep(bench.size.ami_s)
    used_s = cpu_s(daemon.process.pid) - used_s
    written = histogram(await daemon.metrics(), _METRIC) - before
    answer = await asterisks.told(bench.size.ami_s + 60)
    return _Stage(rate, answer, written, used_s / bench.size.ami_s)


def _sooner(who: str, stage: _Stage, nobody: _Stage) -> list[Figure]:
    """Compare a stage with one in which nobody goes first."""
    figures = [
        Figure(
            PART,
            f"{stage.rate} calls/s, {who}: {name}",
            stage.written.ms(share),
            "ms",
            nobody.written.ms(share),
            "ms with nobody first",
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]
    return [
        *figures,
        Figure(
            PART,
            f"{stage.rate} calls/s, {who}: presented with a caller-ID of ours",
            stage.in_time,
            "%",
            nobody.in_time,
            "% with nobody first",
        ),
    ]


def _figures(stage: _Stage, note: str) -> list[Figure]:
    rate, answer = f"{stage.rate} calls/s", stage.answered
    is_judged = stage.rate == _AT_RATE
    return [
        Figure(
            PART,
            f"{rate}: event to Setvar written, p50",
            stage.written.ms(0.5),
            "ms",
            at_most=_P50_MS if is_judged else None,
            note="; ".join(filter(None, (note, "the daemon's own metric, read from its buckets"))),
        ),
        Figure(
            PART,
            f"{rate}: event to Setvar written, p99",
            stage.written.ms(0.99),
            "ms",
            at_most=_P99_MS if is_judged else None,
        ),
        Figure(
            PART,
            f"{rate}: call placed to Setvar read by Asterisk, p50",
            answer["setvar_p50_ms"],
            "ms",
            note="from outside; the simulator's own turns are in it",
        ),
        Figure(PART, f"{rate}: call placed to Setvar read by Asterisk, p99", answer["setvar_p99_ms"], "ms"),
        Figure(PART, f"{rate}: really placed", answer["placed_per_s"], "calls/s"),
        Figure(
            PART,
            f"{rate}: presented with a caller-ID of ours",
            stage.in_time,
            "%",
            note="by channel variable alone: the hook asks nobody here",
        ),
        Figure(
            PART,
            f"{rate}: broken rules, sessions cut off",
            answer["violations"] + answer["cut_off"],
            "",
            at_most=0,
            note=_broken(answer),
        ),
        Figure(PART, f"{rate}: processor of the daemon", 100 * stage.daemon_cpu, "%"),
        Figure(PART, f"{rate}: processor of the simulator", 100 * answer["cpu"], "%"),
    ]


def _broken(answer: dict[str, Any]) -> str:
    told = (
        f"{answer['numbers_twice']} numbers on two calls, {answer['set_after_trunk']} variables set 100 ms after their trunk"
        f" leg began, or later; {answer['cut_off']} sessions cut off"
    )
    return told if answer["violations"] or answer["cut_off"] else ""


def _why(stages: list[_Stage]) -> str:
    knee = max((stage.rate for stage in stages if stage.holds), default=0)
    broken = next((stage for stage in stages if stage.rate > knee), None)
    if broken is None:
        return "the highest that was tried"
    return (
        f"at {broken.rate}: placed {broken.answered['placed_per_s']:.0f}/s, p99 {broken.written.ms(0.99):.1f} ms; daemon"
        f" {broken.daemon_cpu:.0%} and simulator {broken.answered['cpu']:.0%} of one core each"
    )
