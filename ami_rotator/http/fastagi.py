"""The same answer over FastAGI, for an Asterisk without func_curl: it sets `CALLERID(num)` and nothing else.

Asterisk waits for a FastAGI server without any time limit, so the limit is here: after the budget the connection is closed
and the dialplan goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import parse_qs

import structlog
from panoramisk.fast_agi import Application, Request

from ami_rotator.domain.types import Assignment, Dialer
from ami_rotator.http.asking import NO_DIALER, call_request, has_key, is_dialled_out, may_ask, only_dialer, shown
from ami_rotator.http.deps import Deps
from ami_rotator.http.next_cid import CODE_MAX, NextCidQuery

SCRIPT = "next-cid"
HEADERS_MAX = 16 * 1024

_log = structlog.get_logger(__name__)


class FastAgi(Application):  # type: ignore[misc]  # panoramisk has no types
    """The FastAGI application.

    panoramisk's `Request` speaks the protocol. Its `handler` is replaced, because with panoramisk 1.4 a client that closes
    before its headers end makes it read the end of the stream for ever and stops the whole event loop; headers have no
    limit of size or time; a name that is not UTF-8 raises; a script with a query has no route; and it swallows
    cancellation, which no deadline survives.
    """

    def __init__(self, deps: Deps) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._deps = deps
        self._budget_s = deps.settings.answer_budget_ms / 1000

    async def handler(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, for no longer than the budget."""
        try:
            async with asyncio.timeout(self._budget_s):
                await self._serve(reader, writer)
        except TimeoutError:
            _log.warning("fastagi answer too late", budget_s=self._budget_s)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            # Hung up meanwhile, or not AGI at all. panoramisk raises ValueError for an answer that has no code, and so does
            # the model for what is no number, too long, or not one line.
            _log.info("fastagi connection ended early", error=type(error).__name__)
        except Exception:
            _log.exception("fastagi request failed")
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = _parse(await reader.readuntil(b"\n\n"))
        script, _, query_text = headers.get("agi_network_script", "").partition("?")
        query = {name: values[-1] for name, values in parse_qs(query_text).items()}
        if not self._may_ask(writer, script, query):
            _log.warning("fastagi request refused", script=script[:40])
            return
        if not is_dialled_out(headers.get("agi_channel", "")):
            return
        request = Request(app=self, headers=headers, reader=reader, writer=writer, encoding="latin-1")
        number = await self._number(request, headers, self._dialer(query.get("dialer", "")))
        if number:
            await request.send_command(f"SET VARIABLE CALLERID(num) {number}")

    async def _number(self, request: Request, headers: Mapping[str, str], dialer: Dialer) -> str:
        query = NextCidQuery(
            to=headers.get("agi_extension", ""),
            campaign=await _variable(request, "CAMPCUST"),
            agent="",
            uniqueid=headers.get("agi_uniqueid", ""),
            code=headers.get("agi_calleridname", "")[:CODE_MAX],
        )
        call = call_request(
            dialled=query.to,
            campaign=query.campaign,
            dialer=dialer,
            source="fastagi",
            uniqueid=query.uniqueid,
            caller_id_name=query.code,
        )
        if not call.campaign:
            return ""
        if call.agent and await self._deps.allow("agent", call.agent) is not None:
            return ""
        answer = await self._deps.assigner.assign(call)
        return shown(answer, self._deps.settings.presentation) if isinstance(answer, Assignment) else ""

    def _may_ask(self, writer: asyncio.StreamWriter, script: str, query: Mapping[str, str]) -> bool:
        return (
            script == SCRIPT
            and may_ask(self._deps.settings, writer.get_extra_info("peername"))
            and has_key(self._deps.settings, query.get("key", ""))
            and query.get("dialer", NO_DIALER) in (*self._deps.dialers, NO_DIALER)
        )

    def _dialer(self, name: str) -> Dialer:
        return Dialer(name) if name else only_dialer(self._deps.dialers)


async def start_fastagi(deps: Deps) -> asyncio.Server:
    """Listen on API_HOST, FASTAGI_PORT (0 in tests: a free one). Close the server and await `wait_closed` to stop."""
    app = FastAgi(deps)
    settings = deps.settings
    return await asyncio.start_server(app.handler, settings.api_host, settings.fastagi_port, limit=HEADERS_MAX)


def _parse(raw: bytes) -> dict[str, str]:
    # Names of people come in whatever the dialler had; every byte is a character of latin-1.
    lines = raw.decode("latin-1").split("\n")
    return {name: value for name, separator, value in (line.partition(": ") for line in lines) if separator}


async def _variable(request: Request, name: str) -> str:
    """Read a channel variable: `200 result=1 (SALES)`, or `200 result=0` where it is not set."""
    reply = await request.send_command(f"GET VARIABLE {name}")
    result = reply.get("result", ("", ""))
    return str(result[1]) if result[0] == "1" else ""
