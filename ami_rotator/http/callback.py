"""`GET /callback`: who called the person that calls back; for the dialplan of inbound numbers, and for people."""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ami_rotator.domain.numbers import parse_number, present
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.auth import access
from ami_rotator.http.deps import DEPS
from ami_rotator.http.next_cid import Line, check_access
from ami_rotator.http.replies import ApiError, invalid, json_reply

_UNKNOWN = "No call from this number is known"


def _no_separator(value: str) -> str:
    return value.replace(":", "")


class CallbackQuery(BaseModel):
    """The query string: the number that was called, and who calls it (empty where it is withheld)."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    did: Annotated[Line, AfterValidator(str.strip)] = Field(min_length=1, max_length=40)
    caller: Annotated[Line, AfterValidator(str.strip)] = Field("", max_length=40, alias="from")
    format: Literal["json", "plain"] = "json"


@access("caller")
async def callback(request: web.Request) -> web.Response:
    """Answer with campaign, lead and agent of the last call; plain: `campaign:lead:agent:match`.

    Raises:
        ApiError: 403, 401, 422; 404 where the number was never shown; 503 while PostgreSQL is away. In plain format the
            middleware makes an empty body of it.
    """
    deps = request.app[DEPS]
    check_access(deps, request, request.transport.get_extra_info("peername") if request.transport else None)
    try:
        query = CallbackQuery.model_validate(dict(request.query.items()))
    except ValidationError as error:
        raise invalid(error, "query") from None
    region = deps.settings.default_region
    did = parse_number(query.did, region)
    if did is None or deps.callback is None:
        raise ApiError(404, _UNKNOWN)
    try:
        found = await deps.callback(did, parse_number(query.caller, region))
    except LedgerUnavailableError as error:
        raise ApiError(503, "The ledger does not answer; it is asked again with the next call") from error
    if found is None:
        raise ApiError(404, _UNKNOWN)
    if query.format == "plain":
        parts = (found.campaign, found.lead_id, found.agent, found.match)
        return web.Response(text=":".join(map(_no_separator, parts)), content_type="text/plain")
    return json_reply(
        {
            "match": found.match,
            "campaign": found.campaign,
            "lead_id": found.lead_id or None,
            "agent": found.agent or None,
            "caller_id": present(found.caller_id, deps.settings.presentation),
            "outcome": found.outcome or None,
            "called_at_ms": found.called_at_ms,
        }
    )
