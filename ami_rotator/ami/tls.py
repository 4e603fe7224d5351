"""TLS to a dialer: what is trusted, and how a certificate is refused in words that help."""

from __future__ import annotations

import ssl

from ami_rotator.errors import SettingsError
from ami_rotator.settings import DialerSettings


def client_context(dialer: DialerSettings) -> ssl.SSLContext | None:
    """Return how to connect; None without TLS. `tls_ca` is trusted besides the machine's own authorities.

    Raises:
        SettingsError: the file of `tls_ca` cannot be used.
    """
    if not dialer.tls:
        return None
    context = ssl.create_default_context()
    if dialer.tls_ca is not None:
        try:
            context.load_verify_locations(dialer.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"DIALERS: tls_ca of {dialer.name}, {dialer.tls_ca}, cannot be used ({error}). Write the path of a file with"
                " the certificate, in PEM, that signed the dialer's."
            ) from error
    return context


def not_trusted(error: ssl.SSLCertVerificationError) -> str:
    """Say why a certificate was refused, and what to do."""
    # X.509 verification codes of OpenSSL, x509_vfy.h: expired; hostname and IP address mismatch.
    if error.verify_code == 10:
        advice = "renew it on the dialer"
    elif error.verify_code in (62, 64):
        advice = "write as host of this dialer a name that is in the certificate, or have one made for this name"
    else:
        advice = "name its CA in tls_ca of this dialer, or add it to this machine's authorities"
    return f"its certificate is not trusted ({error.verify_message.rstrip('.')}); {advice}"
