"""Baseline (b): a bare aiohttp handler that makes one round trip to Redis. Run with a Redis URL; tells its port."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

from tests.bench.baselines import load_one_line, many_connections, round_trip
from tests.bench.figures import as_json

_CONNECTIONS = 256


async def main(url: str) -> None:
    """Serve until the input ends."""
    redis = many_connections(url, _CONNECTIONS)
    await load_one_line(redis)
    work = round_trip(redis)

    async def answer(_: web.Request) -> web.Response:
        await work(0)
        return web.Response(text="2125550100")

    app = web.Application()
    app.router.add_get("/next-cid", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(as_json({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()
    await redis.aclose()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner_:
        runner_.run(main(sys.argv[1]))
