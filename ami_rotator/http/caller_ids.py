"""`POST /add-number`: a caller-ID for the inventory."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ami_rotator.domain.campaign import is_group_name
from ami_rotator.domain.numbers import parse_number, present
from ami_rotator.domain.types import Area, Group
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.auth import access
from ami_rotator.http.deps import DEPS, NewCallerId
from ami_rotator.http.next_cid import Line
from ami_rotator.http.replies import ApiError, invalid, json_reply

_META_MAX = 4096


def _meta_size(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        raise ValueError("is nested too deeply") from None
    if size > _META_MAX:
        raise ValueError(f"is larger than {_META_MAX} bytes of JSON")
    return value


def _group_name(value: str) -> str:
    if not is_group_name(value):
        raise ValueError("can have letters, digits, _, - and . only, 40 at most")
    return value


class AddNumber(BaseModel):
    """The body. A limit that is not given (or null) is the default; 0 is never."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    caller_id: Line = Field(max_length=20)
    carrier: Line | None = Field(None, max_length=100)
    area_code: str | None = Field(None, pattern=r"^[0-9]{0,3}$")
    daily_limit: int | None = Field(None, ge=0, le=1_000_000)
    hourly_limit: int | None = Field(None, ge=0, le=1_000_000)
    meta: Annotated[dict[str, Any], AfterValidator(_meta_size)] | None = None
    group: Annotated[str, AfterValidator(_group_name)] | None = None


@access("admin")
async def add_number(request: web.Request) -> web.Response:
    """Store a caller-ID.

    Raises:
        ApiError: 401, 403; 422 for a body that is not right; 400 where the number is there already; 500 where it could not
            be stored.
    """
    deps = request.app[DEPS]
    body = _read(await request.read())
    number = parse_number(body.caller_id, deps.settings.default_region)
    if number is None:
        message = "Value error, is not a phone number; write 5551234567 or, with country code, +15551234567"
        raise ApiError(
            422, [{"type": "value_error", "loc": ["body", "caller_id"], "msg": message, "input": body.caller_id}]
        )
    shown = present(number, deps.settings.presentation)
    new = NewCallerId(
        number=number,
        carrier=body.carrier or None,
        area=Area(body.area_code) if body.area_code else None,
        group=Group(body.group) if body.group else None,
        daily_limit=body.daily_limit,
        hourly_limit=body.hourly_limit,
        meta=body.meta or {},
    )
    try:
        is_new = await deps.add_caller_id(new)
    except LedgerUnavailableError as error:
        raise ApiError(
            500, "Failed to add caller-ID: the database does not answer and nothing was stored; try again"
        ) from error
    if not is_new:
        raise ApiError(400, f"Caller-ID {shown} already exists")
    return json_reply({"status": "success", "message": f"Caller-ID {shown} added successfully", "caller_id": shown})


def _read(raw: bytes) -> AddNumber:
    try:
        return AddNumber.model_validate(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        detail = {"type": "json_invalid", "loc": ["body", error.pos], "msg": "JSON decode error", "input": {}}
        raise ApiError(422, [{**detail, "ctx": {"error": error.msg}}]) from None
    except ValidationError as error:
        raise invalid(error, "body") from None
