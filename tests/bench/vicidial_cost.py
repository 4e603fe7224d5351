"""Measure what the feed costs VICIdial's database, and how soon it tells: `python -m tests.bench.vicidial_cost`."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

from ami_rotator.vicidial.feed import FeedPace
from tests.support.feed_listener import FeedListener
from tests.support.mariadb import MariaDb, create_vicidial_database, execute, execute_many
from tests.support.vicidial_dialer import call_code
from tests.support.vicidial_writer import VicidialDatabaseWriter

_LIVE = """
INSERT INTO vicidial_auto_calls (server_ip, campaign_id, status, lead_id, callerid, phone_code, phone_number, call_time,
       call_type) VALUES ('127.0.0.1', 'SALES', 'LIVE', %s, %s, '1', '2125550100', NOW() - INTERVAL 60 SECOND, 'OUT')"""


async def measure(live_rows: int, calls_per_s: float, seconds: float) -> None:
    """Print the figures of one run."""
    folder = Path(tempfile.mkdtemp(prefix="rot-maria-"))
    server = MariaDb(folder)
    try:
        server.start()
        address = await create_vicidial_database(server, "asterisk")
        await execute_many(address, _LIVE, [(lead, call_code("V", lead)) for lead in range(live_rows)])
        pace = FeedPace()
        async with VicidialDatabaseWriter(address) as writer:
            writing = await _cost(server, None, writer, calls_per_s, seconds)
            await execute(address, "DELETE FROM vicidial_auto_calls WHERE status = 'SENT'")
            async with FeedListener(address, pace) as feed:
                await feed.until_on()
                # A call keeps the pace fast even where none is placed.
                await writer.write_auto(call_code("V", 999_999), 999_999, "SALES", "2125550100")
                both = await _cost(server, feed, writer, calls_per_s, seconds)
        took_ms = sorted(
            feed.told_at_ms[code] - at for code, at in writer.written_at_ms.items() if code in feed.told_at_ms
        )
        print(f"{live_rows} live rows, {calls_per_s:g} calls/s, {seconds:g} s:")
        print(f"  queries/s {both[0]:.1f}; one poll {feed.feed.state().poll_ms} ms")
        print(f"  mariadbd: {both[1]:.1%} of one processor, of which the writing of the calls is {writing[1]:.1%}")
        print(f"  this process: {both[2]:.1%} of one processor, of which the writing is {writing[2]:.1%}")
        print(
            f"  told after the row was written: p50 {took_ms[len(took_ms) // 2]} ms, p99 {took_ms[-len(took_ms) // 100]} ms"
        )
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def _cost(
    server: MariaDb, feed: FeedListener | None, writer: VicidialDatabaseWriter, calls_per_s: float, seconds: float
) -> tuple[float, float, float]:
    """Return queries a second, and the shares of a processor that MariaDB and this process used."""
    queries = feed.connection.queries if feed else 0
    began_s, server_s, own_s = time.monotonic(), server.cpu_s(), time.process_time()
    first = 1_000_000 if feed else 2_000_000
    for place in range(int(calls_per_s * seconds)):
        await asyncio.sleep(max(0.0, began_s + place / calls_per_s - time.monotonic()))
        await writer.write_auto(call_code("V", first + place), first + place, "SALES", "2125550100")
    await asyncio.sleep(max(0.0, began_s + seconds - time.monotonic()))
    took_s = time.monotonic() - began_s
    asked = (feed.connection.queries - queries if feed else 0) / took_s
    return asked, (server.cpu_s() - server_s) / took_s, (time.process_time() - own_s) / took_s


def main() -> None:
    """Read the arguments and measure."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--live-rows", type=int, default=1000)
    arguments.add_argument("--calls-per-s", type=float, default=20.0)
    arguments.add_argument("--seconds", type=float, default=10.0)
    given = arguments.parse_args()
    asyncio.run(measure(given.live_rows, given.calls_per_s, given.seconds))


if __name__ == "__main__":
    main()
