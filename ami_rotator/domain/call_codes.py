"""VICIdial's call codes: the 20 characters in the caller-ID name that say which call this is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["auto", "manual"]

# VICIdial r3939: AST_VDauto_dial.pl:1952-1954 (V), vdc_db_query.php:5025-5080 (M, with the optional appended extension or
# user, and campaign). All of VICIdial's own readers cut at the first space.
_CODE = re.compile(r"([VM])(\d{9})(\d{10})(?: (\S{1,20})(?: (\S{1,20}))?)?")


@dataclass(frozen=True, slots=True)
class CallCode:
    """One parsed code. `lead_id` has no leading zeros; `agent` and `campaign` only where a manual call's name has them."""

    text: str
    kind: Kind
    lead_id: str
    agent: str = ""
    campaign: str = ""


def parse_call_code(caller_id_name: str) -> CallCode | None:
    """Read a caller-ID name; None for everything that is not an auto-dialled or manual call to a lead."""
    match = _CODE.fullmatch(caller_id_name.strip())
    if match is None:
        return None
    letter, time, lead, agent, campaign = match.groups()
    if letter == "V":
        return CallCode(f"V{time}{lead}", "auto", lead.lstrip("0") or "0")
    return CallCode(f"M{time}{lead}", "manual", lead.lstrip("0") or "0", agent or "", campaign or "")
