"""A channel as its events show it. Shapes and names are those of Asterisk 16.28 and 22.10 (captures)."""

from __future__ import annotations

from typing import Final

from ami_rotator.simulator.bus import Bus
from ami_rotator.simulator.placed import PlacedCall

DOWN: Final = 0
RING: Final = 4
RINGING: Final = 5
UP: Final = 6

_STATES = {DOWN: "Down", RING: "Ring", RINGING: "Ringing", UP: "Up"}
_PRESENTATION = "CID-CallingPres: 0 (Presentation Allowed, Not Screened)\r\n"

# ast_cause2str
_CAUSES = {
    0: "Unknown",
    1: "Unallocated (unassigned) number",
    3: "No route to destination",
    16: "Normal Clearing",
    17: "User busy",
    19: "User alerting, no answer",
    21: "Call Rejected",
    34: "Circuit/channel congestion",
    127: "Interworking, unspecified",
}


def one_line(text: str) -> str:
    """Return text as it may stand in a header: what came from outside must not begin an event of its own."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


class Channel:
    """One channel: what it is now, and the events that say so. Change it through its methods only; they keep the text."""

    __slots__ = (
        "_bus",
        "_text",
        "call",
        "connected_name",
        "connected_number",
        "context",
        "exten",
        "linkedid",
        "name",
        "number",
        "priority",
        "state",
        "title",
        "uniqueid",
        "variables",
    )

    def __init__(
        self,
        bus: Bus,
        call: PlacedCall,
        title: str,
        uniqueid: str,
        linkedid: str,
        context: str,
        exten: str,
        state: int = DOWN,
    ) -> None:
        self._bus = bus
        self._text = ""
        self.call = call
        self.title = title
        self.uniqueid = uniqueid
        self.linkedid = linkedid
        self.context = context
        self.exten = exten
        self.priority = 1
        self.state = state
        self.number = self.name = self.connected_number = self.connected_name = ""
        self.variables: dict[str, str] = {}

    def snapshot(self, prefix: str = "") -> str:
        """Return the channel's header lines, each name with a prefix where an event has two channels."""
        if not prefix:
            if not self._text:
                self._text = self._render("")
            return self._text
        return self._render(prefix)

    def goes_to(self, exten: str, priority: int, context: str = "") -> None:
        """Move in the dialplan."""
        self.exten, self.priority, self.context = exten, priority, context or self.context
        self._text = ""

    def becomes(self, state: int) -> None:
        """Change state, and say so."""
        self.state, self._text = state, ""
        self.say("Newstate")

    def identifies_as(self, number: str, name: str) -> None:
        """Set the caller-ID without saying so."""
        self.number, self.name, self._text = number, name, ""

    def is_connected_to(self, number: str, name: str) -> None:
        """Set the connected line without saying so."""
        self.connected_number, self.connected_name, self._text = number, name, ""

    def say(self, event: str, extra: str = "") -> None:
        """Send an event of class `call` about this channel."""
        if self._bus.wants(event):
            self._bus.emit(event, f"{self._text or self.snapshot()}{extra}")

    def say_caller_id(self) -> None:
        """Send NewCallerid."""
        self.say("NewCallerid", _PRESENTATION)

    def runs(self, application: str, data: str) -> None:
        """Send Newexten: this channel begins an application where it is in the dialplan."""
        if self._bus.wants("Newexten"):
            extra = f"Extension: {self.exten}\r\nApplication: {application}\r\nAppData: {one_line(data)}\r\n"
            self._bus.emit("Newexten", f"{self._text or self.snapshot()}{extra}", "dialplan")

    def says_variable(self, variable: str, value: str) -> None:
        """Send VarSet, as it was written: with the underscores that make it inherited."""
        if self._bus.wants_variable(variable.lstrip("_")):
            extra = f"Variable: {variable}\r\nValue: {one_line(value)}\r\n"
            self._bus.emit("VarSet", f"{self._text or self.snapshot()}{extra}", "dialplan")

    def says_variables(self, variables: tuple[str, ...], value: str = "") -> None:
        """Send VarSet for each."""
        for variable in variables:
            self.says_variable(variable, value)

    def sets_variable(self, variable: str, value: str) -> None:
        """Set a variable that the dialplan will read, and say so."""
        self.variables[variable.lstrip("_")] = value
        self.says_variable(variable, value)

    def asked_to_hang_up(self, cause: int, tech: str = "", soft: bool = False) -> None:
        """Send HangupRequest, or SoftHangupRequest: the side that asks was us."""
        self.say("SoftHangupRequest" if soft else "HangupRequest", f"Cause: {cause}\r\n{tech}")

    def hangs_up(self, cause: int, tech: str = "") -> None:
        """Send Hangup. `tech` is Asterisk 22's `TechCause` line."""
        self.say("Hangup", f"Cause: {cause}\r\nCause-txt: {_CAUSES[cause]}\r\n{tech}")

    def _render(self, prefix: str) -> str:
        return (
            f"{prefix}Channel: {self.title}\r\n"
            f"{prefix}ChannelState: {self.state}\r\n"
            f"{prefix}ChannelStateDesc: {_STATES[self.state]}\r\n"
            f"{prefix}CallerIDNum: {self.number or '<unknown>'}\r\n"
            f"{prefix}CallerIDName: {self.name or '<unknown>'}\r\n"
            f"{prefix}ConnectedLineNum: {self.connected_number or '<unknown>'}\r\n"
            f"{prefix}ConnectedLineName: {self.connected_name or '<unknown>'}\r\n"
            f"{prefix}Language: en\r\n"
            f"{prefix}AccountCode: \r\n"
            f"{prefix}Context: {self.context}\r\n"
            f"{prefix}Exten: {self.exten}\r\n"
            f"{prefix}Priority: {self.priority}\r\n"
            f"{prefix}Uniqueid: {self.uniqueid}\r\n"
            f"{prefix}Linkedid: {self.linkedid}\r\n"
        )
