"""`GET /api/explain`: which caller-ID a call would get now, and why; `GET /api/observed`: assigned against presented."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ami_rotator.domain.types import Campaign
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError
from ami_rotator.http.auth import access
from ami_rotator.http.deps import DEPS
from ami_rotator.http.next_cid import Line
from ami_rotator.http.replies import ApiError, invalid, json_reply
from ami_rotator.pool.explaining import Explanation

_HOURS_MOST = 24 * 31


class ExplainQuery(BaseModel):
    """The query string. `to` is what is dialled, with or without dial prefix."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    to: Line = Field(min_length=1, max_length=40)
    campaign: Line = Field(min_length=1, max_length=100)
    lead: Line = Field("", max_length=20)


class ObservedQuery(BaseModel):
    """The query string."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hours: int = Field(24, ge=1, le=_HOURS_MOST)


@access("viewer")
async def explain(request: web.Request) -> web.Response:
    """Answer with the choice for a call and the ladder that was walked. Nothing is given or counted.

    Raises:
        ApiError: 401, 403, 422; 503 while Redis is away.
    """
    deps = request.app[DEPS]
    try:
        query = ExplainQuery.model_validate(dict(request.query.items()))
    except ValidationError as error:
        raise invalid(error, "query") from None
    if deps.explain is None:
        raise ApiError(503, "Nothing can be explained here: no pool is connected")
    try:
        found = await deps.explain(Campaign(query.campaign), query.to, query.lead)
    except PoolUnavailableError as error:
        raise ApiError(503, str(error)) from error
    return json_reply(body_of(found))


@access("viewer")
async def observed(request: web.Request) -> web.Response:
    """Answer with what was assigned against what was presented, by dialer and campaign.

    Raises:
        ApiError: 401, 403, 422; 503 while PostgreSQL is away.
    """
    deps = request.app[DEPS]
    try:
        query = ObservedQuery.model_validate(dict(request.query.items()))
    except ValidationError as error:
        raise invalid(error, "query") from None
    if deps.observed is None:
        raise ApiError(503, "There is no ledger here to look into")
    try:
        rows = await deps.observed(query.hours)
    except LedgerUnavailableError as error:
        raise ApiError(503, str(error)) from error
    return json_reply({"hours": query.hours, "campaigns": [asdict(row) for row in rows]})


def body_of(found: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON has it; what does not apply is null or left empty."""
    body = asdict(found)
    body["steps"] = [{name: value for name, value in step.items() if value} for step in body["steps"]]
    return body
