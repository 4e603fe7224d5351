"""Import a CSV file in two steps: first what would come of it, row by row; then the same file for good."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from pathlib import Path

import structlog
from aiohttp import BodyPartReader, web

from ami_rotator.http.pages.frame import FormError, back, frame_of, page, shown
from ami_rotator.ledger.csv_rows import CsvFileError

FILE_MAX = 32 * 1024 * 1024
PROBLEMS_SHOWN = 200
KEEP_S = 1800.0
_FILES_MAX = 8
_FIELD_MAX = 1000
_UPLOAD_S = 120.0
_NAME = re.compile(r"[0-9a-f]{32}")

_log = structlog.get_logger(__name__)


class Waiting:
    """Files that were looked at and wait for a yes, in a folder of ours; those that nobody wants any more are deleted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self) -> tuple[str, Path]:
        """Return name and path of a new file; the oldest make room.

        Raises:
            OSError: there is no room on the disk.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = sorted(self._folder.glob("*.csv"), key=lambda path: path.stat().st_mtime)
        for path in kept:
            if path.stat().st_mtime < time.time() - KEEP_S or len(kept) - kept.index(path) >= _FILES_MAX:
                path.unlink(missing_ok=True)
        name = secrets.token_hex(16)
        return name, self._folder / f"{name}.csv"

    def path(self, name: str) -> Path:
        """Return the path of a file that waits.

        Raises:
            FormError: it does not (any more).
        """
        path = self._folder / f"{name}.csv"
        if not _NAME.fullmatch(name) or not path.exists():
            raise FormError("The file is not here any more: it was imported, or half an hour went by. Choose it again.")
        return path


WAITING = web.AppKey("WAITING", Waiting)


@shown("admin")
async def import_form(request: web.Request) -> web.Response:
    """Show where a file is chosen."""
    return page(request, "import.html", {"report": None})


@shown("admin")
async def preview(request: web.Request) -> web.Response:
    """Take a file and show what would come of it; nothing is changed."""
    frame = frame_of(request)
    name, path = request.app[WAITING].new()
    try:
        async with asyncio.timeout(_UPLOAD_S):
            title, _ = await take_file(request, path, FILE_MAX, "Split it, or use: ami-rotator import FILE.csv")
        report = await frame.pages.caller_ids.import_file(frame.visitor.actor, path, dry_run=True)
    except (CsvFileError, FormError, TimeoutError) as error:
        path.unlink(missing_ok=True)
        # The path is ours and says nothing to whoever chose the file.
        raise FormError(str(error).replace(str(path), "The file") or "The file took too long. Try again.") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    can_import = report.added + report.updated > 0
    if not can_import:
        path.unlink(missing_ok=True)
    context = {
        "report": report,
        "title": title,
        "name": name,
        "can_import": can_import,
        "problems": report.problems[:PROBLEMS_SHOWN],
        "hidden": max(0, report.errors + report.warnings + report.duplicates - PROBLEMS_SHOWN),
    }
    return page(request, "import.html", context)


@shown("admin")
async def import_for_good(request: web.Request) -> web.Response:
    """Import a file that was looked at."""
    frame = frame_of(request)
    form = await request.post()
    path = request.app[WAITING].path(str(form.get("file", "")))
    report = await frame.pages.caller_ids.import_file(frame.visitor.actor, path, dry_run=False)
    path.unlink(missing_ok=True)
    _log.info("file imported", added=report.added, updated=report.updated, errors=report.errors)
    return back("/caller-ids", done="imported", n=report.added + report.updated)


async def take_file(request: web.Request, path: Path, most: int, or_else: str) -> tuple[str, dict[str, str]]:
    """Write the file of a form to `path`; return the name it had, and the form's other fields.

    Raises:
        FormError: there is none, or it has more than `most` bytes: `or_else` says what to do then.
    """
    if not request.content_type.startswith("multipart/"):
        raise FormError("No file was sent. Choose a CSV file.")
    title, fields = "", {}
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            continue
        if part.name != "file":
            fields[part.name or ""] = (await part.read_chunk(_FIELD_MAX)).decode(errors="replace")
            continue
        size = 0
        with path.open("wb") as target:
            while chunk := await part.read_chunk(1 << 16):
                size += len(chunk)
                if size > most:
                    raise FormError(f"The file has more than {most >> 20} MB. {or_else}")
                target.write(chunk)
        if size:
            title = (part.filename or "the file")[:100]
    if not title:
        raise FormError("No file was sent. Choose a CSV file.")
    return title, fields
