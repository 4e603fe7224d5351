"""What a check says, and how checks are run side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ami_rotator.errors import RotatorError
from ami_rotator.settings import Settings
from ami_rotator.stores import Stores

Level = Literal["ok", "advice", "problem"]
_CHECK_S = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `fix` says what to do; empty where all is well."""

    check: str
    level: Level
    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at."""

    settings: Settings
    stores: Stores


Check = Callable[[Patient], Awaitable[Sequence[Finding]]]
"""Looks at one thing. What it cannot look at is a finding too; it may raise RotatorError, OSError or TimeoutError."""


async def examine(patient: Patient, checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Run all checks, each for twenty seconds at the most; findings come in the order of the checks."""

    async def one(name: str, check: Check) -> Sequence[Finding]:
        try:
            async with asyncio.timeout(_CHECK_S):
                return await check(patient)
        except TimeoutError:
            return [
                Finding(name, "problem", f"no answer within {_CHECK_S:.0f} s", "see that it runs and can be reached")
            ]
        except (RotatorError, OSError) as error:
            return [Finding(name, "problem", str(error), "see the message; the rest of this check was left out")]

    found = await asyncio.gather(*(one(name, check) for name, check in checks))
    return [finding for findings in found for finding in findings]
