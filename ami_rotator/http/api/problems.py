"""Errors of the API: application/problem+json (RFC 9457) with a stable `code` for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, Field

from ami_rotator.http.replies import ApiError

PREFIX = "/api/v1"

CODES: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "invalid": (422, "Some of what was sent cannot be used"),
        "not_authenticated": (401, "Nobody is signed in"),
        "invalid_token": (401, "The token is not valid, has expired, or was ended"),
        "sign_in_refused": (401, "Name, password or token is wrong"),
        "role_too_small": (403, "The role is not enough"),
        "other_origin": (403, "A browser sent it from another site"),
        "not_found": (404, "There is nothing of that name"),
        "method_not_allowed": (405, "This address does not take this method"),
        "too_slow": (408, "The body did not come in time"),
        "exists": (409, "There is something of that name already"),
        "under_way": (409, "A request with the same Idempotency-Key is under way"),
        "too_large": (413, "The body is too large"),
        "key_reused": (422, "The Idempotency-Key was used for another request"),
        "too_many_requests": (429, "The rate limit of this user is reached"),
        "too_many_tries": (429, "Too many tries to sign in"),
        "internal": (500, "A fault in ami_rotator; the log has it under the request id"),
        "redis_away": (503, "Redis does not answer"),
        "ledger_away": (503, "PostgreSQL does not answer"),
        "refused": (400, "It cannot be done"),
    }
)
"""Every error code, with its HTTP status and what it means. Codes are never renamed."""

_BY_STATUS = {
    400: "refused", 401: "invalid_token", 403: "role_too_small", 404: "not_found", 405: "method_not_allowed",
    408: "too_slow", 409: "exists", 413: "too_large", 422: "invalid", 429: "too_many_requests", 503: "ledger_away",
}  # fmt: skip


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemBody(BaseModel):
    """An error. `detail` says what happened, why, and what to do next."""

    type: str = Field(description="urn:ami-rotator:problem: and the code")
    title: str
    status: int
    code: str = Field(description="Stable; see the list of codes")
    detail: str
    errors: list[FieldProblem] = Field(default=[], description="Field by field, with the code invalid")
    request_id: str = Field(default="", description="With the code internal: what to look for in the log")


def problem_error(
    code: str, detail: str, errors: Sequence[FieldProblem] = (), headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return an error of the API."""
    fields: list[dict[str, Any]] = [error.model_dump() for error in errors]
    found = ApiError(CODES[code][0], fields or detail, headers, code=code)
    found.args = (detail,)
    return found


def problem_reply(error: ApiError, request_id: str = "") -> web.Response:
    """Return the answer for an error."""
    code = error.code or _BY_STATUS.get(error.status, "internal" if error.status >= 500 else "refused")
    status, title = CODES[code]
    fields = error.detail if isinstance(error.detail, list) else []
    detail = str(error.args[0]) if isinstance(error.detail, list) else error.detail
    body = ProblemBody(
        type=f"urn:ami-rotator:problem:{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        errors=[FieldProblem(field=item["field"], message=item["message"]) for item in fields if "field" in item],
        request_id=request_id,
    )
    return web.Response(
        body=orjson.dumps(body.model_dump(exclude_defaults=True)),
        status=status,
        headers=error.headers,
        content_type="application/problem+json",
    )
