"""The daemon: what starts in which order, and stops in the opposite one."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import structlog

from ami_rotator.admin.desk import AdminDesk, AdminOptions
from ami_rotator.ami.listener import Listener
from ami_rotator.clock import Clock, SystemClock
from ami_rotator.demo import SIMULATOR_NAME, simulated_dialer
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError, RotatorError
from ami_rotator.files import project_folder
from ami_rotator.foresight import Foresight, dialers_by_ip, vicidial_address
from ami_rotator.gauges import Gauges
from ami_rotator.http.deps import Deps, NewCallerId
from ami_rotator.http.fastagi import start_fastagi
from ami_rotator.http.limits import SharedLimits
from ami_rotator.http.pages.deps import PageDeps
from ami_rotator.inventory_sync import InventorySync
from ami_rotator.jobs.book import JobBook
from ami_rotator.jobs.inventory_jobs import inventory_jobs
from ami_rotator.jobs.job import Job
from ami_rotator.jobs.lease import Lease
from ami_rotator.jobs.ledger_jobs import ledger_jobs
from ami_rotator.jobs.scheduler import Scheduler
from ami_rotator.jobs.upkeep import pool_jobs
from ami_rotator.ledger.callbacks import find_callback, observed
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import Inventory, LimitDefaults
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.ledger.outbox_watch import OutboxWatch
from ami_rotator.ledger.recall import Recall
from ami_rotator.ledger.users import UserBook
from ami_rotator.linking import link_dialer
from ami_rotator.metrics import Metrics
from ami_rotator.pool.assigner import Assigner
from ami_rotator.pool.connect import connect
from ami_rotator.pool.filler import Filler
from ami_rotator.pool.redis_pool import RedisPool
from ami_rotator.preparation import Preparation, adding
from ami_rotator.pushing import pushing
from ami_rotator.settings import Settings
from ami_rotator.status import Status
from ami_rotator.stopping import StopBudget, background, close_server, following, serving
from ami_rotator.stores import Stores, open_stores

# What a stop may take as a whole, and one step of it at the most.
_STOP_S = 5.0
_DRAIN_S = 2.5
_SIGN_IN_TRIES_A_MINUTE = 10


class StartError(RotatorError):
    """The daemon cannot start."""


class App:
    """One daemon. `base_url` and `admin_token` are known once it runs."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.base_url = ""
        self._desk: AdminDesk | None = None
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

    async def sign_in_link(self) -> str | None:
        """Return a link that signs in once, where it is the first start: there are no users, or no token was chosen."""
        if self._desk is None:
            return None
        try:
            is_first = self.settings.admin_token is None or await UserBook(self._desk.database).count() == 0
        except LedgerUnavailableError:
            return None
        return f"{self.base_url}/sign-in/{self._desk.links.make()}" if is_first else None

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
            settings.default_hourly_limit,
            settings.default_daily_limit,
            settings.default_cooldown_seconds,
            settings.zone,
        )
        inventory = Inventory(database, defaults, clock)
        dialers = settings.all_dialers()
        is_demo = not dialers
        if is_demo:
            _, dialer = await stack.enter_async_context(simulated_dialer(self.base_url, settings.simulator_calls_per_s))
            dialers = (dialer,)
        prefixes = sorted({prefix for dialer in dialers for prefix in dialer.dial_prefixes})
        assigner = Assigner(pool, settings.default_region, prefixes, self.metrics, clock)
        sync = InventorySync(inventory, pool, assigner, Recall(database), settings.zone, clock, self.metrics)
        preparation = Preparation(stores.database_dsn, database, inventory, sync, with_demo=is_demo)
        await preparation.begin(pool, assigner)

        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        budget = StopBudget(clock, _STOP_S)
        outbox = LedgerOutbox(redis, database, settings.inventory, name)
        stack.push_async_callback(lambda: outbox.drain(budget.left_s(_DRAIN_S)))
        await stack.enter_async_context(background("ledger", outbox.run))
        filler = Filler(pool, assigner, settings.warm_share_max)
        stack.push_async_callback(lambda: self._give_back_warm(filler, budget))

        desk = self._desk = AdminDesk(database, redis, pool, self._admin_options(defaults), sync.sync, clock)
        links = [link_dialer(settings, dialer, assigner, pool, self.metrics, clock) for dialer in dialers]
        sync.on_back = lambda: _compare_all([listener for _, _, listener in links])
        listeners = [listener for _, _, listener in links]
        gauges = Gauges(pool, redis, [link for _, link, _ in links], clock)
        self.metrics.registry.register(gauges)
        stack.callback(self.metrics.registry.unregister, gauges)
        watch = OutboxWatch(
            redis,
            pool.outbox_stream,
            alarm_entries=settings.outbox_alarm_entries,
            most_entries=settings.outbox_max_entries,
            metrics=self.metrics,
            clock=clock,
        )
        jobs = [
            *pool_jobs(pool, filler, listeners, self.metrics, settings.reservation_ttl_seconds, clock),
            *inventory_jobs(preparation.sync, preparation.load, sync.take_over.check),
            *ledger_jobs(database, redis, pool.outbox_stream, settings.zone, settings.ledger_keep_months),
            gauges.job(),
            Job("outbox", 5.0, watch.check, "See that the outbox stays within its bounds"),
            Job("tidy", 24 * 3600.0, desk.tidy, "drops old sessions and idempotency keys", alone=True),
        ]
        book = JobBook(redis, pool.tag)
        scheduler = Scheduler(jobs, book, Lease(redis, pool.tag, name), name, self.metrics, clock)
        scheduler.start()
        stack.push_async_callback(lambda: scheduler.stop(budget.left_s(_DRAIN_S)))

        shown = [(dialer, link) for dialer, link, _ in links]
        status = Status(pool, database, shown, SIMULATOR_NAME if is_demo else None, scheduler.runs, clock)
        status.latency = assigner.answer_times.look
        names = tuple(dialer.name for dialer in dialers)
        pages = PageDeps(
            database=database,
            caller_ids=desk.caller_ids,
            defaults=defaults,
            take_over=sync.sync,
            jobs=status.jobs,
            wish=book.wish,
            dialers=lambda: [(dialer, link.state) for dialer, link in shown],
        )
        deps = replace(self._deps(status, assigner, adding(inventory, sync), names, desk, pool.command), pages=pages)
        await stack.enter_async_context(serving(deps, listening))
        if settings.fastagi_port:
            stack.push_async_callback(close_server, await start_fastagi(deps))
            self._log.info("FastAGI listens", host=settings.api_host, port=settings.fastagi_port)
        address = vicidial_address(settings)
        if address is not None:
            foresight = Foresight(
                address,
                await dialers_by_ip(dialers),
                {dialer.name: listener for dialer, _, listener in links},
                database,
                self.metrics,
                clock,
                region=settings.default_region,
                writes_back=settings.vicidial_write_back,
            )
            filler.expect = foresight.expect
            status.hopper = foresight.ready_leads
            status.feed = foresight.feed_health
            status.policies = lambda: assigner.policies
            for listener in listeners:
                listener.on_presented = foresight.on_presented
            await stack.enter_async_context(foresight.running())
        await stack.enter_async_context(pushing(settings, address, pool, self.metrics, clock))
        following_all = following([(link, listener) for _, link, listener in links], budget, _DRAIN_S)
        await stack.enter_async_context(following_all)

    def _deps(
        self,
        status: Status,
        assigner: Assigner,
        add_caller_id: Callable[[NewCallerId], Awaitable[bool]],
        dialers: tuple[str, ...],
        desk: AdminDesk,
        run_script: Callable[..., Awaitable[object]],
    ) -> Deps:
        settings = self.settings
        limits = {
            "agent": settings.rate_limit_per_agent,
            "ip": settings.rate_limit_per_ip,
            "sign-in": _SIGN_IN_TRIES_A_MINUTE,
            "sign-in-name": 3 * _SIGN_IN_TRIES_A_MINUTE,
            "user": settings.rate_limit_per_user,
        }
        return Deps(
            assigner=assigner,
            add_caller_id=add_caller_id,
            health=status.health,
            dashboard=status.dashboard,
            allow=SharedLimits(self._clock, limits, run_script),
            settings=settings,
            clock=self._clock,
            admin_token=self.admin_token,
            web_dir=project_folder("web"),
            dialers=dialers,
            metrics=self.metrics.text,
            answered=self.metrics.http_answered,
            desk=desk,
            explain=assigner.explain,
            try_policy=assigner.try_policy,
            callback=partial(find_callback, desk.database),
            observed=partial(observed, desk.database),
        )

    def _admin_options(self, defaults: LimitDefaults) -> AdminOptions:
        settings = self.settings
        key = settings.jwt_secret_key
        return AdminOptions(
            defaults=defaults,
            region=settings.default_region,
            zone=settings.zone,
            session_key=key.get_secret_value() if key else secrets.token_urlsafe(32),
            session_s=settings.jwt_expiration_hours * 3600,
        )

    async def _give_back_warm(self, filler: Filler, budget: StopBudget) -> None:
        try:
            async with asyncio.timeout(budget.left_s(_DRAIN_S)):
                await filler.close()
        except (PoolUnavailableError, TimeoutError):
            self._log.warning("warm caller-IDs were not given back; they stay usable, and the next start sorts them")


def _compare_all(listeners: Sequence[Listener]) -> None:
    """Ask every dialer which calls are up, as after a new connection."""
    for listener in listeners:
        listener.on_up()
