"""Put conditions and an order to a named query: only those that are asked for, so that the planner can use an index."""

from __future__ import annotations

from typing import Any, NewType

from ami_rotator.errors import RotatorError

Cursor = NewType("Cursor", str)
"""Where a page ended; only meaningful to the list it came from. Empty: the beginning."""

START = Cursor("")


class CursorError(RotatorError):
    """The cursor is not one that this list gave. Begin without a cursor."""


class Selection:
    """A query that grows. Conditions are texts of ours with `?` in the place of the value, values travel apart."""

    def __init__(self, base: str) -> None:
        self._text = base.rstrip().removesuffix(";")
        self.arguments: list[Any] = []

    def where(self, condition: str, *values: Any) -> None:
        """Add a condition."""
        for value in values:
            self.arguments.append(value)
            condition = condition.replace("?", f"${len(self.arguments)}", 1)
        self._text += f"\n    AND {condition}"

    def page(self, order: str, limit: int) -> str:
        """Return the statement, ordered and cut."""
        return f"{self._text}\nORDER BY {order} LIMIT {int(limit)}"

    @property
    def text(self) -> str:
        """The statement as it is."""
        return self._text


def like(text: str) -> str:
    """Return a LIKE pattern that finds a text anywhere."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
