"""One dialer's events to facts: a fold without I/O, fed by the socket and by capture files alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ami_rotator.ami.call_book import CallBook
from ami_rotator.ami.calls import (
    Call,
    OpenCall,
    Trunk,
    campaign_in,
    campaign_of_prefix,
    cause_of,
    code_in,
    dialled_in,
    is_local,
    open_call,
    runs_dialplan,
    time_ms,
)
from ami_rotator.ami.events import PROBE_VARIABLE, Event
from ami_rotator.ami.facts import Anomaly, CallEnded, CallSeen, DialerStopped, Fact, TrunkBegan
from ami_rotator.ami.resync import ChannelUp, channels_up
from ami_rotator.clock import Clock
from ami_rotator.domain.call_codes import CallCode
from ami_rotator.domain.types import CallKey, Dialer, End


class Tracker:
    """Follow the calls of one dialer.

    Memory is bounded: at most `max_calls` open calls, none older than `max_age_s`; what is dropped is told as an Anomaly
    and its reservation ends by its expiry. `dial_prefixes` maps a dial prefix to its campaign, or to None where several
    campaigns share it; `region` is the country of numbers without country code.
    """

    def __init__(
        self,
        dialer: Dialer,
        dial_prefixes: Mapping[str, str | None],
        *,
        clock: Clock,
        region: str = "US",
        max_calls: int = 20_000,
        max_age_s: float = 6 * 3600,
    ) -> None:
        self._dialer = dialer
        self._prefixes = dict(dial_prefixes)
        self._clock = clock
        self._region = region
        self._book = CallBook(max_calls, max_age_s)
        self._doubtful: set[str] = set()
        self._in_gap: dict[int, Call] = {}

    def apply(self, event: Event) -> list[Fact]:
        """Take one event, in the order of arrival. Nothing that Asterisk can send raises."""
        facts: list[Fact] = []
        match event.name:
            case "NewCallerid" | "Newexten" | "VarSet":
                self._sighted(event, facts)
            case "DialBegin":
                self._dial_began(event, facts)
            case "DialEnd":
                self._dial_ended(event, facts)
            case "Hangup":
                self._hung_up(event, facts)
            case "Shutdown":
                facts.append(DialerStopped())
            case "":
                facts.append(Anomaly("broken_event", "no name"))
            case other:
                facts.append(Anomaly("unknown_event", other[:40]))
        if self._book.may_have_old(self._clock.monotonic_s()):
            facts.extend(self.drop_old())
        return facts

    def open_calls(self) -> list[OpenCall]:
        """Return the calls that are not over, the oldest first."""
        return [open_call(call) for call in self._book]

    def forget(self, key: CallKey) -> bool:
        """Drop an open call without a fact; tell whether there was one."""
        call = self._book.with_key(key)
        if call is not None:
            self._book.drop(call)
        return call is not None

    def drop_old(self) -> list[Fact]:
        """Drop the calls that are too old or too many. `apply` does it as well."""
        dropped = self._book.drop_old(self._clock.monotonic_s())
        return [
            Anomaly("call_forgotten", f"{call.key.code or call.key.uniqueid} after {age:.0f} s")
            for call, age in dropped
        ]

    def still_up(self, rows: Iterable[Event]) -> list[Event]:
        """Return the rows of a CoreShowChannels list without the channels whose hang-up was seen since."""
        return [row for row in rows if not self._book.is_past(row["Uniqueid"])]

    def doubt(self, *, after_gap: bool = False) -> None:
        """Doubt every channel that is known now, before asking for a list.

        `after_gap`: the connection is up again. A call whose trunk leg may have begun unseen does not end with its Local
        channels until the list has told.
        """
        self._doubtful = {uniqueid for call in self._book for uniqueid in call.channels}
        if after_gap:
            self._in_gap = {id(call): call for call in self._book if not call.answered}

    def resync(self, rows: Iterable[Event]) -> list[Fact]:
        """Take a complete CoreShowChannels list that was asked for after `doubt`.

        Calls whose channels are not in it, and of which no event came since, ended meanwhile: told as ended, outcome
        unknown. Calls that are up and not known are followed from here on; no CallSeen is said for them. Events may be
        older or newer than the list: a channel whose hang-up was seen is not taken back.
        """
        listed = self.still_up(rows)
        up = channels_up(listed)
        # By every channel of the list: those of a call without a code, or whose name was changed, are up all the same.
        gone = self._doubtful.difference(row["Uniqueid"] for row in listed)
        self._doubtful = set()
        facts: list[Fact] = []
        in_gap, self._in_gap = self._in_gap, {}
        # What is up first: a call whose Local halves are gone may talk on over a trunk leg that nobody saw begin.
        for channel in up:
            self._found_up(channel, facts)
        for uniqueid in sorted(gone):
            call = self._book.with_channel(uniqueid)
            if call is not None and not self._book.is_past(uniqueid):
                self._book.hung_up(uniqueid)
                call.lost(uniqueid)
                self._end_if_over(call, facts)
        for call in in_gap.values():
            if self._book.with_key(call.key) is call and call.is_over:
                call.last_end = call.last_end or End("unknown")
                self._end_if_over(call, facts)
        return facts

    def _sighted(self, event: Event, facts: list[Fact]) -> None:
        channel, uniqueid = event["Channel"], event["Uniqueid"]
        if not channel and event["Variable"] != PROBE_VARIABLE:
            facts.append(Anomaly("missing_field", f"{event.name} Channel"))
        if not is_local(channel):
            return  # a trunk leg, or a forwarded one: never ours to touch
        if not uniqueid:
            facts.append(Anomaly("missing_field", f"{event.name} Uniqueid"))
            return
        self._doubtful.discard(uniqueid)
        call = self._book.with_channel(uniqueid)
        if call is None:
            code = code_in(event["CallerIDName"])
            if code is None or not runs_dialplan(code, channel) or self._book.is_past(uniqueid):
                return
            call = self._call_of(code, channel, uniqueid)
        self._say_seen(call, event, facts)

    def _call_of(self, code: CallCode, channel: str, uniqueid: str) -> Call:
        # Same code, another Local pair: a carrier entry that dials through a second Local channel. Still one call.
        call = self._book.with_code(code.text) or self._new_call(code, channel, uniqueid)
        self._book.add_runner(call, uniqueid)
        return call

    def _new_call(self, code: CallCode | None, channel: str, uniqueid: str) -> Call:
        key = CallKey(self._dialer, code.text if code else "", uniqueid)
        return self._book.add(key, code, channel, self._clock.monotonic_s())

    def _say_seen(self, call: Call, event: Event, facts: list[Fact]) -> None:
        code = call.code
        if code is None or call.trunks:
            return
        if not call.dialled and event["Channel"] == call.channel:
            call.dialled = dialled_in(code, call.channel, event["Exten"])
        told = campaign_in(event)
        call.campaign = told or call.campaign
        if not call.dialled:
            return
        if call.said is None:
            campaign = call.campaign or code.campaign or campaign_of_prefix(call.dialled, self._prefixes, self._region)
            call.said = CallSeen(call.key, code.kind, call.dialled, call.channel, code.lead_id, campaign, code.agent)
        elif told and told != call.said.campaign:
            if call.said.campaign:
                facts.append(Anomaly("campaign_differs", f"expected {call.said.campaign}, it is {told}"[:120]))
            call.said = replace(call.said, campaign=told)
        else:
            return
        facts.append(call.said)

    def _dial_began(self, event: Event, facts: list[Fact]) -> None:
        channel, trunk_channel = event["Channel"], event["DestChannel"]
        uniqueid, trunk_uniqueid = event["Uniqueid"], event["DestUniqueid"]
        if not trunk_channel or not trunk_uniqueid or (channel and not uniqueid):
            facts.append(Anomaly("missing_field", "DialBegin Uniqueid, DestUniqueid or DestChannel"))
            return
        if not is_local(channel) or is_local(trunk_channel):
            return  # VICIdial's Originate itself, a forwarded leg, or a Local channel in between
        self._doubtful.discard(uniqueid)
        if self._book.is_past(uniqueid):
            facts.append(Anomaly("trunk_after_end", trunk_channel[:80]))
            return
        if self._book.with_channel(trunk_uniqueid) is not None or self._book.is_past(trunk_uniqueid):
            return
        call = self._book.with_channel(uniqueid) or self._dialling(event)
        # After the answer every further leg is a forward of the customer, with a number of its own.
        if call is not None and not call.answered:
            self._add_trunk(call, Trunk(trunk_uniqueid, trunk_channel), event["DestConnectedLineNum"], facts)

    def _dialling(self, event: Event) -> Call | None:
        channel, uniqueid = event["Channel"], event["Uniqueid"]
        code = code_in(event["CallerIDName"])
        if code is None:
            call = self._new_call(None, channel, uniqueid)
            self._book.add_runner(call, uniqueid)
            return call
        known = self._book.with_code(code.text)
        is_second_pair = known is not None and known.channel[:-1] != channel[:-1] and channel.endswith(";2")
        # The other half of the pair dials only where an answered call is sent on to a number outside: a forwarded leg.
        if not runs_dialplan(code, channel) and not is_second_pair:
            return None
        return self._call_of(code, channel, uniqueid)

    def _add_trunk(self, call: Call, trunk: Trunk, presented: str, facts: list[Fact]) -> None:
        self._book.add_trunk(call, trunk)
        facts.append(TrunkBegan(call.key, presented, trunk.uniqueid, trunk.channel))

    def _dial_ended(self, event: Event, facts: list[Fact]) -> None:
        uniqueid = event["DestUniqueid"]
        if not uniqueid:
            facts.append(Anomaly("missing_field", "DialEnd DestUniqueid"))
            return
        self._doubtful.discard(uniqueid)
        call = self._book.with_channel(uniqueid)
        trunk = call.trunks.get(uniqueid) if call else None
        if trunk is None:
            return
        if event["DialStatus"] == "ANSWER":
            trunk.answer(self._now_ms(event))
        elif not trunk.answered:
            trunk.dial_status = event["DialStatus"]

    def _hung_up(self, event: Event, facts: list[Fact]) -> None:
        uniqueid = event["Uniqueid"]
        if not uniqueid:
            facts.append(Anomaly("missing_field", "Hangup Uniqueid"))
            return
        is_repeated = self._book.is_past(uniqueid)
        self._book.hung_up(uniqueid)
        call = self._book.with_channel(uniqueid)
        if call is None or is_repeated:
            return
        trunk = call.trunks.get(uniqueid)
        if trunk is not None:
            call.last_end = trunk.hang_up(event, self._now_ms(event))
        else:
            call.runners.discard(uniqueid)
            call.runner_cause = cause_of(event)
        self._end_if_over(call, facts)

    def _found_up(self, channel: ChannelUp, facts: list[Fact]) -> None:
        call = self._book.with_channel(channel.uniqueid)
        if is_local(channel.name):
            if call is None and runs_dialplan(channel.code, channel.name):
                self._call_of(channel.code, channel.name, channel.uniqueid)
            return
        if call is None:
            call = self._book.with_code(channel.code.text) or self._new_call(channel.code, "", "")
            if call.answered:
                return  # a forwarded leg
            presented = "" if channel.is_answered else channel.presented
            self._add_trunk(call, Trunk(channel.uniqueid, channel.name), presented, facts)
        trunk = call.trunks.get(channel.uniqueid)
        if channel.is_answered and trunk is not None:
            # Answered while nobody looked: the talk time counts from here, which is too little.
            trunk.answer(self._clock.wall_ms())

    def _end_if_over(self, call: Call, facts: list[Fact]) -> None:
        if call.is_over and (call.answered or id(call) not in self._in_gap):
            self._in_gap.pop(id(call), None)
            self._book.drop(call)
            facts.append(CallEnded(call.key, call.end()))

    def _now_ms(self, event: Event) -> int:
        stamped = time_ms(event)
        return self._clock.wall_ms() if stamped is None else stamped
