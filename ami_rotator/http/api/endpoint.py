"""What an endpoint is, and how a request becomes a call of its handler: who, rate, input, once, answer."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import orjson
from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from ami_rotator.admin.desk import AdminDesk
from ami_rotator.admin.errors import AdminError, InvalidError
from ami_rotator.domain.access import Actor
from ami_rotator.errors import LedgerUnavailableError, PoolUnavailableError
from ami_rotator.http.api import idempotency
from ami_rotator.http.api.problems import FieldProblem, problem_error
from ami_rotator.http.auth import WHO, Access, Handler, Identity, actor_of, peer_address, require
from ami_rotator.http.deps import DEPS, Deps
from ami_rotator.http.sign_in import desk_of
from ami_rotator.ledger.csv_rows import CsvFileError
from ami_rotator.ledger.paging import CursorError

JSON_MAX = 4 * 1024 * 1024
CSV_MAX = 64 * 1024 * 1024
_NOBODY = Identity("", "viewer")


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the API, checked. `query` and `body` are of the endpoint's models; `file` holds a CSV body."""

    request: web.Request
    deps: Deps
    desk: AdminDesk
    who: Identity
    actor: Actor
    query: Any
    body: Any
    file: Path | None = None

    def part(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the API's table. `answer` None: an answer without a body; `errors` besides those that all have.

    `is_secret`: the answer has a secret in it, which is not kept for a repetition.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Callable[[Call], Awaitable[Any]]
    access: Access
    summary: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | Literal["csv"] | None = None
    answer: Any = None
    media: str = "application/json"
    status: int = 200
    errors: tuple[str, ...] = ()
    is_secret: bool = False

    @property
    def is_change(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


def handler_of(endpoint: Endpoint) -> Handler:
    """Return the handler of an endpoint for the server."""
    adapter: TypeAdapter[Any] | None = TypeAdapter(endpoint.answer) if endpoint.answer is not None else None

    needed = endpoint.access

    async def handle(request: web.Request) -> web.StreamResponse:
        who = _NOBODY if needed == "public" or needed == "caller" else require(request, needed)
        await _check_rate(request)
        with tempfile.NamedTemporaryFile(suffix=".csv") as file:
            raw = await _read_body(request, endpoint, file)
            query = _query(request, endpoint)
            body = _body(raw, endpoint)
            call = Call(
                request, request.app[DEPS], desk_of(request), who, actor_of(request), query, body, Path(file.name)
            )

            async def answer() -> web.StreamResponse:
                found = await _guarded(endpoint, call)
                if isinstance(found, web.StreamResponse):
                    return found
                if adapter is None:
                    return web.Response(status=204)
                return web.Response(
                    body=adapter.dump_json(found, by_alias=True), status=endpoint.status, content_type=endpoint.media
                )

            if not endpoint.is_change or endpoint.access == "public":
                return await answer()
            fingerprint = hashlib.sha256(b"\0".join((request.method.encode(), request.path_qs.encode(), raw)))
            database, is_secret = call.desk.database, endpoint.is_secret
            return await idempotency.once(request, database, who.name, fingerprint.hexdigest(), answer, is_secret)

    handle.access = endpoint.access  # type: ignore[attr-defined]
    return handle


async def _guarded(endpoint: Endpoint, call: Call) -> Any:
    """Call the handler; what an administrator can get wrong, and what is away, becomes an error with its code."""
    try:
        return await endpoint.handler(call)
    except InvalidError as error:
        fields = [FieldProblem(field=item.field, message=item.message) for item in error.problems]
        raise problem_error("invalid", str(error), fields) from None
    except AdminError as error:
        raise problem_error(error.code, str(error)) from None
    except CursorError as error:
        raise problem_error("invalid", str(error), [FieldProblem(field="after", message=str(error))]) from None
    except CsvFileError as error:
        raise problem_error("invalid", str(error).replace(str(call.file), "The file")) from None
    except PoolUnavailableError:
        detail = "Redis does not answer, so nothing was read or changed there. Check that it runs; try again."
        raise problem_error("redis_away", detail, headers={"Retry-After": "5"}) from None
    except LedgerUnavailableError:
        detail = "PostgreSQL does not answer, so nothing was read or changed. Calls go on; try again later."
        raise problem_error("ledger_away", detail, headers={"Retry-After": "5"}) from None


async def _check_rate(request: web.Request) -> None:
    who = request.get(WHO)
    wait_s = await request.app[DEPS].allow("user", who.name if who else f"address {peer_address(request)}")
    if wait_s is not None:
        seconds = max(1, round(wait_s))
        detail = f"Too many requests. Wait {seconds} seconds, or raise RATE_LIMIT_PER_USER."
        raise problem_error("too_many_requests", detail, headers={"Retry-After": str(seconds)})


async def _read_body(request: web.Request, endpoint: Endpoint, file: IO[bytes]) -> bytes:
    """Return a JSON body, or the digest of a CSV body, which goes to the file."""
    if not endpoint.is_change:
        return b""
    is_csv = endpoint.body == "csv"
    most = CSV_MAX if is_csv else JSON_MAX
    parts: list[bytes] = []
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > most:
            raise problem_error("too_large", f"The body has more than {most:,} bytes. Send it in parts.")
        if is_csv:
            file.write(chunk)
            digest.update(chunk)
        else:
            parts.append(chunk)
    file.flush()
    return digest.digest() if is_csv else b"".join(parts)


def _query(request: web.Request, endpoint: Endpoint) -> Any:
    for name, value in request.match_info.items():
        if not value.isprintable() or len(value) > 200:
            raise problem_error("not_found", f"There is nothing under this {name}.")
    if endpoint.query is None:
        return None
    try:
        return endpoint.query.model_validate(dict(request.query.items()))
    except ValidationError as error:
        raise _invalid(error) from None


def _body(raw: bytes, endpoint: Endpoint) -> Any:
    if endpoint.body is None or endpoint.body == "csv":
        return None
    try:
        return endpoint.body.model_validate(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise problem_error("invalid", f"The body is not JSON: {error}. Send an object in application/json.") from None
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Exception:
    fields = [
        FieldProblem(
            field=".".join(str(part) for part in item["loc"]) or "body",
            message=item["msg"].removeprefix("Value error, "),
        )
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return problem_error("invalid", "; ".join(f"{item.field}: {item.message}" for item in fields[:10]), fields[:100])
