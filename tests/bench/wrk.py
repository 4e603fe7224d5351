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
local n = 5000000
request = function()
  n = n + 1
  return wrk.format('GET', string.format('/next-cid?format=plain&agent=&to=91%%s%%07d&campaign=CAMP%%d&code=V%%019d',
    areas[n %% #areas + 1], 9000000 + n %% 1000000, n %% %d, n))
end
"""
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_SECONDS = 4


async def wrk_rate(floor_port: int, port: int, folder: Path, size: Size) -> tuple[float, float] | None:
    """Return the answers a second of both; None without wrk."""
    if shutil.which("wrk") is None:
        return None
    script = folder / "next-cid.lua"
    script.write_text(_SCRIPT % (",".join(f"'{area}'" for area in areas(size.areas)), size.campaigns))
    return await _rate(floor_port, script, size), await _rate(port, script, size)


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
