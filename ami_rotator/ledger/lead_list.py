"""Read the numbers in a list, such as leads to be loaded into VICIdial."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from ami_rotator.domain.numbers import area_of, parse_number
from ami_rotator.domain.types import E164, Area
from ami_rotator.errors import RotatorError

# VICIdial's lead file has phone_number; the others are what people write.
_NAMES = ("phone_number", "phone", "number", "telephone", "mobile", "destination", "phone1", "phonenumber")
_SAMPLE = 200
_HALF = 0.5


class LeadListError(RotatorError):
    """The file cannot be read as a list of leads."""


@dataclass(frozen=True, slots=True)
class LeadList:
    """Leads by area; `unread` rows had no number in them."""

    areas: dict[Area, int]
    unread: int


def read_leads(path: Path, region: str = "US") -> LeadList:
    """Count the areas of a CSV file's numbers (`read_numbers`).

    Raises:
        LeadListError: there is no such file or column.
    """
    areas: Counter[Area] = Counter()
    unread = 0
    for number in read_numbers(path, region):
        if number is None:
            unread += 1
        else:
            areas[area_of(number)] += 1
    return LeadList(dict(areas), unread)


def read_numbers(path: Path, region: str = "US") -> Iterator[E164 | None]:
    """Give the number of each row of a CSV file, None for a row without one: from the column named for a phone number or,
    without such a header, the one that holds numbers.

    Raises:
        LeadListError: there is no such file or column.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            sample = file.read(65_536)
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t|", key=sample.count))
            first = [row for _, row in zip(range(_SAMPLE), reader, strict=False) if any(row)]
            column, has_header = _column(first, path, region)
            for row in chain(first[has_header:], reader):
                if any(row):
                    yield parse_number(row[column], region) if column < len(row) else None
    except (OSError, csv.Error) as error:
        raise LeadListError(f"{path} cannot be read: {error}. Write the numbers as a CSV file.") from error


def _column(rows: Sequence[Sequence[str]], path: Path, region: str) -> tuple[int, bool]:
    """Return which column holds the numbers, and whether the first row is a header."""
    if not rows:
        raise LeadListError(f"{path} is empty. Write one lead a line, with a column phone_number.")
    header = [cell.strip().lower().replace(" ", "_") for cell in rows[0]]
    for name in _NAMES:
        if name in header:
            return header.index(name), True
    body = rows[1:] or rows
    for column in range(max(len(row) for row in rows)):
        cells = [row[column] for row in body if column < len(row) and row[column].strip()]
        if cells and sum(parse_number(cell, region) is not None for cell in cells) > _HALF * len(cells):
            is_number = column < len(rows[0]) and parse_number(rows[0][column], region) is not None
            return column, not is_number
    raise LeadListError(f"{path} has no column with phone numbers. Name it phone_number in the first line.")
