"""What a call asks the pool, and what its answer means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.ladder import Step
from ami_rotator.domain.types import E164, Area, Assignment, CallRequest, Group, Miss, ReservationId, Rung


class Question(NamedTuple):
    """`reservation` is the id a new reservation will have: sending it twice makes one.

    `area` is the destination's; `steps` are walked in order; `terms` is what the campaign's policy says beyond its ladder
    (`policy_terms.terms_of`).
    """

    reservation: ReservationId
    request: CallRequest
    destination: E164 | None
    area: Area
    steps: Sequence[Step]
    terms: str = ""


def read_answer(question: Question, answer: Sequence[Any]) -> tuple[Assignment | Miss, HeldCall | None]:
    """Read what the script `assign` returned (lua/include/assign.lua), and what is to be remembered of it."""
    if answer[0] == "miss":
        return Miss(answer[1], answer[2]), None
    request, key = question.request, question.request.key
    status, reservation, caller_id, rung, group, area, carrier, meta, warm, at_ms, why = answer
    is_ours = reservation == question.reservation
    found = Assignment(
        reservation=ReservationId(reservation),
        caller_id=E164(caller_id),
        # The same call with our own id is this very question, sent again after its answer was lost.
        is_new=status == "new" or (is_ours and status == "same"),
        rung=Rung(rung),
        group=Group(group),
        area=Area(area),
        carrier=carrier,
        meta_json=meta,
        was_warm=warm == "1",
        ended=status == "ended",
        why=why,
    )
    if not is_ours or found.ended:
        return found, None
    return found, HeldCall(
        reservation=reservation,
        at_ms=int(at_ms),
        caller_id=caller_id,
        campaign=request.campaign,
        destination=question.destination or "",
        dialled=request.dialled,
        dialer=key.dialer,
        code=key.code,
        uniqueid=key.uniqueid,
        agent=request.agent,
        lead_id=request.lead_id,
        source=request.source,
        rung=rung,
        group=group,
        area=area,
        was_warm=found.was_warm,
    )
