"""One caller-ID as people write it, in a CSV file or a request, checked and normalised."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from ami_rotator.domain.caller_id import Attestation
from ami_rotator.domain.campaign import is_group_name
from ami_rotator.domain.guards import why_not_presentable
from ami_rotator.domain.numbers import area_of, parse_number
from ami_rotator.domain.types import E164, Area

META_BYTES_MAX = 4096
_LIMIT_MAX = 1_000_000_000
_AREA = re.compile(r"[2-9][0-9]{2}|\+[1-9][0-9]{0,9}")
_WHOLE = re.compile(r"([+-]?\d{1,12})(?:\.0+)?")
_SCIENTIFIC = re.compile(r"\d([.,]\d+)?[eE]\+?\d+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CallerIdRow(BaseModel):
    """A row. None stands for "not said": the default of a new caller-ID, the old value of one that is there.

    `warmup_from` is a day such as `2026-11-22`, or `none` for a number that needs no warm-up.

    Validate with `context={"region": "US"}`: the country of numbers without country code.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    caller_id: E164
    carrier: str | None = Field(default=None, max_length=100)
    area_code: Area | None = None
    group: str | None = None
    daily_limit: int | None = Field(default=None, ge=0, le=_LIMIT_MAX)
    hourly_limit: int | None = Field(default=None, ge=0, le=_LIMIT_MAX)
    switch: Literal["active", "resting", "disabled"] | None = None
    minute_limit: int | None = Field(default=None, ge=0, le=_LIMIT_MAX)
    attestation: Attestation | None = None
    warmup_from: str | None = None

    @field_validator("caller_id", mode="before")
    @classmethod
    def _number(cls, value: Any, info: ValidationInfo) -> str:
        text = _cell(value)
        if not text:
            raise ValueError("empty; write the number, for example 5551234567")
        if _SCIENTIFIC.fullmatch(text):
            raise ValueError(
                f"{text!r} lost its last digits in a spreadsheet; format the column as text and save again"
            )
        whole = re.fullmatch(r"(\d+)\.0+", text)
        number = parse_number(whole[1] if whole else text, (info.context or {}).get("region", "US"))
        if number is None:
            raise ValueError(f"{text[:40]!r} is not a phone number; write for example 5551234567 or +442071234567")
        return number

    @field_validator("carrier", mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> str | None:
        if value is None:
            return None
        text = " ".join(_cell(value).split())
        if _CONTROL.search(text):
            raise ValueError("has control characters in it; write plain text")
        return text

    @field_validator("area_code", mode="before")
    @classmethod
    def _area(cls, value: Any) -> str | None:
        text = _cell(value)
        whole = _WHOLE.fullmatch(text)
        if whole is not None and not text.startswith("+"):
            text = whole[1]
        if text and not _AREA.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is no area code; write three digits such as 212, or leave it empty")
        return text or None

    @field_validator("group", mode="before")
    @classmethod
    def _group(cls, value: Any) -> str | None:
        text = _cell(value)
        if text and not is_group_name(text):
            raise ValueError(f"{text[:40]!r} cannot name a group; use letters, digits, _ - . and 40 characters at most")
        return text or None

    @field_validator("attestation", mode="before")
    @classmethod
    def _signed(cls, value: Any) -> str | None:
        text = _cell(value).upper()
        if text not in ("", "A", "B", "C"):
            raise ValueError(
                f"{text[:40]!r} is no attestation; write A, B or C, or leave it empty where it is not known"
            )
        return text or None

    @field_validator("warmup_from", mode="before")
    @classmethod
    def _day(cls, value: Any) -> str | None:
        text = _cell(value).lower()
        if not text or text == "none":
            return text or None
        try:
            return date.fromisoformat(text[:10]).isoformat()
        except ValueError:
            raise ValueError(
                f"{text[:40]!r} is no day; write it as 2026-11-22, or none for a number without warm-up, or nothing"
            ) from None

    @field_validator("daily_limit", "hourly_limit", "minute_limit", mode="before")
    @classmethod
    def _limit(cls, value: Any) -> Any:
        text = _cell(value)
        if not text:
            return None
        whole = _WHOLE.fullmatch(text)
        if whole is None:
            raise ValueError(
                f"{text[:40]!r} is not a whole number; write 0 for never, or leave it empty for the default"
            )
        return int(whole[1])

    @field_validator("switch", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> str | None:
        return _cell(value).lower() or None

    @model_validator(mode="after")
    def _is_callable(self) -> Self:
        reason = why_not_presentable(self.caller_id)
        if reason:
            raise ValueError(reason)
        return self

    @model_validator(mode="after")
    def _has_area(self) -> Self:
        if self.area_code is None:
            return self.model_copy(update={"area_code": area_of(self.caller_id)})
        return self


def read_row(values: dict[str, Any], region: str = "US") -> CallerIdRow:
    """Check one row.

    Raises:
        ValueError: says which columns are wrong and why.
    """
    try:
        return CallerIdRow.model_validate(values, context={"region": region})
    except ValidationError as error:
        raise ValueError(
            "; ".join(
                f"{'.'.join(str(part) for part in item['loc']) or 'caller_id'}: {item['msg'].removeprefix('Value error, ')}"
                for item in error.errors(include_url=False, include_context=False)
            )
        ) from None


def read_meta(text: str) -> str | None:
    """Return meta JSON as PostgreSQL can keep it; None for an empty cell.

    Raises:
        ValueError: it is no JSON object, or one that cannot be stored.
    """
    if not text.strip():
        return None
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError('it is not an object; write for example {"state": "CA"}')
        kept = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(kept.encode())
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeEncodeError:
        raise ValueError("it has half a character in it (a lone surrogate)") from None
    if "\\u0000" in kept:
        raise ValueError("it has a NUL character in it")
    if size > META_BYTES_MAX:
        raise ValueError(f"it has {size} bytes; {META_BYTES_MAX} are kept at most")
    return kept


def _cell(value: Any) -> str:
    """Return a cell as text, without the marks that spreadsheets and our own export put before it (`'`, `="..."`)."""
    if value is None:
        return ""
    text = str(value).strip()
    if not text or text[0] not in "='":
        return text
    if text.startswith('="') and text.endswith('"') and len(text) > 2:
        return text[2:-1].strip()
    if text[0] == "'" and (text[1:2].isdigit() or text[1:2] in tuple("=+-@\t\r'")):
        return text[1:]
    return text
