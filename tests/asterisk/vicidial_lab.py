"""Join the parts of a test dialer: a real Asterisk, its carrier, VICIdial's call_log and VICIdial's sender."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.asterisk_lab import AsteriskLab, DialerOptions
from tests.support.call_log_agi import CallLogAgi
from tests.support.sip_carrier import SipCarrier
from tests.support.vicidial_dialer import BeforeOriginate, VicidialDialer


@dataclass(frozen=True, slots=True)
class VicidialLab:
    """Hold what runs in one lab; `asterisk.ami_port` is where the daemon connects as `rotator`."""

    asterisk: AsteriskLab
    carrier: SipCarrier
    call_log: CallLogAgi
    dialer: VicidialDialer

    async def settle(self, timeout_s: float = 10.0) -> None:
        """Return when every call has ended, at the carrier and in Asterisk; raises TimeoutError."""
        await self.carrier.wait_until_idle(timeout_s)
        await self.asterisk.wait_channels(0, timeout_s)


@asynccontextmanager
async def vicidial_lab(
    root: Path,
    *,
    options: DialerOptions | None = None,
    carrier: SipCarrier | None = None,
    call_log: CallLogAgi | None = None,
    first_lead_id: int = 12345,
    before_originate: BeforeOriginate | None = None,
    before_ms: float = 100.0,
) -> AsyncIterator[VicidialLab]:
    """Start everything and stop it at the end.

    A carrier or call_log that is given must not be entered yet. Without one, call_log knows each call's own campaign.
    """
    own_call_log = CallLogAgi(campaigns={}) if call_log is None else call_log
    async with (
        carrier or SipCarrier() as carrier_,
        own_call_log as call_log_,
        AsteriskLab(root, carrier_port=carrier_.port, call_log_port=call_log_.port, options=options) as asterisk,
        VicidialDialer(
            asterisk.ami_port, first_lead_id=first_lead_id, before_originate=before_originate, before_ms=before_ms
        ) as dialer,
    ):
        if call_log is None:
            call_log_.campaigns = dialer.campaigns
        yield VicidialLab(asterisk, carrier_, call_log_, dialer)
