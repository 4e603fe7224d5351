"""One AMI connection: bytes in, events and responses out. panoramisk's protocol keeps the actions and their responses.

What is not left to panoramisk 1.4: it decodes each read by itself (a character cut in two is lost), builds a message of
every event, and sends unanswered actions again after a reconnect. A Setvar that comes that late would be wrong. Actions
that nobody waits for are ours altogether (ami/orders.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from panoramisk.actions import Action
from panoramisk.ami_protocol import AMIProtocol
from panoramisk.message import Message

from ami_rotator.ami.events import Event, Splitter, blocks, is_wanted, parse_event, wanted
from ami_rotator.ami.orders import ACTION_ID, Orders
from ami_rotator.errors import DialerUnavailableError
from ami_rotator.unread import Unread

_BANNER = b"Asterisk Call Manager/"
_MAX_BANNER_BYTES = 256
_MAX_UNSENT_BYTES = 256 * 1024
_READS_MOST = 4  # of 64 kB each, in one turn: some ten milliseconds of work


class AmiProtocol(AMIProtocol):  # type: ignore[misc]  # panoramisk has no types
    """Speak AMI on one transport.

    `on_event` is called for each wanted event, in order, before `data_received` returns. `banner` becomes AMI's version;
    `lost` the reason why the connection ended, and is never an exception. `received_at` is the loop's time of the last
    byte.
    """

    def __init__(self, on_event: Callable[[Event], None], timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.banner: asyncio.Future[str] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self.received_at = loop.time()
        self.splitter = Splitter()
        self.encoding = "utf-8"
        self.responses: dict[str, Action] = {}
        self.closed = True
        self._on_event = on_event
        self._orders = Orders(timeout_s)
        self._loop = loop
        self._first_line = b""
        # What came together, in order: wanted events, and as bytes what may answer an action.
        self._came: deque[Event | bytes] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self.received_at = self._loop.time()
        self._unread = Unread(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes off the socket."""
        self.received_at = self._loop.time()
        if not self.banner.done():
            data = self._read_banner(data)
        whole = self.splitter.feed(data)
        if not (self.responses or self._orders) or ACTION_ID not in whole:
            self._came.extend(map(parse_event, wanted(whole)))
        else:
            for block in blocks(whole):
                if ACTION_ID in block:
                    self._came.append(block)
                elif is_wanted(block):
                    self._came.append(parse_event(block))
        self._hand_over()

    def catch_up(self) -> bool:
        """Hand over all that has come by now, in the middle of a turn of the loop; false where some of it is left to it."""
        self._hand_over()
        for _ in range(_READS_MOST):
            if self.closed or not self._unread.is_there():
                return True
            # Asterisk goes on sending what had no room: that nothing more is there tells that this was all.
            if not (data := self._unread.take()):
                return False
            self.data_received(data)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the transport is gone."""
        self.shut(f"the connection broke: {exc}" if exc else "Asterisk closed the connection")

    def shut(self, reason: str) -> None:
        """Drop the connection at once. Unanswered actions fail with DialerUnavailableError; none is ever sent again."""
        if not self.lost.done():
            self.lost.set_result(reason)
        self.closed = True
        for pending in list(self.responses.values()):
            if not pending.future.done():
                pending.future.set_exception(DialerUnavailableError(f"not answered: {reason}"))
        self.responses.clear()
        self._orders.fail(f"not answered: {reason}")
        if not self.banner.done():
            self.banner.cancel()
        if (transport := getattr(self, "transport", None)) is not None:
            transport.abort()

    def close(self) -> None:
        """As `shut`; panoramisk's own would keep unanswered actions for a later connection."""
        self.shut("closed by us")

    def request(self, fields: dict[str, str], timeout_s: float) -> asyncio.Future[Any]:
        """Write an action now and return the future of its response: a Message, or a list of them.

        The future fails with TimeoutError after `timeout_s`, with DialerUnavailableError when the connection ends; however
        it ends, nothing of it stays behind. `fields` are those of `ami.actions`.

        Raises:
            DialerUnavailableError: the connection is gone, or Asterisk does not read what it was sent.
        """
        self._check_open()
        sent = Action(fields)
        future: asyncio.Future[Any] = sent.future
        expiry = self._loop.call_later(timeout_s, _expire, future, fields["Action"], timeout_s)

        def settle(done: asyncio.Future[Any]) -> None:
            expiry.cancel()
            self.responses.pop(sent.id, None)
            if not done.cancelled():
                done.exception()  # seen, also where nobody waits for it

        future.add_done_callback(settle)
        self.send(sent, as_list=None)  # its default, False, takes the first line of a list for all of it
        return future

    def order(self, fields: dict[str, str], failed: Callable[[str], None]) -> None:
        """Write an action now whose success nobody waits for; raises as `request`.

        `failed` is told why, where Asterisk refuses it, does not answer within `timeout_s`, or the connection ends first.
        """
        self._check_open()
        self.transport.write(self._orders.add(fields, failed))

    def _hand_over(self) -> None:
        # Who is handed an event may catch up with those behind it: each is taken off before.
        while self._came:
            item = self._came.popleft()
            if isinstance(item, Event):
                self._on_event(item)
            elif not self._orders.take(item):
                self._read_response(item)

    def _check_open(self) -> None:
        if self.closed or self.lost.done():
            raise DialerUnavailableError
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            raise DialerUnavailableError("Asterisk does not read what it is sent; the action was not sent")

    def _read_banner(self, data: bytes) -> bytes:
        self._first_line += data
        line, newline, rest = self._first_line.partition(b"\n")
        if not newline and len(line) <= _MAX_BANNER_BYTES:
            return b""
        self._first_line = b""
        if not newline or not line.startswith(_BANNER):
            self.shut("what answers there is not an Asterisk Manager Interface; check host and port of the dialer")
            return b""
        self.version = line.removeprefix(_BANNER).decode("ascii", "replace").strip()
        self.banner.set_result(self.version)
        return rest

    def _read_response(self, block: bytes) -> None:
        message = Message.from_line(block.decode("utf-8", "replace"))
        if message is None:
            return
        try:
            if message.id in self.responses:
                self.handle_message(message)
        except (AttributeError, TypeError, KeyError):
            # panoramisk makes a list of a header that comes twice, and does not expect it. The action ends in its timeout.
            return


def rows_of(answer: Any, name: str) -> list[Event]:
    """Return the events of that name in the answer to an action that gives a list."""
    rows = []
    for message in answer if isinstance(answer, list) else []:
        if message.event == name:
            # panoramisk makes a list of a header that comes several times.
            first = {key: value[0] if isinstance(value, list) else value for key, value in message.items()}
            variables = message.get("ChanVariable", ())
            rows.append(Event(name, first, (variables,) if isinstance(variables, str) else tuple(variables)))
    return rows


def _expire(future: asyncio.Future[Any], name: str, timeout_s: float) -> None:
    if not future.done():
        future.set_exception(TimeoutError(f"Asterisk did not answer {name} within {timeout_s:g} s"))
