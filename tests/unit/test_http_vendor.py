"""Vendored files are what VENDOR.md says, and the style sheet stays small."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

STATIC = Path(__file__).parents[2] / "web" / "static"


def test_vendored_files_have_the_checksums_that_are_written_down() -> None:
    text = (STATIC / "vendor" / "VENDOR.md").read_text()
    written = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", text, re.MULTILINE))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
        if path.suffix in (".js", ".css")
    }

    assert written == found


def test_the_style_sheet_keeps_its_budget() -> None:
    assert (STATIC / "dashboard.css").stat().st_size <= 8_000
