"""Be the carrier at the far end of the trunk: answer, refuse or ring as the number dialled says, and record every call.

The last two digits of the number decide, by the table in tests/asterisk/carrier_record.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

from ami_rotator.cancellation import end_tasks
from tests.asterisk.carrier_record import (
    ANSWER,
    OUTCOMES,
    RING_FOREVER,
    CarrierCall,
    Seconds,
    live_duplicates,
    outcome_by_last_digits,
    seconds,
)
from tests.asterisk.sip_message import SipMessage, address_user, display_name, parse, request, response

__all__ = ["ANSWER", "OUTCOMES", "RING_FOREVER", "CarrierCall", "SipCarrier", "outcome_by_last_digits"]

_T1_S = 0.5
_RETRANSMISSIONS = 7

Address = tuple[str, int]


@dataclass(slots=True)
class _Dialog:
    call: CarrierCall
    invite: SipMessage
    peer: Address
    tag: str
    branch: str
    last_response: bytes = b""
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    bye_answered: asyncio.Event = field(default_factory=asyncio.Event)


class SipCarrier(asyncio.DatagramProtocol):
    """Listen on a UDP port of 127.0.0.1, between ``async with``.

    The times may be numbers or functions of the number dialled. answer_delay_s is from INVITE to 200;
    reject_delay_s from INVITE to a refusal; after talk_s the carrier hangs up, or never if it is None.
    """

    def __init__(
        self,
        *,
        outcome: Callable[[str], int] = outcome_by_last_digits,
        answer_delay_s: Seconds = 0.2,
        reject_delay_s: Seconds = 0.05,
        talk_s: Seconds | None = 1.0,
    ) -> None:
        self.outcome = outcome
        self.answer_delay_s = answer_delay_s
        self.reject_delay_s = reject_delay_s
        self.talk_s = talk_s
        self.calls: list[CarrierCall] = []
        self._dialogs: dict[str, _Dialog] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """Return the port to which the trunk sends its calls."""
        port: int = self._connected().get_extra_info("sockname")[1]
        return port

    async def __aenter__(self) -> SipCarrier:
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        own.bind(("127.0.0.1", 0))
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=own)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end_tasks(*self._tasks)
        self._connected().close()

    def live(self) -> list[CarrierCall]:
        """Return the calls whose dialog has not ended."""
        return [call for call in self.calls if call.ended_at_s is None]

    def live_duplicates(self, *, ignoring: Collection[str] = (), tolerance_s: float = 0.0) -> int:
        """Count the pairs of calls that were up at one time with the same caller-ID.

        A dialog lives from its INVITE to its refusal, CANCEL or BYE, as seen here. Overlaps of tolerance_s or less
        do not count: Asterisk may tell AMI of a hang-up just before its BYE arrives.
        """
        return live_duplicates(self.calls, time.monotonic(), ignoring=ignoring, tolerance_s=tolerance_s)

    async def wait_for_calls(self, count: int, timeout_s: float = 10.0) -> None:
        """Return when this many INVITEs have arrived; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while len(self.calls) < count:
                await self._change()

    async def wait_until_idle(self, timeout_s: float = 10.0) -> None:
        """Return when no dialog is left; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while self.live():
                await self._change()

    def hang_up_all(self) -> None:
        """Send BYE to every answered call."""
        for dialog in self._dialogs.values():
            if dialog.call.answered_at_s is not None and dialog.call.ended_at_s is None:
                self._start(self._bye(dialog))

    def forget_all(self) -> None:
        """Take every live call for ended, without a word: after the dialer crashed."""
        for call in self.live():
            self._end(call, "dialer")

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Handle one message of the dialer."""
        message = parse(data)
        if message is None:
            return
        dialog = self._dialogs.get(message.header("call-id"))
        if not message.is_request:
            if dialog is not None and message.method == "BYE":
                dialog.bye_answered.set()
        elif message.method == "INVITE":
            self._invited(message, dialog, addr)
        elif message.method == "ACK":
            if dialog is not None:
                dialog.acknowledged.set()
        elif message.method == "CANCEL":
            self._cancelled(message, dialog, addr)
        elif message.method == "BYE":
            self._send(response(message, 200 if dialog else 481, tag=_new_tag()), addr)
            if dialog is not None:
                self._end(dialog.call, "dialer")
        else:
            self._send(response(message, 200, tag=_new_tag()), addr)

    def _invited(self, invite: SipMessage, dialog: _Dialog | None, peer: Address) -> None:
        if dialog is None:
            caller = invite.header("from")
            call = CarrierCall(
                call_id=invite.header("call-id"),
                destination=invite.request_user,
                from_number=address_user(caller),
                from_name=display_name(caller),
                asserted_identity=invite.header("p-asserted-identity"),
                remote_party_id=invite.header("remote-party-id"),
                invited_at_s=time.monotonic(),
            )
            self.calls.append(call)
            self._changed.set()
            dialog = _Dialog(call, invite, peer, _new_tag(), invite.header("via"))
            self._dialogs[call.call_id] = dialog
            self._respond(dialog, 100)
            self._start(self._play(dialog))
        elif invite.header("via") == dialog.branch:
            self._send(dialog.last_response, peer)
        else:  # a re-INVITE, as for a connected-line update
            self._send(response(invite, 200, tag=dialog.tag, contact=self._contact(), body=self._sdp()), peer)

    def _cancelled(self, cancel: SipMessage, dialog: _Dialog | None, peer: Address) -> None:
        self._send(response(cancel, 200 if dialog else 481, tag=dialog.tag if dialog else _new_tag()), peer)
        if dialog is not None and dialog.call.status is None:
            self._refuse(dialog, 487, "dialer")

    async def _play(self, dialog: _Dialog) -> None:
        call = dialog.call
        self._respond(dialog, 180)
        outcome = self.outcome(call.destination)
        if outcome == RING_FOREVER:
            return
        delay_s = self.answer_delay_s if outcome == ANSWER else self.reject_delay_s
        await asyncio.sleep(seconds(delay_s, call.destination))
        if call.status is not None:
            return
        if outcome != ANSWER:
            self._refuse(dialog, outcome, "carrier")
            return
        call.status = ANSWER
        call.answered_at_s = time.monotonic()
        self._respond(dialog, ANSWER)
        self._start(self._retransmit(dialog.last_response, dialog.peer, dialog.acknowledged))
        if self.talk_s is not None:
            await asyncio.sleep(seconds(self.talk_s, call.destination))
            await self._bye(dialog)

    def _refuse(self, dialog: _Dialog, status: int, by: Literal["dialer", "carrier"]) -> None:
        dialog.call.status = status
        self._respond(dialog, status)
        self._end(dialog.call, by)
        self._start(self._retransmit(dialog.last_response, dialog.peer, dialog.acknowledged))

    async def _bye(self, dialog: _Dialog) -> None:
        if dialog.call.ended_at_s is not None:
            return
        self._end(dialog.call, "carrier")
        target = dialog.invite.header("contact").partition("<")[2].partition(">")[0]
        headers = [
            ("Via", f"SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{_new_tag()};rport"),
            ("Max-Forwards", "70"),
            ("From", f"{dialog.invite.header('to')};tag={dialog.tag}"),
            ("To", dialog.invite.header("from")),
            ("Call-ID", dialog.call.call_id),
            ("CSeq", "1 BYE"),
        ]
        bye = request(f"BYE {target} SIP/2.0", headers)
        self._send(bye, dialog.peer)
        await self._retransmit(bye, dialog.peer, dialog.bye_answered)

    async def _retransmit(self, datagram: bytes, peer: Address, done: asyncio.Event) -> None:
        wait_s = _T1_S
        for _ in range(_RETRANSMISSIONS):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await done.wait()
                return
            self._send(datagram, peer)
            wait_s = min(2 * wait_s, 4.0)

    def _respond(self, dialog: _Dialog, status: int) -> None:
        body = self._sdp() if status == ANSWER else ""
        tag = dialog.tag if status > 100 else ""
        contact = self._contact() if status in (180, ANSWER) else ""
        dialog.last_response = response(dialog.invite, status, tag=tag, contact=contact, body=body)
        self._send(dialog.last_response, dialog.peer)

    def _end(self, call: CarrierCall, by: Literal["dialer", "carrier"]) -> None:
        if call.ended_at_s is None:
            call.ended_at_s = time.monotonic()
            call.ended_by = by
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _contact(self) -> str:
        return f"<sip:carrier@127.0.0.1:{self.port}>"

    def _sdp(self) -> str:
        # Port 9 (discard): the audio goes nowhere.
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", "m=audio 9 RTP/AVP 0"]
        return "\r\n".join([*lines, "a=rtpmap:0 PCMU/8000"]) + "\r\n"

    def _send(self, datagram: bytes, peer: Address) -> None:
        self._connected().sendto(datagram, peer)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connected(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise RuntimeError("the carrier is not entered")
        return self._transport


def _new_tag() -> str:
    return secrets.token_hex(6)
