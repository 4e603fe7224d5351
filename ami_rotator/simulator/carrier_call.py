"""The carrier dialplan as it runs on one Local half of a call: call_log, hook, Dial, and what the carrier answers.

Event order, fields and causes are those of the captures of Asterisk 16.28 and 22.10. Events that Asterisk sends within a
few milliseconds are sent at once: a call is a dozen bursts with waits between them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

from ami_rotator.simulator.channel import DOWN, RINGING, UP, Channel
from ami_rotator.simulator.exchange import Exchange
from ami_rotator.simulator.hook import Hook
from ami_rotator.simulator.placed import PlacedCall
from ami_rotator.simulator.refusals import CONGESTION, NO_TRUNK, REFUSALS, Refusal

CALL_LOG = "agi://127.0.0.1:4577/call_log"
_FIRST_RESPONSE_S = 0.002
_DIAL_VARIABLES = (
    "DIALSTATUS",
    "DIALEDPEERNUMBER",
    "DIALEDPEERNAME",
    "ANSWEREDTIME",
    "ANSWEREDTIME_MS",
    "DIALEDTIME",
    "DIALEDTIME_MS",
    "RINGTIME",
    "RINGTIME_MS",
    "PROGRESSTIME",
    "PROGRESSTIME_MS",
)
_RTP_VARIABLES = ("RTPAUDIOQOS", "RTPAUDIOQOSJITTER", "RTPAUDIOQOSLOSS", "RTPAUDIOQOSRTT", "RTPAUDIOQOSMES")


class CarrierCall(ABC):
    """One call. `leg` is the Local half that runs the carrier dialplan, `first` and `second` are both halves."""

    def __init__(self, exchange: Exchange, hook: Hook | None, call: PlacedCall) -> None:
        self.exchange = exchange
        self.bus = exchange.bus
        self.call = call
        self.plan = call.plan
        self.is_22 = exchange.options.version == "22.10"
        self.bridge_id = ""
        self.endpoint = "carrier"
        self._hook = hook
        self.first, self.second = exchange.local_channels(call, self.local_exten())
        self.leg = self.leg_of(self.first, self.second)
        self.trunk: Channel | None = None
        call.channel, call.uniqueid = self.leg.title, self.leg.uniqueid

    @property
    def dial_string(self) -> str:
        """What Dial is given for the trunk."""
        return f"1{self.plan.destination}@{self.endpoint}"

    @abstractmethod
    def local_exten(self) -> str:
        """Return the extension that the Local channel is made for."""

    @abstractmethod
    def leg_of(self, first: Channel, second: Channel) -> Channel:
        """Return the half that runs the carrier dialplan."""

    @abstractmethod
    def campaign_variables(self) -> tuple[tuple[str, str], ...]:
        """Return what call_log sets, with the underscore that makes it inherited."""

    @abstractmethod
    def reach_dialplan(self) -> None:
        """Send what happens before call_log runs."""

    @abstractmethod
    async def ring_out(self, trunk: Channel) -> None:
        """Ring until the dialler gives up, to the last event."""

    @abstractmethod
    async def talk(self, trunk: Channel) -> None:
        """Answer, talk and hang up, to the last event."""

    @abstractmethod
    def fall_back(self, refusal: Refusal) -> None:
        """Hang up both halves after a Dial that reached nobody."""

    @abstractmethod
    async def ring(self, trunk: Channel) -> None:
        """Send what happens when the carrier says that it rings."""

    async def play(self) -> None:
        """Send the whole call, in real time."""
        self.open_local()
        self.reach_dialplan()
        await self.run_call_log()
        if self._hook is not None:
            await self._hook.run(self.leg, self.plan.campaign)
        if self.plan.failover:
            await self.refuse(self.dial(), CONGESTION, _FIRST_RESPONSE_S)
            self.endpoint = "carrier2"
        outcome = self.plan.outcome
        if outcome == "no_trunk":
            self.begin_dial()
            self.leg.says_variable("DIALSTATUS", NO_TRUNK.dial_status)
            self.end_dialplan(NO_TRUNK)
            return
        trunk = self.dial()
        if outcome in ("answered", "no_answer"):
            await asyncio.sleep(_FIRST_RESPONSE_S)
            await self.ring(trunk)
            await (self.talk(trunk) if outcome == "answered" else self.ring_out(trunk))
        else:
            self.end_dialplan(await self.refuse(trunk, REFUSALS[outcome], self.plan.ring_s))

    def open_local(self) -> None:
        """Send the Originate's events: both halves, their caller-ID, and Dial of the first half."""
        first, second, name, own = self.first, self.second, self.plan.name, self.plan.own_number
        first.say("Newchannel")
        second.say("Newchannel")
        first.runs("AppDial2", "(Outgoing Line)")
        first.identifies_as(own, name)
        first.say_caller_id()
        first.is_connected_to(own, name)
        first.say("NewConnectedLine")
        second.identifies_as(own, name)
        second.is_connected_to(own, name)
        second.say_caller_id()
        second.say("NewConnectedLine")
        exten = self.local_exten()
        if self.bus.wants("LocalBridge"):
            tail = f"Context: default\r\nExten: {exten}\r\nLocalOptimization: Yes\r\n"
            self.bus.emit("LocalBridge", f"{first.snapshot('LocalOne')}{second.snapshot('LocalTwo')}{tail}")
        self.say_dial("DialBegin", None, first, f"DialString: {exten}@default\r\n")

    async def run_call_log(self) -> None:
        """Run VICIdial's call_log script on the leg, with its delays."""
        leg = self.leg
        leg.runs("AGI", CALL_LOG)
        await asyncio.sleep(self.plan.call_log_before_s)
        for variable, value in self.campaign_variables():
            leg.sets_variable(variable, value)
        await asyncio.sleep(self.plan.call_log_after_s)
        leg.says_variable("AGISTATUS", "SUCCESS")

    def begin_dial(self) -> str:
        """Send what Dial does before there is a trunk channel; return its dial string."""
        leg, dial_string = self.leg, self.dial_string
        timeout = leg.variables.get("CAMPDTO", "")
        leg.goes_to(leg.exten, leg.priority + 1)
        leg.runs("Dial", f"PJSIP/{dial_string},{timeout},To")
        leg.says_variables(_DIAL_VARIABLES)
        return dial_string

    def dial(self) -> Channel:
        """Dial a trunk: make its channel and present the leg's number on it."""
        dial_string, leg = self.begin_dial(), self.leg
        trunk = self.trunk = self.exchange.trunk_channel(self.call, self.endpoint, leg.linkedid)
        trunk.say("Newchannel")
        trunk.says_variable("DIALEDPEERNUMBER", dial_string)
        for variable, value in reversed(self.campaign_variables()):
            trunk.says_variable(variable.lstrip("_"), value)
        trunk.identifies_as(leg.number, leg.name)
        trunk.is_connected_to(leg.number, leg.name)
        trunk.goes_to(leg.exten, 1)
        trunk.runs("AppDial", "(Outgoing Line)")
        trunk.say_caller_id()
        trunk.say("NewConnectedLine")
        self.exchange.checks.trunk_began(self.call, leg.number, leg.name, trunk.uniqueid)
        self.say_dial("DialBegin", leg, trunk, f"DialString: {dial_string}\r\n")
        return trunk

    async def refuse(self, trunk: Channel, refusal: Refusal, after_s: float) -> Refusal:
        """Let the carrier refuse, and end the trunk leg."""
        await asyncio.sleep(after_s)
        trunk.asked_to_hang_up(refusal.cause, self.tech(refusal.sip))
        self.say_dial("DialEnd", self.leg, trunk, f"DialStatus: {refusal.dial_end}\r\n")
        self.leg.says_variable("DIALSTATUS", refusal.dial_status)
        self.trunk_hangs_up(trunk, refusal.cause, self.tech(refusal.sip))
        return refusal

    def say_ringing(self, trunk: Channel) -> None:
        """Send what every ringing trunk makes."""
        trunk.becomes(RINGING)
        self.say_device(f"PJSIP/{self.endpoint}", "RINGING")
        self.leg.says_variable("RINGTIME", "0")
        self.leg.says_variable("RINGTIME_MS", "2")
        self.say_dial("DialState", self.leg, trunk, "DialStatus: RINGING\r\n")

    def say_answer(self, trunk: Channel) -> None:
        """Send what every answering trunk makes until DialEnd."""
        trunk.becomes(UP)
        self.leg.says_variable("DIALSTATUS", "ANSWER")
        self.leg.says_variable("DIALEDPEERNAME", trunk.title)
        self.leg.says_variable("DIALEDPEERNUMBER", self.dial_string)
        trunk.goes_to("", 1)
        self.say_dial("DialEnd", self.leg, trunk, "DialStatus: ANSWER\r\n")

    def say_bridged(self, trunk: Channel) -> None:
        """Send what bridging trunk and leg makes."""
        trunk.runs("AppDial", "(Outgoing Line)")
        self.say_bridge("BridgeEnter", 1, trunk)
        self.say_bridge("BridgeEnter", 2, self.leg)
        trunk.says_variable("BRIDGEPEER", self.leg.title)
        self.leg.says_variable("BRIDGEPEER", trunk.title)
        self.leg.says_variable("BRIDGEPVTCALLID", self.bridge_id)
        self.say_device(f"PJSIP/{self.endpoint}", "INUSE")

    def say_times(self, answered_s: float, dialled_s: float) -> None:
        """Send the variables that Dial leaves after a talk."""
        self.leg.says_variable("ANSWEREDTIME", str(int(answered_s)))
        self.leg.says_variable("ANSWEREDTIME_MS", str(int(answered_s * 1000)))
        self.leg.says_variable("DIALEDTIME", str(int(dialled_s)))
        self.leg.says_variable("DIALEDTIME_MS", str(int(dialled_s * 1000)))
        self.leg.says_variable("DIALSTATUS", "ANSWER")

    def end_dialplan(self, refusal: Refusal) -> None:
        """Run the dialplan's last line and `h` on the leg, then hang up both halves."""
        leg = self.leg
        leg.goes_to(leg.exten, leg.priority + 1)
        leg.runs("Hangup", "")
        leg.asked_to_hang_up(16, soft=True)
        sip = f"SIP {refusal.sip} {refusal.reason}" if refusal.sip else ""
        self.run_hangup_extension(leg, refusal.cause, f"{refusal.dial_status}---------------{sip}")
        self.fall_back(refusal)

    def run_hangup_extension(self, channel: Channel, cause: int, result: str) -> None:
        """Run call_log at `h`, which is told how the call ended."""
        channel.goes_to("h", 1)
        channel.runs("AGI", f"{CALL_LOG}--HVcauses--PRI-----NODEBUG-----{cause}-----{result})")
        channel.says_variable("AGISTATUS", "SUCCESS")

    def say_voice_quality(self, trunk: Channel) -> None:
        """Send what Asterisk 22 says of a trunk's voice when it hangs up."""
        if self.is_22:
            trunk.says_variables(_RTP_VARIABLES, "rxcount=0;txcount=0;rtt=0.000000;")

    def trunk_hangs_up(self, trunk: Channel, cause: int, tech: str = "") -> None:
        """End the trunk leg: from here its number is free."""
        self.exchange.checks.trunk_ended(self.call)
        trunk.hangs_up(cause, tech)
        self.exchange.remove(trunk)
        self.trunk = None
        if trunk.state != DOWN:
            self.say_device(f"PJSIP/{self.endpoint}", "NOT_INUSE")

    def local_hangs_up(self, channel: Channel, cause: int) -> None:
        """End one Local half."""
        channel.hangs_up(cause)
        self.exchange.remove(channel)
        self.say_device(f"Local/{self.local_exten()}@default", "NOT_INUSE")

    def say_dial(self, event: str, leg: Channel | None, dest: Channel, tail: str) -> None:
        """Send a Dial event; the Originate's own dial has no leg."""
        if self.bus.wants(event):
            self.bus.emit(event, f"{leg.snapshot() if leg else ''}{dest.snapshot('Dest')}{tail}")

    def say_bridge(self, event: str, channels: int, channel: Channel | None = None) -> None:
        """Send an event of the bridge between leg and trunk."""
        if self.bus.wants(event):
            body = (
                f"BridgeUniqueid: {self.bridge_id}\r\nBridgeType: basic\r\nBridgeTechnology: simple_bridge\r\n"
                f"BridgeCreator: <unknown>\r\nBridgeName: <unknown>\r\nBridgeNumChannels: {channels}\r\n"
                f"BridgeVideoSourceMode: none\r\n"
            )
            self.bus.emit(event, f"{body}{channel.snapshot() if channel else ''}")

    def say_device(self, device: str, state: str) -> None:
        """Send DeviceStateChange."""
        if self.bus.wants("DeviceStateChange"):
            self.bus.emit("DeviceStateChange", f"Device: {device}\r\nState: {state}\r\n")

    def tech(self, sip: int) -> str:
        """Return the SIP code as Asterisk 22 adds it to hang-ups."""
        return f"TechCause: {sip}\r\n" if self.is_22 and sip else ""

    def remove_channels(self) -> None:
        """Forget the channels that are left: nothing at a call's end, all of them when it is cut off."""
        for channel in (self.first, self.second, self.trunk):
            if channel is not None:
                self.exchange.remove(channel)
