"""Everything an administrator can do, in one object for dashboard, API and command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ami_rotator.admin.caller_ids import CallerIds
from ami_rotator.admin.campaigns import Campaigns
from ami_rotator.admin.opt_outs import OptOutList
from ami_rotator.admin.passwords import Passwords
from ami_rotator.admin.planning import Planning
from ami_rotator.admin.reservations import Reservations
from ami_rotator.admin.sessions import Sessions
from ami_rotator.admin.users import SignInLinks, Users
from ami_rotator.clock import Clock
from ami_rotator.ledger.audit import AuditFilter, AuditPage, audit_page
from ami_rotator.ledger.call_list import CallFilter, CallPage, call_page
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.inventory import LimitDefaults
from ami_rotator.ledger.paging import START, Cursor
from ami_rotator.ledger.users import UserBook
from ami_rotator.pool.connect import RedisClient
from ami_rotator.pool.inspection import Inspection
from ami_rotator.pool.redis_pool import RedisPool


@dataclass(frozen=True, slots=True)
class AdminOptions:
    """What the settings say. `session_key` signs sessions; `session_s` is how long one lasts."""

    defaults: LimitDefaults
    region: str
    zone: ZoneInfo
    session_key: str
    session_s: float


class AdminDesk:
    """The administrators' functions. `changed` brings the pool up to date with the inventory (InventorySync.sync)."""

    def __init__(
        self,
        database: Database,
        redis: RedisClient,
        pool: RedisPool,
        options: AdminOptions,
        changed: Callable[[], Awaitable[object]],
        clock: Clock,
    ) -> None:
        self.database = database
        self.inspection = Inspection(redis, pool.tag, options.zone, clock)
        self.caller_ids = CallerIds(database, options.defaults, self.inspection, options.region, changed)
        self.campaigns = Campaigns(database, options.defaults, changed)
        self.opt_outs = OptOutList(database, options.region, changed)
        self.planning = Planning(database, options.defaults, options.region, clock)
        self.reservations = Reservations(database, pool, self.inspection)
        self.sessions = Sessions(UserBook(database), options.session_key, clock, options.session_s)
        self.users = Users(UserBook(database), self.sessions, Passwords())
        self.links = SignInLinks(clock)

    async def calls(self, wanted: CallFilter, after: Cursor = START, limit: int = 50) -> CallPage:
        """Return a page of the ledger, the newest first."""
        return await call_page(self.database, wanted, after, limit)

    async def audit(self, wanted: AuditFilter, after: Cursor = START, limit: int = 50) -> AuditPage:
        """Return a page of the audit, the newest first."""
        return await audit_page(self.database, wanted, after, limit)

    async def tidy(self) -> str:
        """Drop what is too old to be of use: idempotency keys, sessions. Daily is enough."""
        dropped = int(await self.database.value("drop_old_admin_rows"))
        return f"{dropped} old sessions and idempotency keys dropped" if dropped else ""
