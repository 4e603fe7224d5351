"""Build, once, a Debian root folder that holds a real Asterisk.

The root is a plain folder, entered with chroot: no container runtime is needed. It is made in a temporary folder beside
its final place and renamed at the end, under a file lock, so that what exists is always complete. The package mirror is
the one that this machine's apt already uses.

Run as a program to build it ahead of time: ``python -m tests.asterisk.debian_root``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "AMI_ROTATOR_ASTERISK_ROOT"
RELEASE_VARIABLE = "AMI_ROTATOR_ASTERISK_RELEASE"
ASTERISK_PATH = Path("usr/sbin/asterisk")

_CHROOT_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C",
    "DEBIAN_FRONTEND": "noninteractive",
}
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
_SECONDS_PER_STEP = 900

Progress = Callable[[str], None]


class LabUnavailable(Exception):
    """The Asterisk test root cannot be built on this machine."""


@dataclass(frozen=True, slots=True)
class Release:
    """Name an Asterisk version by the Debian suite that ships it."""

    asterisk: str
    suite: str
    has_security: bool


RELEASES = {
    "16": Release("16", "bullseye", has_security=True),
    "22": Release("22", "sid", has_security=False),
}


def asterisk_root(release: str = "16") -> Path:
    """Return where the root of this release is, or will be."""
    configured = os.environ.get(ROOT_VARIABLE)
    if configured and release == os.environ.get(RELEASE_VARIABLE, "16"):
        return Path(configured).expanduser()
    return Path.home() / ".cache" / "ami_rotator" / f"asterisk-{RELEASES[release].asterisk}"


def ensure_asterisk_root(release: str = "16", progress: Progress = print) -> Path:
    """Return the finished root, building it first where there is none.

    Raises LabUnavailable, with the reason in plain words, where this machine cannot run or build it.
    """
    if os.geteuid() != 0:
        raise LabUnavailable("the Asterisk lab needs root, because it uses chroot")
    root = asterisk_root(release)
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root.with_name(root.name + ".lock"), progress):
        if not (root / ASTERISK_PATH).exists():
            _build(RELEASES[release], root, progress)
    return root


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that builds the Asterisk root")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(release: Release, root: Path, progress: Progress) -> None:
    mirror, security = debian_sites()
    _check_reachable(f"{mirror}/dists/{release.suite}/Release")
    log = root.with_name(root.name + ".log")
    log.write_text("")
    _ensure_debootstrap(log, progress)

    started_s = time.monotonic()
    building = Path(tempfile.mkdtemp(prefix=f"{root.name}.building-", dir=root.parent))
    building.chmod(0o755)
    try:
        progress(f"building {root}: debootstrap {release.suite} (log: {log})")
        _run(["debootstrap", "--variant=minbase", release.suite, str(building), mirror], log)
        _prepare_apt(building, release, mirror, security)
        progress(f"building {root}: installing Asterisk {release.asterisk}")
        # A suite that has moved to the archive keeps its signature, but not its validity.
        options = ["-o", "Acquire::Retries=3", "-o", "Acquire::Check-Valid-Until=false"]
        apt = ["chroot", str(building), "apt-get", "-q", "-y", *options]
        _run([*apt, "update"], log)
        _run([*apt, "install", "--no-install-recommends", "asterisk"], log)
        _run([*apt, "clean"], log)
        shutil.rmtree(building / "var/lib/apt/lists", ignore_errors=True)
        if root.exists():
            shutil.rmtree(root)
        building.rename(root)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    progress(f"built {root} in {time.monotonic() - started_s:.0f} s")


def debian_sites() -> tuple[str, str | None]:
    """Return the sites this machine's apt fetches Debian from: the archive, and its security updates where known."""
    try:
        # --no-release-info lists them on a machine that has never run `apt-get update`, too.
        wanted = ["--no-release-info", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
        listed = subprocess.run(
            ["apt-get", "indextargets", *wanted],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        rows = [row for row in map(str.split, listed.splitlines()) if len(row) == 3]
        targets = {(site, suite) for site, suite, component in rows if component == "main"}
        os_release = dict(
            line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LabUnavailable(f"the Asterisk lab needs apt, to know a Debian mirror: {error}") from error
    codename = os_release.get("VERSION_CODENAME", "").strip('"')
    archives = sorted(site for site, suite in targets if suite == codename)
    updates = sorted(site for site, suite in targets if suite == f"{codename}-security")
    if not archives or os_release.get("ID", "").strip('"') != "debian":
        raise LabUnavailable(
            "apt's configuration on this machine names no Debian mirror to build the Asterisk lab from"
        )
    return archives[0].rstrip("/"), updates[0].rstrip("/") if updates else None


def _check_reachable(url: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30):
            pass
    except (urllib.error.URLError, OSError) as error:
        raise LabUnavailable(f"the Debian mirror that apt uses cannot be reached: {error}") from error


def _ensure_debootstrap(log: Path, progress: Progress) -> None:
    if shutil.which("debootstrap"):
        return
    progress("installing debootstrap")
    _run(["apt-get", "-q", "-y", "update"], log)
    _run(["apt-get", "-q", "-y", "install", "--no-install-recommends", "debootstrap"], log)


def _prepare_apt(root: Path, release: Release, mirror: str, security: str | None) -> None:
    sources = [f"deb {mirror} {release.suite} main"]
    if release.has_security and security is not None:
        sources.append(f"deb {security} {release.suite}-security main")
    (root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n")
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    # 101 = "forbidden by policy": the package must not start its own Asterisk.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (root / "etc/dpkg/dpkg.cfg.d/lab").write_text(
        "force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\n"
    )


def _run(command: Sequence[str], log: Path) -> None:
    proxies = {name: os.environ[name] for name in _PROXY_VARIABLES if name in os.environ}
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        try:
            subprocess.run(
                command,
                env=_CHROOT_ENVIRONMENT | proxies,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=True,
                timeout=_SECONDS_PER_STEP,
            )
        except (OSError, subprocess.SubprocessError) as error:
            tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
            raise LabUnavailable(f"building the Asterisk root failed: {error}: {tail} (log: {log})") from error


if __name__ == "__main__":
    try:
        print(ensure_asterisk_root(sys.argv[1] if len(sys.argv) > 1 else os.environ.get(RELEASE_VARIABLE, "16")))
    except LabUnavailable as unavailable:
        sys.exit(str(unavailable))
