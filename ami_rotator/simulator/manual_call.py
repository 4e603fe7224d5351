"""An M call: the first half of the agent's room runs the carrier dialplan, already up; the second half sits in the room."""

from __future__ import annotations

import asyncio

from ami_rotator.simulator.carrier_call import CarrierCall
from ami_rotator.simulator.channel import UP, Channel
from ami_rotator.simulator.refusals import RUNG_OUT, Refusal

_JOIN_ROOM_S = 0.02


class ManualCall(CarrierCall):
    """A call an agent dials."""

    _room_bridge_id = ""

    def local_exten(self) -> str:
        """Return the agent's room: the Originate's channel is `Local/8600051@default`."""
        return self.plan.room

    def leg_of(self, first: Channel, second: Channel) -> Channel:
        """Return the first half."""
        return first

    def campaign_variables(self) -> tuple[tuple[str, str], ...]:
        """Return the campaign and the time the agent lets it ring."""
        timeout = self.exchange.options.manual_timeout_s
        return (("_CAMPCUST", self.plan.campaign), ("_CAMPDTO", f"{timeout:g}"))

    def reach_dialplan(self) -> None:
        """Let the room answer, which sends the first half to the carrier dialplan."""
        first, second = self.first, self.second
        second.runs("Answer", "")
        second.becomes(UP)
        first.becomes(UP)
        self.say_dial("DialEnd", None, first, "DialStatus: ANSWER\r\n")
        first.goes_to(self.plan.dialled, 1)
        self.say_device(f"Local/{self.plan.room}@default", "INUSE")
        self.say_device(f"Local/{self.plan.room}@default", "INUSE")

    async def ring(self, trunk: Channel) -> None:
        """Ring the trunk; the other half is in the room by then."""
        self.say_ringing(trunk)
        await asyncio.sleep(_JOIN_ROOM_S)
        second, room = self.second, self.plan.room
        self._room_bridge_id = self.exchange.next_bridge_id()
        second.goes_to(room, 2)
        second.runs("ConfBridge", room)
        self._say_room("BridgeCreate", 0, in_room=False)
        self._say_room("ConfbridgeStart", 1)
        self.say_device(f"confbridge:{room}", "INUSE")
        self._say_room("ConfbridgeJoin", 2, second, "Admin: No\r\nMuted: No\r\n")
        self._say_room("BridgeEnter", 2, second, in_room=False)
        second.says_variable("BRIDGEPEER", f"CBAnn/{room}-{self._room_bridge_id[-8:]};2")

    async def ring_out(self, trunk: Channel) -> None:
        """Ring until Dial's own timeout. Not in the captures: after app_dial.c and the timeout of a V call."""
        await asyncio.sleep(self.plan.ring_s)
        self.say_dial("DialEnd", self.leg, trunk, f"DialStatus: {RUNG_OUT.dial_end}\r\n")
        self.leg.says_variable("DIALSTATUS", RUNG_OUT.dial_status)
        self.trunk_hangs_up(trunk, RUNG_OUT.cause)
        self._leave_room()
        self.end_dialplan(RUNG_OUT)

    async def talk(self, trunk: Channel) -> None:
        """Answer, talk, and be hung up by the agent's side."""
        plan, first, second = self.plan, self.first, self.second
        await asyncio.sleep(plan.ring_s)
        self.bridge_id = self.exchange.next_bridge_id()
        self.say_answer(trunk)
        self.say_bridge("BridgeCreate", 0)
        self.say_bridged(trunk)
        await asyncio.sleep(plan.talk_s)
        self._leave_room()
        for channel in (first, second, trunk):
            channel.asked_to_hang_up(32, soft=True)
        first.says_variable("BRIDGEPEER", "")
        first.says_variable("BRIDGEPVTCALLID", "")
        trunk.says_variable("BRIDGEPEER", "")
        self.say_bridge("BridgeLeave", 1, first)
        self.say_times(plan.talk_s, plan.ring_s + plan.talk_s)
        self.say_bridge("BridgeLeave", 0, trunk)
        self.say_bridge("BridgeDestroy", 0)
        first.asked_to_hang_up(16, soft=True)
        answered_s, dialled_s = int(plan.talk_s), int(plan.ring_s + plan.talk_s)
        self.run_hangup_extension(first, 16, f"ANSWER-----{dialled_s}-----{answered_s}-----SIP 200 OK")
        self.say_voice_quality(trunk)
        self._say_room("ConfbridgeEnd", 0)
        self.say_device(f"confbridge:{plan.room}", "NOT_INUSE")
        second.asked_to_hang_up(16)
        self.trunk_hangs_up(trunk, 16)
        first.goes_to("h", 2)
        self.local_hangs_up(first, 16)
        self._say_room("BridgeDestroy", 0, in_room=False)
        self._room_half_ends(16)

    def fall_back(self, refusal: Refusal) -> None:
        """Hang up the half in the room too."""
        self.second.asked_to_hang_up(refusal.cause)
        self.first.goes_to("h", 2)
        self.local_hangs_up(self.first, refusal.cause)
        self._room_half_ends(refusal.cause)

    def _room_half_ends(self, cause: int) -> None:
        self.second.asked_to_hang_up(16, soft=True)
        self.run_hangup_extension(self.second, cause, "---------------")
        self.second.goes_to("h", 2)
        self.local_hangs_up(self.second, cause)

    def _leave_room(self) -> None:
        self.second.says_variable("CONFBRIDGE_RESULT", "KICKED")
        self.second.says_variable("BRIDGEPEER", "")
        self._say_room("BridgeLeave", 1, self.second, in_room=False)
        self._say_room("ConfbridgeLeave", 2, self.second, "Admin: No\r\n")

    def _say_room(
        self, event: str, channels: int, channel: Channel | None = None, tail: str = "", in_room: bool = True
    ) -> None:
        """Send an event of the room's bridge; `in_room`: ConfBridge says it, which names the conference."""
        if self.bus.wants(event):
            conference = f"Conference: {self.plan.room}\r\n" if in_room else ""
            body = (
                f"{conference}BridgeUniqueid: {self._room_bridge_id}\r\nBridgeType: base\r\nBridgeTechnology: softmix\r\n"
                f"BridgeCreator: ConfBridge\r\nBridgeName: {self.plan.room}\r\nBridgeNumChannels: {channels}\r\n"
                f"BridgeVideoSourceMode: none\r\n"
            )
            self.bus.emit(event, f"{body}{channel.snapshot() if channel else ''}{tail}")
