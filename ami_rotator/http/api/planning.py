"""How many numbers are needed where, in the API."""

from __future__ import annotations

from pydantic import BaseModel, Field

from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.admin.planning import LeadQuestion, Planned, PlanQuestion
from ami_rotator.domain.planner import Caps, Per, PlacePlan
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.ledger.lead_list import LeadListError


class PlanTotals(BaseModel):
    """All places together. `calls_nowhere`: calls a day to what is no place, such as toll-free; any number serves them."""

    have: int
    needed: int
    buy: int
    idle: int
    calls_nowhere: int


class PlanAnswer(BaseModel):
    """A plan: the places that lack most first. `notes` are for people."""

    per: Per
    calls: int = Field(
        description="Calls in the ledger that it is made of, or leads in the list; 0: only idle is of use"
    )
    caps: Caps
    totals: PlanTotals
    places: list[PlacePlan]
    notes: list[str]


async def plan(call: Call) -> PlanAnswer:
    """Return the plan for the calls of the past days."""
    question: PlanQuestion = call.query
    return _answer(question, await call.desk.planning.of_ledger(question))


async def plan_for_leads(call: Call) -> PlanAnswer:
    """Return the plan for a list of leads."""
    question: LeadQuestion = call.query
    if call.file is None:
        raise RuntimeError("an endpoint that takes CSV has a file")
    try:
        return _answer(question, await call.desk.planning.of_leads(question, call.file))
    except LeadListError as error:
        raise InvalidError([Problem("body", str(error).replace(str(call.file), "the list"))]) from None


def _answer(question: PlanQuestion, found: Planned) -> PlanAnswer:
    plan = found.plan
    return PlanAnswer(
        per=question.per,
        calls=found.calls,
        caps=found.caps,
        totals=PlanTotals(
            have=plan.have, needed=plan.needed, buy=plan.buy, idle=plan.idle, calls_nowhere=plan.calls_nowhere
        ),
        places=list(plan.places),
        notes=list(found.notes),
    )


ENDPOINTS = (
    Endpoint("GET", "/plan", plan, "viewer", "How many numbers are needed where, by the ledger", query=PlanQuestion,
             answer=PlanAnswer),
    Endpoint("POST", "/plan", plan_for_leads, "viewer", "The same for a list of leads, a CSV with a column phone_number",
             query=LeadQuestion, body="csv", answer=PlanAnswer, errors=("too_large",)),
)  # fmt: skip
