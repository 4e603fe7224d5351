"""The dialplan hook: three places where a caller-ID for this call may be, asked in order, and the guard behind them."""

from __future__ import annotations

import re
from urllib.parse import quote

import aiohttp

from ami_rotator.simulator.channel import Channel
from ami_rotator.simulator.exchange import Exchange
from ami_rotator.simulator.placed import Way

ASTDB_FAMILY = "rotator"
_VARIABLE = "ROTATOR_CID"
_NUMBER = re.compile(r"[0-9]{7,15}")


class Hook:
    """Run the hook's lines on a channel, with the events that they make. `session` is None where it has no URL to ask."""

    def __init__(self, exchange: Exchange, session: aiohttp.ClientSession | None) -> None:
        self._exchange = exchange
        self._session = session
        self._budget = aiohttp.ClientTimeout(total=exchange.options.http_budget_s)

    async def run(self, channel: Channel, campaign: str) -> None:
        """Give the channel the number that is there for it, or leave it VICIdial's own."""
        call = channel.call
        began_s = self._exchange.clock.monotonic_s()
        code = channel.name.split(" ")[0]
        # IF() evaluates both of its results, so the entry is deleted even where the variable wins.
        stored = self._exchange.astdb.pop((ASTDB_FAMILY, code), "")
        from_variable = channel.variables.get(_VARIABLE, "")
        found = from_variable or stored
        way: Way = "variable" if from_variable else "astdb"
        self._set(channel, f"{_VARIABLE}={found}", found)
        self._step(channel, "GotoIf", "1?have" if found else "0?have")
        if self._session is not None:
            if not found:
                self._step(channel, "Set", f"CURLOPT(httptimeout)={self._exchange.options.http_budget_s:g}")
                found, way = await self._ask(self._session, channel, campaign, code), "http"
                self._set(channel, f"{_VARIABLE}={found}", found)
            else:
                channel.goes_to(channel.exten, channel.priority + 2)
        number = found if _NUMBER.fullmatch(found) else ""
        self._step(channel, "ExecIf", f"{int(bool(number))}?Set(CALLERID(num)={number})")
        call.guarded = bool(found) and not number
        if number:
            call.way = way
            channel.identifies_as(number, channel.name)
            channel.say_caller_id()
        call.hook_ms = (self._exchange.clock.monotonic_s() - began_s) * 1000

    async def _ask(self, session: aiohttp.ClientSession, channel: Channel, campaign: str, code: str) -> str:
        url = self._exchange.options.http_url
        dialled = channel.exten.removeprefix(channel.call.plan.dial_prefix)
        query = (
            f"format=plain&to={dialled}&campaign={quote(campaign)}&agent=&code={quote(code)}"
            f"&uniqueid={channel.uniqueid}&channel={quote(channel.title, safe='')}"
        )
        try:
            # CURL() gives back the body whatever the status, without the line end.
            async with session.get(f"{url}?{query}", timeout=self._budget) as response:
                return (await response.text(errors="replace")).rstrip("\r\n")
        except (aiohttp.ClientError, TimeoutError):
            return ""

    def _set(self, channel: Channel, data: str, value: str) -> None:
        self._step(channel, "Set", data)
        channel.sets_variable(_VARIABLE, value)

    def _step(self, channel: Channel, application: str, data: str) -> None:
        channel.goes_to(channel.exten, channel.priority + 1)
        channel.runs(application, data)
