"""What the ledger remembers, for a Redis that was emptied: counts, last uses, and calls that may still be up."""

from __future__ import annotations

from collections.abc import Sequence

from ami_rotator.domain.held import HeldCall, Use
from ami_rotator.domain.types import E164, ReservationId
from ami_rotator.ledger.database import Database


class Recall:
    """Reads the ledger. Every method raises LedgerUnavailableError while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def uses(self, numbers: Sequence[E164], minute_ms: int, hour_ms: int, day_ms: int) -> list[Use]:
        """Return how much caller-IDs were used since minute, hour and day began; never used ones are left out."""
        return [
            Use(
                number=E164(row["caller_id"]),
                in_minute=row["in_minute"],
                in_hour=row["in_hour"],
                in_day=row["in_day"],
                last_ms=row["last_ms"],
                ended_ms=row["ended_ms"],
            )
            for row in await self._database.rows("uses_of", list(numbers), minute_ms, hour_ms, day_ms)
            if row["last_ms"]
        ]

    async def open_calls(self) -> list[HeldCall]:
        """Return the calls that nobody has said the end of, the newest first."""
        return [
            HeldCall(
                reservation=ReservationId(str(row["reservation_id"])),
                at_ms=row["at_ms"],
                caller_id=row["caller_id"],
                campaign=row["campaign"],
                destination=row["destination"],
                dialled=row["dialled"],
                dialer=row["dialer"],
                code=row["code"],
                uniqueid=row["uniqueid"],
                agent=row["agent"],
                lead_id=row["lead_id"],
                source=row["source"],
                rung=row["rung"] or "",
                group=row["group_name"] or "",
                area=row["area"] or "",
                was_warm=bool(row["was_warm"]),
                trunk=row["trunk"],
                shown=row["shown"],
            )
            for row in await self._database.rows("open_calls")
        ]

    async def unrecorded(self, calls: Sequence[HeldCall]) -> list[HeldCall]:
        """Return those of these calls that the ledger does not have."""
        rows = await self._database.rows("recorded_among", [call.reservation for call in calls]) if calls else []
        recorded = {str(row["reservation_id"]) for row in rows}
        return [call for call in calls if call.reservation not in recorded]

    async def has_recent_calls(self) -> bool:
        """Tell whether calls got caller-IDs in the last ten minutes."""
        return bool(await self._database.value("has_recent_calls"))
