"""Ask for caller-IDs over HTTP as fast as answers come: one connection a task, kept open, nothing parsed but the length.

Run with no arguments; each line in is an order, each line out what it gave.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

import orjson
import uvloop

from tests.bench.figures import as_json
from tests.bench.load import areas, code, destination, percentile

_ANSWER_S = 10.0


async def drive(
    port: int, first: int, count: int, concurrent: int, area_count: int, campaigns: int
) -> dict[str, object]:
    """Ask `count` times and return the rate, times in ms, and how often which status came."""
    among = areas(area_count)
    numbers = iter(range(first, first + count))
    each_s: list[float] = []
    answers: Counter[str] = Counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for index in numbers:
            began = time.perf_counter()
            writer.write(
                f"GET /next-cid?format=plain&agent=&to=91{destination(index, among)}&campaign=CAMP{index % campaigns}"
                f"&code={code(index)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            )
            async with asyncio.timeout(_ANSWER_S):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                body = await reader.readexactly(length)
            each_s.append(time.perf_counter() - began)
            status = head[9:12].decode()
            answers[status if body else f"{status} empty"] += 1
        writer.close()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrent):
            group.create_task(one())
    took_s = time.perf_counter() - began
    return {
        "per_s": count / took_s,
        "p50_ms": percentile(each_s, 0.5) * 1000,
        "p99_ms": percentile(each_s, 0.99) * 1000,
        "answers": dict(answers),
    }


async def main() -> None:
    """Take orders until the input ends."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(as_json(await drive(**orjson.loads(line))), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
