"""What an ended call means, from Q.850 cause, SIP code and DialStatus."""

from __future__ import annotations

from ami_rotator.domain.types import Outcome

# ITU-T Q.850 table 1. Only those that say more than "it failed".
_BY_CAUSE: dict[int, Outcome] = {
    1: "not_found",  # unallocated number; what Asterisk makes of SIP 404
    17: "busy",
    18: "no_answer",
    19: "no_answer",
    21: "declined",  # call rejected
    22: "not_found",  # number changed
    28: "not_found",  # invalid number format
    34: "congestion",
    38: "congestion",
    42: "congestion",
    127: "failed",  # interworking; Asterisk 16 has it for SIP 607, with DialStatus NOANSWER and no SIP code
}

# RFC 3261 21.4.18 and 21.6; RFC 8197 (607 Unwanted); RFC 8688 (608 Rejected).
_BY_SIP: dict[int, Outcome] = {
    404: "not_found",
    410: "not_found",
    480: "no_answer",
    486: "busy",
    487: "cancelled",
    503: "congestion",
    600: "busy",
    603: "declined",
    604: "not_found",
    607: "unwanted",
    608: "unwanted",
}

_BY_DIALSTATUS: dict[str, Outcome] = {
    "ANSWER": "answered",
    "BUSY": "busy",
    "NOANSWER": "no_answer",
    "CANCEL": "cancelled",
    "CONGESTION": "congestion",
    "CHANUNAVAIL": "failed",
}


def outcome_of(dial_status: str, cause: int, sip: int = 0) -> Outcome:
    """Return the outcome of an attempt.

    The most exact source wins: SIP code, then cause, then DialStatus (for SIP 404 `DialEnd` says NOANSWER while the cause
    is 1). An answered call stays answered whatever it was hung up with, and so does a cancelled one: cause 16 and SIP 487
    are then ours.
    """
    if dial_status in ("ANSWER", "CANCEL"):
        return _BY_DIALSTATUS[dial_status]
    if sip in _BY_SIP:
        return _BY_SIP[sip]
    if cause in _BY_CAUSE:
        return _BY_CAUSE[cause]
    return _BY_DIALSTATUS.get(dial_status, "failed" if cause else "unknown")
