"""Answers: JSON, compact as the seed's clients expect it (`"caller_id":"5551234567"`), its errors, and pages."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp_jinja2
import orjson
from aiohttp import web
from pydantic import ValidationError

from ami_rotator.errors import RotatorError

CONTENT_POLICY = "Content-Security-Policy"
NOTHING_FROM_ELSEWHERE = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
"""What answers that are no pages may bring into a browser."""

_ECHO_MAX = 100


class ApiError(RotatorError):
    """A request cannot be answered. `detail` is the body: one sentence, or the list of what is wrong with the input.

    `code` is the stable name of the error in /api/v1; empty: by its status.
    """

    def __init__(
        self,
        status: int,
        detail: str | list[dict[str, Any]],
        headers: Mapping[str, str] | None = None,
        *,
        code: str = "",
    ) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.code = code


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a compact JSON answer."""
    return web.Response(body=orjson.dumps(body), status=status, headers=headers, content_type="application/json")


def render_page(request: web.Request, template: str, context: Mapping[str, Any], status: int = 200) -> web.Response:
    """Return a page. Only scripts that have its `nonce` run, and nothing comes from elsewhere."""
    nonce = secrets.token_urlsafe(16)
    response = aiohttp_jinja2.render_template(template, request, {"nonce": nonce, **context}, status=status)
    response.headers[CONTENT_POLICY] = (
        f"{NOTHING_FROM_ELSEWHERE}; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'"
    )
    return response


def error_reply(error: ApiError) -> web.Response:
    """Return the answer for an ApiError."""
    return json_reply({"detail": error.detail}, error.status, error.headers)


def invalid(error: ValidationError, where: str) -> ApiError:
    """Return the 422 for input that a model rejects; `where` is `query` or `body`."""
    details = []
    for item in error.errors(include_context=False):
        given = item["input"]
        echo = given if isinstance(given, str | int | float) and len(str(given)) <= _ECHO_MAX else None
        details.append(
            {
                "type": item["type"],
                "loc": [where, *item["loc"]],
                "msg": item["msg"],
                "input": None if item["type"] == "missing" else echo,
                **({"url": item["url"]} if "url" in item else {}),
            }
        )
    return ApiError(422, details)
