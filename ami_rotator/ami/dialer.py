"""One dialer: its AMI connection kept up, its events in order, and what can be asked of it."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from ami_rotator.ami import actions
from ami_rotator.ami.delivery import Delivery
from ami_rotator.ami.dialer_state import DialerState, Status
from ami_rotator.ami.events import Event
from ami_rotator.ami.protocol import rows_of
from ami_rotator.ami.refusals import is_missing, is_no_failure, why_not_connected
from ami_rotator.ami.session import LoginRefusedError, Session
from ami_rotator.ami.tls import client_context
from ami_rotator.cancellation import end_tasks
from ami_rotator.clock import Clock
from ami_rotator.errors import DialerActionError, DialerUnavailableError
from ami_rotator.settings import DialerSettings

_STEADY_S = 10.0
_LOGOFF_S = 1.0


class AmiDialer:
    """Keep one dialer connected for as long as `run` runs.

    `on_event`, `on_up` and `on_down` are synchronous and called one after the other, in the order things happened. `on_up`
    means logged in; what ended or began before that must be asked for with `channels`.
    """

    def __init__(
        self,
        settings: DialerSettings,
        *,
        ping_interval_s: float,
        timeout_s: float,
        clock: Clock,
        on_event: Callable[[Event], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        refused_retry_s: float = 60.0,
        backoff_first_s: float = 0.5,
        backoff_most_s: float = 5.0,
        queue_size: int = 50_000,
    ) -> None:
        self._settings = settings
        self._ping_interval_s = ping_interval_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._on_up = on_up
        self._on_down = on_down
        self._refused_retry_s = refused_retry_s
        self._backoff_first_s = backoff_first_s
        self._backoff_most_s = backoff_most_s
        self._tls = client_context(settings)
        self._delivery = Delivery(on_event, queue_size, settings.name)
        self._session: Session | None = None
        self._closing = asyncio.Event()
        self._up_at: float | None = None
        self._log = structlog.get_logger("dialer").bind(dialer=settings.name)
        self._status: Status = "down"
        self._detail = "not started"
        self._since_ms = clock.wall_ms()
        self._version = ""
        self._missing: tuple[str, ...] = ()
        self._reconnects = 0
        self._oversized = 0
        self._failed = 0
        self._last_failure = ""

    @property
    def state(self) -> DialerState:
        """Return the state at this moment."""
        session = self._session
        return DialerState(
            name=self._settings.name,
            status=self._status,
            detail=self._detail,
            version=session.version if session else self._version,
            since_ms=self._since_ms,
            reconnects=self._reconnects,
            events=self._delivery.taken,
            lag_ms=session.lag_ms if session else None,
            missing_permissions=session.missing_permissions if session else self._missing,
            queue_length=len(self._delivery),
            dropped=self._delivery.dropped,
            oversized=self._oversized + (session.protocol.splitter.oversized if session else 0),
            failed_actions=self._failed,
            last_failure=self._last_failure,
            handler_errors=self._delivery.errors,
        )

    async def run(self) -> None:
        """Connect, and connect again, until cancelled or closed. Network trouble shows in `state` and is never raised."""
        loop = asyncio.get_running_loop()
        self._delivery.start()
        failures = 0
        try:
            while not self._closing.is_set():
                if self._status == "down":
                    # Why it was lost stays to be seen until it is up again.
                    self._become("connecting", self._detail if self._reconnects else "")
                self._up_at = None
                status, detail = await self._connect_and_stay()
                self._become(status, detail)
                was_steady = self._up_at is not None and loop.time() - self._up_at > _STEADY_S
                failures = 0 if was_steady else failures + 1
                await self._pause(self._refused_retry_s if status == "refused" else self._backoff_s(failures))
                self._reconnects += 1
        finally:
            self._become("down", "closed")

    async def close(self) -> None:
        """Log off and disconnect, within a second; `run` returns."""
        self._closing.set()
        session = self._session
        if session is not None:
            await session.log_off(_LOGOFF_S)
            session.close("closed by us")

    def catch_up(self) -> bool:
        """Take what the dialer has said by now, in the middle of a turn of the loop; false where some of it has to wait."""
        session = self._session
        is_read = session is None or session.protocol.catch_up()
        return is_read and not len(self._delivery)

    def setvar(self, channel: str, variable: str, value: str) -> None:
        """Set a channel variable to digits: written at once, the answer awaited in the background, failures counted.

        Raises:
            ValueError: a field that is not safe to write; nothing was sent.
        """
        self._write(actions.setvar(channel, variable, value))

    def set_caller_id_number(self, channel: str, number: str) -> None:
        """Set `CALLERID(num)`, as `setvar` does."""
        self._write(actions.set_caller_id_number(channel, number))

    async def db_put(self, family: str, key: str, value: str) -> None:
        """Write digits into AstDB.

        Raises:
            DialerUnavailableError: not connected, or no answer in time. DialerActionError: refused. ValueError: as `setvar`.
        """
        await self._ask(actions.db_put(family, key, value))

    async def db_del(self, family: str, key: str) -> bool:
        """Delete a key of AstDB; False where there is none. Raises as `db_put`."""
        return await self._delete(actions.db_delete(family, key))

    async def db_del_tree(self, family: str) -> bool:
        """Delete a family of AstDB; False where there is none. Raises as `db_put`."""
        return await self._delete(actions.db_delete_tree(family))

    async def db_keys(self, family: str) -> list[str]:
        """Return the keys of a family of AstDB. Raises as `db_put`; DialerActionError where Asterisk has no DBGetTree."""
        answer = await self._ask(actions.db_tree(family))
        return [row["Key"].removeprefix(f"/{family}/") for row in rows_of(answer, "DBGetTreeResponse")]

    async def channels(self) -> list[Event]:
        """Return every channel, one CoreShowChannel event each, once older events are delivered. Raises as `db_put`."""
        answer = await self._ask(actions.action("CoreShowChannels"))
        delivered = asyncio.Event()
        self._delivery.put(delivered.set)
        await delivered.wait()
        rows = rows_of(answer, "CoreShowChannel")
        said = answer[-1].get("ListItems", "") if isinstance(answer, list) else ""
        if said != str(len(rows)):
            raise DialerActionError(
                f"the list of channels is not whole: {len(rows)} came, {said or 'none'} were announced"
            )
        return rows

    async def _connect_and_stay(self) -> tuple[Status, str]:
        session = Session(
            self._settings,
            self._tls,
            ping_interval_s=self._ping_interval_s,
            timeout_s=self._timeout_s,
            on_event=self._delivery.take,
        )
        status: Status = "down"
        reason = "stopped"
        inspection: asyncio.Task[None] | None = None
        try:
            await session.open()
            if self._closing.is_set():
                return status, reason
            self._session = session
            self._up_at = asyncio.get_running_loop().time()
            self._become("up", "")
            self._delivery.put(self._on_up)
            inspection = asyncio.create_task(self._inspect(session), name=f"inspect {self._settings.name}")
            await session.watch()
        except LoginRefusedError as error:
            status, reason = "refused", f"{error}; the next try is in {self._refused_retry_s:g} s"
        except (DialerUnavailableError, OSError, UnicodeError) as error:
            status = "untrusted" if isinstance(error, ssl.SSLCertVerificationError) else "down"
            reason = why_not_connected(error, self._settings.host, self._settings.port, self._timeout_s)
        finally:
            session.close(reason)
            if self._session is not None:
                self._leave(session, reason)
            if inspection is not None:
                await end_tasks(inspection)
        return status, reason

    async def _inspect(self, session: Session) -> None:
        try:
            await session.inspect()
        except (DialerUnavailableError, TimeoutError) as error:
            self._log.warning("what the AMI account may do is not known", reason=str(error))
            return
        self._log.info("logged in", version=session.version)
        for sentence in session.missing_permissions:
            self._log.warning(sentence)

    def _leave(self, session: Session, reason: str) -> None:
        self._session = None
        self._version, self._missing = session.version, session.missing_permissions
        self._oversized += session.protocol.splitter.oversized
        self._delivery.put(lambda: self._on_down(reason))

    def _backoff_s(self, failures: int) -> float:
        # Full jitter: many daemons do not come back to a restarted Asterisk all at once.
        return random.uniform(0, min(self._backoff_most_s, self._backoff_first_s * 2 ** (min(failures, 10) - 1)))

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _write(self, fields: dict[str, str]) -> None:
        session = self._session
        if session is None:
            self._count_failure(f"{fields['Action']}: not connected")
            return
        try:
            session.protocol.order(fields, self._count_failure)
        except DialerUnavailableError as error:
            self._count_failure(str(error))

    def _count_failure(self, reason: str) -> None:
        self._failed += 1
        self._last_failure = reason[:200]

    async def _ask(self, fields: dict[str, str]) -> Any:
        session = self._session
        try:
            if session is None:
                raise DialerUnavailableError(f"{self._settings.name} is not connected: {self._detail}")
            answer = await session.protocol.request(fields, self._timeout_s)
        except (DialerUnavailableError, TimeoutError) as error:
            self._count_failure(str(error))
            raise DialerUnavailableError(str(error)) from error
        first = answer[0] if isinstance(answer, list) else answer
        if not first.success:
            refusal = DialerActionError(f"{fields['Action']} was refused by {self._settings.name}: {first.message}")
            if not is_no_failure(refusal):
                self._count_failure(str(refusal))
            raise refusal
        return answer

    async def _delete(self, fields: dict[str, str]) -> bool:
        try:
            await self._ask(fields)
        except DialerActionError as error:
            if is_missing(error):
                return False
            raise
        return True

    def _become(self, status: Status, detail: str) -> None:
        if status != self._status:
            self._since_ms = self._clock.wall_ms()
        if status in ("refused", "untrusted", "down") and detail != self._detail and not self._closing.is_set():
            self._log.warning("not connected", status=status, reason=detail)
        self._status, self._detail = status, detail
