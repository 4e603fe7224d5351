"""The log loses nothing and holds up nobody."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

from ami_rotator.log_lines import LinesBehind

_PROGRAM = """
import logging, sys
from pathlib import Path
import structlog
from ami_rotator.log import set_up_logging
set_up_logging("INFO", Path(sys.argv[1]), behind=True)
log = structlog.get_logger("test")
for number in range(2000):
    log.info("assigned", number=number, api_key="abc")
log.debug("not asked for")
log.info("half a character", code="V\\udcff", big=2**70)
logging.getLogger("library").warning("said by %s", "a library")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broken")
"""


class _Blocked(io.StringIO):
    """A terminal that takes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()

    def write(self, text: str) -> int:
        self.may.wait(30)
        return super().write(text)


def test_every_line_is_written_by_the_end_of_the_process_to_both_places_in_order(tmp_path: Path) -> None:
    file = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(file)], capture_output=True, text=True, timeout=60, check=True
    )

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert done.stderr == file.read_text()
    assert [line["number"] for line in lines[:2000]] == list(range(2000))
    assert {line["api_key"] for line in lines[:2000]} == {"***"}
    assert [line["event"] for line in lines[2000:]] == ["half a character", "said by a library", "broken"]
    assert [line["level"] for line in lines[2000:]] == ["info", "warning", "error"]
    assert lines[2000]["big"] == 2**70
    assert all(line["timestamp"].endswith("Z") for line in lines)
    times = [datetime.fromisoformat(line["timestamp"]) for line in lines]
    assert times == sorted(times)
    assert abs(times[-1].timestamp() - time.time()) < 60
    assert "ZeroDivisionError" in lines[2002]["exception"]


def test_a_terminal_that_blocks_holds_up_nobody_and_gets_its_lines_later() -> None:
    terminal = _Blocked()
    lines = LinesBehind([terminal])
    for number in range(1000):
        lines.write(str(number))
    terminal.may.set()
    lines.close()

    assert terminal.getvalue().split() == [str(number) for number in range(1000)]


def test_a_place_that_cannot_be_written_to_does_not_stop_the_other() -> None:
    closed, other = io.StringIO(), io.StringIO()
    closed.close()
    lines = LinesBehind([closed, other])
    lines.write("a line")
    lines.close()
    lines.write("one more")

    assert other.getvalue() == "a line\none more\n"


def test_what_is_flushed_is_written_when_that_returns_and_more_can_follow() -> None:
    terminal = io.StringIO()
    lines = LinesBehind([terminal])
    for number in range(20):
        lines.write(str(number))
        lines.flush()
        assert terminal.getvalue().split()[-1] == str(number)
    lines.flush()
    lines.close()

    assert terminal.getvalue().split() == [str(number) for number in range(20)]
