"""The question that both doors ask, HTTP and FastAGI: which caller-ID for this call?"""

from __future__ import annotations

import hmac
import ipaddress
import re
from functools import lru_cache

from ami_rotator.domain.call_codes import parse_call_code
from ami_rotator.domain.numbers import Presentation, present
from ami_rotator.domain.types import Assignment, CallKey, CallRequest, Campaign, Dialer, Source
from ami_rotator.settings import Settings

NO_DIALER = Dialer("http")
"""The dialer of a request that names none where there are several, or none."""

_SAFE = re.compile(r"\+?[0-9]{7,15}")


def call_request(
    *,
    dialled: str,
    campaign: str,
    dialer: Dialer,
    source: Source,
    agent: str = "",
    uniqueid: str = "",
    caller_id_name: str = "",
) -> CallRequest:
    """Describe a call.

    `caller_id_name` is the call code or the whole name that begins with it. Any other name is ignored: it may be a
    person's, and would make all calls of that person the same call. What the name says of agent and campaign (manual
    calls with an appended extension) fills in what is not known otherwise.
    """
    code = parse_call_code(caller_id_name)
    return CallRequest(
        key=CallKey(dialer, code.text if code else "", uniqueid),
        dialled=dialled,
        campaign=Campaign(campaign or (code.campaign if code else "")),
        source=source,
        agent=agent or (code.agent if code else ""),
        lead_id=code.lead_id if code else "",
    )


def is_dialled_out(channel: str) -> bool:
    """Tell whether a channel dials out for VICIdial. Only Local channels do.

    The same dialplan runs on customers' trunk channels when they are forwarded (blind transfer, remote agent): their
    numbers are not ours to change. A request that does not say which channel it is for is believed.
    """
    return not channel or channel.startswith("Local/")


def shown(assignment: Assignment, presentation: Presentation) -> str:
    """Return the number for the dialplan; empty rather than anything that is not digits."""
    number = present(assignment.caller_id, presentation)
    return number if _SAFE.fullmatch(number) else ""


def only_dialer(names: tuple[str, ...]) -> Dialer:
    """Return the dialer of a request that names none."""
    return Dialer(names[0]) if len(names) == 1 else NO_DIALER


def address_of(peer: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address in a socket's peer name, IPv4 where it is IPv4 inside IPv6."""
    return _address(str(peer[0])) if isinstance(peer, tuple) and peer else None


@lru_cache(maxsize=1000)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def may_ask(settings: Settings, peer: object) -> bool:
    """Tell whether a peer may ask for caller-IDs. Only the address of the connection counts: headers can be made up."""
    address = address_of(peer)
    return address is not None and any(
        address.version == network.version and address in network for network in settings.next_cid_networks
    )


def has_key(settings: Settings, given: str) -> bool:
    """Tell whether the optional key is right."""
    key = settings.next_cid_key
    return key is None or same_secret(given, key.get_secret_value())


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())
