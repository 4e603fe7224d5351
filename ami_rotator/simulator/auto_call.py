"""A V call: the second Local half runs the carrier dialplan; answered, VICIdial takes the trunk away from both halves."""

from __future__ import annotations

import asyncio

from ami_rotator.simulator.carrier_call import CarrierCall
from ami_rotator.simulator.channel import RINGING, UP, Channel
from ami_rotator.simulator.refusals import Refusal

_CALL_LOG_ON_TRUNK_S = 0.006


class AutoCall(CarrierCall):
    """An auto-dialled call."""

    def local_exten(self) -> str:
        """Return the dialled number: the Originate's channel is `Local/9...@default`."""
        return self.plan.dialled

    def leg_of(self, first: Channel, second: Channel) -> Channel:
        """Return the second half."""
        return second

    def campaign_variables(self) -> tuple[tuple[str, str], ...]:
        """Return the campaign."""
        return (("_CAMPCUST", self.plan.campaign),)

    def reach_dialplan(self) -> None:
        """Nothing happens before: the second half starts in the carrier dialplan."""

    async def ring(self, trunk: Channel) -> None:
        """Ring the trunk, and through it the first half."""
        self.say_ringing(trunk)
        self.first.becomes(RINGING)
        self.say_dial("DialState", None, self.first, "DialStatus: RINGING\r\n")
        self.say_device(f"Local/{self.plan.dialled}@default", "INUSE")

    async def ring_out(self, trunk: Channel) -> None:
        """Ring until the Originate's timeout: Asterisk 22 gives it a cause, 16 does not."""
        await asyncio.sleep(self.plan.ring_s)
        cause = 19 if self.is_22 else 0
        self.second.asked_to_hang_up(cause)
        self.local_hangs_up(self.first, cause)
        self.say_dial("DialEnd", self.second, trunk, "DialStatus: CANCEL\r\n")
        self.trunk_hangs_up(trunk, cause or 16, self.tech(480))
        self.second.says_variable("DIALSTATUS", "CANCEL")
        self.second.asked_to_hang_up(16, soft=True)
        self.run_hangup_extension(self.second, cause, "CANCEL---------------SIP 180 Ringing")
        self.second.goes_to("h", 2)
        self.local_hangs_up(self.second, cause)

    async def talk(self, trunk: Channel) -> None:
        """Answer; be redirected to the agent, which hangs up both halves; talk on without them."""
        plan = self.plan
        await asyncio.sleep(plan.ring_s)
        self._answer(trunk)
        await asyncio.sleep(plan.redirect_s)
        self._redirect(trunk)
        await asyncio.sleep(_CALL_LOG_ON_TRUNK_S)
        trunk.says_variable("_CAMPCUST", plan.campaign)
        trunk.says_variable("AGISTATUS", "SUCCESS")
        trunk.goes_to("8368", 2)
        trunk.runs("Set", f"CALLERID(all)={plan.code}")
        # VICIdial's AGI sets the code as name and leaves no number: the caller-ID cannot be read from later events.
        trunk.identifies_as("", plan.code)
        trunk.say_caller_id()
        trunk.goes_to("8368", 3)
        trunk.runs("Wait", "2")
        await asyncio.sleep(max(plan.talk_s - plan.redirect_s, 0.0))
        trunk.goes_to("8368", 4)
        trunk.runs("Hangup", "")
        trunk.asked_to_hang_up(16, soft=True)
        self.run_hangup_extension(trunk, 16, "---------------SIP 200 OK")
        self.say_voice_quality(trunk)
        trunk.goes_to("h", 2)
        if self.is_22:
            trunk.runs("AppDial", "(Outgoing Line)")
        self.trunk_hangs_up(trunk, 16)

    def fall_back(self, refusal: Refusal) -> None:
        """Pass the refusal through to the first half."""
        if self.is_22:
            self.first.says_variable("CHANLOCALSTATUS", refusal.dial_status)
        self.first.asked_to_hang_up(refusal.cause)
        self.second.goes_to("h", 2)
        self.local_hangs_up(self.second, refusal.cause)
        self.say_dial("DialEnd", None, self.first, f"DialStatus: {refusal.dial_end}\r\n")
        self.local_hangs_up(self.first, refusal.cause)

    def _answer(self, trunk: Channel) -> None:
        first, second = self.first, self.second
        self.bridge_id = self.exchange.next_bridge_id()
        self.say_answer(trunk)
        second.becomes(UP)
        self.say_bridge("BridgeCreate", 0)
        first.becomes(UP)
        self.say_dial("DialEnd", None, first, "DialStatus: ANSWER\r\n")
        first.goes_to("138368", 1)
        first.runs("Wait", "6")
        self.say_bridged(trunk)
        self.say_device(f"Local/{self.plan.dialled}@default", "INUSE")
        self.say_device(f"Local/{self.plan.dialled}@default", "INUSE")

    def _redirect(self, trunk: Channel) -> None:
        first, second = self.first, self.second
        trunk.says_variable("BRIDGEPEER", "")
        trunk.goes_to("8368", 1, "default")
        trunk.runs("AppDial", "(Outgoing Line)")
        second.says_variable("BRIDGEPEER", "")
        second.says_variable("BRIDGEPVTCALLID", "")
        self.say_bridge("BridgeLeave", 1, trunk)
        self.say_bridge("BridgeLeave", 0, second)
        self.say_times(self.plan.redirect_s, self.plan.ring_s + self.plan.redirect_s)
        second.asked_to_hang_up(16, soft=True)
        dialled_s, answered_s = int(self.plan.ring_s + self.plan.redirect_s), int(self.plan.redirect_s)
        self.run_hangup_extension(second, 16, f"ANSWER-----{dialled_s}-----{answered_s}-----SIP 200 OK")
        if self.is_22:
            first.says_variable("CHANLOCALSTATUS", "ANSWER")
        first.asked_to_hang_up(16)
        second.goes_to("h", 2)
        self.local_hangs_up(second, 16)
        first.asked_to_hang_up(16, soft=True)
        self.say_bridge("BridgeDestroy", 0)
        self.run_hangup_extension(first, 16, "---------------")
        first.goes_to("h", 2)
        self.local_hangs_up(first, 16)
