"""One AMI connection from the connect to its end: log in, find out what the account may do, notice silence."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from ami_rotator.ami import actions
from ami_rotator.ami.events import CAMPAIGN_VARIABLE, PROBE_VARIABLE, Event
from ami_rotator.ami.permissions import missing_to_read, missing_to_write
from ami_rotator.ami.protocol import AmiProtocol
from ami_rotator.errors import DialerUnavailableError, RotatorError
from ami_rotator.settings import DialerSettings

_ENOUGH_CAMPAIGNS = 20


class LoginRefusedError(RotatorError):
    """Asterisk refused the login."""


class Session:
    """Hold one connection. `close` must be called, whatever happened."""

    def __init__(
        self,
        settings: DialerSettings,
        tls: ssl.SSLContext | None,
        *,
        ping_interval_s: float,
        timeout_s: float,
        on_event: Callable[[Event], None],
    ) -> None:
        self.protocol = AmiProtocol(self._take, timeout_s)
        self.version = ""
        self.lag_ms: float | None = None
        self._settings = settings
        self._tls = tls
        self._ping_interval_s = ping_interval_s
        self._timeout_s = timeout_s
        self._on_event = on_event
        self._missing: tuple[str, ...] = ()
        self._probed = asyncio.Event()
        self._campaigns_seen = 0
        self._calls_seen = 0

    @property
    def missing_permissions(self) -> tuple[str, ...]:
        """What the account lacks, as far as it is known by now."""
        if self._campaigns_seen >= _ENOUGH_CAMPAIGNS and not self._calls_seen:
            return (*self._missing, missing_to_read("call", self._settings.username))
        return self._missing

    async def open(self) -> None:
        """Connect and log in.

        Raises:
            LoginRefusedError: the login was refused. DialerUnavailableError, OSError, UnicodeError: everything else.
        """
        settings, protocol = self._settings, self.protocol
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_s):
            await loop.create_connection(lambda: protocol, settings.host, settings.port, ssl=self._tls)
        await asyncio.wait(
            {protocol.banner, protocol.lost}, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        if protocol.lost.done():
            raise DialerUnavailableError(protocol.lost.result())
        if not protocol.banner.done():
            raise DialerUnavailableError(
                f"no AMI banner within {self._timeout_s:g} s; check host and port of the dialer, and that AMI is enabled"
            )
        self.version = f"AMI {protocol.banner.result()}"
        secret = settings.secret.get_secret_value()
        login = actions.action("Login", Username=settings.username, Secret=secret, Events="on")
        answer = await protocol.request(login, self._timeout_s)
        if not answer.success:
            raise LoginRefusedError(
                f"Asterisk refused the login of {settings.username!r} ({answer.message or 'no reason given'}); check "
                "username, secret and permit in its manager.conf"
            )

    async def inspect(self) -> None:
        """Find out what the account may do. ListCommands names exactly the actions that it may use (16 and 22).

        Raises:
            DialerUnavailableError, TimeoutError: Asterisk did not say.
        """
        username, mode = self._settings.username, self._settings.mode
        listed = await self._ask(actions.action("ListCommands"))
        missing = missing_to_write(mode, list(listed), username)
        if "CoreSettings" in listed:
            self.version = (await self._ask(actions.action("CoreSettings"))).get("AsteriskVersion", self.version)
        if "Setvar" in listed and mode != "observe":
            await self._ask(actions.set_global(PROBE_VARIABLE, "1"))
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._probed.wait()
            except TimeoutError:
                missing = (*missing, missing_to_read("dialplan", username))
        self._missing = missing

    async def watch(self) -> None:
        """Ping, and stay until the connection ends.

        Raises:
            DialerUnavailableError: always; says why it ended. Silence for two ping intervals is an end.
        """
        loop = asyncio.get_running_loop()
        next_ping = loop.time() + self._ping_interval_s
        while not self.protocol.lost.done():
            now = loop.time()
            silent_at = self.protocol.received_at + 2 * self._ping_interval_s
            if now >= silent_at:
                raise DialerUnavailableError(
                    f"nothing came for {2 * self._ping_interval_s:g} s, not even the answer to Ping"
                )
            if now >= next_ping:
                next_ping = now + self._ping_interval_s
                self._ping(now)
            await asyncio.wait({self.protocol.lost}, timeout=max(0.0, min(next_ping, silent_at) - now))
        raise DialerUnavailableError(self.protocol.lost.result())

    async def log_off(self, within_s: float) -> None:
        """Say goodbye and wait for Asterisk to close, for so many seconds at the most."""
        try:
            self.protocol.request(actions.action("Logoff"), within_s)
        except DialerUnavailableError:
            return
        await asyncio.wait({self.protocol.lost}, timeout=within_s)

    def close(self, reason: str) -> None:
        """Disconnect at once."""
        self.protocol.shut(reason)

    async def _ask(self, fields: dict[str, str]) -> Any:
        return await self.protocol.request(fields, self._timeout_s)

    def _ping(self, now: float) -> None:
        loop = asyncio.get_running_loop()

        def answered(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None:
                self.lag_ms = (loop.time() - now) * 1000

        self.protocol.request(actions.action("Ping"), 2 * self._ping_interval_s).add_done_callback(answered)

    def _take(self, event: Event) -> None:
        if event.name == "VarSet":
            if event["Variable"] == PROBE_VARIABLE:
                self._probed.set()
                return
            self._campaigns_seen += event["Variable"].endswith(CAMPAIGN_VARIABLE)
        elif event.name != "Newexten":
            self._calls_seen += 1
        self._on_event(event)
