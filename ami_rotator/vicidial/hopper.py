"""What will be dialled next: vicidial_hopper in VICIdial's own order, with the area of each lead.

The hopper is in memory and read as a whole, packed into one text a campaign: 50,000 rows one by one would keep the event
loop busy for a tenth of a second. The leads are in a table of millions, read by key, a few hundred at a time, and each
once: the time that tables are locked stays at some milliseconds, and a refresh costs the same whatever changed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from ami_rotator.clock import Clock, SystemClock
from ami_rotator.domain.numbers import area_of, parse_number
from ami_rotator.domain.types import Area, Campaign
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.feed_rows import dialled_of
from ami_rotator.vicidial.schema import check_schema

# VICIdial takes them in this order (AST_VDauto_dial.pl:1748). A lead whose second or third number is dialled is `123AL` or
# `123AD`; its further phones (X1 and on) count as its main one.
_HOPPER_SQL = """
SELECT campaign_id, COUNT(*),
       GROUP_CONCAT(lead_id, IF(alt_dial IN ('ALT', 'ADDR3'), LEFT(alt_dial, 2), '') ORDER BY priority DESC, hopper_id)
  FROM vicidial_hopper WHERE status = 'READY' GROUP BY campaign_id"""
_PACKED_MOST_SQL = "SET SESSION group_concat_max_len = 8000000"
_LEADS_SQL = "SELECT lead_id, phone_code, phone_number, alt_phone, address3 FROM vicidial_list WHERE lead_id IN ({})"

_LEADS_AT_ONCE = 500
_LEADS_A_REFRESH = 5_000
_LEADS_A_TURN = 50
_LOOK_UP_S = 0.1
_AT_A_BREATH = 5_000
_AHEAD_MOST = 2_000


@dataclass(frozen=True, slots=True)
class HopperCount:
    """How many leads of a campaign and area are ready to be dialled."""

    campaign: Campaign
    area: Area
    ready: int


@dataclass(frozen=True, slots=True)
class HopperView:
    """The hopper at one moment.

    `counts` most first; `ahead` the areas of each campaign's next calls in dial order, 2,000 at most; `unread` leads whose
    area is not known yet: after a start on a full hopper a few refreshes bring it to 0, the next calls first.
    """

    counts: tuple[HopperCount, ...] = ()
    ahead: Mapping[Campaign, Sequence[Area]] = field(default_factory=dict)
    ready: int = 0
    unread: int = 0
    took_ms: float = 0.0


class Hopper:
    """Reads the hopper; `refresh` it every few seconds."""

    def __init__(self, connection: VicidialConnection, region: str = "US", clock: Clock | None = None) -> None:
        self.view = HopperView()
        self._connection = connection
        self._region = region
        self._clock = clock or SystemClock()
        self._areas: dict[str, Area] = {}

    async def refresh(self) -> HopperView:
        """Read the hopper once and return it; it is `view` until the next time.

        Raises:
            VicidialError: the database is away, refuses, or has another schema. The connection is then opened anew by the
                next refresh; the caller decides how long the last view may be used.
        """
        began_s = self._clock.monotonic_s()
        if not self._connection.is_open:
            await self._connection.open()
            await check_schema(self._connection, "hopper")
            await self._connection.rows(_PACKED_MOST_SQL)
        order = await self._read_order()
        await self._look_up(order)
        self.view = await self._count(order, began_s)
        return self.view

    async def _read_order(self) -> dict[Campaign, list[str]]:
        order: dict[Campaign, list[str]] = {}
        for campaign, count, packed in await self._connection.rows(_HOPPER_SQL):
            leads = packed.split(",")
            # A text that did not fit was cut off in the middle of its last lead.
            order[Campaign(campaign or "")] = leads if len(leads) == count else leads[:-1]
            await asyncio.sleep(0)
        return order

    async def _look_up(self, order: Mapping[Campaign, Sequence[str]]) -> None:
        """Find the areas that are not known yet, the next calls of all campaigns first, as far as time allows."""
        known = self._areas
        unknown = [[lead for lead in leads if lead not in known] for leads in order.values()]
        longest = max(map(len, unknown), default=0)
        turns = (leads[turn : turn + _LEADS_A_TURN] for turn in range(0, longest, _LEADS_A_TURN) for leads in unknown)
        until_s = self._clock.monotonic_s() + _LOOK_UP_S
        wanted = list(islice(chain.from_iterable(turns), _LEADS_A_REFRESH))
        for start in range(0, len(wanted), _LEADS_AT_ONCE):
            if start and self._clock.monotonic_s() > until_s:
                return
            part = wanted[start : start + _LEADS_AT_ONCE]
            found = await self._connection.rows(_LEADS_SQL.format(", ".join({lead.rstrip("ADL") for lead in part})))
            numbers = {str(row[0]): row[1:] for row in found}
            for lead in part:
                known[lead] = self._area(lead, *numbers.get(lead.rstrip("ADL"), ("", "", "", "")))

    async def _count(self, order: Mapping[Campaign, Sequence[str]], began_s: float) -> HopperView:
        counts: list[HopperCount] = []
        ahead: dict[Campaign, Sequence[Area]] = {}
        unread = 0
        for campaign, leads in order.items():
            by_area: Counter[Area | None] = Counter()
            for start in range(0, len(leads), _AT_A_BREATH):
                by_area.update(map(self._areas.get, leads[start : start + _AT_A_BREATH]))
                await asyncio.sleep(0)  # calls that come in meanwhile do not wait for 50,000 leads
            unread += by_area.pop(None, 0)
            counts += [HopperCount(campaign, area, count) for area, count in by_area.items() if area is not None]
            ahead[campaign] = [area for area in map(self._areas.get, leads[:_AHEAD_MOST]) if area is not None]
        ready = sum(map(len, order.values()))
        if len(self._areas) > 2 * ready + _LEADS_A_REFRESH:
            self._areas = {lead: self._areas[lead] for leads in order.values() for lead in leads if lead in self._areas}
        return HopperView(
            counts=tuple(sorted(counts, key=lambda item: -item.ready)),
            ahead=ahead,
            ready=ready,
            unread=unread,
            took_ms=round((self._clock.monotonic_s() - began_s) * 1000, 1),
        )

    def _area(self, lead: str, phone_code: str, phone_number: str, alt_phone: str, address3: str) -> Area:
        """Return the area of the number that is dialled."""
        number = (alt_phone if lead.endswith("AL") else address3 if lead.endswith("AD") else "") or phone_number or ""
        if phone_code == "1" and len(number) == 10 and number.isdigit():
            return Area(number[:3])
        parsed = parse_number(dialled_of(phone_code or "", number), self._region)
        return area_of(parsed) if parsed else Area("")
