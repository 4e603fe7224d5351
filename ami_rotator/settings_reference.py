"""`.env.example`, made from the settings: every option, its default, and a line about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from pydantic import SecretStr

from ami_rotator.settings import Settings

_SECTIONS = {
    "data_dir": "Where things are",
    "dialers": "Dialers",
    "vicidial_database_url": "VICIdial's database",
    "api_host": "HTTP",
    "presentation": "Choosing",
    "debug": "Logs",
}


def env_example() -> str:
    """Return the text of `.env.example`."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Every option of ami_rotator with its default. Copy to .env, change what you need; the environment wins."
    for name, field in Settings.model_fields.items():
        if name in _SECTIONS:
            yield from ("", f"# --- {_SECTIONS[name]} ---")
        yield f"# {field.description}"
        yield f"{name.upper()}={_text(field.default)}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(env_example())
