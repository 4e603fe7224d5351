"""Destinations for which no caller-ID is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from ami_rotator.domain.types import E164, Campaign
from ami_rotator.ledger.database import Database

EVERY_CAMPAIGN = Campaign("")
_BATCH = 5000


@dataclass(frozen=True, slots=True)
class OptOut:
    """A destination for which no caller-ID is given, in calls of one campaign or, where that is empty, of all."""

    destination: E164
    campaign: Campaign = EVERY_CAMPAIGN
    note: str = ""
    created_at_ms: int = 0


class OptOuts:
    """The list of opt-outs. Every method raises LedgerUnavailableError while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load_all(self, batch: int = _BATCH) -> AsyncIterator[list[OptOut]]:
        """Give all opt-outs in batches, in order of destination and campaign."""
        last = OptOut(E164(""))
        while True:
            found = await self.after(last, batch)
            if found:
                yield found
                last = found[-1]
            if len(found) < batch:
                return

    async def after(self, last: OptOut, most: int) -> list[OptOut]:
        """Return the opt-outs that follow one in order of destination and campaign."""
        rows = await self._database.rows("opt_outs_after", last.destination, last.campaign, most)
        return [OptOut(**dict(row.items())) for row in rows]

    async def add(
        self, destinations: Sequence[E164], campaign: Campaign = EVERY_CAMPAIGN, note: str = ""
    ) -> list[E164]:
        """Give these destinations no caller-ID from now on; return those that are new on the list."""
        rows = await self._database.rows("add_opt_outs", list(destinations), campaign, note)
        return [E164(row["destination"]) for row in rows]

    async def remove(self, destinations: Sequence[E164], campaign: Campaign = EVERY_CAMPAIGN) -> list[E164]:
        """Take destinations off the list; return those that were on it."""
        rows = await self._database.rows("remove_opt_outs", list(destinations), campaign)
        return [E164(row["destination"]) for row in rows]


def opt_out_named(name: str) -> OptOut:
    """Read `destination|campaign`."""
    destination, _, campaign = name.partition("|")
    return OptOut(E164(destination), Campaign(campaign))
