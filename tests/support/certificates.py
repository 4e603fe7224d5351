"""Certificates for tests, made by openssl: an authority of one's own, and what it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_NEW = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Authority:
    """One that signs certificates; clients that trust `certificate` trust them."""

    certificate: Path
    key: Path

    def sign(self, names: str, certificate: Path, key: Path) -> None:
        """Write a certificate for names such as `DNS:localhost,IP:127.0.0.1`, and its key."""
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.key))
        _openssl(
            *_NEW, *signer, "-subj", "/CN=dialer", "-addext", f"subjectAltName={names}", *_written(certificate, key)
        )


def new_authority(folder: Path, name: str) -> Authority:
    """Make an authority whose files are in a folder."""
    made = Authority(folder / f"{name}.pem", folder / f"{name}.key")
    _openssl(
        *_NEW, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign", *_written(made.certificate, made.key)
    )
    return made


def _written(certificate: Path, key: Path) -> tuple[str, ...]:
    return ("-out", str(certificate), "-keyout", str(key))


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)
