"""`GET /next-cid`: the caller-ID of a call, for a dialplan that has to ask."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import orjson
import phonenumbers
from aiohttp import web
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from ami_rotator.cancellation import TimeLimit
from ami_rotator.domain.types import Assignment, CallRequest, Dialer, Miss
from ami_rotator.http.asking import (
    NO_DIALER,
    address_of,
    call_request,
    has_key,
    is_dialled_out,
    may_ask,
    only_dialer,
    shown,
)
from ami_rotator.http.auth import access
from ami_rotator.http.deps import DEPS, Deps, LimitKind
from ami_rotator.http.replies import ApiError, invalid, json_reply

CODE_MAX = 100
NONE_AVAILABLE = "No available caller-ID found"

BUDGET = web.AppKey("BUDGET", TimeLimit)
"""How long a dialplan is kept waiting."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIALLED = re.compile(r"\+?[0-9*#][0-9*#\s().\-/]{2,39}")


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("has a control character in it; write it on one line")
    return value


def _dialled(value: str) -> str:
    if not _DIALLED.fullmatch(value.strip()):
        raise ValueError("is not a phone number; write digits, with or without dial prefix")
    return value.strip()


Line = Annotated[str, AfterValidator(_one_line)]


class NextCidQuery(BaseModel):
    """The query string. `call`, `uid` and `ch` are what older hooks call `code`, `uniqueid` and `channel`."""

    model_config = ConfigDict(extra="ignore", frozen=True, validate_by_name=True, validate_by_alias=True)

    to: Annotated[Line, AfterValidator(_dialled)] = Field(max_length=40)
    campaign: Line = Field(max_length=100)
    agent: Line = Field(max_length=100)
    uniqueid: Line = Field("", max_length=150, validation_alias=AliasChoices("uniqueid", "uid"))
    channel: Line = Field("", max_length=150, validation_alias=AliasChoices("channel", "ch"))
    code: Line = Field("", max_length=CODE_MAX, validation_alias=AliasChoices("code", "call"))
    dialer: Line = Field("", max_length=40)
    format: Literal["json", "plain"] = "json"


def wants_plain(request: web.Request) -> bool:
    """Tell whether the answer goes into a dialplan variable as it is: then it is bare digits or nothing."""
    return request.path in ("/next-cid", "/callback") and request.query.get("format") == "plain"


@access("caller")
async def next_cid(request: web.Request) -> web.Response:
    """Answer with the caller-ID of a call.

    Raises:
        ApiError: 403, 401, 422, 429 or 503. In plain format the middleware makes an empty body of it.
    """
    deps = request.app[DEPS]
    peer = request.transport.get_extra_info("peername") if request.transport else None
    check_access(deps, request, peer)
    query = _read(request)
    call = _call(deps, query)
    answer: Assignment | Miss
    try:
        answer = await request.app[BUDGET].within(_answer(deps, query, call, peer))
    except TimeoutError:
        answer = Miss("unavailable", "no answer within the budget")
    if isinstance(answer, Miss):
        raise ApiError(503, NONE_AVAILABLE, {"X-Rotator-Reason": answer.reason})
    number = shown(answer, deps.settings.presentation)
    if query.format == "plain":
        return web.Response(text=number, content_type="text/plain")
    return json_reply(_body(answer, number))


def check_access(deps: Deps, request: web.Request, peer: object) -> None:
    """Refuse who may not ask; raises ApiError: 403, 401."""
    if not may_ask(deps.settings, peer):
        raise ApiError(403, "This address may not ask; add its network to NEXT_CID_NETWORKS")
    given = request.headers.get("X-Api-Key") or request.query.get("key", "")
    if not has_key(deps.settings, given):
        raise ApiError(401, "Invalid key") if given else ApiError(403, "Not authenticated")


def _read(request: web.Request) -> NextCidQuery:
    try:
        return NextCidQuery.model_validate(dict(request.query.items()))
    except ValidationError as error:
        raise invalid(error, "query") from None


def _call(deps: Deps, query: NextCidQuery) -> CallRequest:
    if query.dialer and query.dialer not in (*deps.dialers, NO_DIALER):
        raise _wrong("dialer", query.dialer, "No dialer has this name; write one of DIALERS")
    call = call_request(
        dialled=query.to,
        campaign=query.campaign,
        dialer=Dialer(query.dialer) if query.dialer else only_dialer(deps.dialers),
        source="http",
        agent=query.agent,
        uniqueid=query.uniqueid,
        caller_id_name=query.code,
    )
    if not call.campaign:
        raise _wrong("campaign", "", "A campaign is needed: it says which caller-IDs may be used")
    return call


def _wrong(name: str, given: str, message: str) -> ApiError:
    return ApiError(422, [{"type": "value_error", "loc": ["query", name], "msg": message, "input": given}])


async def _answer(deps: Deps, query: NextCidQuery, call: CallRequest, peer: object) -> Assignment | Miss:
    await _check_rate(deps, query.agent, peer)
    if not is_dialled_out(query.channel):
        return Miss("refused", "not a Local channel")
    return await deps.assigner.assign(call)


async def _check_rate(deps: Deps, agent: str, peer: object) -> None:
    address = address_of(peer)
    uses: list[tuple[LimitKind, str]] = []
    if address is not None and not address.is_loopback:
        uses.append(("ip", str(address)))
    if agent:
        uses.append(("agent", agent))
    over = await deps.allow.first_over(*uses) if uses else None
    if over is not None:
        kind, wait_s = over
        who = "IP" if kind == "ip" else "Agent"
        raise ApiError(429, f"{who} rate limit exceeded", {"Retry-After": str(max(1, round(wait_s)))})


def _body(assignment: Assignment, number: str) -> dict[str, Any]:
    meta = orjson.loads(assignment.meta_json) if assignment.meta_json else {}
    return {
        "caller_id": number,
        "carrier": assignment.carrier or None,
        "area_code": _national_area(assignment),
        "meta": meta if isinstance(meta, dict) else {},
        "rung": assignment.rung.value,
        "reservation": assignment.reservation,
    }


def _national_area(assignment: Assignment) -> str | None:
    if not assignment.area.startswith("+"):
        return assignment.area or None
    country = phonenumbers.parse(assignment.caller_id, None).country_code
    return assignment.area.removeprefix(f"+{country}") or None
