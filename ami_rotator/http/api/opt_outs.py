"""Opt-outs in the API: destinations for which no caller-ID is given. Only operators see them: they are people's numbers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ami_rotator.admin.opt_outs import NewOptOuts, OptOutChange, OptOutReport
from ami_rotator.http.api.endpoint import Call, Endpoint
from ami_rotator.http.api.models import AfterText, LimitCount, Page, Text
from ami_rotator.ledger.opt_outs import OptOut
from ami_rotator.ledger.paging import Cursor


class OptOutQuery(BaseModel):
    """A page of the list, in order of number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: Text = Field("", description="Only numbers that begin so")
    after: AfterText = ""
    limit: LimitCount = 50


class OptOutAnswer(BaseModel):
    """What became of a change. `unchanged` were so before; `in_pool` is false where Redis, away now, follows later."""

    done: int
    unchanged: int
    in_pool: bool


async def list_opt_outs(call: Call) -> Page[OptOut]:
    """Return a page of the list."""
    query: OptOutQuery = call.query
    page = await call.desk.opt_outs.page(query.number, Cursor(query.after), query.limit)
    return Page(items=list(page.items), next=page.following)


async def add_opt_outs(call: Call) -> OptOutAnswer:
    """Put destinations on the list."""
    return _answer(await call.desk.opt_outs.add(call.actor, call.body))


async def remove_opt_outs(call: Call) -> OptOutAnswer:
    """Take destinations off the list."""
    return _answer(await call.desk.opt_outs.remove(call.actor, call.body))


def _answer(report: OptOutReport) -> OptOutAnswer:
    return OptOutAnswer(done=report.done, unchanged=report.unchanged, in_pool=report.is_in_pool)


ENDPOINTS = (
    Endpoint("GET", "/opt-outs", list_opt_outs, "operator", "List destinations that get no caller-ID", query=OptOutQuery,
             answer=Page[OptOut]),
    Endpoint("POST", "/opt-outs", add_opt_outs, "operator", "Give destinations no caller-ID from now on", body=NewOptOuts,
             answer=OptOutAnswer),
    Endpoint("POST", "/opt-outs/remove", remove_opt_outs, "operator", "Take destinations off the list", body=OptOutChange,
             answer=OptOutAnswer),
)  # fmt: skip
