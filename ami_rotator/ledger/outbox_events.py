"""The entries of the outbox stream, as the pool's scripts append them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ami_rotator.domain.types import Outcome, Source

_MS_MAX = 4_102_444_800_000  # the year 2100
_TEXT_MAX = 255

# What dialers and dialplans send is kept as it is, but for what PostgreSQL cannot store and what nobody would read.
Text = Annotated[str, AfterValidator(lambda text: text.replace("\x00", "")[:_TEXT_MAX])]
Ms = Annotated[int, Field(ge=0, le=_MS_MAX)]
CallerNumber = Annotated[str, Field(pattern=r"^\+[1-9][0-9]{6,14}$")]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID
    at: Ms
    ts: Ms


class _Request(_Event):
    campaign: Text = ""
    destination: Text = ""
    dialled: Text = ""
    dialer: Text = ""
    code: Text = ""
    uniqueid: Text = ""
    agent: Text = ""
    lead: Text = ""
    why: Text = ""
    source: Source


class AssignedEvent(_Request):
    """A call got a caller-ID."""

    event: Literal["assigned"]
    caller_id: CallerNumber
    rung: Text = ""
    group: Text = ""
    area: Text = ""
    warm: bool = False


class MissedEvent(_Request):
    """A call got none."""

    event: Literal["missed"]
    reason: Literal["none_free", "no_groups", "refused", "unavailable", "observe", "opted_out"]


class PresentedEvent(_Event):
    """A trunk leg showed a number."""

    event: Literal["presented"]
    presented: Text = ""
    trunk: Text = ""
    match: bool


class EndedEvent(_Event):
    """The reservation ended."""

    event: Literal["ended"]
    outcome: Outcome
    cause: Annotated[int, Field(ge=0, le=32767)] = 0
    sip: Annotated[int, Field(ge=0, le=32767)] = 0
    talk_ms: Annotated[int, Field(ge=0)] = 0
    dialled: bool = False


OutboxEvent = AssignedEvent | MissedEvent | PresentedEvent | EndedEvent

_ADAPTER: TypeAdapter[OutboxEvent] = TypeAdapter(Annotated[OutboxEvent, Field(discriminator="event")])


def parse_event(fields: Mapping[str, str]) -> OutboxEvent:
    """Read an entry. An empty field is one that was not known: the scripts have no other word for it.

    Raises:
        ValueError: it is not one of ours; says which field and why.
    """
    try:
        return _ADAPTER.validate_python({name: value for name, value in fields.items() if value})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "entry"
        raise ValueError(f"{where}: {first['msg']}") from None
