"""The open calls of one dialer, found by code and by channel, within bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from ami_rotator.ami.calls import Call, Trunk
from ami_rotator.domain.call_codes import CallCode
from ami_rotator.domain.types import CallKey


class CallBook:
    """Hold at most `max_calls` open calls, and remember the channels of those that are over.

    What comes late or twice about a channel that is done with must not make a call again: `is_past` tells.
    """

    def __init__(self, max_calls: int, max_age_s: float) -> None:
        self._max_calls = max_calls
        self._max_age_s = max_age_s
        self._calls: OrderedDict[int, Call] = OrderedDict()
        self._by_code: dict[str, Call] = {}
        self._by_channel: dict[str, Call] = {}
        self._past: OrderedDict[str, None] = OrderedDict()
        # No call is too old before then.
        self._looked_until_s = float("-inf")

    def __iter__(self) -> Iterator[Call]:
        """Iterate over the open calls, the oldest first."""
        return iter(list(self._calls.values()))

    def with_code(self, code: str) -> Call | None:
        """Return the open call with this code."""
        return self._by_code.get(code)

    def with_channel(self, uniqueid: str) -> Call | None:
        """Return the open call that a channel belongs to: its runner or its trunk leg, hung up or not."""
        return self._by_channel.get(uniqueid)

    def with_key(self, key: CallKey) -> Call | None:
        """Return the open call with this key."""
        return self._by_code.get(key.code) if key.code else self._by_channel.get(key.uniqueid)

    def is_past(self, uniqueid: str) -> bool:
        """Tell whether this channel was hung up or belonged to a call that is over."""
        return uniqueid in self._past

    def add(self, key: CallKey, code: CallCode | None, channel: str, now_s: float) -> Call:
        """Open a call. `now_s` is monotonic."""
        call = Call(key, code, channel, now_s)
        self._calls[id(call)] = call
        if code is not None:
            self._by_code[code.text] = call
        return call

    def add_runner(self, call: Call, uniqueid: str) -> None:
        """Note a Local half that runs the carrier dialplan for the call."""
        call.runners.add(uniqueid)
        self._own(call, uniqueid)

    def add_trunk(self, call: Call, trunk: Trunk) -> None:
        """Note a channel to the carrier."""
        call.trunks[trunk.uniqueid] = trunk
        self._own(call, trunk.uniqueid)

    def hung_up(self, uniqueid: str) -> None:
        """Remember that a channel, of whatever call, is done with."""
        self._past[uniqueid] = None
        if len(self._past) > 2 * self._max_calls:
            self._past.popitem(last=False)

    def drop(self, call: Call) -> None:
        """Close a call."""
        self._calls.pop(id(call), None)
        if call.code is not None and self._by_code.get(call.code.text) is call:
            del self._by_code[call.code.text]
        for uniqueid in call.channels:
            self._by_channel.pop(uniqueid, None)
            self.hung_up(uniqueid)

    def may_have_old(self, now_s: float) -> bool:
        """Tell whether `drop_old` is worth its time, which it is not at each event."""
        return now_s > self._looked_until_s or len(self._calls) > self._max_calls

    def drop_old(self, now_s: float) -> list[tuple[Call, float]]:
        """Drop what is too old or too many, the oldest first; return those calls with their age in seconds."""
        dropped = []
        self._looked_until_s = now_s + self._max_age_s
        while self._calls:
            oldest = next(iter(self._calls.values()))
            age_s = now_s - oldest.began_s
            if len(self._calls) <= self._max_calls and age_s <= self._max_age_s:
                self._looked_until_s = oldest.began_s + self._max_age_s
                break
            self.drop(oldest)
            dropped.append((oldest, age_s))
        return dropped

    def _own(self, call: Call, uniqueid: str) -> None:
        call.channels.add(uniqueid)
        self._by_channel[uniqueid] = call
