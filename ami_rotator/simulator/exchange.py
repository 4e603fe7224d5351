"""What all calls and all AMI sessions of one pretend Asterisk share: channels, variables, AstDB, names and ids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from ami_rotator.clock import Clock
from ami_rotator.simulator.bus import Bus
from ami_rotator.simulator.channel import DOWN, RING, Channel
from ami_rotator.simulator.checks import Checks
from ami_rotator.simulator.options import SimulatorOptions
from ami_rotator.simulator.placed import PlacedCall

_FUNCTION = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_NAME_AND_NUMBER = re.compile(r'\s*"?([^"<]*?)"?\s*(?:<([^>]*)>)?\s*')

SetvarAnswer = Literal["Variable Set", "No such channel", "Variable not set"]


class Exchange:
    """The state of one Asterisk. It starts anew with `restart`; AstDB is on disk and stays."""

    def __init__(self, options: SimulatorOptions, clock: Clock) -> None:
        self.options = options
        self.clock = clock
        self.bus = Bus(clock, options.event_filter)
        self.checks = Checks(options, clock)
        self.astdb: dict[tuple[str, str], str] = {}
        self.globals: dict[str, str] = {}
        self._channels: dict[str, Channel] = {}
        self._epoch_s = 0
        self.restart()

    def restart(self) -> None:
        """Forget channels and global variables, and count from zero again."""
        # A real restart takes seconds, so its uniqueids never repeat: the second is part of them.
        self._epoch_s = max(self.clock.wall_ms() // 1000, self._epoch_s + 1)
        self.started_at_ms = self.clock.wall_ms()
        self.processed_calls = 0
        self._channels.clear()
        self.globals.clear()
        self._next_uniqueid = self._next_local = self._next_trunk = self._next_bridge = 0

    @property
    def channels(self) -> Iterable[Channel]:
        """All channels that are up, oldest first."""
        return self._channels.values()

    @property
    def channel_count(self) -> int:
        """How many channels are up."""
        return len(self._channels)

    def local_channels(self, call: PlacedCall, exten: str) -> tuple[Channel, Channel]:
        """Make the two halves of a Local channel."""
        title = f"Local/{exten}@default-{self._next_local:08x}"
        self._next_local += 1
        first = self._add(call, f"{title};1", "", "default", exten, DOWN)
        return first, self._add(call, f"{title};2", first.uniqueid, "default", exten, RING)

    def trunk_channel(self, call: PlacedCall, endpoint: str, linkedid: str) -> Channel:
        """Make a channel to the carrier."""
        title = f"PJSIP/{endpoint}-{self._next_trunk:08x}"
        self._next_trunk += 1
        return self._add(call, title, linkedid, "trunkinbound", "s", DOWN)

    def next_bridge_id(self) -> str:
        """Return a new bridge's id, shaped as a UUID."""
        self._next_bridge += 1
        return f"00000000-0000-4000-8000-{self._next_bridge:012x}"

    def remove(self, channel: Channel) -> None:
        """Forget a channel that hung up."""
        self._channels.pop(channel.title.lower(), None)

    def set_variable(self, title: str, variable: str, value: str) -> SetvarAnswer:
        """Do what an AMI Setvar does, and judge it. `title` is the channel's name; empty sets a global variable."""
        function = _FUNCTION.fullmatch(variable)
        if not title:
            if function:
                return "Variable not set"
            self.globals[variable] = value
            if self.bus.wants_variable(variable):
                body = f"Channel: none\r\nUniqueid: none\r\nVariable: {variable}\r\nValue: {value}\r\n"
                self.bus.emit("VarSet", body, "dialplan")
            return "Variable Set"
        channel = self._channels.get(title.lower())
        if channel is None:
            return "No such channel"
        self.checks.setvar_arrived(channel.call)
        if function is None:
            channel.sets_variable(variable, value)
            return "Variable Set"
        return self._write_function(channel, function[1].upper(), function[2].lower(), value)

    def _write_function(self, channel: Channel, function: str, part: str, value: str) -> SetvarAnswer:
        if function != "CALLERID":
            return "Variable not set"
        number, name = channel.number, channel.name
        if part in ("num", "number"):
            number = value
        elif part == "name":
            name = value
        elif part == "all":
            match = _NAME_AND_NUMBER.fullmatch(value)
            name, number = (match[1], match[2] or "") if match else (value, "")
        else:
            return (
                "Variable Set" if part.split("-")[0] in ("num", "name", "ani", "dnid", "rdnis") else "Variable not set"
            )
        if part in ("name", "all"):
            self.checks.name_touched()
        channel.identifies_as(number, name)
        channel.say_caller_id()
        if channel.title == channel.call.channel and part != "name" and channel.call.trunk_began_s is None:
            channel.call.way = "direct"
        return "Variable Set"

    def _add(self, call: PlacedCall, title: str, linkedid: str, context: str, exten: str, state: int) -> Channel:
        uniqueid = f"{self._uniqueid_epoch_s()}.{self._next_uniqueid}"
        self._next_uniqueid += 1
        channel = Channel(self.bus, call, title, uniqueid, linkedid or uniqueid, context, exten, state)
        self._channels[title.lower()] = channel
        return channel

    def _uniqueid_epoch_s(self) -> int:
        return max(self.clock.wall_ms() // 1000, self._epoch_s)
