"""Calls known before Asterisk has them: their number is left in AstDB, under their code, where the hook takes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

import structlog

from ami_rotator.ami.call_line import CallLine, DialerActions
from ami_rotator.ami.facts import CallAnnounced
from ami_rotator.domain.numbers import Presentation, present
from ami_rotator.domain.types import Assignment, CallRequest, Campaign, Miss
from ami_rotator.errors import DialerActionError, RotatorError

ASTDB_FAMILY = "rotator"


class AheadOfTime:
    """Assigns to announced calls of one dialer. `uses_astdb` is false where nothing may be written there."""

    def __init__(
        self,
        assign: Callable[[CallRequest], Awaitable[Assignment | Miss]],
        actions: DialerActions,
        presentation: Presentation,
        dialer: str,
        *,
        uses_astdb: bool,
    ) -> None:
        self._assign = assign
        self._actions = actions
        self._presentation: Presentation = presentation
        self._uses_astdb = uses_astdb
        self._log = structlog.get_logger("feed").bind(dialer=dialer)

    async def assign(self, fact: CallAnnounced, call: CallLine) -> None:
        """Assign, and leave the number for the hook. Whatever fails here, the call is asked for again when it comes."""
        if call.is_asked or call.has_trunk:
            return
        call.is_asked = True
        found = await self._assign(
            CallRequest(fact.key, fact.dialled, Campaign(fact.campaign), "feed", fact.agent, fact.lead_id)
        )
        if isinstance(found, Miss):
            call.is_asked = found.reason != "unavailable"
            return
        if found.ended:
            return
        call.reservation = found.reservation
        call.number = present(found.caller_id, self._presentation)
        # Not new: another door or another daemon assigned it, and has left it where it is needed.
        if not self._uses_astdb or not found.is_new or call.has_trunk:
            return
        call.is_in_astdb = True
        try:
            await self._actions.db_put(ASTDB_FAMILY, fact.key.code, call.number)
        except RotatorError as error:
            self._log.warning("a number could not be left for the dialplan, which will ask instead", reason=str(error))

    async def clear(self, call: CallLine) -> None:
        """Delete what may still stand in AstDB for a call that is over: the hook may have looked before it was there."""
        if call.is_in_astdb:
            call.is_in_astdb = False
            with suppress(RotatorError):  # the next connection finds what is left
                await self._actions.db_del(ASTDB_FAMILY, call.key.code)

    async def sweep(self, reserved: Collection[str]) -> None:
        """Delete what stands in AstDB for codes that hold no reservation: left by a daemon or connection that is gone."""
        if not self._uses_astdb:
            return
        try:
            codes = await self._actions.db_keys(ASTDB_FAMILY)
        except DialerActionError as error:
            self._log.info(
                "this Asterisk cannot list AstDB; what an earlier connection left there stays", reason=str(error)
            )
            return
        for code in codes:
            if code not in reserved:
                await self._actions.db_del(ASTDB_FAMILY, code)
