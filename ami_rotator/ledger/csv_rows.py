"""Read a CSV file as people have them: any delimiter, encoding and header spelling, line by line, never all at once."""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ami_rotator.errors import RotatorError

CELL_LINES_MAX = 20
"""A quote that is not closed within this many lines is taken for a slip, and costs one row, not the rest of the file."""

_LINE_CHARACTERS_MAX = 1_000_000
_ALIASES = {
    "callerid": "caller_id",
    "number": "caller_id",
    "did": "caller_id",
    "area": "area_code",
    "areacode": "area_code",
    "meta": "meta_json",
    "metajson": "meta_json",
    "dailylimit": "daily_limit",
    "hourlylimit": "hourly_limit",
    "group_name": "group",
    "minutelimit": "minute_limit",
    "warmup": "warmup_from",
    "warm_up_from": "warmup_from",
}
COLUMNS = (
    "caller_id", "carrier", "area_code", "daily_limit", "hourly_limit", "meta_json", "group", "switch", "minute_limit",
    "attestation", "warmup_from",
)  # fmt: skip


class CsvFileError(RotatorError):
    """The file as a whole cannot be read."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row by column name. `line` is where it starts, 1 is the first line of the file; `problem` where it is no row."""

    line: int
    values: Mapping[str, str]
    problem: str = ""


@dataclass(slots=True)
class CsvFile:
    """An open file: what it is, and its rows. `position` is bytes read, for a progress bar."""

    size: int
    encoding: str
    columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]
    _stream: TextIO
    _delimiter: str
    _line: int
    _waiting: deque[str] = field(default_factory=deque)

    @property
    def position(self) -> int:
        """Bytes read so far, a little ahead of the rows."""
        return self._stream.buffer.tell()

    def rows(self) -> Iterator[RawRow]:
        """Give the rows; blank ones are left out."""
        while True:
            start = self._line + 1
            text = self._next_line()
            if text is None:
                return
            cells, problem = self._cells(text)
            if problem:
                yield RawRow(start, {}, problem)
            elif any(cell.strip() for cell in cells):
                yield self._row(start, cells)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _row(self, line: int, cells: list[str]) -> RawRow:
        surplus = [cell for cell in cells[len(self.columns) :] if cell.strip()]
        if surplus:
            return RawRow(
                line,
                {},
                f"has {len(cells)} cells, the header has {len(self.columns)}; put quotes around a cell with"
                f" {self._delimiter!r} in it, and double the quotes inside",
            )
        return RawRow(line, {name: cell for name, cell in zip(self.columns, cells, strict=False) if name})

    def _cells(self, text: str) -> tuple[list[str], str]:
        """Split a row into cells, with the lines that follow where a quoted cell goes on there."""
        taken: list[str] = []
        while True:
            try:
                return next(csv.reader([text], delimiter=self._delimiter, strict=True), []), ""
            except csv.Error as error:
                if str(error) != "unexpected end of data":
                    self._put_back(taken)
                    return [], f"is not CSV: {error}; put quotes around the whole cell and double the quotes inside"
            following = self._next_line() if len(taken) < CELL_LINES_MAX else None
            if following is None:
                self._put_back(taken)
                return [], "has a quote that is opened and never closed"
            taken.append(following)
            text += following

    def _put_back(self, lines: list[str]) -> None:
        self._waiting.extendleft(reversed(lines))
        self._line -= len(lines)

    def _next_line(self) -> str | None:
        text = self._waiting.popleft() if self._waiting else _read_line(self._stream)
        if not text:
            return None
        self._line += 1
        return text


def open_csv(path: Path) -> CsvFile:
    """Open a file and read its header.

    Raises:
        CsvFileError: there is no such file, it is no CSV, or it has no column `caller_id`.
    """
    try:
        encoding = _encoding(path)
        stream = path.open(encoding=encoding, errors="replace", newline=None)
        size = path.stat().st_size
    except OSError as error:
        raise CsvFileError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        first = _read_line(stream)
        line = 1
        marked = first.strip().lower()
        if marked.startswith("sep=") and len(marked) == 5:
            first = _read_line(stream)
            line = 2
        while first and not first.strip(" \t\r\n,;|"):
            first = _read_line(stream)
            line += 1
        delimiter, columns = _header(path, first)
        unknown = tuple(name for name in columns if name and name not in COLUMNS)
        return CsvFile(size, encoding, columns, unknown, stream, delimiter, line)
    except BaseException:
        stream.close()
        raise


def _header(path: Path, text: str) -> tuple[str, tuple[str, ...]]:
    if not text:
        raise CsvFileError(f"{path} is empty. Its first line must name the columns: {','.join(COLUMNS[:6])}")
    for delimiter in (",", ";", "\t", "|"):
        try:
            cells = next(csv.reader([text], delimiter=delimiter), [])
        except csv.Error:
            continue
        columns = tuple(_column(cell) for cell in cells)
        if "caller_id" in columns:
            twice = {name for name in columns if name and columns.count(name) > 1}
            if twice:
                raise CsvFileError(f"{path} has two columns {twice.pop()!r}. Leave one out.")
            return delimiter, columns
    raise CsvFileError(
        f"{path} has no column caller_id: its first line is {text.strip()[:120]!r}. The first line must name the columns:"
        f" {','.join(COLUMNS[:6])}"
    )


def _column(cell: str) -> str:
    name = cell.strip().strip("\ufeff").strip().lower().replace(" ", "_").replace("-", "_")
    return _ALIASES.get(name, name)


def _read_line(stream: TextIO) -> str:
    try:
        line = stream.readline(_LINE_CHARACTERS_MAX)
    except OSError as error:
        raise CsvFileError(f"The file cannot be read to its end: {error.strerror}. Nothing was imported.") from error
    if len(line) == _LINE_CHARACTERS_MAX:
        raise CsvFileError(f"A line has more than {_LINE_CHARACTERS_MAX:,} characters. This is no CSV file.")
    return line


def _encoding(path: Path) -> str:
    """Tell a file's encoding: by its mark, else UTF-8 if all of it is, else what Windows programs write."""
    with path.open("rb") as file:
        start = file.read(4096)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if start.startswith(b"PK\x03\x04"):
            raise CsvFileError(f"{path} is a spreadsheet (xlsx or ods). Save it as CSV first.")
        if b"\x00" in start:
            return "utf-16-le" if start[1:2] == b"\x00" else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(start)
            while chunk := file.read(1 << 20):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"
