"""`Idempotency-Key`: a change that is sent twice is made once, and answered twice with the same answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.api.problems import problem_error, problem_reply
from ami_rotator.http.replies import ApiError
from ami_rotator.ledger.database import Database

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_KEPT_MAX = 1_000_000


async def once(
    request: web.Request,
    database: Database,
    principal: str,
    fingerprint: str,
    answer: Callable[[], Awaitable[web.StreamResponse]],
    is_secret: bool = False,
) -> web.StreamResponse:
    """Answer, or repeat the answer that the same request got. Without the header, just answer.

    A request that failed on our side (5xx) gives its key back: trying again may succeed. A daemon that died in between
    holds the key for two minutes. Passwords (`is_secret`) are not kept.

    Raises:
        ApiError: 422 where the key is no key or was used for another request, 409 while the first request runs.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return await answer()
    if not _KEY.fullmatch(key):
        raise problem_error(
            "invalid", f"{HEADER} has to be 1 to 200 printable characters without spaces, such as a UUID."
        )
    try:
        if await database.value("begin_idempotent", principal, key, fingerprint) is None:
            return await _repeat(database, principal, key, fingerprint)
    except LedgerUnavailableError:
        detail = "PostgreSQL does not answer, so it cannot be told whether this was asked before. Nothing was changed."
        raise problem_error("ledger_away", detail, headers={"Retry-After": "5"}) from None
    try:
        response = await answer()
    except ApiError as error:
        if error.status >= 500 or error.status == 429:
            await _give_back(database, principal, key)
        else:
            await _keep(database, principal, key, problem_reply(error))
        raise
    except BaseException:
        await _give_back(database, principal, key)
        raise
    await _keep(database, principal, key, response, is_secret=is_secret)
    return response


async def _repeat(database: Database, principal: str, key: str, fingerprint: str) -> web.Response:
    rows = await database.rows("idempotent_answer", principal, key)
    if rows and rows[0]["fingerprint"] != fingerprint:
        raise problem_error("key_reused", f"This {HEADER} was used for another request. Use a new one for each change.")
    if not rows or rows[0]["status"] is None:
        detail = "The first request with this key is still under way. Ask again in a moment."
        raise problem_error("under_way", detail, headers={"Retry-After": "1"})
    row = rows[0]
    return web.Response(
        body=row["body"], status=row["status"], content_type=row["content_type"] or None, headers={REPLAYED: "true"}
    )


async def _keep(
    database: Database, principal: str, key: str, response: web.StreamResponse, *, is_secret: bool = False
) -> None:
    body = response.body if isinstance(response, web.Response) else None
    kept = bytes(body) if isinstance(body, bytes | bytearray) else b""
    if is_secret:
        kept = orjson.dumps({**orjson.loads(kept), "password": None})
    if len(kept) > _KEPT_MAX:
        kept = b'{"note":"the answer was too large to keep; the change was made"}'
    try:
        await database.run(
            "keep_idempotent_answer", principal, key, response.status, response.content_type if kept else "", kept
        )
    except LedgerUnavailableError:
        return  # the change was made and is answered; the key is held for two minutes, then forgotten


async def _give_back(database: Database, principal: str, key: str) -> None:
    try:
        await database.run("drop_idempotency_key", principal, key)
    except LedgerUnavailableError:
        return  # held for two minutes
