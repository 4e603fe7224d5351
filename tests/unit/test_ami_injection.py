"""Nothing that comes from outside can start a line, a header, an action or a dialplan function of its own."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ami_rotator.ami import actions

_NASTY = st.text(alphabet=st.sampled_from("\r\n\0 ,&|:;${}[]()\"'\\Action0129+éß\u2028"), max_size=60)
ANY = st.one_of(_NASTY, st.text(max_size=60), st.sampled_from(["5551234567", "ROTATOR_CID", "SIP/a-1", "rotator"]))
SAFE_VALUE = re.compile(r"\+?[0-9]{1,20}")


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b, c: actions.setvar(a, b, c),
        lambda a, b, c: actions.set_caller_id_number(a, c),
        lambda a, b, c: actions.set_global(b, c),
        lambda a, b, c: actions.db_put(a, b, c),
        lambda a, b, c: actions.db_delete(a, b),
        lambda a, b, c: actions.db_delete_tree(a),
        lambda a, b, c: actions.action("Command", Command=a),
    ],
)
@settings(max_examples=60, deadline=None)
@given(first=ANY, second=ANY, third=ANY)
def test_what_is_written_to_a_dialer_is_one_action_whatever_it_is_made_of(
    make: Callable[[str, str, str], dict[str, str]], first: str, second: str, third: str
) -> None:
    made: dict[str, str] = {}
    with contextlib.suppress(ValueError):
        made = make(first, second, third)

    text = "".join(f"{name}: {value}\r\n" for name, value in made.items())
    assert len(re.findall(r"[\r\n\0]", text)) == 2 * len(made)
    value = made.get("Value", made.get("Val", "0"))
    assert SAFE_VALUE.fullmatch(value)
    assert not re.search(r"[${}()\[\],;|&]", made.get("Variable", "").replace("CALLERID(num)", ""))
