"""Who dials a manual call: vicidial_user_dial_log, by the call's code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from ami_rotator.clock import Clock
from ami_rotator.domain.types import Dialer
from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialRefusedError, VicidialSchemaError
from ami_rotator.vicidial.feed_rows import AgentKnown, FeedCall
from ami_rotator.vicidial.schema import missing_from

_SQL = "SELECT caller_code, user FROM vicidial_user_dial_log WHERE caller_code IN ({}) AND user <> ''"
_PATIENCE_S = 0.5
_ASKED_AT_ONCE = 200


class AgentLookup:
    """Adds the agent to manual calls; where VICIdial writes it a moment later, tells of it then.

    Which comes first depends on how the agent dialled: vicidial_user_dial_log (vdc_db_query.php:5267 before 5276) or
    vicidial_auto_calls (7210 before 7228).
    """

    def __init__(
        self, connection: VicidialConnection, on_agents: Callable[[Sequence[AgentKnown]], None], clock: Clock
    ) -> None:
        self.on = False
        self._why = ""
        self._connection = connection
        self._on_agents = on_agents
        self._clock = clock
        self._waiting: dict[str, tuple[Dialer, float]] = {}
        self._log = structlog.get_logger("feed")

    @property
    def waiting(self) -> bool:
        """Whether the agent of a call is still looked for."""
        return bool(self._waiting)

    async def check(self) -> None:
        """Find out whether agents can be read. Without them the feed works all the same."""
        missing = await missing_from(self._connection, "agents")
        self._set_on(not missing, ", ".join(missing))

    async def add(self, calls: Sequence[FeedCall]) -> list[FeedCall]:
        """Return the calls with their agents, as far as they are known."""
        if not self.on:
            return list(calls)
        until_s = self._clock.monotonic_s() + _PATIENCE_S
        agents = await self._ask([call.code for call in calls])
        self._waiting.update({call.code: (call.dialer, until_s) for call in calls if call.code not in agents})
        return [replace(call, agent=agents.get(call.code, "")) for call in calls]

    async def ask_again(self) -> None:
        """Look once more for the agents that were not there yet."""
        now_s = self._clock.monotonic_s()
        self._waiting = {code: item for code, item in self._waiting.items() if item[1] > now_s} if self.on else {}
        if not self._waiting:
            return
        agents = await self._ask(list(self._waiting)[:_ASKED_AT_ONCE])
        now_ms = self._clock.wall_ms()
        found = [AgentKnown(self._waiting.pop(code)[0], code, agent, now_ms) for code, agent in agents.items()]
        if found:
            self._on_agents(found)

    async def _ask(self, codes: Sequence[str]) -> dict[str, str]:
        try:
            rows = await self._connection.rows(_SQL.format(", ".join(["%s"] * len(codes))), codes)
        except (VicidialRefusedError, VicidialSchemaError) as error:
            self._set_on(False, str(error))
            return {}
        return {str(code): str(user) for code, user in rows}

    def _set_on(self, on: bool, why: str) -> None:
        if not on and (self.on or why != self._why):
            self._log.warning("agents of manual calls are not read from VICIdial's database", why=why)
        self.on, self._why = on, why
