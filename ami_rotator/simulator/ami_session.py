"""One AMI client's connection."""

from __future__ import annotations

import asyncio
import hmac
from typing import cast

from ami_rotator.simulator.ami_actions import AMI_VERSIONS, Actions, Request, error, head, success
from ami_rotator.simulator.bus import Batch
from ami_rotator.simulator.exchange import Exchange

_LONGEST_REQUEST = 64 * 1024
_LARGEST_BACKLOG = 64 * 1024 * 1024
_CLASSES = ("system", "call", "dialplan")


class AmiSession(asyncio.Protocol):
    """Banner, login, actions, and the events that this client may and wants to read.

    A reader whose socket takes nothing for `write_timeout_s` is cut off, as Asterisk does (manager.conf, writetimeout).
    """

    def __init__(self, exchange: Exchange, actions: Actions, sessions: set[AmiSession]) -> None:
        self._exchange = exchange
        self._actions = actions
        self._sessions = sessions
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._logged_in = False
        self._frozen = False
        self._classes: frozenset[str] = frozenset()
        self._written = 0
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)
        self._sessions.add(self)
        self._write(f"Asterisk Call Manager/{AMI_VERSIONS[self._exchange.options.version]}\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._exchange.bus.detach(self)
        self._sessions.discard(self)
        self._transport = None
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def data_received(self, data: bytes) -> None:
        """Answer each whole action, in order."""
        *requests, self._received = (self._received + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for text in requests:
            request = _parse(text)
            if request:
                self._handle(request)
        if len(self._received) > _LONGEST_REQUEST:
            self.cut()

    def pause_writing(self) -> None:
        """The socket is full: start to watch whether it takes anything at all."""
        self._watch(self._taken())

    def resume_writing(self) -> None:
        """The reader caught up."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def deliver(self, batch: Batch) -> None:
        """Send the events of the classes that this client reads."""
        if self._classes.issuperset(_CLASSES):
            self._write("".join([text for _, text in batch]))
        else:
            self._write("".join([text for privilege, text in batch if privilege in self._classes]))

    def freeze(self) -> None:
        """Neither read nor write again, and keep the socket open: a peer that vanished without a word."""
        self._frozen = True
        self._exchange.bus.detach(self)
        self.resume_writing()
        if self._transport is not None:
            self._transport.pause_reading()

    def cut(self) -> None:
        """Break the connection at once: what was not sent is lost."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection after what was sent has gone."""
        if self._transport is not None:
            self._transport.close()

    def _handle(self, request: Request) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        # An answer must not overtake the events that led to what it says.
        self._exchange.bus.flush()
        name = request.get("action", "").lower()
        if not name:
            self._write(error(request, "Missing action in request"))
        elif name == "login":
            self._login(request)
        elif name == "logoff":
            self._write(f"{head('Goodbye', request)}Message: Thanks for all the fish.\r\n\r\n")
            self.close()
        elif not self._logged_in:
            self._write(error(request, "Permission denied"))
        elif name == "events":
            self._events(request)
        else:
            self._write(self._actions.answer(request))

    def _login(self, request: Request) -> None:
        options = self._exchange.options
        given = f"{request.get('username', '')}\n{request.get('secret', '')}".encode()
        if not hmac.compare_digest(given, f"{options.username}\n{options.secret}".encode()):
            self._write(error(request, "Authentication failed"))
            self.close()
            return
        self._logged_in = True
        self._write(success(request, "Authentication accepted"))
        self._subscribe(request.get("events", "on"))
        if "system" in self._classes:
            up_s = (self._exchange.clock.wall_ms() - self._exchange.started_at_ms) // 1000
            self._write(
                f"Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: {up_s}\r\nLastReload: {up_s}\r\n"
                "Status: Fully Booted\r\n\r\n"
            )

    def _events(self, request: Request) -> None:
        on = self._subscribe(request.get("eventmask", ""))
        self._write(f"{head('Success', request)}Events: {'On' if on else 'Off'}\r\n\r\n")

    def _subscribe(self, mask: str) -> bool:
        """Take events as `on`, `off` or a list of classes says, as far as this user may read them."""
        wanted = mask.strip().lower()
        may = self._exchange.options.read
        if wanted in ("on", "all", "yes", "true"):
            self._classes = may
        else:
            self._classes = may & frozenset(item.strip() for item in wanted.split(","))
        self._exchange.bus.detach(self)
        if self._classes:
            self._exchange.bus.attach(self)
        return bool(self._classes)

    def _write(self, text: str) -> None:
        if self._transport is None or self._frozen or not text:
            return
        data = text.encode()
        self._written += len(data)
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _LARGEST_BACKLOG:
            self._cut_off()

    def _taken(self) -> int:
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self._written - waiting

    def _watch(self, taken: int) -> None:
        self._stalled = asyncio.get_running_loop().call_later(
            self._exchange.options.write_timeout_s, self._judge, taken
        )

    def _judge(self, taken_before: int) -> None:
        taken = self._taken()
        if taken > taken_before:
            self._watch(taken)
        else:
            self._cut_off()

    def _cut_off(self) -> None:
        self._exchange.checks.reader_cut_off()
        self._exchange.bus.detach(self)
        self.cut()


def _parse(text: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in text.decode(errors="replace").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return headers
