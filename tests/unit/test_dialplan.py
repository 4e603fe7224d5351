"""The hook's lines, and that each lint rule catches what it is for."""

from __future__ import annotations

import re

import pytest

from ami_rotator.dialplan import DialplanError, Hook, hook_lines, patterns_for, render
from ami_rotator.dialplan_lint import lint

GOOD = hook_lines(Hook(dialer="dialer1"))


def changed(old: str, new: str) -> list[str]:
    lines = [line.replace(old, new) for line in GOOD]
    assert lines != GOOD
    return lines


def test_the_curl_hook_is_the_one_that_was_measured() -> None:
    prefix = "exten => _91NXXNXXXXXX,"
    assert hook_lines(Hook(dialer="dialer1", trunk="PJSIP/{number}@carrier")) == [
        prefix + "1,AGI(agi://127.0.0.1:4577/call_log)",
        prefix + "n,Set(ROTATOR_CID=${IF($[${LEN(${ROTATOR_CID})} > 0]?${ROTATOR_CID}"
        ":${DB_DELETE(rotator/${CUT(CALLERID(name), ,1)})})})",
        prefix + "n,GotoIf($[${LEN(${ROTATOR_CID})} > 0]?have)",
        prefix + "n,Set(CURLOPT(conntimeout)=0.2)",
        prefix + "n,Set(CURLOPT(httptimeout)=0.25)",
        prefix + "n,Set(ROTATOR_CID=${CURL(http://127.0.0.1:8000/next-cid?format=plain&to=${URIENCODE(${EXTEN:1})}"
        "&campaign=${URIENCODE(${CAMPCUST})}&agent=&code=${URIENCODE(${CUT(CALLERID(name), ,1)})}"
        "&uniqueid=${URIENCODE(${UNIQUEID})}&channel=${URIENCODE(${CHANNEL})}&dialer=dialer1)})",
        prefix + 'n(have),ExecIf(${REGEX("^[0-9]{7,15}$" ${ROTATOR_CID})}'
        "?Set(CALLERID(num)=${FILTER(0-9,${ROTATOR_CID})}))",
        prefix + "n,Dial(PJSIP/${EXTEN:1}@carrier,${CAMPDTO},To)",
        prefix + "n,Hangup()",
    ]


def test_the_fastagi_hook_asks_in_one_line_and_needs_no_curl() -> None:
    lines = hook_lines(Hook(via="fastagi", fastagi="10.0.0.5:4578", dialer="dialer1", key="a&b"))

    assert lines[3] == "exten => _91NXXNXXXXXX,n,AGI(agi://10.0.0.5:4578/next-cid?dialer=dialer1&key=a%26b)"
    assert "CURL" not in "".join(lines)


@pytest.mark.parametrize(
    "hook",
    [
        Hook(),
        Hook(via="fastagi"),
        Hook(presentation="e164", key="it's a \\ key; with ' and \" and )", budget_s=0.02),
        Hook(presentation="digits", keeps_connected_line=True),
        Hook(pattern="_9011.", prefix_length=1, trunk="SIP/carrier/{number}"),
        Hook(pattern="_NXXNXXXXXX", prefix_length=0, trunk="IAX2/user:pass@10.0.0.9/{number}"),
        Hook(pattern="_+1NXXNXXXXXX", base_url="https://rotator.example:8443"),
    ],
)
def test_every_hook_passes_the_lint(hook: Hook) -> None:
    assert lint(hook_lines(hook)) == []


def test_rendered_text_passes_the_lint_and_says_how_to_undo_it() -> None:
    hooks = [
        Hook(pattern=pattern, prefix_length=length, dialer="d") for pattern, length in patterns_for(["9", "88", ""])
    ]
    text = render(hooks)

    assert lint(text.splitlines()) == []
    assert "To undo" in text
    assert [line.split(",")[0] for line in text.splitlines() if ",1," in line] == [
        "exten => _91NXXNXXXXXX",
        "exten => _881NXXNXXXXXX",
        "exten => _1NXXNXXXXXX",
    ]
    assert "${EXTEN:2}" in text


@pytest.mark.parametrize(("presentation", "number"), [("national", "5551234567"), ("e164", "+15551234567")])
def test_the_guard_admits_what_the_daemon_answers_and_nothing_else(presentation: str, number: str) -> None:
    line = next(line for line in hook_lines(Hook(presentation=presentation)) if "REGEX" in line)  # type: ignore[arg-type]
    guard = re.search(r'REGEX\("([^"]+)"', line)
    assert guard is not None

    assert re.search(guard[1], number)
    hostile = ('{"detail":"x"}', "", "x:System(reboot)", "5551234567)", "12345", "5551234567,5551234568", "1" * 20)
    assert [text for text in hostile if re.search(guard[1], text)] == []


@pytest.mark.parametrize(
    "options",
    [
        {"pattern": "_9X,1,System(x)"},
        {"pattern": ""},
        {"trunk": "PJSIP/{number}@carrier,,f(5551234567)"},
        {"trunk": "PJSIP/carrier"},
        {"trunk": "PJSIP/{number}\nexten"},
        {"base_url": "http://x/?a=${SHELL(id)}"},
        {"fastagi": "here"},
        {"budget_s": 60},
        {"dialer": "a b"},
        {"prefix_length": -1},
    ],
)
def test_an_option_that_would_break_out_of_its_line_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(DialplanError):
        Hook(**options)  # type: ignore[arg-type]


CURL = "${CURL(http://127.0.0.1:8000/next-cid?to=${URIENCODE(${EXTEN:1})})}"
GUARDED = '${REGEX("^[0-9]{7,15}$" ${ROTATOR_CID})}?Set(CALLERID(num)=${FILTER(0-9,${ROTATOR_CID})})'


def with_line(action: str) -> list[str]:
    """Return the good hook with one more line before its Dial."""
    return [*GOOD[:-2], f"exten => _91NXXNXXXXXX,n,{action}", *GOOD[-2:]]


@pytest.mark.parametrize(
    ("fault", "lines"),
    [
        ("sets the caller-ID name", with_line("Set(CALLERID(name)=${ROTATOR_CID})")),
        ("sets the caller-ID name", with_line("Set(CALLERID(all)=ACME <5551234567>)")),
        ("sets the caller-ID name", with_line("Set(CALLERID(name-pres)=prohib)")),
        ("AGI SET CALLERID", with_line("AGI(agi://127.0.0.1/x,SET CALLERID 5551234567)")),
        ("option f", changed(",To)", ",Tof(5551234567))")),
        ("without option o", changed(",To)", ",T)")),
        ("without option o", changed(",${CAMPDTO},To)", ")")),
        ("backslash", with_line("NoOp(a\\,b)")),
        ("apostrophe", with_line("NoOp(it's)")),
        ("backslash", ["; a \\ comment", *GOOD]),
        ("CURL without CURLOPT(httptimeout)", [line for line in GOOD if "httptimeout" not in line]),
        ("a raw variable in ExecIf", changed("${FILTER(0-9,${ROTATOR_CID})}", "${ROTATOR_CID}")),
        ("a raw variable in ExecIf", with_line("ExecIf($[1 > 0]?NoOp(${CIDP}))")),
        ("a guard with =~", with_line('ExecIf($["${CIDP}" =~ "^[0-9]{10,15}$"]?NoOp(1))')),
        ("JSON_DECODE", with_line("Set(X=${JSON_DECODE(${RESPONSE},caller_id)})")),
        ("not a timeout", with_line("Set(X=${CURL(http://127.0.0.1:8000/next-cid,5)})")),
        ("without URIENCODE", changed("${URIENCODE(${CHANNEL})}", "${CHANNEL}")),
        ("without URIENCODE", changed("${URIENCODE(${CUT(CALLERID(name), ,1)})}", "${CUT(CALLERID(name), ,1)}")),
        ("a subroutine", with_line("Gosub(cidpool,s,1)")),
        ("a subroutine", with_line("Macro(cid)")),
        ("call_log is not at priority 1", GOOD[1:]),
        ("call_log is not at priority 1", ["exten => _91NXXNXXXXXX,1,NoOp()", *changed(",1,AGI", ",n,AGI")]),
        ("AGISTATUS", with_line('GotoIf($["${AGISTATUS}" != "0"]?out)')),
        ("no variable of this name", with_line("Set(X=${VICIDIAL_campaign})")),
        ("any error body", with_line("Set(CALLERID(num)=5551234567)")),
        ("set after Dial", [*GOOD, f"exten => _91NXXNXXXXXX,n,ExecIf({GUARDED})"]),
    ],
)
def test_the_lint_catches_a_fault_and_only_that(fault: str, lines: list[str]) -> None:
    found = lint(lines)

    assert [line for line in found if fault in line]
    assert lint(GOOD) == []


def test_the_seeds_published_dialplan_is_full_of_faults() -> None:
    seed = [
        "exten => _91NXXNXXXXXX,1,Set(RESPONSE=${CURL(http://127.0.0.1:8000/next-cid?to=${EXTEN}&campaign=${VICIDIAL_campaign},5)})",
        "exten => _91NXXNXXXXXX,n,Set(CID=${JSON_DECODE(${RESPONSE},caller_id)})",
        "exten => _91NXXNXXXXXX,n,Set(CALLERID(num)=${CID})",
        "exten => _91NXXNXXXXXX,n,Set(CALLERID(name)=${CID})",
        "exten => _91NXXNXXXXXX,n,Dial(SIP/trunk/${EXTEN:1},60,T)",
    ]

    assert len(lint(seed)) >= 9


def test_same_lines_belong_to_the_extension_above() -> None:
    lines = [GOOD[0], *(line.replace("exten => _91NXXNXXXXXX,", "same => ") for line in GOOD[1:])]
    assert lint(lines) == []
    assert lint([*lines[:-2], "same => n,Dial(SIP/x,60,T)"]) != []
