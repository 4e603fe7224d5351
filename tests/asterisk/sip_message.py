"""Parse and write the few SIP messages (RFC 3261) that a carrier needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}
_REASONS = {
    100: "Trying",
    180: "Ringing",
    200: "OK",
    403: "Forbidden",
    404: "Not Found",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    503: "Service Unavailable",
    603: "Decline",
    607: "Unwanted",
    608: "Rejected",
}
_USER = re.compile(r"sips?:([^@;>]*)@", re.IGNORECASE)
_QUOTED_NAME = re.compile(r'\s*"((?:[^"\\]|\\.)*)"\s*<')
_BARE_NAME = re.compile(r"\s*([^<\"]*?)\s*<")


@dataclass(frozen=True, slots=True)
class SipMessage:
    """Hold one request or response; header names are in lower case and in their long form."""

    start: str
    headers: tuple[tuple[str, str], ...]

    @property
    def is_request(self) -> bool:
        """Tell a request from a response."""
        return not self.start.startswith("SIP/2.0 ")

    @property
    def method(self) -> str:
        """Return the method of the request, or of the request that this answers."""
        return self.start.split(" ", 1)[0] if self.is_request else self.header("cseq").split()[-1]

    @property
    def request_user(self) -> str:
        """Return the user part of the request's URI: the number dialled."""
        return address_user(self.start.split(" ")[1])

    def header(self, name: str) -> str:
        """Return the first header of this name, or an empty string."""
        return next((value for key, value in self.headers if key == name), "")

    def all(self, name: str) -> list[str]:
        """Return every header of this name, in order."""
        return [value for key, value in self.headers if key == name]


def parse(datagram: bytes) -> SipMessage | None:
    """Return the message in a datagram, or None where it holds none (a keep-alive, a torn one)."""
    head, _, _ = datagram.decode("utf-8", errors="replace").partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    headers = []
    for line in lines:
        name, separator, value = line.partition(":")
        if separator:
            name = name.strip().lower()
            headers.append((_COMPACT.get(name, name), value.strip()))
    return SipMessage(start, tuple(headers)) if "SIP/2.0" in start and headers else None


def address_user(address: str) -> str:
    """Return the user part of a SIP address: the number in a From header."""
    found = _USER.search(address)
    return found.group(1) if found else ""


def display_name(address: str) -> str:
    """Return the display name of a SIP address, or an empty string."""
    found = _QUOTED_NAME.match(address) or _BARE_NAME.match(address)
    return found.group(1).replace('\\"', '"').replace("\\\\", "\\") if found else ""


def response(request: SipMessage, status: int, *, tag: str = "", contact: str = "", body: str = "") -> bytes:
    """Return the datagram that answers a request with this status."""
    to = request.header("to")
    if tag and ";tag=" not in to:
        to = f"{to};tag={tag}"
    headers = [("Via", via) for via in request.all("via")]
    headers += [("Record-Route", route) for route in request.all("record-route")]
    headers += [(name, request.header(name.lower())) for name in ("From", "Call-ID", "CSeq")]
    headers.append(("To", to))
    if contact:
        headers.append(("Contact", contact))
    return _write(f"SIP/2.0 {status} {_REASONS.get(status, 'Rejected')}", headers, body)


def request(start: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return the datagram of a request without a body."""
    return _write(start, headers, "")


def _write(start: str, headers: Iterable[tuple[str, str]], body: str) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in headers), "Server: carrier"]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body.encode())}")
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
