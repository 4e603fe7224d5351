"""The daemon: what starts in which order, and stops in the opposite one."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import structlog
from aiohttp import web

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.listener import Listener
from ami_rotator.ami.tracker import Tracker
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.demo import SIMULATOR_NAME, fill_demo_inventory, simulated_dialer
from ami_rotator.domain.campaign import DEFAULT_GROUP
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import Dialer
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError, RotatorError
from ami_rotator.files import project_folder
from ami_rotator.http.deps import Deps, NewCallerId
from ami_rotator.http.fastagi import start_fastagi
from ami_rotator.http.limits import MinuteLimits
from ami_rotator.http.server import make_app
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.jobs.scheduler import Job, Scheduler
from ami_rotator.jobs.upkeep import pool_jobs
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import DuplicateCallerIdError, Inventory, LimitDefaults
from ami_rotator.ledger.migrate import migrate
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.ledger.upkeep import ensure_partitions
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import connect
from ami_rotator.pool.filler import Filler
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.settings import DialerSettings, Settings
from ami_rotator.status import Status
from ami_rotator.stores import Stores, open_stores
from ami_rotator.supervise import keep_running

_DRAIN_S = 4.0
_SIGN_IN_TRIES_A_MINUTE = 10


class StartError(RotatorError):
    """The daemon cannot start."""


class App:
    """One daemon. `base_url` and `admin_token` are known once it runs."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.base_url = ""
        token = settings.admin_token
        self.admin_token = token.get_secret_value() if token else secrets.token_urlsafe(18)
        self._clock = clock or SystemClock()
        self._log = structlog.get_logger("daemon")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[App]:
        """Run the daemon while the context is open.

        Raises:
            RotatorError: it cannot start; says why and what to do.
        """
        async with AsyncExitStack() as stack:
            # First of all: whoever starts a second daemon on this port learns it before anything else is touched.
            listening = stack.enter_context(self._listen())
            stores = await stack.enter_async_context(open_stores(self.settings))
            await self._start(stack, stores, listening)
            yield self

    def _listen(self) -> socket.socket:
        host, port = self.settings.api_host, self.settings.api_port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            raise StartError(
                f"Port {port} on {host} is not to be had: {error.strerror or error}. If another daemon runs there, stop it,"
                " or choose another port with API_PORT (0 takes a free one)."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.base_url = f"http://{shown}:{listening.getsockname()[1]}"
        return listening

    async def _start(self, stack: AsyncExitStack, stores: Stores, listening: socket.socket) -> None:
        settings, clock = self.settings, self._clock
        redis = connect(stores.redis_url)
        stack.push_async_callback(redis.aclose)
        database = await stack.enter_async_context(Database.open(stores.database_dsn))
        pool = RedisPool(redis, settings.inventory, settings.zone, settings.reservation_ttl_seconds, clock=clock)
        defaults = LimitDefaults(
            settings.default_hourly_limit, settings.default_daily_limit, settings.default_cooldown_seconds
        )
        inventory = Inventory(database, defaults)
        dialers = settings.all_dialers()
        is_demo = not dialers
        if is_demo:
            _, dialer = await stack.enter_async_context(simulated_dialer(self.base_url, settings.simulator_calls_per_s))
            dialers = (dialer,)
        prefixes = sorted({prefix for dialer in dialers for prefix in dialer.dial_prefixes})
        assigner = Assigner(pool, settings.default_region, prefixes, self.metrics, clock)
        sync = InventorySync(inventory, pool, assigner)
        preparation = _Preparation(stores.database_dsn, database, inventory, sync, with_demo=is_demo)
        await self._load(preparation, pool, assigner)

        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        outbox = LedgerOutbox(redis, database, settings.inventory, name)
        stack.push_async_callback(outbox.drain, _DRAIN_S)
        await stack.enter_async_context(_background("ledger", outbox.run))
        filler = Filler(pool, assigner, settings.warm_share_max)
        stack.push_async_callback(self._give_back_warm, filler)

        links = [self._link(dialer, assigner, pool) for dialer in dialers]
        jobs = [
            *pool_jobs(
                pool, filler, [listener for _, _, listener in links], self.metrics, settings.reservation_ttl_seconds
            ),
            Job("inventory", 1.0, preparation.sync),
            Job("partitions", 6 * 3600.0, lambda: _partitions(database)),
        ]
        scheduler = Scheduler(jobs, self.metrics, clock)
        scheduler.start()
        stack.callback(scheduler.stop)

        status = Status(
            pool, database, [(dialer, link) for dialer, link, _ in links], SIMULATOR_NAME if is_demo else None
        )
        names = tuple(dialer.name for dialer in dialers)
        deps = self._deps(status, assigner, _adding(inventory, sync), names)
        await stack.enter_async_context(_serving(deps, listening))
        if settings.fastagi_port:
            stack.push_async_callback(_close_server, await start_fastagi(deps))
            self._log.info("FastAGI listens", host=settings.api_host, port=settings.fastagi_port)
        for _, link, listener in links:
            stack.push_async_callback(listener.drain, _DRAIN_S)
            await stack.enter_async_context(_background(f"dialer {link.state.name}", link.run))
            stack.push_async_callback(link.close)

    async def _load(self, preparation: _Preparation, pool: RedisPool, assigner: Assigner) -> None:
        """Fill the pool. With PostgreSQL away, serve what Redis has; the job goes on trying."""
        try:
            await preparation.sync()
        except LedgerUnavailableError as error:
            self._log.error("started without PostgreSQL: calls are served with what Redis has", reason=str(error))
            try:
                assigner.policies = await pool.policies()
            except PoolUnavailableError as second:
                self._log.error("started without Redis: no caller-IDs until it answers", reason=str(second))
        except PoolUnavailableError as error:
            self._log.error("started without Redis: no caller-IDs until it answers", reason=str(error))

    def _link(
        self, dialer: DialerSettings, assigner: Assigner, pool: RedisPool
    ) -> tuple[DialerSettings, AmiDialer, Listener]:
        settings = self.settings
        # The dialer hands its events to the listener, which writes to the dialer: one of the two has to come first.
        link = AmiDialer(
            dialer,
            ping_interval_s=settings.ami_ping_interval_s,
            timeout_s=settings.ami_timeout_s,
            clock=self._clock,
            on_event=lambda event: listener.on_event(event),
            on_up=lambda: listener.on_up(),
            on_down=lambda reason: listener.on_down(reason),
        )
        listener = Listener(
            Tracker(Dialer(dialer.name), dialer.dial_prefixes, clock=self._clock, region=settings.default_region),
            link,
            assigner,
            pool,
            dialer=dialer.name,
            mode=dialer.mode,
            presentation=settings.presentation,
            region=settings.default_region,
            give_up_s=settings.reservation_ttl_seconds,
            metrics=self.metrics,
            clock=self._clock,
        )
        return dialer, link, listener

    def _deps(
        self,
        status: Status,
        assigner: Assigner,
        add_caller_id: Callable[[NewCallerId], Awaitable[bool]],
        dialers: tuple[str, ...],
    ) -> Deps:
        settings = self.settings
        limits = {
            "agent": settings.rate_limit_per_agent,
            "ip": settings.rate_limit_per_ip,
            "sign-in": _SIGN_IN_TRIES_A_MINUTE,
        }
        key = settings.jwt_secret_key
        return Deps(
            assigner=assigner,
            add_caller_id=add_caller_id,
            health=status.health,
            dashboard=status.dashboard,
            allow=MinuteLimits(self._clock, limits),
            settings=settings,
            clock=self._clock,
            admin_token=self.admin_token,
            session_key=key.get_secret_value() if key else secrets.token_urlsafe(32),
            web_dir=project_folder("web"),
            dialers=dialers,
            metrics=self.metrics.text,
        )

    async def _give_back_warm(self, filler: Filler) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                await filler.close()
        except (PoolUnavailableError, TimeoutError):
            self._log.warning("warm caller-IDs were not given back; they stay usable, and the next start sorts them")


class _Preparation:
    """Brings the database to the newest schema once PostgreSQL is there, then keeps the pool true to it."""

    def __init__(
        self, dsn: str, database: Database, inventory: Inventory, sync: InventorySync, *, with_demo: bool
    ) -> None:
        self._dsn = dsn
        self._database = database
        self._inventory = inventory
        self._inventory_sync = sync
        self._with_demo = with_demo
        self._is_migrated = False

    async def sync(self) -> str:
        if not self._is_migrated:
            await migrate(self._dsn)
            await ensure_partitions(self._database)
            if self._with_demo:
                await fill_demo_inventory(self._database, self._inventory)
            self._is_migrated = True
        return await self._inventory_sync.sync()


def _adding(inventory: Inventory, sync: InventorySync) -> Callable[[NewCallerId], Awaitable[bool]]:
    async def add(new: NewCallerId) -> bool:
        try:
            await inventory.add(
                new.number,
                area=new.area or area_of(new.number),
                carrier=new.carrier or "",
                group=new.group or DEFAULT_GROUP,
                daily_limit=new.daily_limit,
                hourly_limit=new.hourly_limit,
                meta_json=orjson.dumps(dict(new.meta)).decode(),
            )
        except DuplicateCallerIdError:
            return False
        await sync.sync()
        return True

    return add


async def _partitions(database: Database) -> str:
    made = await ensure_partitions(database)
    return f"{made} partitions made" if made else ""


@asynccontextmanager
async def _background(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    task = asyncio.create_task(keep_running(name, work), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _serving(deps: Deps, listening: socket.socket) -> AsyncIterator[None]:
    runner = web.AppRunner(make_app(deps), access_log=None, shutdown_timeout=_DRAIN_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield
    finally:
        await runner.cleanup()


async def _close_server(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
