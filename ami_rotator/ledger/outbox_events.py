"""The entries of the outbox stream, as the pool's scripts append them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ami_rotator.domain.types import Outcome, Source

_MS_MAX = 4_102_444_800_000  # the year 2100
_TEXT_MAX = 255

Ms = Annotated[int, Field(ge=0, le=_MS_MAX)]
CallerNumber = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID
    at: Ms
    ts: Ms


class _Request(_Event):
    campaign: str = ""
    destination: str = ""
    dialled: str = ""
    dialer: str = ""
    code: str = ""
    uniqueid: str = ""
    agent: str = ""
    lead: str = ""
    why: str = ""
    source: Source


class AssignedEvent(_Request):
    """A call got a caller-ID."""

    event: Literal["assigned"]
    caller_id: CallerNumber
    rung: str = ""
    group: str = ""
    area: str = ""
    warm: bool = False


class MissedEvent(_Request):
    """A call got none."""

    event: Literal["missed"]
    reason: Literal["none_free", "no_groups", "refused", "unavailable", "observe", "opted_out"]


class PresentedEvent(_Event):
    """A trunk leg showed a number."""

    event: Literal["presented"]
    presented: str = ""
    trunk: str = ""
    match: bool


class EndedEvent(_Event):
    """The reservation ended."""

    event: Literal["ended"]
    outcome: Outcome
    cause: Annotated[int, Field(ge=0, le=32767)] = 0
    sip: Annotated[int, Field(ge=0, le=32767)] = 0
    talk_ms: Ms = 0
    dialled: bool = False


_OutboxEvent = AssignedEvent | MissedEvent | PresentedEvent | EndedEvent

_ADAPTER: TypeAdapter[_OutboxEvent] = TypeAdapter(Annotated[_OutboxEvent, Field(discriminator="event")])


def read_row(fields: Mapping[bytes, bytes]) -> orjson.Fragment:
    """Read an entry; return it as JSON, a row of `store_records` (`sql/queries/outbox.sql`).

    An empty field is one that was not known: the scripts have no other word for it. What dialers and dialplans send is kept
    as it is, but for what PostgreSQL cannot store and what nobody would read.

    Raises:
        ValueError: it is not one of ours; says which field and why.
    """
    known = {
        _name(name): text[:_TEXT_MAX]
        for name, value in fields.items()
        if value and (text := value.decode("utf-8", "replace").replace("\x00", ""))
    }
    try:
        event = _ADAPTER.validate_python(known)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        raise ValueError(f"{where}: {first['msg']}") from None
    return orjson.Fragment(orjson.dumps(vars(event)))


def as_text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return fields as PostgreSQL can keep them: what is no text, and zero bytes, are not."""
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\x00", "")


# There are some twenty of them.
_name = lru_cache(maxsize=100)(_text)
