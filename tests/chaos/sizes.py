"""How much the chaos tests do: a short form within `make test`, a long one with AMI_ROTATOR_CHAOS=long."""

from __future__ import annotations

import os
from typing import TypeVar

_T = TypeVar("_T")
IS_LONG = os.environ.get("AMI_ROTATOR_CHAOS") == "long"


def sized(short: _T, long: _T) -> _T:
    """Return what fits the form that runs."""
    return long if IS_LONG else short


# What is promised is five seconds (docs/reliability.md). The short form may run beside anything.
SERVED_AGAIN_S = sized(15.0, 5.0)
