"""The page of the API is what the program is."""

from __future__ import annotations

from tests.docs.api_reference import PAGE, api_page


def test_the_api_page_is_made_from_the_program() -> None:
    assert PAGE.read_text(encoding="utf-8") == api_page(), "run: python -m tests.docs.api_reference"
