"""A process that stores the outbox of an inventory, to be killed: run with `python -m`, Redis URL, DSN and inventory."""

from __future__ import annotations

import asyncio
import os
import sys

from ami_rotator.ledger.database import Database
from ami_rotator.ledger.outbox import LedgerOutbox
from ami_rotator.pool.connect import connect


async def main(url: str, dsn: str, inventory: str) -> None:
    """Store until killed."""
    print("ready", flush=True)
    async with Database.open(dsn) as database:
        await LedgerOutbox(
            connect(url, timeout_s=5.0), database, inventory, f"worker-{os.getpid()}", batch=500, claim_after_ms=1500
        ).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
