"""What can be changed of a caller-ID, as dashboard, API and command line read it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ami_rotator.domain.campaign import is_group_name
from ami_rotator.ledger.caller_id_row import CallerIdRow, read_row

LIMIT_MAX = 1_000_000_000
TIME_MAX_MS = 4_102_444_800_000  # the year 2100
NUMBERS_MAX = 100_000


def _group_name(value: str) -> str:
    if not is_group_name(value):
        raise ValueError("cannot name a group; use letters, digits, _ - . and 40 characters at most")
    return value


def _one_line(value: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in value) or (not value.isprintable() and value):
        raise ValueError("has control characters in it; write plain text on one line")
    return value


Line = Annotated[str, AfterValidator(_one_line)]
GroupName = Annotated[str, AfterValidator(_group_name), Field(max_length=40)]
Limit = Annotated[int, Field(ge=0, le=LIMIT_MAX)]


class SwitchChanges(BaseModel):
    """Switch caller-IDs. `resting_until_ms` (wall time in ms) ends a rest by itself; without it somebody has to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    switch: Literal["active", "resting", "disabled"]
    resting_until_ms: int | None = Field(default=None, gt=0, le=TIME_MAX_MS)

    @model_validator(mode="after")
    def _rests(self) -> Self:
        if self.resting_until_ms is not None and self.switch != "resting":
            raise ValueError('resting_until_ms is the end of a rest; give it with "switch": "resting" only')
        return self

    def columns(self) -> dict[str, Any]:
        """Return what to write to the inventory."""
        until = self.resting_until_ms
        return {
            "switch": self.switch,
            "resting_until": datetime.fromtimestamp(until / 1000, UTC).isoformat() if until else None,
        }


class CallerIdChanges(BaseModel):
    """Change caller-IDs. What is left out stays; a limit of null is that of the group, 0 is never."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    switch: Literal["active", "resting", "disabled"] | None = None
    resting_until_ms: int | None = Field(default=None, gt=0, le=TIME_MAX_MS)
    group: GroupName | None = None
    area: str | None = Field(default=None, pattern=r"^([2-9][0-9]{2}|\+[1-9][0-9]{0,9})?$")
    carrier: Line | None = Field(default=None, max_length=100)
    attestation: Literal["", "A", "B", "C"] | None = None
    minute_limit: Limit | None = None
    hourly_limit: Limit | None = None
    daily_limit: Limit | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change; name at least one field")
        for name in ("switch", "group", "area", "carrier", "attestation"):
            if name in self.model_fields_set and getattr(self, name) is None:
                raise ValueError(f"{name} cannot be null; leave it out to keep it")
        if self.resting_until_ms is not None and self.switch != "resting":
            raise ValueError('resting_until_ms is the end of a rest; give it with "switch": "resting" only')
        return self

    def columns(self) -> dict[str, Any]:
        """Return what to write to the inventory."""
        found: dict[str, Any] = {}
        if self.switch is not None:
            found |= SwitchChanges(switch=self.switch, resting_until_ms=self.resting_until_ms).columns()
        for name in ("area", "carrier", "attestation", "minute_limit", "hourly_limit", "daily_limit"):
            if name in self.model_fields_set:
                found[name] = getattr(self, name)
        if self.group is not None:
            found["group_name"] = self.group
        return found


class NewCallerIdBody(BaseModel):
    """A caller-ID to add. What is left out has the default: the area of the number, the group `default`, its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: Line = Field(max_length=40, description="In any common format")
    carrier: Line = Field(default="", max_length=100)
    area: str = Field(default="", pattern=r"^([2-9][0-9]{2}|\+[1-9][0-9]{0,9})?$")
    group: GroupName = "default"
    hourly_limit: Limit | None = None
    daily_limit: Limit | None = None

    def row(self, region: str) -> CallerIdRow:
        """Return it as a row of the inventory.

        Raises:
            ValueError: the number is none; says what to write.
        """
        given = self.model_dump()
        return read_row({**given, "caller_id": given["number"], "area_code": given["area"]}, region)
