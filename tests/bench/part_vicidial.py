"""VICIdial's own pick of a caller-ID, by its statements on MariaDB, against assign and release."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import asyncmy
from asyncmy.connection import Connection

from ami_rotator.domain.types import Assignment, CallKey, End
from ami_rotator.vicidial.address import DatabaseAddress
from tests.bench.context import Bench, FilledPool
from tests.bench.figures import Figure
from tests.bench.load import Timing, areas, closed_loop, destination, inventory, middle_pair, rates, request
from tests.bench.part_assign import calls
from tests.bench.sizes import Size
from tests.support.mariadb import MariaDb, create_vicidial_database, execute_many

PART = "vicidial"
_END = End("answered")
_CLIENTS = 16
_GROUP = "CIDGROUP"
_INSERT = """
INSERT INTO vicidial_campaign_cid_areacodes (campaign_id, areacode, outbound_cid, active, call_count_today)
VALUES ('CIDGROUP', %s, %s, 'Y', 0)"""
# AST_VDauto_dial.pl:2120 and :2145 (svn trunk, 2025-08). All rows are fetched; the last one wins (:2133-2141).
_SELECT = """
SELECT outbound_cid,areacode FROM vicidial_campaign_cid_areacodes where campaign_id=%s and areacode IN(%s,%s,%s,%s)
and active='Y' order by CAST(areacode as SIGNED INTEGER) asc, call_count_today desc limit 100000"""
_UPDATE = """
UPDATE vicidial_campaign_cid_areacodes set call_count_today=call_count_today+1
where campaign_id=%s and areacode=%s and outbound_cid=%s"""


class _Overlaps:
    """Counts picks of a number that another pick has in hand at that moment."""

    def __init__(self) -> None:
        self.picks = 0
        self.overlapping = 0
        self._in_hand: Counter[str] = Counter()

    def __call__(self, number: str, begins: bool) -> None:
        self._in_hand[number] += 1 if begins else -1
        if begins:
            self.picks += 1
            self.overlapping += self._in_hand[number] > 1

    @property
    def percent(self) -> float:
        return 100 * self.overlapping / self.picks if self.picks else 0.0


async def run(bench: Bench) -> None:
    """Measure both in turns; nothing where MariaDB is not installed."""
    if not (shutil.which("mariadbd") and shutil.which("mariadb-install-db")):
        bench.say(f"{PART}: left out, mariadbd is not installed (apt-get install mariadb-server)")
        return
    size = bench.size
    bench.say(f"{PART}: {size.caller_ids:,} caller-IDs, {_CLIENTS} clients")
    folder = Path(tempfile.mkdtemp(prefix="rot-maria-"))
    server = MariaDb(folder)
    try:
        server.start()
        address = await create_vicidial_database(server, "asterisk")
        await _measure(bench, address)
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(bench: Bench, address: DatabaseAddress) -> None:
    size, among = bench.size, areas(bench.size.areas)
    rows = [(item.area, item.number.removeprefix("+1")) for item in inventory(size.caller_ids, among)]
    await execute_many(address, _INSERT, rows)
    theirs_overlap, ours_overlap = _Overlaps(), _Overlaps()
    theirs: list[Timing] = []
    ours: list[Timing] = []
    alone: list[Timing] = []
    clients: asyncio.Queue[Connection] = asyncio.Queue()
    connected = [await _connect(address) for _ in range(_CLIENTS)]
    for connection in connected:
        clients.put_nowait(connection)

    async def pick(index: int) -> None:
        person = destination(index, among)
        connection = await clients.get()
        try:
            cursor = connection.cursor()
            await cursor.execute(_SELECT, (_GROUP, *(person[:digits] for digits in (2, 3, 4, 5))))
            number, area = (await cursor.fetchall())[-1]
            theirs_overlap(number, True)
            await cursor.execute(_UPDATE, (_GROUP, area, number))
            theirs_overlap(number, False)
        finally:
            clients.put_nowait(connection)

    try:
        async with bench.pool(size.caller_ids, among) as filled:
            work = calls(filled, size.campaigns, ours_overlap)
            first = 1
            for _ in range(max(2, size.rounds - 1)):
                theirs.append(await closed_loop(_CLIENTS, size.round_s, pick, first))
                ours.append(await closed_loop(_CLIENTS, size.round_s, work, first))
                first += max(theirs[-1].count, ours[-1].count) + size.concurrent
                alone.append(await _assign_alone(filled, size, first))
                first += alone[-1].count + size.concurrent
    finally:
        for connection in connected:
            await connection.ensure_closed()
    rate, their_rate = middle_pair(rates(alone), rates(theirs))
    both_rate, their_rate_then = middle_pair(rates(ours), rates(theirs))
    bench.add(
        Figure(
            PART,
            "assigned a second",
            rate,
            "/s",
            their_rate,
            "/s by SELECT and UPDATE",
            at_least=5,
            note=f"{_CLIENTS} clients of one Python process; both choose and count, neither gives back",
        ),
        Figure(
            PART, "assigned and released a second", both_rate, "/s", their_rate_then, "/s by SELECT and UPDATE alone"
        ),
        Figure(
            PART,
            "picks of a number that another call had in hand",
            ours_overlap.percent,
            "%",
            at_most=0,
            note=f"by SELECT and UPDATE {theirs_overlap.percent:.2g} % of {theirs_overlap.picks:,}",
        ),
        Figure(PART, "the same by SELECT and UPDATE", theirs_overlap.percent, "%"),
    )


async def _assign_alone(filled: FilledPool, size: Size, first: int) -> Timing:
    """Assign without releasing: what VICIdial's statements do. Half of the inventory at the most; then all is released."""
    made: list[CallKey] = []

    async def assign(index: int) -> None:
        wanted = request(index, filled.areas, size.campaigns)
        found = await filled.assigner.assign(wanted)
        if not isinstance(found, Assignment):
            raise LookupError(f"no caller-ID: {found.reason} {found.detail}")
        made.append(wanted.key)

    timing = await closed_loop(_CLIENTS, min(size.round_s, size.caller_ids / 20_000), assign, first)
    for start in range(0, len(made), size.concurrent):
        await asyncio.gather(*(filled.pool.release(key, _END) for key in made[start : start + size.concurrent]))
    return timing


async def _connect(address: DatabaseAddress) -> Connection:
    return await asyncmy.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password.encode(),
        database=address.name,
        autocommit=True,
    )
