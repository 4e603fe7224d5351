"""Who acts, and what their role lets them do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["viewer", "operator", "admin"]
"""Each may all that the one before may. `viewer`: look; `operator`: switch caller-IDs, end reservations; `admin`: all."""

Via = Literal["dashboard", "api", "cli", "job"]

ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")

TOKEN_NAME = "admin-token"
"""The name of whoever uses the admin token. No user can have it."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something, as the audit has it. `address` is where from, empty where that means nothing."""

    name: str
    via: Via
    address: str = ""


def may(role: Role, needed: Role) -> bool:
    """Tell whether a role is enough."""
    return ROLES.index(role) >= ROLES.index(needed)
