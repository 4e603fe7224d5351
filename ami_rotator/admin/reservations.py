"""Live reservations: look at them, and end one that should not be there."""

from __future__ import annotations

from ami_rotator.admin.errors import NotFoundError
from ami_rotator.domain.access import Actor
from ami_rotator.domain.types import CallKey, Dialer, End, ReservationId
from ami_rotator.ledger import audit
from ami_rotator.ledger.database import Database
from ami_rotator.pool.inspection import Inspection, LiveReservation
from ami_rotator.pool.redis_pool import RedisPool


class Reservations:
    """The reservations that live. Every method raises PoolUnavailableError while Redis is away."""

    def __init__(self, database: Database, pool: RedisPool, inspection: Inspection) -> None:
        self._database = database
        self._pool = pool
        self._inspection = inspection

    async def list(self, skip: int = 0, limit: int = 100) -> list[LiveReservation]:
        """Return reservations, those that expire first first."""
        return await self._inspection.reservations(skip, limit)

    async def live(self) -> int:
        """Return how many there are."""
        return await self._inspection.live()

    async def release(self, actor: Actor, reservation: ReservationId) -> LiveReservation:
        """End a reservation: its caller-ID may be given to the next call, also while this call still shows it.

        Counted as a use. Either it is noted in the audit and happens in Redis, or neither.

        Raises:
            NotFoundError: it does not live (any more).
            LedgerUnavailableError: the audit cannot be written, so nothing was done.
        """
        found = await self._inspection.reservation(reservation)
        database = self._database.acting_as(actor)
        async with database.transaction() as connection:
            if found is not None:
                before = {"caller_id": found.caller_id, "campaign": found.campaign, "dialer": found.dialer}
                await audit.note(connection, database, "released", "reservation", reservation, before)
                key = CallKey(Dialer(found.dialer), found.code, found.uniqueid)
                if await self._pool.release(key, End("unknown"), reservation) is not None:
                    return found
            raise NotFoundError(f"There is no live reservation {reservation}. It may have ended just now.")
