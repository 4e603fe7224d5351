"""Reading the URL of VICIdial's database."""

from __future__ import annotations

import pytest

from ami_rotator.errors import SettingsError
from ami_rotator.vicidial.address import DatabaseAddress, parse_database_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "mysql://rotator:secret@10.0.0.5:3307/asterisk",
            DatabaseAddress("10.0.0.5", 3307, "rotator", "secret", "asterisk"),
        ),
        ("mariadb://r:p@db/asterisk", DatabaseAddress("db", 3306, "r", "p", "asterisk")),
        ("mysql://r@db/asterisk", DatabaseAddress("db", 3306, "r", "", "asterisk")),
        ("mysql://r:p@[fd00::5]:3307/a", DatabaseAddress("fd00::5", 3307, "r", "p", "a")),
        ("mysql://r:p%40s%2Fs%25@db/a", DatabaseAddress("db", 3306, "r", "p@s/s%", "a")),
        ("mysql://r:p@s/s?w#o:r%d@db/a", DatabaseAddress("db", 3306, "r", "p@s/s?w#o:r%d", "a")),
        ("mysql://r:p%C3%A4ss@db/a", DatabaseAddress("db", 3306, "r", "päss", "a")),
        (
            "mysql://r:p@/a?socket=/run/mysqld/mysqld.sock",
            DatabaseAddress("127.0.0.1", 3306, "r", "p", "a", socket="/run/mysqld/mysqld.sock"),
        ),
        ("mysql://r:p@db/a?tls=on", DatabaseAddress("db", 3306, "r", "p", "a", tls="on")),
        (
            "mysql://r:p@db/a?tls_ca=/etc/ca.pem",
            DatabaseAddress("db", 3306, "r", "p", "a", tls="verify", tls_ca="/etc/ca.pem"),
        ),
    ],
)
def test_a_url_is_read(url: str, expected: DatabaseAddress) -> None:
    assert expected == parse_database_url(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://r:hidden@db/a", "mysql://"),
        ("db/asterisk", "mysql://"),
        ("mysql://r:hidden@db", "database name"),
        ("mysql://:hidden@db/a", "no user"),
        ("mysql://r:hidden@db:99999/a", "99999"),
        ("mysql://r:hidden@db:x/a", "host and port"),
        ("mysql://r:hidden@db/a?ssl=true", "'ssl'"),
        ("mysql://r:hidden@db/a?tls=maybe", "tls"),
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        parse_database_url(url)

    assert "hidden" not in str(caught.value)


def test_an_address_does_not_show_its_password() -> None:
    address = parse_database_url("mysql://r:hidden@db/a")

    assert "hidden" not in f"{address} {address!r}"
