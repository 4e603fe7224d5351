"""What can go wrong with VICIdial's database. None of it may hurt a call: AMI and HTTP carry on without."""

from __future__ import annotations

from ami_rotator.errors import RotatorError


class VicidialError(RotatorError):
    """VICIdial's database cannot be used."""


class VicidialUnavailableError(VicidialError):
    """VICIdial's database did not answer in time. Calls get their caller-ID by AMI and HTTP until it does."""


class VicidialRefusedError(VicidialError):
    """VICIdial's database does not let this account in, or not at what it asked for."""


class VicidialSchemaError(VicidialError):
    """VICIdial's database has not the tables and columns that are needed."""
