"""Fixtures of the integration tests."""

from tests.support.mariadb import mariadb, own_mariadb, vicidial_database

__all__ = ["mariadb", "own_mariadb", "vicidial_database"]
