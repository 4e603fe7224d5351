"""What the tracker says about calls: the only words that pass from AMI to the rest of the daemon."""

from __future__ import annotations

from dataclasses import dataclass

from ami_rotator.domain.call_codes import Kind
from ami_rotator.domain.types import CallKey, End


@dataclass(frozen=True, slots=True)
class CallAnnounced:
    """A call that VICIdial is about to place: known from its database, before Asterisk has it."""

    key: CallKey
    kind: Kind
    dialled: str
    lead_id: str
    campaign: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class CallSeen:
    """A call to a lead began. Said again when the campaign becomes known; never after its trunk leg exists.

    `channel` is the Local half that runs the carrier dialplan (`;2` for auto-dialled calls, `;1` for manual ones); `dialled`
    is raw, with the dial prefix; `campaign` is empty while unknown.
    """

    key: CallKey
    kind: Kind
    dialled: str
    channel: str
    lead_id: str
    campaign: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class TrunkBegan:
    """A channel to the carrier was dialled. `presented` is the number in its From header, digits as Asterisk has them.

    `presented` is `<unknown>` where the call has no number, and empty where we do not know: an answered call that was found
    up after a reconnect.
    `key.code` is empty for calls without a lead (3-way, agents' phones); the dialplan may have asked for them over HTTP.
    """

    key: CallKey
    presented: str
    trunk_uniqueid: str
    trunk_channel: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The call is over: no trunk leg lives and none can follow. Said once for each call."""

    key: CallKey
    end: End


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that should not be. Counted and logged, never raised."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DialerStopped:
    """Asterisk announced its shutdown."""


Fact = CallAnnounced | CallSeen | TrunkBegan | CallEnded | Anomaly | DialerStopped
