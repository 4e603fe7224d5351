"""The HTTP server: routes, the headers of every answer, and what becomes of errors."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp_jinja2
import jinja2
import structlog
from aiohttp import web

from ami_rotator.cancellation import TimeLimit
from ami_rotator.http import callback, caller_ids, dashboard, explain, health, live, next_cid, openapi, sign_in
from ami_rotator.http.api.problems import PREFIX, problem_reply
from ami_rotator.http.api.routes import add_api
from ami_rotator.http.auth import find_out_who
from ami_rotator.http.deps import DEPS, Deps
from ami_rotator.http.pages.routes import add_pages
from ami_rotator.http.replies import CONTENT_POLICY, NOTHING_FROM_ELSEWHERE, ApiError, error_reply, json_reply
from ami_rotator.http.slow import in_time

BODY_MAX = 16 * 1024
_TIMED = ("/next-cid", "/health")

_log = structlog.get_logger(__name__)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def make_app(deps: Deps) -> web.Application:
    """Build the application. It starts nothing; whoever watches the dashboard starts the broadcaster."""
    app = web.Application(middlewares=[_timed, _errors, find_out_who], client_max_size=BODY_MAX)
    app[DEPS] = deps
    app[next_cid.BUDGET] = TimeLimit(deps.settings.answer_budget_ms / 1000)
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(deps.web_dir / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        filters={"thousands": "{:,}".format},
        trim_blocks=True,
        lstrip_blocks=True,
    )
    app[live.BROADCASTER] = live.Broadcaster(partial(dashboard.live_part, app))
    app.on_response_prepare.append(_headers)
    app.on_shutdown.append(_end_streams)
    add_get = partial(app.router.add_get, allow_head=False)
    add_get("/", dashboard.root)
    add_get("/next-cid", next_cid.next_cid)
    add_get("/health", health.health)
    add_get("/livez", health.livez)
    add_get("/metrics", health.metrics)
    add_get("/api/stats", health.stats)
    add_get("/api/explain", explain.explain)
    add_get("/api/observed", explain.observed)
    add_get("/callback", callback.callback)
    add_get("/openapi.json", openapi.describe)
    add_get(f"{PREFIX}/openapi.json", openapi.describe)
    add_get(f"{PREFIX}/docs", openapi.read)
    add_api(app)
    add_get("/dashboard", dashboard.now)
    add_get("/dashboard/live", live.live)
    add_get("/sign-in", sign_in.sign_in_form)
    add_get("/sign-in/{code}", sign_in.sign_in_by_link)
    app.router.add_post("/sign-in", sign_in.sign_in)
    app.router.add_post("/sign-out", sign_in.sign_out)
    app.router.add_post("/add-number", caller_ids.add_number)
    if deps.pages is not None:
        add_pages(app, deps.pages)
    app.router.add_static("/static", deps.web_dir / "static")
    return app


@web.middleware
async def _timed(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Measure what machines wait for."""
    answered = request.app[DEPS].answered
    if answered is None or request.path not in _TIMED:
        return await handler(request)
    began = time.monotonic()
    response = await handler(request)
    answered(request.path, response.status, time.monotonic() - began)
    return response


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every error into the JSON that the contract has; in plain format into a body that a dialplan can take."""
    is_api = request.path.startswith(PREFIX)
    try:
        return await (handler(request) if request.content.is_eof() else in_time(request, handler))
    except ApiError as error:
        reply = problem_reply(error) if is_api else error_reply(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        refused = ApiError(error.status, error.reason, allow)
        reply = problem_reply(refused) if is_api else error_reply(refused)
    except Exception:
        request_id = secrets.token_hex(8)
        _log.exception("request failed", request_id=request_id, method=request.method, path=request.path)
        if is_api:
            detail = "A fault in ami_rotator. Tell whoever looks after it the request id; the log has the rest."
            reply = problem_reply(ApiError(500, detail), request_id)
        else:
            reply = json_reply({"detail": "Internal server error", "request_id": request_id}, 500)
    if next_cid.wants_plain(request):
        return _nothing(reply)
    return reply


def _nothing(reply: web.Response) -> web.Response:
    """Return the empty body that means "keep your own number": CURL() takes a body whatever the status says."""
    is_refused = reply.status in (401, 403, 405)
    kept = {name: reply.headers[name] for name in ("Allow", "Retry-After", "X-Rotator-Reason") if name in reply.headers}
    return web.Response(status=reply.status if is_refused else 200, headers=kept, content_type="text/plain")


_EVERYWHERE = {"Server": "ami_rotator", "X-Content-Type-Options": "nosniff"}
_PAGES = {
    **_EVERYWHERE,
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_MACHINES = {**_PAGES, CONTENT_POLICY: NOTHING_FROM_ELSEWHERE}


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    headers = response.headers
    if request.path.startswith("/static/"):
        headers.update(_EVERYWHERE)
        headers["Cache-Control"] = "no-cache"  # with ETag and Last-Modified: asked for, but sent only when changed
        return
    headers.setdefault("Cache-Control", "no-store")
    headers.update(_PAGES if CONTENT_POLICY in headers else _MACHINES)


async def _end_streams(app: web.Application) -> None:
    await app[live.BROADCASTER].close()
