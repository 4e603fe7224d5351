"""Print the part of a lock file that some packages need, hashes included, for `pip install --require-hashes`.

    python lock_for.py requirements.lock --project pyproject.toml     what the project needs to run, no development tools
    python lock_for.py requirements.lock hatchling                    what a package needs

pip works out which packages that is, held to the versions of the lock; nothing is installed. Standard library only: it
runs before anything else is there.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path


def entries(lock: str) -> dict[str, str]:
    """Return the entries of a lock by normalised package name, each with its lines of hashes."""
    found: dict[str, str] = {}
    for text in re.split(r"\n(?=[A-Za-z0-9])", lock.strip()):
        name = re.match(r"[A-Za-z0-9._-]+", text)
        if name is not None and "==" in text:
            found[_normalised(name[0])] = text
    return found


def needed(lock: dict[str, str], wanted: Sequence[str]) -> list[str]:
    """Return the names that pip would install for `wanted`, at the versions of the lock."""
    with tempfile.TemporaryDirectory() as folder:
        pins, report = Path(folder) / "pins.txt", Path(folder) / "report.json"
        pins.write_text("".join(_without_hashes(text) + "\n" for text in lock.values()))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        options = ["--ignore-installed", "--report", str(report), "--constraint", str(pins)]
        subprocess.run([*pip, *options, *wanted], check=True, stdout=sys.stderr)
        installed = json.loads(report.read_text())["install"]
    return sorted(_normalised(item["metadata"]["name"]) for item in installed)


def _without_hashes(text: str) -> str:
    return re.sub(r"\s*\\?\n\s*--hash=\S+", "", text).rstrip(" \\")


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Read the arguments and print the lock."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--project", type=Path, help="pyproject.toml whose dependencies are wanted")
    parser.add_argument("packages", nargs="*")
    arguments = parser.parse_args()
    wanted: list[str] = list(arguments.packages)
    if arguments.project:
        wanted += tomllib.loads(arguments.project.read_text())["project"]["dependencies"]
    lock = entries(arguments.lock.read_text())
    names = needed(lock, wanted)
    missing = [name for name in names if name not in lock]
    if missing:
        sys.exit(f"The lock has no {', '.join(missing)}. Bring it up to date with: make lock")
    sys.stdout.write("\n".join(lock[name] for name in names) + "\n")


if __name__ == "__main__":
    main()
