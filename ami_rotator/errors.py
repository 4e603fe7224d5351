"""The one root of our exceptions. Each message says what happened, why, and what to do next."""

from __future__ import annotations


class RotatorError(Exception):
    """Something went wrong in ami_rotator."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class SettingsError(RotatorError):
    """A setting has a value that cannot be used."""


class PoolUnavailableError(RotatorError):
    """Redis did not answer in time. Calls keep VICIdial's own caller-ID until it does."""


class LedgerUnavailableError(RotatorError):
    """PostgreSQL did not answer. Calls are not affected; records wait in the outbox."""


class DialerUnavailableError(RotatorError):
    """The dialer's AMI is not connected."""


class DialerActionError(RotatorError):
    """Asterisk refused an AMI action."""
