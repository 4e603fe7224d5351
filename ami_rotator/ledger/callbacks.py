"""Who called somebody that calls back, and what would have been shown where the daemon only observes: from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ami_rotator.domain.types import E164
from ami_rotator.ledger.database import Database


@dataclass(frozen=True, slots=True)
class Callback:
    """What is known of a call to one of our numbers.

    `match`: `exact`, this person was called last from this number; `person`, the person was called from another of ours
    (`caller_id`); `number`, a guess: the campaign that used the number most lately, without lead and agent.
    """

    match: Literal["exact", "person", "number"]
    campaign: str
    lead_id: str
    agent: str
    caller_id: E164
    outcome: str
    called_at_ms: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Calls of a campaign on a dialer whose trunk leg was seen. Local: of the area code of the person called."""

    dialer: str
    campaign: str
    calls: int
    as_assigned: int
    otherwise: int
    assigned_local: int
    presented_local: int
    caller_ids_assigned: int
    caller_ids_presented: int


async def find_callback(database: Database, did: E164, caller: E164 | None) -> Callback | None:
    """Return who called this person last, from the number that is called back or another; else a guess; else None.

    Raises:
        LedgerUnavailableError: PostgreSQL is away.
    """
    if caller is not None:
        rows = await database.rows("last_call_of_person", did, caller)
        if rows:
            row = rows[0]
            return Callback(
                match="exact" if row["caller_id"] == did else "person",
                campaign=row["campaign"],
                lead_id=row["lead_id"],
                agent=row["agent"],
                caller_id=E164(row["caller_id"]),
                outcome=row["outcome"] or "",
                called_at_ms=row["assigned_at_ms"],
            )
    guesses = await database.rows("campaigns_of_caller_id", did)
    if not guesses:
        return None
    return Callback("number", guesses[0]["campaign"], "", "", did, "", guesses[0]["assigned_at_ms"])


async def observed(database: Database, hours: int = 24) -> list[Observed]:
    """Return what was assigned against what was presented, the busiest campaign first."""
    return [Observed(**row) for row in await database.rows("observed", hours)]
