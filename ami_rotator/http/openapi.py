"""`GET /openapi.json`: the API for machines, from the same models that read the requests."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from ami_rotator.http.auth import access
from ami_rotator.http.caller_ids import AddNumber
from ami_rotator.http.next_cid import NextCidQuery
from ami_rotator.http.replies import json_reply


@access("public")
async def describe(_request: web.Request) -> web.Response:
    """Answer with the OpenAPI 3.1 document."""
    return json_reply(document())


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    admin: dict[str, Any] = {"security": [{"bearer": []}, {"adminToken": []}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "ami_rotator", "version": version("ami_rotator")},
        "paths": {
            "/next-cid": {
                "get": {
                    "summary": "The caller-ID of a call",
                    "parameters": _parameters(NextCidQuery),
                    "responses": _responses(
                        {200: "The caller-ID", 403: "Not from this address", 422: "A parameter is missing or wrong"}
                        | {429: "Over the rate limit", 503: "No caller-ID for this call; keep your own"}
                    ),
                }
            },
            "/add-number": {
                "post": {
                    "summary": "Add a caller-ID to the inventory",
                    **admin,
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": AddNumber.model_json_schema()}},
                    },
                    "responses": _responses(
                        {200: "Added", 400: "There already", 401: "Wrong token", 403: "No token", 422: "Not right"}
                    ),
                }
            },
            "/api/stats": {
                "get": {
                    "summary": "Counts of the inventory",
                    **admin,
                    "responses": _responses({200: "The counts", 401: "Wrong token", 403: "No token", 503: "No Redis"}),
                }
            },
            "/health": {
                "get": {
                    "summary": "Whether calls are served",
                    "responses": _responses({200: "They are", 503: "They are not"}),
                }
            },
            "/livez": {"get": {"summary": "Whether the process lives", "responses": _responses({200: "It does"})}},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "adminToken": {"type": "apiKey", "in": "header", "name": "X-Admin-Token"},
            }
        },
    }


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema(by_alias=False)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema["properties"].items()
    ]


def _responses(meanings: dict[int, str]) -> dict[str, Any]:
    return {str(status): {"description": meaning} for status, meaning in meanings.items()}
