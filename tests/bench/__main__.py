"""Run the benchmark, or parts of it by name: `python -m tests.bench [PART ...] [--size full|huge|small] [--json FILE]`."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
import uvloop

from tests.bench import (
    part_ami,
    part_assign,
    part_asterisk,
    part_designs,
    part_growth,
    part_http,
    part_ledger,
    part_pages,
    part_rungs,
    part_start,
    part_vicidial,
    part_viewers,
    part_warm,
)
from tests.bench.context import Bench, log_to
from tests.bench.figures import Results, machine, print_table
from tests.bench.sizes import SIZES, Size
from tests.support.services import Services

PARTS: Mapping[str, Callable[[Bench], Awaitable[None]]] = {
    "assign": part_assign.run,
    "http": part_http.run,
    "designs": part_designs.run,
    "vicidial": part_vicidial.run,
    "ami": part_ami.run,
    "asterisk": part_asterisk.run,
    "growth": part_growth.run,
    "rungs": part_rungs.run,
    "warm": part_warm.run,
    "ledger": part_ledger.run,
    "start": part_start.run,
    "pages": part_pages.run,
    "viewers": part_viewers.run,
}
_ASKED_FOR = ("asterisk",)
"""Parts that are left out unless named: they build an Asterisk first."""


async def measure(names: Sequence[str], size: Size, services: Services, folder: Path) -> Results:
    """Run the parts and return everything."""
    bench = Bench(services, folder, size)
    about = machine(await _versions(services), size.name, names)
    for name in names:
        began = time.monotonic()
        await PARTS[name](bench)
        bench.say(f"{name}: {time.monotonic() - began:.0f} s")
    return Results(about, tuple(bench.found), tuple(bench.drawn))


async def _versions(services: Services) -> dict[str, str]:
    postgresql = await asyncpg.connect(services.postgresql("wheel"), timeout=10)
    try:
        version = postgresql.get_server_version()
    finally:
        await postgresql.close()
    bench = Bench(services, Path(), SIZES["small"])
    async with bench.connections(1) as redis:
        told = await redis.info("server")
    return {
        "Valkey": str(told.get("valkey_version") or told["redis_version"]),
        "PostgreSQL": f"{version.major}.{version.minor}",
    }


def main() -> None:
    """Read the arguments, measure, print, and keep the JSON."""
    arguments = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    arguments.add_argument(
        "parts", nargs="*", choices=[[], *PARTS], help=f"all but {', '.join(_ASKED_FOR)} unless named"
    )
    arguments.add_argument("--size", choices=SIZES, default="full", help="huge: also a million caller-IDs")
    arguments.add_argument("--json", type=Path, help="where the figures are kept")
    given = arguments.parse_args()
    names = given.parts or [name for name in PARTS if name not in _ASKED_FOR]
    with tempfile.TemporaryDirectory(prefix="rot-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as `nobody` where the benchmark runs as root
        log_to(folder / "log")
        services = Services(folder)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results = runner.run(measure(names, SIZES[given.size], services, folder))
        finally:
            services.stop()
    for topic, value in results.about.items():
        print(f"{topic}: {value}")
    print()
    print_table(results.figures)
    if given.json:
        results.write(given.json)
        print(f"\nkept in {given.json}")


if __name__ == "__main__":
    main()
