"""A real Asterisk as VICIdial sets it up: what hook and daemon add from Originate to INVITE, and who was in time."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Literal

import asyncpg
import orjson

from ami_rotator.dialplan import Hook, hook_lines
from ami_rotator.vicidial.address import DatabaseAddress
from tests.asterisk.debian_root import RELEASE_VARIABLE, LabUnavailable, ensure_asterisk_root
from tests.asterisk.vicidial_lab import VicidialLab, vicidial_lab
from tests.bench.context import Bench
from tests.bench.figures import Figure
from tests.bench.load import areas, destination, percentile
from tests.bench.processes import TimedDaemon, helper, timed_daemon
from tests.support.asterisk_lab import SECRET, DialerOptions
from tests.support.call_log_agi import CAMPAIGN_MEASURED_MS, END_MEASURED_MS, CallLogAgi, measured_ms
from tests.support.mariadb import MariaDb, create_vicidial_database
from tests.support.sip_carrier import SipCarrier
from tests.support.vicidial_dialer import PlannedCall
from tests.support.vicidial_writer import VicidialDatabaseWriter

PART = "asterisk"
_CAMPAIGN = "BENCHCMP"
_CONNECTED_S = 30
_SETTLED_S = 3
"""A daemon that has just started fills its warm pools while the first calls come: those of a day are measured, not these."""
_SERVER_IP = "127.0.0.1"
Way = Literal["without", "reflex", "ami", "feed"]
"""`reflex`: a listener that sets one constant number as soon as it has read of a call (tests/bench/ami_floor.py)."""


@dataclass(slots=True)
class _Seen:
    """What one way brought. Each round has delays of its own, the same for all ways."""

    rounds_s: list[list[float]] = field(default_factory=list)
    logged_s: list[float] = field(default_factory=list)
    own: int = 0
    sources: Counter[str] = field(default_factory=Counter)

    @property
    def in_time(self) -> float:
        """Return how many of 100 calls showed another number than VICIdial's own."""
        return 100 * (1 - self.own / max(1, sum(map(len, self.rounds_s))))

    def ms(self, share: float) -> float:
        """Return the delay, in ms, that this share of the calls had at the most, of the middle round.

        A p99 is made by a few calls: one round alone tells as much of what else the machine did.
        """
        return median(percentile(delays_s, share) for delays_s in self.rounds_s) * 1000


async def run(bench: Bench) -> None:
    """Place the same calls without the daemon, with it by AMI, and by the feed where MariaDB is installed.

    In between a listener that takes no time at all: what it brings in time is what Asterisk leaves to AMI alone.
    """
    try:
        root = await asyncio.to_thread(ensure_asterisk_root, os.environ.get(RELEASE_VARIABLE, "16"), bench.say)
    except LabUnavailable as reason:
        bench.say(f"{PART}: left out: {reason}")
        return
    ways: list[Way] = ["without", "reflex", "ami"]
    if shutil.which("mariadbd") and shutil.which("mariadb-install-db"):
        ways.append("feed")
    seen = {way: _Seen() for way in ways}
    for number in range(bench.size.asterisk_rounds):
        for way in ways:
            bench.say(f"{PART}: {bench.size.asterisk_rate:g} calls/s, round {number + 1}, {way}")
            await _place(bench, root, way, seen[way], number)
    without, reflex = seen.pop("without"), seen.pop("reflex")
    logged_s = [took_s for way in seen.values() for took_s in way.logged_s]
    bench.add(
        *(
            Figure(
                PART, f"call_log took, {name}", percentile(logged_s, share) * 1000, "ms", note=f"VICIdial's own: {own}"
            )
            for name, share, own in (("p1", 0.01, "2.7 ms"), ("p50", 0.5, "4.0 ms"), ("p99", 0.99, "7 to 10 ms"))
        ),
        Figure(
            PART,
            "calls that showed the number of a listener which takes no time",
            reflex.in_time,
            "%",
            note="one constant number, set in the turn in which the event is read: what Asterisk leaves to AMI alone",
        ),
    )
    for way, with_it in seen.items():
        told = ", ".join(f"{source} {count}" for source, count in with_it.sources.most_common())
        bench.add(
            Figure(
                PART,
                f"{way}: Originate to INVITE without call_log, p50 with hook and daemon",
                with_it.ms(0.5),
                "ms",
                without.ms(0.5),
                "ms without",
            ),
            Figure(
                PART,
                f"{way}: added to Originate to INVITE, p99",
                with_it.ms(0.99) - without.ms(0.99),
                "ms",
                at_most=10,
                note=f"p99 {with_it.ms(0.99):.0f} ms with, {without.ms(0.99):.0f} ms without, each of the middle round",
            ),
            Figure(
                PART,
                f"{way}: calls that showed the number it brought",
                with_it.in_time,
                "%",
                at_least=99,
                note=f"the others would have asked over HTTP; in the ledger: {told}",
            ),
        )


async def _place(bench: Bench, root: Path, way: Way, seen: _Seen, number: int) -> None:
    size, among = bench.size, areas(bench.size.areas)
    count = int(size.asterisk_rate * size.asterisk_s / size.asterisk_rounds)
    plan = [
        PlannedCall("V" if index % 2 == 0 else "M", destination(index, among), campaign=_CAMPAIGN, timeout_s=3)
        for index in range(count)
    ]
    carrier = SipCarrier(talk_s=0.8)
    call_log = CallLogAgi(
        before_ms=measured_ms(CAMPAIGN_MEASURED_MS, seed=2 * number + 1),
        after_ms=measured_ms(END_MEASURED_MS, seed=2 * number + 2),
        manual_timeout_s=3,
    )
    # Where the hook would ask is where nobody listens: what AMI or the feed did not bring in time stays VICIdial's own.
    hook = Hook(trunk="PJSIP/{number}@carrier", base_url="http://127.0.0.1:9", budget_s=0.25, dialer="lab")
    options = DialerOptions() if way == "without" else DialerOptions(carrier_entry=hook_lines(hook))
    sources: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        writer: VicidialDatabaseWriter | None = None
        address: DatabaseAddress | None = None
        if way == "feed":
            address = await _mariadb(stack)
            writer = await stack.enter_async_context(VicidialDatabaseWriter(address, _SERVER_IP))
        lab = await stack.enter_async_context(
            vicidial_lab(
                root,
                carrier=carrier,
                call_log=call_log,
                options=options,
                before_originate=writer.before_originate if writer else None,
            )
        )
        call_log.campaigns = lab.dialer.campaigns
        if way == "without":
            placed = await lab.dialer.run(plan, rate_per_s=size.asterisk_rate)
            await lab.settle()
        elif way == "reflex":
            port = str(lab.asterisk.ami_port)
            listener = await stack.enter_async_context(helper("ami_floor", "", f"rotator:{SECRET}", port))
            await listener.told()
            placed = await lab.dialer.run(plan, rate_per_s=size.asterisk_rate)
            await lab.settle()
        else:
            dsn = await stack.enter_async_context(bench.database(size.caller_ids, among))
            settings = _settings(bench.redis_url, dsn, lab, address)
            daemon = await stack.enter_async_context(timed_daemon(bench.folder, settings, until="/health"))
            if way == "feed":
                await _feed_is_on(daemon)
            await asyncio.sleep(_SETTLED_S)
            placed = await lab.dialer.run(plan, rate_per_s=size.asterisk_rate)
            await lab.settle()
            await asyncio.sleep(1)
            sources = await _sources(dsn)
    await bench.flush()
    began = {call.code: call.originated_at_s or 0.0 for call in placed}
    # What call_log took says nothing of hook and daemon: it is taken off each call's own time.
    logged_s: dict[str, float] = {}
    for request in call_log.requests:
        if not request.is_end and request.closed_at_s is not None:
            logged_s.setdefault(request.code, request.closed_at_s - request.received_at_s)
    seen.logged_s += logged_s.values()
    codes = [call.from_name or "" for call in carrier.calls]
    seen.rounds_s.append(
        [
            call.invited_at_s - began[code] - logged_s.get(code, 0.0)
            for call, code in zip(carrier.calls, codes, strict=True)
        ]
    )
    seen.own += sum(call.from_number == placed[0].planned.number for call in carrier.calls)
    seen.sources += sources


async def _mariadb(stack: AsyncExitStack) -> DatabaseAddress:
    folder = Path(tempfile.mkdtemp(prefix="rot-maria-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    server = MariaDb(folder)
    stack.callback(server.kill)
    server.start()
    return await create_vicidial_database(server, "asterisk")


def _settings(redis_url: str, dsn: str, lab: VicidialLab, feed: DatabaseAddress | None) -> Mapping[str, str]:
    dialer = {
        "name": "lab",
        "port": lab.asterisk.ami_port,
        "username": "rotator",
        "secret": SECRET,
        "dial_prefixes": {"9": None if feed else _CAMPAIGN},
        "server_ip": _SERVER_IP,
    }
    settings = {
        "DIALERS": orjson.dumps([dialer]).decode(),
        "REDIS_URL": redis_url,
        "DATABASE_URL": dsn,
        "DEFAULT_COOLDOWN_SECONDS": "1",
    }
    if feed is not None:
        settings["VICIDIAL_DATABASE_URL"] = f"mysql://{feed.user}:{feed.password}@{feed.host}:{feed.port}/{feed.name}"
    return settings


async def _feed_is_on(daemon: TimedDaemon) -> None:
    async with asyncio.timeout(_CONNECTED_S):
        while "rotator_feed_up 1.0" not in await daemon.metrics():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def _sources(dsn: str) -> Counter[str]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await connection.fetch("SELECT source::text, count(*) FROM calls WHERE caller_id IS NOT NULL GROUP BY 1")
    finally:
        await connection.close()
    return Counter({row[0]: row[1] for row in rows})
