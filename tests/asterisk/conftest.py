from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.asterisk.debian_root import RELEASE_VARIABLE, LabUnavailable, ensure_asterisk_root


@pytest.fixture(scope="session")
def asterisk_root(request: pytest.FixtureRequest) -> Path:
    """Give the folder that holds a real Asterisk, built at its first use; in CI it must be possible to build it."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def show(line: str) -> None:
        if capture is None:
            print(line, flush=True)
            return
        with capture.global_and_fixture_disabled():
            print(f"\n{line}", flush=True)

    try:
        return ensure_asterisk_root(os.environ.get(RELEASE_VARIABLE, "16"), show)
    except LabUnavailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no Asterisk to test with: {reason}")
        pytest.skip(f"no Asterisk to test with: {reason}")
