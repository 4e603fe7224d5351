"""Phone numbers: from what people and dialplans write to E.164, and back to what is presented."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import phonenumbers

from ami_rotator.domain.types import E164, Area

Presentation = Literal["national", "e164", "digits"]
"""`5551234567`, `+15551234567` or `15551234567`."""

# The shape of a North American number. Looser than the numbering plan on purpose: the plan forbids exchanges such as 123,
# and test numbers that VICIdial sites use (5551234567) have them.
_NANP = re.compile(r"[2-9]\d{9}")
_NOISE = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")


def parse_number(text: str, region: str = "US") -> E164 | None:
    """Read a complete number, in any common format; None where it is none.

    North American numbers in 10 or 11 digits, international ones with `+`, `00` or `011`; anything else as a national
    number of `region` (ISO 3166 two letters).
    """
    compact = text if text.isdigit() else _NOISE.sub("", text.strip())
    plus = compact.startswith("+")
    digits = compact[1:] if plus else compact
    if not (digits.isascii() and digits.isdigit()) or not 7 <= len(digits) <= 18:
        return None
    if plus:
        return _international(digits)
    if region in ("US", "CA"):
        if _NANP.fullmatch(digits):
            return E164("+1" + digits)
        if digits[0] == "1" and _NANP.fullmatch(digits[1:]):
            return E164("+" + digits)
    for exit_code in ("011", "00"):
        if digits.startswith(exit_code):
            return _international(digits.removeprefix(exit_code))
    if region in ("US", "CA") and len(digits) > 10 and digits[0] != "1":
        # A dial prefix before the number: never a number itself, and too costly to look up with each call.
        return None
    return _national(digits, region)


def parse_dialled(dialled: str, dial_prefixes: Iterable[str] = (), region: str = "US") -> E164 | None:
    """Read what a dialplan dialled: as `parse_number`, else with the longest dial prefix that leaves a number cut off.

    A whole number wins over a prefix: `9165550100` is Sacramento, not prefix 9 and nine digits.
    """
    whole = parse_number(dialled, region)
    if whole is not None:
        return whole
    digits = dialled if dialled.isdigit() else _NOISE.sub("", dialled)
    for prefix in _longest_first(tuple(dial_prefixes)):
        if digits.startswith(prefix):
            rest = parse_number(digits.removeprefix(prefix), region)
            if rest is not None:
                return rest
    return None


@lru_cache(maxsize=100)
def _longest_first(prefixes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(filter(None, prefixes), key=len, reverse=True))


def area_of(number: E164) -> Area:
    """Return the area of a number: `212`, `+4420`, or `+44` where the country has none."""
    if number.startswith("+1") and len(number) == 12:
        return Area(number[2:5])
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return Area("")
    national = phonenumbers.national_significant_number(parsed)
    width = phonenumbers.length_of_geographical_area_code(parsed)
    return Area(f"+{parsed.country_code}{national[:width]}")


def present(number: E164, presentation: Presentation = "national") -> str:
    """Return a number as it is presented. A foreign number has no shorter form than its digits with country code."""
    if presentation == "e164":
        return number
    digits = number[1:]
    if presentation == "national" and len(digits) == 11 and digits[0] == "1":
        return digits[1:]
    return digits


def mask(number: str) -> str:
    """Hide the last four digits, for logs: people called are not ours to write down."""
    return number[:-4] + "****" if len(number) > 4 else "****"


def _international(digits: str) -> E164 | None:
    if digits.startswith("1"):
        return E164("+" + digits) if _NANP.fullmatch(digits[1:]) else None
    try:
        parsed = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return E164(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def _national(digits: str, region: str) -> E164 | None:
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(parsed):
        return None
    return E164(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))
