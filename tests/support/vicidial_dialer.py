"""Place calls as VICIdial does: a short AMI session per Originate, and the Redirect of an answered V call's trunk."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from ami_rotator.cancellation import end_tasks
from tests.asterisk.ami_session import AmiRefused, AmiSession, Message
from tests.asterisk.configuration import SECRET

Kind = Literal["V", "M"]

_OWN_NUMBER = "3125550000"
_GIVE_UP_S = 60.0


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Say what to dial: `destination` is ten digits, `room` the agent's, for an M call."""

    kind: Kind
    destination: str
    campaign: str = "TESTCAMP"
    room: str = "8600051"
    timeout_s: float = 30.0
    number: str = _OWN_NUMBER


@dataclass(slots=True)
class PlacedCall:
    """Follow one call.

    `response` is Asterisk's to the Originate: at answer or failure for V, at the agent's room for M; `Lost` is none.
    """

    planned: PlannedCall
    code: str
    lead_id: int
    originated_at_s: float | None = None
    response: str | None = None
    message: str = ""
    responded_at_s: float | None = None


BeforeOriginate = Callable[[PlacedCall], Awaitable[None]]


class VicidialDialer:
    """Place calls on the Asterisk that listens on `ami_port`; enter it with ``async with`` to have trunks redirected.

    Codes are unique within one dialer, and among dialers whose leads are far enough apart. `campaigns` maps each code to
    its campaign from before its Originate on: give it to CallLogAgi. before_originate is awaited before_ms before the
    Originate is sent, as VICIdial's database has the call before Asterisk does.
    """

    def __init__(
        self,
        ami_port: int,
        *,
        first_lead_id: int = 12345,
        redirect_delay_s: tuple[float, float] = (0.1, 0.4),
        before_originate: BeforeOriginate | None = None,
        before_ms: float = 100.0,
        seed: int = 1,
    ) -> None:
        self.ami_port = ami_port
        self.placed: list[PlacedCall] = []
        self.campaigns: dict[str, str] = {}
        self.redirected: list[str] = []
        self.before_originate = before_originate
        self.before_ms = before_ms
        self._lead_ids = itertools.count(first_lead_id)
        self._redirect_delay_s = redirect_delay_s
        self._random = random.Random(seed)
        self._session: AmiSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> VicidialDialer:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def connect(self) -> None:
        """Begin to redirect answered trunks; again after Asterisk was restarted."""
        await self.disconnect()
        session = AmiSession(self.ami_port, "labcron", SECRET)
        self._session = await session.__aenter__()
        self._start(self._redirect_answered(session))

    async def disconnect(self) -> None:
        """Stop redirecting."""
        await end_tasks(*self._tasks)
        if self._session is not None:
            await self._session.__aexit__(None, None, None)
            self._session = None

    async def place(
        self,
        kind: Kind,
        destination: str,
        campaign: str = "TESTCAMP",
        *,
        room: str = "8600051",
        timeout_s: float = 30.0,
        number: str = _OWN_NUMBER,
    ) -> PlacedCall:
        """Place one call and return it with Asterisk's response to the Originate."""
        return await self._place(PlannedCall(kind, destination, campaign, room, timeout_s, number))

    async def run(self, calls: Iterable[PlannedCall], rate_per_s: float) -> list[PlacedCall]:
        """Begin calls at an even rate, none waiting for another, and return them when all were responded to."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for position, planned in enumerate(calls):
                await asyncio.sleep(max(0.0, began_s + position / rate_per_s - time.monotonic()))
                tasks.append(group.create_task(self._place(planned)))
        return [task.result() for task in tasks]

    async def _place(self, planned: PlannedCall) -> PlacedCall:
        lead_id = next(self._lead_ids)
        call = PlacedCall(planned, call_code(planned.kind, lead_id), lead_id)
        self.placed.append(call)
        self.campaigns[call.code] = planned.campaign
        if self.before_originate is not None:
            await self.before_originate(call)
            await asyncio.sleep(self.before_ms / 1000)
        try:
            async with asyncio.timeout(planned.timeout_s + _GIVE_UP_S):
                async with AmiSession(self.ami_port, "sendcron", SECRET) as session:
                    call.originated_at_s = time.monotonic()
                    answer = await session.action(originate(call))
            call.response, call.message = answer["Response"], answer.get("Message", "")
        except (OSError, AmiRefused) as error:
            call.response, call.message = "Lost", str(error) or "no response"
        call.responded_at_s = time.monotonic()
        return call

    async def _redirect_answered(self, session: AmiSession) -> None:
        async for event in session.events():
            trunk = _answered_trunk(event)
            if trunk is not None:
                self._start(self._redirect(session, trunk))

    async def _redirect(self, session: AmiSession, trunk: str) -> None:
        await asyncio.sleep(self._random.uniform(*self._redirect_delay_s))
        session.send(
            [("Action", "Redirect"), ("Channel", trunk), ("Exten", "8368"), ("Context", "default"), ("Priority", "1")]
        )
        self.redirected.append(trunk)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def call_code(kind: Kind, lead_id: int, wall_s: float | None = None) -> str:
    """Return VICIdial's code of a call: the kind, `mmddhhmmss` less its first digit, the lead in ten digits."""
    return f"{kind}{time.strftime('%m%d%H%M%S', time.localtime(wall_s))[1:]}{lead_id:010d}"


def originate(call: PlacedCall) -> list[tuple[str, str]]:
    """Return the Originate as VICIdial's sender has it, in the order of AST_VDauto_dial.pl or of the agent screen."""
    planned = call.planned
    end = [
        ("Priority", "1"),
        ("Callerid", f'"{call.code}" <{planned.number}>'),
        ("Timeout", str(round(planned.timeout_s * 1000))),
    ]
    carrier = f"91{planned.destination}"
    context = ("Context", "default")
    if planned.kind == "V":
        note = f"{planned.campaign}|{call.lead_id}|1|{planned.destination}|OUT|MAIN|50"
        channel = ("Channel", f"Local/{carrier}@default")
        return [("Action", "Originate"), ("Exten", "138368"), context, channel, *end, ("VDACnote", note)]
    room = ("Channel", f"Local/{planned.room}@default")
    return [("Action", "Originate"), room, context, ("Exten", carrier), *end]


def _answered_trunk(event: Message) -> str | None:
    if event.get("Event") != "DialEnd" or event.get("DialStatus") != "ANSWER":
        return None
    channel, trunk = event.get("Channel", ""), event.get("DestChannel", "")
    is_auto_dialled = event.get("CallerIDName", "").startswith("V")
    return trunk if is_auto_dialled and channel.startswith("Local/") and not trunk.startswith("Local/") else None
