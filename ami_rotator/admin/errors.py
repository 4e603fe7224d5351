"""What an administrator can get wrong. Each has a stable code for programs; the message is for people and says the fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ami_rotator.errors import RotatorError


class AdminError(RotatorError):
    """A request of an administrator cannot be fulfilled."""

    code = "refused"


class NotFoundError(AdminError):
    """There is nothing of that name."""

    code = "not_found"


class ConflictError(AdminError):
    """There is something of that name already."""

    code = "exists"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field, and what to write instead."""

    field: str
    message: str


class InvalidError(AdminError):
    """Some of the values cannot be used."""

    code = "invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = tuple(problems)


class SignInError(AdminError):
    """Name or password is wrong."""

    code = "sign_in_refused"
