"""The same questions asked by wrk, where it is installed."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

from tests.bench.load import areas
from tests.bench.sizes import Size

_SCRIPT = """
local areas = {%s}
local n = %d
request = function()
  n = n + 1
  return wrk.format('GET', string.format('/next-cid?format=plain&agent=&to=91%%s%%07d&campaign=CAMP%%d&code=V%%019d',
    areas[n %% #areas + 1], 9000000 + n %% 1000000, n %% %d, n))
end
"""
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_ROUNDS = 3
_SECONDS = 2
_FIRST, _APART = 5_000_000, 100_000


async def wrk_rates(floor_port: int, port: int, folder: Path, size: Size) -> list[tuple[float, float]] | None:
    """Return the answers a second of both, of several rounds; None without wrk. Each question is of a new call."""
    if shutil.which("wrk") is None:
        return None
    rates = []
    for number in range(_ROUNDS):
        script = folder / "next-cid.lua"
        among = ",".join(f"'{area}'" for area in areas(size.areas))
        script.write_text(_SCRIPT % (among, _FIRST + number * _APART, size.campaigns))
        rates.append((await _rate(floor_port, script, size), await _rate(port, script, size)))
    return rates


async def _rate(port: int, script: Path, size: Size) -> float:
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t1", f"-c{size.concurrent}", f"-d{_SECONDS}s", "-s", str(script), f"http://127.0.0.1:{port}"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), _SECONDS + 30)
    found = _RATE.search(output.decode())
    if process.returncode or found is None:
        raise RuntimeError(f"wrk gave no rate: {output.decode()[-500:]}")
    return float(found[1])
