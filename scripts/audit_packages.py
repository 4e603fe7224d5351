"""Look for known holes in the packages of requirements.lock; fails only where one is found.

The question is answered by the package index; one that cannot is said so, and is no failure of ours.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

_LOCK = Path(__file__).parents[1] / "requirements.lock"
_TOOL = "pip-audit==2.10.1"
_WAIT_S = 300


def main() -> int:
    """Return the exit code: 1 where a package has a known hole."""
    uvx = shutil.which("uvx")
    if uvx is None:
        return _not_done("uvx is not installed")
    command = [uvx, "--quiet", _TOOL, "--requirement", str(_LOCK), "--require-hashes", "--disable-pip"]
    try:
        run = subprocess.run(
            [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, timeout=_WAIT_S
        )
        packages = json.loads(run.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _not_done(f"no answer within {_WAIT_S} s")
    except (ValueError, KeyError):
        return _not_done(run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "no answer")
    unknown = [package for package in packages if "skip_reason" in package]
    holes = [(package, hole) for package in packages for hole in package.get("vulns", ())]
    _say(f"packages looked up: {len(packages) - len(unknown)} of {len(packages)}; the index does not know the others")
    for package, hole in holes:
        fixed = ", ".join(hole.get("fix_versions", ())) or "no version yet"
        _say(f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}")
    return 1 if holes else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _not_done(reason: str) -> int:
    _say(f"packages were not looked up: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
