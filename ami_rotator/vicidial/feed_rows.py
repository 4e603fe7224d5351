"""What a row of vicidial_auto_calls says, and which rows are news. Pure: no clock, no database."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ami_rotator.domain.call_codes import Kind
from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import Campaign, Dialer

CLOCK_NEAR_MS = 1_500
"""Clocks this near are the same: VICIdial writes whole seconds."""

_SEEN_MOST = 20_000
_GAPS_MOST = 200


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One row as VICIdial wrote it. `age_ms` is the dialer's clock against the database's; None where it has no time."""

    id: int
    server_ip: str
    campaign: str
    status: str
    lead_id: str
    code: str
    phone_code: str
    phone_number: str
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class FeedCall:
    """A call that VICIdial is about to place.

    `dialled` is phone code and number in a form that parse_dialled reads; `agent` only of manual calls, empty where not
    known yet; `seen_at_ms` wall time; `row_age_ms` what the row's own time says (whole seconds, by two clocks).
    """

    dialer: Dialer
    code: str
    kind: Kind
    campaign: Campaign
    lead_id: str
    dialled: str
    agent: str
    seen_at_ms: int
    row_age_ms: int


@dataclass(frozen=True, slots=True)
class AgentKnown:
    """The agent of a manual call that was told of before without."""

    dialer: Dialer
    code: str
    agent: str
    seen_at_ms: int


def read_row(values: Sequence[Any]) -> FeedRow:
    """Read the columns in the order of feed.COLUMNS; NULLs are empty."""
    number, *texts, age_ms = values
    server_ip, campaign, status, lead_id, code, phone_code, phone_number = (str(text or "").strip() for text in texts)
    return FeedRow(
        id=int(number),
        server_ip=server_ip,
        campaign=campaign,
        status=status,
        lead_id=lead_id,
        code=code,
        phone_code=phone_code,
        phone_number=phone_number,
        age_ms=None if age_ms is None else int(age_ms),
    )


def is_ahead(row: FeedRow, kind: Kind) -> bool:
    """Tell whether the Originate of a row is still to come, as far as its status says.

    Auto-dialled calls are SENT until they are answered (AST_VDauto_dial.pl:2385); manual ones are written as XFER
    (vdc_db_query.php:5276, 7210) and stay so.
    """
    return row.status == "SENT" or (kind == "manual" and row.status == "XFER")


def dialled_of(phone_code: str, phone_number: str) -> str:
    """Join phone code and number as a person would dial them.

    A code of another country than 1 gets its `+`, else `44` and `2079460000` would read as a North American number. Where
    the code does not belong (the number has it already, or it is an exit code), the number alone is taken.
    """
    if not phone_code:
        return phone_number
    joined = phone_code + phone_number if phone_code.startswith(("0", "1", "+")) else f"+{phone_code}{phone_number}"
    return phone_number if parse_number(joined) is None and parse_number(phone_number) is not None else joined


class RowWindow:
    """Remembers where reading stands, which ids were skipped over, and which calls were seen.

    An id can become visible after a higher one (InnoDB, Galera): each id that was skipped over is asked for again for
    `gap_s`. A call is news once, whatever its row's id: ids begin anew when MariaDB restarts, for the table is in memory.
    """

    def __init__(self, gap_s: float = 2.0) -> None:
        self.highest = 0
        self._gap_s = gap_s
        self._gaps: OrderedDict[int, float] = OrderedDict()
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def start(self, highest: int) -> None:
        """Read on from this id. What was seen stays seen."""
        self.highest = highest
        self._gaps.clear()

    def gaps(self, now_s: float) -> tuple[int, ...]:
        """Return the skipped ids to ask for again."""
        while self._gaps and next(iter(self._gaps.values())) < now_s - self._gap_s:
            self._gaps.popitem(last=False)
        return tuple(self._gaps)

    def take(self, rows: Iterable[FeedRow], now_s: float) -> list[FeedRow]:
        """Return the rows of calls that were not seen before, by rising id."""
        news = []
        for row in sorted(rows, key=lambda item: item.id):
            self._gaps.pop(row.id, None)
            if row.id > self.highest:
                for skipped in range(max(self.highest + 1, row.id - _GAPS_MOST), row.id):
                    self._gaps[skipped] = now_s
                self.highest = row.id
            call = (row.server_ip, row.code)
            if call not in self._seen:
                self._seen[call] = None
                news.append(row)
        while len(self._gaps) > _GAPS_MOST:
            self._gaps.popitem(last=False)
        while len(self._seen) > _SEEN_MOST:
            self._seen.popitem(last=False)
        return news
