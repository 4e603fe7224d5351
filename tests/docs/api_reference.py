"""The page docs/api.md, made from the table of endpoints. Written by ``python -m tests.docs.api_reference``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ami_rotator.http.api.problems import CODES
from ami_rotator.http.openapi import described

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

_HEAD = """\
# JSON API

Made from the program by `python -m tests.docs.api_reference`; a test holds both together. A running daemon shows the same
under `/api/v1/docs`, and as OpenAPI 3.1 under `/api/v1/openapi.json`.

- **Who**: `Authorization: Bearer ...` with `ADMIN_TOKEN` or with the token of a session (`POST /api/v1/sign-in`); or the
  cookie of a browser that signed in. Roles: [security.md](security.md).
- **Errors** are `application/problem+json` (RFC 9457): `code` is stable and for programs, `detail` is for people and says
  what to do; with the code `invalid`, `errors` says it field by field.
- **Lists** come in pages: `next` of a page is `after` of the following one; it is empty on the last. A page is read through
  an index however far in the list it is.
- **Changes** can have an `Idempotency-Key` (any text of up to 200 characters, such as a UUID): sent again within a day, the
  change is made once and answered twice with the same answer, which then has the header `Idempotency-Replayed: true`.
  Passwords are not kept for that. A request that failed on our side gives its key back.
- **At once**: a change works in the pool before it is answered. Where Redis is away it is kept and works when Redis is back;
  the answer then says `"in_pool": false`.
- **Times** are milliseconds since 1970, UTC. **Numbers** go in in any common format and come out as `+15551234567`.
- **How often**: `RATE_LIMIT_PER_USER` requests a minute and user, in all daemons together.

```sh
curl -s -H "Authorization: Bearer $ADMIN_TOKEN" 'http://127.0.0.1:8000/api/v1/caller-ids?search=0142&state=idle'
curl -s -H "Authorization: Bearer $ADMIN_TOKEN" -H 'Idempotency-Key: 7d0c' -H 'Content-Type: application/json' \\
  -d '{"matching": {"area": "212"}, "to": {"switch": "resting"}}' http://127.0.0.1:8000/api/v1/caller-ids/switch
```

The seed project's own addresses (`/next-cid`, `/add-number`, `/api/stats`, `/health`) and their answers are in
[coming-from-caller-id-api.md](coming-from-caller-id-api.md).

## Endpoints

Fields with * are needed."""


def api_page() -> str:
    """Return docs/api.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    for one in described():
        role = "for everybody" if one["access"] == "public" else f"role {one['access']}"
        yield from ("", f"### `{one['method']} {one['path']}`", "", f"{one['summary']}; {role}.")
        for title, fields in (
            ("Query", one["query"]),
            ("Body", one["body"]),
            (f"Answer {one['status']}", one["answer"]),
        ):
            yield from _fields(title, fields)
        if one["errors"]:
            yield from ("", f"Errors besides the usual ones: {', '.join(f'`{code}`' for code in one['errors'])}.")
    yield from ("", "## Error codes", "", "| code | status | meaning |", "|---|---|---|")
    yield from (f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in CODES.items())


def _fields(title: str, fields: Any) -> Iterator[str]:
    if isinstance(fields, str):
        yield from ("", f"{title}: {fields}.")
    elif fields:
        cells = (
            f"`{name}` {kind}{f' ({meaning})' if meaning else ''}".replace("|", "/") for name, kind, meaning in fields
        )
        yield from ("", f"{title}: {'; '.join(cells)}.")


if __name__ == "__main__":
    PAGE.write_text(api_page(), encoding="utf-8")
