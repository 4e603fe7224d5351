"""What it means when Asterisk does not do what it is asked, in words for people."""

from __future__ import annotations

import ssl

from ami_rotator.ami.tls import not_trusted
from ami_rotator.errors import DialerActionError


def why_not_connected(error: Exception, host: str, port: int, timeout_s: float) -> str:
    """Return why there is no connection, and what to look at."""
    where = f"{host} port {port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{where}: {not_trusted(error)}"
    if isinstance(error, ssl.SSLError):
        return f"{where}: no TLS there ({error.reason or error}); is it the port of tlsbindaddr in manager.conf?"
    if isinstance(error, ConnectionRefusedError):
        return f"{where}: refused; is Asterisk running, and AMI enabled on that address in manager.conf?"
    if isinstance(error, TimeoutError):
        return f"{where}: no answer within {timeout_s:g} s; check the address, and firewalls in between"
    return f"{where}: {error}"


def is_missing(error: DialerActionError) -> bool:
    """Tell a key or family of AstDB that is not there (Asterisk 16 and 22, main/db.c, for DBDel and DBDelTree)."""
    return str(error).endswith(("Database entry could not be deleted", "Database entry not found"))


def is_no_failure(error: DialerActionError) -> bool:
    """Tell a refusal that nobody has to look at: nothing to delete, or an Asterisk without the action (main/manager.c)."""
    return is_missing(error) or "Invalid/unknown command" in str(error)
