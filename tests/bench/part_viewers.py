"""What people who watch the dashboard cost: `/next-cid` with nobody and with many live streams, in turns."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas
from tests.bench.part_http import daemon_settings
from tests.bench.processes import Helper, TimedDaemon, helper, timed_daemon
from tests.support.daemon_process import TOKEN

PART = "viewers"
_SETTLE_S = 1.0


async def run(bench: Bench) -> None:
    """Ask in pairs of rounds, without and with viewers; then look at the daemon while nothing is asked."""
    size, among = bench.size, areas(bench.size.areas)
    bench.say(f"{PART}: {size.caller_ids:,} caller-IDs, {size.viewers} viewers")
    ratios: list[float] = []
    rates: list[float] = []
    pages, watched_s = 0.0, 0.0  # of all rounds: one is shorter than the time between two snapshots may be
    page_kb = 0.0
    order = {
        "count": size.viewer_requests,
        "concurrent": size.concurrent,
        "area_count": size.areas,
        "campaigns": size.campaigns,
    }
    async with bench.database(size.caller_ids, among) as dsn:
        settings = daemon_settings(bench.redis_url, dsn, {"bench": 9}, {"9": None})
        async with (
            timed_daemon(bench.folder, settings) as daemon,
            helper("http_driver") as driver,
            helper("viewers", str(daemon.port), TOKEN) as viewers,
        ):
            first = 1
            await driver.ask({"port": daemon.port, "first": first, **order})  # the records that the page shows
            for turn in range(size.viewer_rounds):
                pair: dict[int, float] = {}
                # Each is first as often as the other: what else the machine does goes up and down.
                for watching in (0, size.viewers) if turn % 2 == 0 else (size.viewers, 0):
                    await viewers.ask(watching)
                    await asyncio.sleep(_SETTLE_S)
                    await viewers.ask(watching)
                    first += size.viewer_requests
                    began = time.monotonic()
                    answer = await driver.ask({"port": daemon.port, "first": first, **order})
                    took_s = time.monotonic() - began
                    read = await viewers.ask(watching)
                    pair[watching] = float(answer["per_s"])
                    if watching:
                        if read["watching"] < watching:
                            raise RuntimeError(f"only {read['watching']} of {watching} viewers still watch")
                        pages, watched_s = pages + read["pages"] / watching, watched_s + took_s
                        page_kb = read["octets"] / max(1, read["pages"]) / 1000
                bench.say(f"{PART}: {pair[0]:,.0f}/s without, {pair[size.viewers]:,.0f}/s with")
                ratios.append(pair[size.viewers] / pair[0])
                rates.append(pair[0])
            without = await _processor_share(daemon, viewers, 0, size.viewer_idle_s)
            with_all = await _processor_share(daemon, viewers, size.viewers, size.viewer_idle_s)
    await bench.flush()
    bench.add(
        Figure(
            PART,
            f"assignments a second with {size.viewers} viewers",
            median(ratios) * median(rates),
            "/s",
            median(rates),
            "/s with none",
            at_least=0.95,
            note=f"median of pairs of rounds, one after the other: {', '.join(f'{ratio:.3f}' for ratio in ratios)}",
        ),
        Figure(PART, "snapshots that each viewer got a second, under that load", pages / watched_s, "/s", at_least=0.5),
        Figure(PART, "size of a snapshot", page_kb, "kB"),
        Figure(
            PART,
            f"processor time of the daemon for {size.viewers} viewers while nothing is asked",
            100 * (with_all - without),
            "% of one processor",
            at_most=5,
            note=f"{100 * with_all:.1f} % with them, {100 * without:.1f} % without",
        ),
    )


async def _processor_share(daemon: TimedDaemon, viewers: Helper, watching: int, for_s: float) -> float:
    await viewers.ask(watching)
    await asyncio.sleep(_SETTLE_S)
    used_s, began = daemon.cpu_s(), time.monotonic()
    await asyncio.sleep(for_s)
    return (daemon.cpu_s() - used_s) / (time.monotonic() - began)
