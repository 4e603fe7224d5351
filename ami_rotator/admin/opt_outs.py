"""Opt-outs for administrators: destinations for which no caller-ID is given."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
from pydantic import BaseModel, ConfigDict, Field

from ami_rotator.admin.changes import Line
from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.domain.access import Actor
from ami_rotator.domain.numbers import parse_number
from ami_rotator.domain.types import E164, Campaign
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.opt_outs import OptOut, OptOuts
from ami_rotator.ledger.paging import START, Cursor, CursorError

AT_ONCE_MAX = 10_000
_SHOWN = 5


class OptOutChange(BaseModel):
    """Destinations to put on the list, or to take off it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: list[Line] = Field(min_length=1, max_length=AT_ONCE_MAX)
    campaign: Line = Field("", max_length=100, description="Calls of this campaign alone; empty: of every campaign")


class NewOptOuts(OptOutChange):
    """Destinations to put on the list."""

    note: Line = Field("", max_length=200, description="Why; kept with each")


@dataclass(frozen=True, slots=True)
class OptOutPage:
    """A page of the list, and where the next one begins; empty: this was the last."""

    items: tuple[OptOut, ...]
    following: Cursor


@dataclass(frozen=True, slots=True)
class OptOutReport:
    """How many were put on the list or taken off it; the other `unchanged` were so before. `is_in_pool`: else it follows."""

    done: int
    unchanged: int
    is_in_pool: bool


class OptOutList:
    """The list. Everything raises LedgerUnavailableError; `changed` brings the pool up to date after each change."""

    def __init__(self, database: Database, region: str, changed: Callable[[], Awaitable[object]]) -> None:
        self._database = database
        self._region = region
        self._changed = changed

    async def page(self, beginning: str = "", after: Cursor = START, limit: int = 50) -> OptOutPage:
        """Return a page in order of number and campaign; `beginning`: only numbers that begin so, written as people do.

        Raises:
            CursorError: `after` is no cursor of this list.
        """
        start = self._beginning(beginning)
        last = OptOut(E164(start)) if after == START else _last(after)
        found = await OptOuts(self._database).after(last, limit + 1)
        items = tuple(item for item in found[:limit] if item.destination.startswith(start))
        is_over = len(found) <= limit or len(items) < limit
        return OptOutPage(items, START if is_over else _cursor(items[-1]))

    async def add(self, actor: Actor, change: NewOptOuts) -> OptOutReport:
        """Give these destinations no caller-ID from now on.

        Raises:
            InvalidError: some are no phone numbers; nothing was changed.
        """
        numbers = self._read(change.numbers)
        opt_outs = OptOuts(self._database.acting_as(actor))
        done = len(await opt_outs.add(numbers, Campaign(change.campaign), change.note))
        return OptOutReport(done, len(numbers) - done, await self._sync())

    async def remove(self, actor: Actor, change: OptOutChange) -> OptOutReport:
        """Take destinations off the list.

        Raises:
            InvalidError: some are no phone numbers; nothing was changed.
        """
        numbers = self._read(change.numbers)
        done = len(await OptOuts(self._database.acting_as(actor)).remove(numbers, Campaign(change.campaign)))
        return OptOutReport(done, len(numbers) - done, await self._sync())

    def _read(self, texts: Sequence[str]) -> list[E164]:
        numbers = {text: parse_number(text, self._region) for text in texts}
        wrong = [repr(text[:40]) for text, number in numbers.items() if number is None]
        if wrong:
            more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
            message = (
                f"{', '.join(wrong[:_SHOWN])}{more} cannot be read as a phone number; write for example 2125550100 or"
                " +442071234567. Nothing was changed."
            )
            raise InvalidError([Problem("numbers", message)])
        return list(dict.fromkeys(number for number in numbers.values() if number is not None))

    def _beginning(self, text: str) -> str:
        whole = parse_number(text, self._region)
        if whole is not None:
            return whole
        digits = "".join(character for character in text if character.isascii() and character.isdigit())[:15]
        if not digits:
            return "+" if text.strip() else ""
        is_national = not text.strip().startswith("+") and self._region in ("US", "CA")
        return f"+1{digits.removeprefix('1')}" if is_national else f"+{digits}"

    async def _sync(self) -> bool:
        try:
            await self._changed()
        except PoolUnavailableError:
            return False
        return True


def _cursor(item: OptOut) -> Cursor:
    return Cursor(base64.urlsafe_b64encode(orjson.dumps([item.destination, item.campaign])).decode().rstrip("="))


def _last(after: Cursor) -> OptOut:
    try:
        destination, campaign = orjson.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except (ValueError, TypeError):
        raise CursorError from None
    if not isinstance(destination, str) or not isinstance(campaign, str) or "\0" in destination + campaign:
        raise CursorError
    return OptOut(E164(destination), Campaign(campaign))
