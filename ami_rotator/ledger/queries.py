"""The named statements of `sql/queries/*.sql`: `-- name --`, a sentence that says what for, the statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from ami_rotator.errors import RotatorError
from ami_rotator.files import project_folder

_HEAD = re.compile(r"^-- (\w+) --\n", re.MULTILINE)


def load_queries(folder: Path | None = None) -> Mapping[str, str]:
    """Return every statement by its name.

    Raises:
        RotatorError: a file is not as it should be, or a name is used twice.
    """
    queries: dict[str, str] = {}
    for path in sorted((folder or project_folder("sql") / "queries").glob("*.sql")):
        before, *parts = _HEAD.split(path.read_text(encoding="utf-8"))
        if before.strip():
            raise RotatorError(f"{path} has a statement without a name. Write `-- name --` above it.")
        for name, body in zip(parts[::2], parts[1::2], strict=True):
            summary, _, statement = body.partition("\n")
            if name in queries or not summary.startswith("-- ") or not statement.strip():
                raise RotatorError(
                    f"The query {name} in {path} cannot be used: it needs a name of its own, then a line `-- what for`,"
                    " then a statement."
                )
            queries[name] = statement.strip().removesuffix(";")
    return MappingProxyType(queries)
