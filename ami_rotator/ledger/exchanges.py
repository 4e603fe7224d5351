"""Which city an exchange is in, from the operator's own NPA-NXX file; for the rung `city`."""

from __future__ import annotations

from collections.abc import Mapping

from ami_rotator.ledger.database import Database

_SAVE_S = 120.0


async def load_exchanges(database: Database) -> dict[str, str]:
    """Return the city of each exchange (area code and exchange, six digits) that was imported."""
    return {row["prefix"]: row["city"] for row in await database.rows("all_exchanges")}


async def save_exchanges(database: Database, cities: Mapping[str, str]) -> int:
    """Add or change the cities of exchanges; return how many are new or other than before."""
    query = database.query
    async with database.transaction() as connection:
        changed = int(
            await connection.fetchval(query("add_exchanges"), list(cities), list(cities.values()), timeout=_SAVE_S)
        )
        if changed:
            await connection.execute(query("restamp_cities"))
    return changed
