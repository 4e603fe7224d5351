"""The API described: an OpenAPI 3.1 document from the same models that read the requests, and a page for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from ami_rotator.http.api.endpoint import Endpoint
from ami_rotator.http.api.idempotency import HEADER
from ami_rotator.http.api.problems import CODES, PREFIX, ProblemBody
from ami_rotator.http.api.routes import ENDPOINTS
from ami_rotator.http.auth import access
from ami_rotator.http.caller_ids import AddNumber
from ami_rotator.http.next_cid import NextCidQuery
from ami_rotator.http.replies import json_reply, render_page

_REF = "#/components/schemas/{model}"
_OF_ALL = ("not_authenticated", "invalid_token", "role_too_small", "too_many_requests", "internal", "ledger_away")
_OF_CHANGES = ("other_origin", "too_slow", "under_way", "key_reused", "too_large")
_ADMIN: dict[str, Any] = {"security": [{"bearer": []}, {"adminToken": []}]}


@access("public")
async def describe(_request: web.Request) -> web.Response:
    """Answer with the OpenAPI 3.1 document."""
    return json_reply(_document_once())


@access("public")
async def read(request: web.Request) -> web.Response:
    """Show the same for people."""
    context = {"endpoints": _described_once(), "codes": CODES, "prefix": PREFIX}
    return render_page(request, "api_docs.html", context)


@cache
def _document_once() -> dict[str, Any]:
    return document()


@cache
def _described_once() -> list[dict[str, Any]]:
    return described()


def document() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    schemas, components = _schemas()
    paths: dict[str, dict[str, Any]] = _contract_paths()
    for endpoint in ENDPOINTS:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ami_rotator", "version": version("ami_rotator")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The admin token, or that of a session"},
                "adminToken": {"type": "apiKey", "in": "header", "name": "X-Admin-Token"},
            },
        },
    }


def described() -> list[dict[str, Any]]:
    """Return what people want to know of each endpoint: address, role, fields in, fields out, errors."""
    return [
        {
            "method": endpoint.method,
            "path": PREFIX + endpoint.path,
            "part": endpoint.path.split("/")[1],
            "summary": endpoint.summary,
            "access": endpoint.access,
            "query": _fields(endpoint.query),
            "body": "CSV" if endpoint.body == "csv" else _fields(endpoint.body),
            "answer": _fields(endpoint.answer) or (endpoint.media if endpoint.media != "application/json" else []),
            "status": endpoint.status,
            "errors": list(endpoint.errors),
        }
        for endpoint in ENDPOINTS
    ]


def _fields(model: Any) -> list[tuple[str, str, str]]:
    """Return name, type and description of a model's fields."""
    if model is None or isinstance(model, str):
        return []
    schema = TypeAdapter(model).json_schema(mode="validation")
    required = schema.get("required", [])
    return [
        (name + ("*" if name in required else ""), _type(part), part.get("description", ""))
        for name, part in schema.get("properties", {}).items()
    ]


def _type(part: dict[str, Any]) -> str:
    if "enum" in part:
        return " | ".join(repr(value) if value == "" else str(value) for value in part["enum"])
    if "const" in part:
        return str(part["const"])
    if "anyOf" in part:
        return " | ".join(_type(one) for one in part["anyOf"])
    if "$ref" in part:
        return str(part["$ref"]).rpartition("/")[2]
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    return str(part.get("type", "any"))


def _operation(endpoint: Endpoint, schemas: dict[tuple[str, str], Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": _identity(endpoint),
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [*_path_parameters(endpoint), *_parameters(endpoint.query)],
        "responses": _answers(endpoint, schemas),
    }
    if endpoint.access not in ("public", "caller"):
        operation |= _ADMIN
        operation["description"] = f"Takes the role {endpoint.access}."
    if endpoint.is_change and endpoint.access != "public":
        operation["parameters"].append(
            {
                "name": HEADER,
                "in": "header",
                "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
                "description": "Sent again with the same key, the change is made once and answered twice",
            }
        )
    if endpoint.body == "csv":
        operation["requestBody"] = {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}
    elif endpoint.body is not None:
        schema = schemas[_key(endpoint), "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _answers(endpoint: Endpoint, schemas: dict[tuple[str, str], Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done"}
    if endpoint.answer is not None:
        good["content"] = {"application/json": {"schema": schemas[_key(endpoint), "serialization"]}}
    elif endpoint.media != "application/json":
        good["content"] = {endpoint.media: {"schema": {"type": "string"}}}
    codes = [*endpoint.errors, *_OF_ALL, *(_OF_CHANGES if endpoint.is_change else ()), "invalid", "not_found"]
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(CODES[code][0], []).append(code)
    problem = {"application/problem+json": {"schema": {"$ref": _REF.format(model=ProblemBody.__name__)}}}
    return {
        str(endpoint.status): good,
        **{
            str(status): {"description": ", ".join(found), "content": problem}
            for status, found in sorted(by_status.items())
        },
    }


def _schemas() -> tuple[dict[tuple[str, str], Any], dict[str, Any]]:
    """Return the schema of every body and answer by endpoint, and the components that they refer to."""
    inputs: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        ("problem", "serialization", TypeAdapter(ProblemBody)),
        ("add-number", "validation", TypeAdapter(AddNumber)),
    ]
    for endpoint in ENDPOINTS:
        if endpoint.body is not None and endpoint.body != "csv":
            inputs.append((_key(endpoint), "validation", TypeAdapter(endpoint.body)))
        if endpoint.answer is not None:
            inputs.append((_key(endpoint), "serialization", TypeAdapter(endpoint.answer)))
    found, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    return {(str(key), mode): schema for (key, mode), schema in found.items()}, definitions["$defs"]


def _contract_paths() -> dict[str, dict[str, Any]]:
    """Return the paths of the seed's contract, whose errors have a `detail` only."""
    return {
        "/next-cid": {
            "get": {
                "summary": "The caller-ID of a call",
                "parameters": _parameters(NextCidQuery),
                "responses": _responses(
                    {
                        200: "The caller-ID",
                        401: "Wrong key",
                        403: "Not from this address",
                        422: "A parameter is not right",
                    }
                    | {429: "Over the rate limit", 503: "No caller-ID for this call; keep your own"}
                ),
            }
        },
        "/add-number": {
            "post": {
                "summary": "Add a caller-ID to the inventory",
                **_ADMIN,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": _REF.format(model="AddNumber")}}},
                },
                "responses": _responses(
                    {200: "Added", 400: "There already", 401: "Wrong token", 403: "No token", 413: "Too large"}
                    | {422: "Not right"}
                ),
            }
        },
        "/api/stats": {
            "get": {
                "summary": "Counts of the inventory",
                **_ADMIN,
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
    }


def _key(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def _identity(endpoint: Endpoint) -> str:
    words: Iterable[str] = re.findall(r"[a-z]+", endpoint.path)
    return "_".join((endpoint.method.lower(), *words))


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 200}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _parameters(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    if model is None:
        return []
    schema = model.model_json_schema(by_alias=False, ref_template=_REF)
    required = schema.get("required", [])
    definitions = schema.get("$defs", {})
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _inlined(part, definitions)}
        for name, part in schema["properties"].items()
    ]


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    """Put definitions in the place of references: parameters have no components of their own."""
    if isinstance(part, dict):
        if "$ref" in part:
            return definitions[part["$ref"].rpartition("/")[2]]
        return {name: _inlined(value, definitions) for name, value in part.items()}
    return [_inlined(value, definitions) for value in part] if isinstance(part, list) else part


def _responses(meanings: dict[int, str]) -> dict[str, Any]:
    return {str(status): {"description": meaning} for status, meaning in meanings.items()}
