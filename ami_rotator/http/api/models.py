"""What the API takes and gives, besides the types of the administrators' functions themselves."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ami_rotator.admin.caller_ids import CallerIdView
from ami_rotator.admin.changes import NUMBERS_MAX, TIME_MAX_MS, CallerIdChanges, Line, SwitchChanges
from ami_rotator.domain.access import Role
from ami_rotator.domain.types import State
from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort

T = TypeVar("T")
Text = Annotated[Line, Field(max_length=100)]
Time = Annotated[int, Field(ge=0, le=TIME_MAX_MS, description="Wall time in milliseconds since 1970")]
AfterText = Annotated[Line, Field(max_length=500, description="`next` of the page before; empty: the first page")]
LimitCount = Annotated[int, Field(ge=1, le=500)]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(BaseModel, Generic[T]):
    """A page of a list. `next` is the `after` of the next page, empty on the last."""

    items: list[T]
    next: str = ""


class CallerIdSelection(_Input):
    """Which caller-IDs; empty: all."""

    search: Text = Field("", description="Digits: anywhere in the number; other text: in carrier and meta")
    switch: Literal["", "active", "resting", "disabled"] = ""
    group: Text = ""
    area: Text = ""
    carrier: Text = ""

    def as_filter(self) -> CallerIdFilter:
        """Return it as the list takes it."""
        return CallerIdFilter(self.search, self.switch, self.group, self.area, self.carrier)


class CallerIdQuery(CallerIdSelection):
    """A page of caller-IDs."""

    state: State | None = Field(None, description="Where they stand in the pool now")
    sort: Sort = "number"
    after: AfterText = ""
    limit: LimitCount = 50
    count: bool = Field(False, description="Also say how many there are in all")


class StandingItem(BaseModel):
    """Where a caller-ID stands now; limits are those that hold now. Times 0: never."""

    model_config = ConfigDict(from_attributes=True)

    state: State
    live_calls: int
    last_used_ms: int
    hourly_limit: int
    used_this_hour: int
    daily_limit: int
    used_today: int
    free_at_ms: int
    warm_for: str


class CallerIdItem(BaseModel):
    """A caller-ID. A limit of null is that of its group; `now` is null while Redis is away."""

    number: str
    area: str
    group: str
    carrier: str
    switch: Literal["active", "resting", "disabled"]
    resting_until_ms: int = Field(description="0: until somebody switches it")
    attestation: str
    minute_limit: int | None
    hourly_limit: int | None
    daily_limit: int | None
    warmup_from: str
    created_at_ms: int
    meta: dict[str, Any]
    now: StandingItem | None

    @classmethod
    def of(cls, view: CallerIdView) -> Self:
        """Return a view as the API gives it."""
        record = view.record
        return cls(
            number=record.number,
            area=record.area,
            group=record.group,
            carrier=record.carrier,
            switch=record.switch,
            resting_until_ms=record.resting_until_ms,
            attestation=record.attestation,
            minute_limit=record.minute_limit,
            hourly_limit=record.hourly_limit,
            daily_limit=record.daily_limit,
            warmup_from=record.warmup_from,
            created_at_ms=record.created_at_ms,
            meta=dict(record.meta),
            now=StandingItem.model_validate(view.standing) if view.standing else None,
        )


class CallerIdPageBody(Page[CallerIdItem]):
    """A page of caller-IDs. `total` is null where it was not asked for, or would cost too much."""

    total: int | None = None


class _Targets(_Input):
    numbers: list[Annotated[Line, Field(max_length=40)]] = Field(default=[], max_length=NUMBERS_MAX)
    matching: CallerIdSelection | None = Field(None, description="Instead of numbers: all that this finds")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.numbers) == (self.matching is not None):
            raise ValueError("name either numbers or matching")
        return self


class SwitchBody(_Targets):
    """Switch many caller-IDs."""

    to: SwitchChanges


class EditBody(_Targets):
    """Change many caller-IDs: move, limits, carrier, area, attestation, switch."""

    to: CallerIdChanges


class RemoveBody(_Input):
    """Remove many caller-IDs."""

    numbers: list[Annotated[Line, Field(max_length=40)]] = Field(min_length=1, max_length=NUMBERS_MAX)


class EditAnswer(BaseModel):
    """What became of it. `missing` are not in the inventory; `in_pool` is false where Redis, away now, follows later."""

    done: int
    missing: list[str]
    in_pool: bool


class ImportQuery(_Input):
    """How to import."""

    dry_run: bool = Field(False, description="Check everything, change nothing")


class ImportProblem(BaseModel):
    """A row that was not imported (error, duplicate), or not whole (warning)."""

    model_config = ConfigDict(from_attributes=True)

    line: int
    kind: Literal["error", "warning", "duplicate"]
    reason: str


class ImportAnswer(BaseModel):
    """What came of a file. `problems` are the first 1,000."""

    model_config = ConfigDict(from_attributes=True)

    dry_run: bool
    rows: int
    added: int
    updated: int
    unchanged: int
    errors: int
    warnings: int
    duplicates: int
    new_groups: list[str]
    unknown_columns: list[str]
    problems: list[ImportProblem]


class Facets(BaseModel):
    """How many caller-IDs there are by group, area and carrier."""

    group: dict[str, int]
    area: dict[str, int]
    carrier: dict[str, int]


class SavedAnswer(BaseModel):
    """It was saved. `warnings` are worth a look; `in_pool` is false where Redis, away now, follows later."""

    warnings: list[str]
    in_pool: bool


class CallQuery(_Input):
    """A page of the ledger. Without `since_ms`, a number or a code, the last seven days."""

    campaign: Text = ""
    destination: Annotated[Line, Field(max_length=40)] = ""
    caller_id: Annotated[Line, Field(max_length=40)] = ""
    code: Text = ""
    outcome: Text = ""
    dialer: Text = ""
    agent: Text = ""
    rung: Text = ""
    source: Text = ""
    miss_reason: Text = ""
    missed: bool | None = Field(None, description="true: only calls without a caller-ID; false: only those with one")
    differs: bool = Field(False, description="Only calls that showed another number than the one assigned")
    since_ms: Time | None = None
    until_ms: Time | None = None
    after: AfterText = ""
    limit: LimitCount = 50


class AuditQuery(_Input):
    """A page of the audit."""

    actor: Text = ""
    kind: Text = ""
    target: Text = ""
    action: Text = ""
    change: Annotated[str, Field(pattern=r"^[0-9]{0,20}$", description="Entries of one change have the same")] = ""
    since_ms: Time | None = None
    until_ms: Time | None = None
    after: AfterText = ""
    limit: LimitCount = 50


class ReservationQuery(_Input):
    """A page of live reservations; a list that changes while one reads it."""

    skip: int = Field(0, ge=0, le=1_000_000)
    limit: LimitCount = 100


class SignInBody(_Input):
    """Name and password; or no name, and the admin token as password."""

    name: Annotated[Line, Field(max_length=60)] = ""
    password: str = Field(max_length=1000)


class SignInAnswer(BaseModel):
    """A session. Send `token` as Bearer; it is shown this once."""

    token: str
    session: str
    name: str
    role: Role
    ends_at_ms: int


class Me(BaseModel):
    """Who asks. `session` is empty for the admin token."""

    name: str
    role: Role
    session: str


class OwnPasswordBody(_Input):
    """Another password for oneself; ends all one's sessions."""

    old: str = Field(max_length=1000)
    new: str = Field(max_length=1000)


class SessionQuery(_Input):
    """Which sessions."""

    all: bool = Field(False, description="Of everybody; for admins")


class NewUserBody(_Input):
    """A user. Without a password one is made up and shown once."""

    name: Annotated[Line, Field(max_length=60)]
    role: Role
    password: str = Field("", max_length=1000)


class UserChanges(_Input):
    """Another role, disabled or not. It holds at once."""

    role: Role | None = None
    is_disabled: bool | None = None


class PasswordBody(_Input):
    """Another password for a user. Without one, one is made up and shown once."""

    password: str = Field("", max_length=1000)


class PasswordAnswer(BaseModel):
    """A user's password; null where it was given. It is kept nowhere: pass it on now."""

    name: str
    password: str | None


class Ended(BaseModel):
    """How many sessions were ended."""

    sessions: int


class DialerItem(BaseModel):
    """A dialer. `detail` says why it is not up, and which permissions it lacks."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    state: Literal["up", "connecting", "down"]
    mode: str
    detail: str


class JobItem(BaseModel):
    """A maintenance job and its last run; `at_ms` 0: never, `failures` in a row."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    what: str
    every_s: float
    alone: bool
    at_ms: int
    took_ms: float
    result: str
    failures: int
    daemon: str


class WarmItem(BaseModel):
    """Caller-IDs held ready for a campaign and area."""

    model_config = ConfigDict(from_attributes=True)

    campaign: str
    area: str
    depth: int
    calls_per_minute: float


class MinuteItem(BaseModel):
    """A minute of the last hour."""

    model_config = ConfigDict(from_attributes=True)

    at_ms: int
    assigned: int
    missed: int


class StatsAnswer(BaseModel):
    """Now, and the last hour. `states` is empty while Redis is away; `minutes`, `misses` and `doors` while PostgreSQL is."""

    status: Literal["healthy", "degraded", "unhealthy"]
    redis_ok: bool
    postgresql_ok: bool
    states: dict[State, int]
    live: int
    outbox: int
    warm: list[WarmItem]
    minutes: list[MinuteItem]
    misses: dict[str, int]
    doors: dict[str, int] = Field(description="Assignments by the way the call came in: feed, ami, http, fastagi")
    answer_p50_ms: float | None = Field(description="Of the newest questions to this daemon; null before the first")
    answer_p99_ms: float | None = Field(description="The same: 99 of 100 were answered within this")
