"""VICIdial's database joined to the daemon: calls before Asterisk has them, what will be dialled, and reports kept true."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from ami_rotator.ami.facts import CallAnnounced
from ami_rotator.ami.listener import Listener
from ami_rotator.cancellation import raise_if_cancelled
from ami_rotator.clock import Clock
from ami_rotator.domain.types import Area, CallKey, Campaign, Dialer
from ami_rotator.domain.warmth import Demand
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.ledger.database import Database
from ami_rotator.metrics import Metrics
from ami_rotator.settings import DialerSettings, Settings
from ami_rotator.stopping import background
from ami_rotator.vicidial.address import DatabaseAddress, parse_database_url
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError
from ami_rotator.vicidial.expected import CallRates, expected_calls, unforeseen
from ami_rotator.vicidial.feed import Feed
from ami_rotator.vicidial.feed_rows import AgentKnown, FeedCall
from ami_rotator.vicidial.feed_state import FeedMetrics
from ami_rotator.vicidial.grants import READING_PARTS
from ami_rotator.vicidial.hopper import Hopper, HopperView
from ami_rotator.vicidial.schema import Part
from ami_rotator.vicidial.write_back import WriteBack, WriteBackMetrics

_HOPPER_EVERY_S = 3.0
# An old view of the hopper says less than the calls of the last minute do.
_HOPPER_HOLDS_S = 30.0
_AGENTS_EVERY_S = 2.0
_AGENT_WAITS_S = 120.0


def vicidial_address(settings: Settings) -> DatabaseAddress | None:
    """Return where VICIdial's database is; None where none is configured.

    Raises:
        SettingsError: VICIDIAL_DATABASE_URL cannot be read.
    """
    if settings.vicidial_database_url is not None:
        return parse_database_url(settings.vicidial_database_url.get_secret_value())
    if settings.vicidial_db_host is None:
        return None
    return DatabaseAddress(
        host=settings.vicidial_db_host,
        port=settings.vicidial_db_port,
        user=settings.vicidial_db_user,
        password=settings.vicidial_db_password.get_secret_value(),
        name=settings.vicidial_db_name,
    )


def parts_used(settings: Settings) -> tuple[Part, ...]:
    """Return which parts use the database: all that read, and those that write where they are on."""
    writing: list[Part] = []
    if settings.vicidial_write_back:
        writing.append("write_back")
    if settings.vicidial_push == "sql":
        writing.append("push")
    return (*READING_PARTS, *writing)


async def dialers_by_ip(dialers: Sequence[DialerSettings]) -> dict[str, Dialer]:
    """Return which dialer VICIdial means by a server_ip: the setting's, else the address of its host."""
    found: dict[str, Dialer] = {}
    loop = asyncio.get_running_loop()
    for dialer in dialers:
        addresses = [dialer.server_ip] if dialer.server_ip else []
        if not addresses:
            try:
                async with asyncio.timeout(5):
                    known = await loop.getaddrinfo(dialer.host, None, family=socket.AF_INET)
                addresses = [str(item[4][0]) for item in known]
            except (OSError, TimeoutError):
                addresses = [dialer.host]
        found.update(dict.fromkeys(addresses, Dialer(dialer.name)))
    return found


class Foresight:
    """Reads VICIdial's database for as long as `running` is open. Without the database everything else goes on."""

    def __init__(
        self,
        address: DatabaseAddress,
        servers: Mapping[str, Dialer],
        listeners: Mapping[str, Listener],
        database: Database,
        metrics: Metrics,
        clock: Clock,
        *,
        region: str,
        writes_back: bool,
    ) -> None:
        self._listeners = listeners
        self._database = database
        self._clock = clock
        self._feed = Feed(
            VicidialConnection(address, purpose="feed"),
            servers,
            self._on_calls,
            self._on_agents,
            metrics=FeedMetrics(metrics.registry),
            clock=clock,
        )
        self._hopper = Hopper(VicidialConnection(address, purpose="hopper"), region, clock)
        self._rates = CallRates(clock.monotonic_s())
        self._refreshed_at_s = float("-inf")
        self._agents: dict[tuple[str, str], tuple[str, float]] = {}
        self._write_back = (
            WriteBack(
                VicidialConnection(address, purpose="write-back"),
                metrics=WriteBackMetrics(metrics.registry),
                clock=clock,
            )
            if writes_back
            else None
        )
        self._log = structlog.get_logger("vicidial")

    def feed_health(self) -> str:
        """Return `ok`, or why calls are not known ahead of time."""
        state = self._feed.state()
        return "ok" if state.status == "on" else state.why or state.status

    @property
    def hopper(self) -> HopperView:
        """What is about to be dialled; empty where that is not known any more."""
        return self._hopper.view if self._is_fresh() else HopperView()

    def ready_leads(self) -> list[tuple[Campaign, Area, int]]:
        """Return campaign, area and ready leads, most first."""
        return [(item.campaign, item.area, item.ready) for item in self.hopper.counts]

    def expect(self, history: Sequence[Demand]) -> Sequence[Demand]:
        """Return the calls a minute to come, from the hopper where it is known; `history` is what was called lately."""
        if not self._is_fresh():
            return history
        now_s = self._clock.monotonic_s()
        ahead = self._hopper.view.ahead
        rest = unforeseen(history, ahead, self._rates.manual_share(now_s))
        return expected_calls(ahead, self._rates.auto_per_minute(now_s), rest)

    def on_presented(self, code: str, number: str) -> None:
        """Note the number that a call really showed."""
        if self._write_back is not None and code:
            self._write_back.note(code, number)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read while the context is open."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(background("feed", self._feed.run))
            await stack.enter_async_context(background("hopper", self._read_hopper))
            await stack.enter_async_context(background("agents", self._note_agents))
            if self._write_back is not None:
                await stack.enter_async_context(background("write-back", self._write_back.run))
            yield

    def _on_calls(self, calls: Sequence[FeedCall]) -> None:
        self._rates.note(calls, self._clock.monotonic_s())
        for call in calls:
            key = CallKey(call.dialer, call.code)
            self._listeners[call.dialer].on_fact(
                CallAnnounced(key, call.kind, call.dialled, call.lead_id, call.campaign, call.agent)
            )

    def _on_agents(self, agents: Sequence[AgentKnown]) -> None:
        now_s = self._clock.monotonic_s()
        for item in agents:
            self._agents[item.dialer, item.code] = (item.agent, now_s)

    async def _note_agents(self) -> None:
        """Add agents that became known after the assignment to the records, once those are there."""
        while True:
            raise_if_cancelled()
            await asyncio.sleep(_AGENTS_EVERY_S)
            if not self._agents:
                continue
            waiting = list(self._agents.items())
            dialers, codes = zip(*(key for key, _ in waiting), strict=True)
            try:
                rows = await self._database.rows(
                    "note_agents", list(dialers), list(codes), [agent for _, (agent, _) in waiting]
                )
            except LedgerUnavailableError:
                continue
            noted = {(row["dialer"], row["code"]) for row in rows}
            now_s = self._clock.monotonic_s()
            for key, (_, since_s) in waiting:
                if key in noted or now_s - since_s > _AGENT_WAITS_S:
                    self._agents.pop(key, None)

    async def _read_hopper(self) -> None:
        was_read = True
        while True:
            raise_if_cancelled()
            try:
                await self._hopper.refresh()
            except VicidialError as error:
                if was_read:
                    self._log.warning(
                        "the hopper is not read: warm pools follow the last minutes' calls", why=str(error)
                    )
                was_read = False
            else:
                self._refreshed_at_s = self._clock.monotonic_s()
                if not was_read:
                    self._log.info("the hopper is read again")
                was_read = True
            await asyncio.sleep(_HOPPER_EVERY_S)

    def _is_fresh(self) -> bool:
        return self._clock.monotonic_s() - self._refreshed_at_s < _HOPPER_HOLDS_S
