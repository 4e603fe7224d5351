"""What may never be presented, whoever asks for it."""

from __future__ import annotations

from ami_rotator.domain.geography import kind_of
from ami_rotator.domain.numbers import area_of
from ami_rotator.domain.types import E164

# N11 as an exchange is a service code too (NANPA, central office code assignment guidelines).
_SERVICE_EXCHANGES = frozenset(f"{first}11" for first in "23456789")


def why_not_presentable(number: E164) -> str:
    """Return why this number can be no caller-ID, with what to do; empty where it can.

    A caller-ID must be one that can be called back. Numbers that look made up but break no rule of these (555, exchanges
    that begin with 0 or 1) are left to `advice`: test systems use them.
    """
    kind = kind_of(area_of(number))
    if kind == "premium":
        return "900 numbers cost who calls back, and may not be presented; leave the number out"
    if kind == "service":
        return f"{number[2:5]} is a service code, not an area code; check the number"
    if number.startswith("+1") and len(number) == 12 and number[5:8] in _SERVICE_EXCHANGES and kind == "geographic":
        return f"{number[2:5]}-{number[5:8]} is no exchange: {number[5:8]} is a service code; check the number"
    return ""
