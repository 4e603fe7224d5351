"""Campaigns' policies and groups as CSV: a line each, a column a field."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from ami_rotator.admin.errors import InvalidError, Problem
from ami_rotator.domain.campaign import CampaignPolicy
from ami_rotator.ledger.csv_export import guarded
from ami_rotator.ledger.inventory import GroupSettings

Kept = CampaignPolicy | GroupSettings
_LISTS = frozenset({"groups", "next_groups", "rungs", "sticky_breaks"})


def columns_of(kind: type[Kept]) -> list[str]:
    """Return the fields, the name first."""
    return [field.name for field in dataclasses.fields(kind)]


def value_of(kind: type[Kept], field: str, text: str) -> Any:
    """Read one field as people write it: a list with commas or blanks between its parts; nothing is the default."""
    text = text.strip()
    if field in _LISTS:
        return text.replace(",", " ").split()
    return text or kind.__dataclass_fields__[field].default


def write_rows(target: TextIO, kind: type[Kept], items: Iterable[Kept]) -> None:
    """Write a header and a line each."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns_of(kind))
    for item in items:
        values = (getattr(item, name) for name in columns_of(kind))
        writer.writerow([guarded(_text(value)) for value in values])


def read_rows(source: TextIO, kind: type[Kept]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Give line, name and fields of each row; columns that are not there and empty rows are left out.

    Raises:
        InvalidError: there is no column name, or one that is none of the fields.
    """
    reader = csv.DictReader(source)
    header: Sequence[str] = [name.strip().lower() for name in reader.fieldnames or ()]
    unknown = [name for name in header if name not in columns_of(kind)]
    if "name" not in header or unknown:
        known = ", ".join(columns_of(kind))
        what = f"has no meaning here: {', '.join(unknown)[:200]}" if unknown else "lacks the column name"
        raise InvalidError([Problem("header", f"{what}; write some of {known}")])
    reader.fieldnames = header
    for row in reader:
        cells: Mapping[str, str] = {
            name: text.removeprefix("'") for name, text in row.items() if name in header and isinstance(text, str)
        }
        if any(text.strip() for text in cells.values()):
            values = {name: value_of(kind, name, text) for name, text in cells.items() if name != "name"}
            yield reader.line_num, cells["name"].strip(), values


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(str(part) for part in value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
