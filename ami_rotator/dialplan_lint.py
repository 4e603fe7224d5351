"""Faults of dialplan hooks that hurt calls, each seen on real Asterisk or in what people have published."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_LINE = re.compile(r"\s*(?:exten\s*=>?\s*([^,]+),|same\s*=>?\s*)\s*([^,]+?)\s*,\s*(.*?)\s*$")
_RAW_VARIABLE = re.compile(r"\$\{(?!FILTER\()")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of an extension: `1`, `n` or `n(label)`, and what it does."""

    priority: str
    action: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault that shows in a single action."""

    why: str
    is_fault: Callable[[str], bool]


def lint(lines: Sequence[str]) -> list[str]:
    """Return what is wrong with dialplan lines, with the line; nothing where they are good."""
    found = []
    extensions: dict[str, list[Step]] = {}
    pattern = ""
    for line in lines:
        for character, name in (("\\", "backslash"), ("'", "apostrophe")):
            if character in line:
                found.append(f"{name}: VICIdial strips it when the carrier is saved: {line}")
        match = _LINE.match(line) if not line.lstrip().startswith(";") else None
        if match is None:
            continue
        pattern = match[1] or pattern
        extensions.setdefault(pattern, []).append(Step(match[2], match[3]))
        found.extend(f"{rule.why}: {line}" for rule in _RULES if rule.is_fault(match[3]))
    for pattern, steps in extensions.items():
        found.extend(f"{fault} ({pattern})" for fault in _order_faults(steps))
    return found


def _order_faults(steps: Sequence[Step]) -> Iterator[str]:
    if steps[0].priority != "1" or "call_log" not in steps[0].action:
        yield "call_log is not at priority 1: VICIdial then loses the campaign, the carrier log and the end of the call"
    has_timeout = has_dialled = False
    for step in steps:
        has_timeout = has_timeout or "CURLOPT(httptimeout)=" in step.action
        if "${CURL(" in step.action and not has_timeout:
            yield "CURL without CURLOPT(httptimeout) before it: it waits 180 seconds"
        if has_dialled and re.search(r"Set\(CALLERID\(", step.action, re.IGNORECASE):
            yield "CALLERID is set after Dial: VICIdial then takes the Local channel for the trunk"
        has_dialled = has_dialled or step.action.lower().startswith("dial(")


def _sets_name(action: str) -> bool:
    return bool(re.search(r"CALLERID\((?:name|all)[^)]*\)\s*=", action, re.IGNORECASE))


def _agi_set_callerid(action: str) -> bool:
    return bool(re.search(r"\bSET\s+CALLERID\b", action, re.IGNORECASE))


def _dial_options(action: str) -> str | None:
    """Return the letters of a Dial's options without what is in brackets; None where it is no Dial."""
    if not action.lower().startswith("dial("):
        return None
    arguments = _arguments(action[len("dial(") :])
    return re.sub(r"\([^()]*\)", "", arguments[2]) if len(arguments) > 2 else ""


def _dial_f(action: str) -> bool:
    return "f" in (_dial_options(action) or "")


def _dial_without_o(action: str) -> bool:
    options = _dial_options(action)
    return options is not None and "o" not in options


def _raw_in_exec_if(action: str) -> bool:
    if not action.lower().startswith("execif("):
        return False
    _, _, then = action.partition("?")
    return bool(_RAW_VARIABLE.search(re.sub(r"\$\{FILTER\([^$]*\$\{\w+\}\)\}", "", then)))


def _unguarded(action: str) -> bool:
    return "CALLERID(num)=" in action and not re.match(r"ExecIf\(\$\{REGEX\(", action, re.IGNORECASE)


def _expression_guard(action: str) -> bool:
    return "=~" in action


def _json_decode(action: str) -> bool:
    return bool(re.search(r"JSON_DECODE\(\s*\$\{", action))


def _curl_posts(action: str) -> bool:
    return any(len(_arguments(rest)) > 1 for rest in action.split("${CURL(")[1:])


def _not_encoded(action: str) -> bool:
    return any(
        re.search(r"\$\{(?!URIENCODE\()", _top_level(_arguments(rest)[0])) for rest in action.split("${CURL(")[1:]
    )


def _subroutine(action: str) -> bool:
    return bool(re.match(r"(?:Gosub|GosubIf|Macro|MacroIf)\(", action, re.IGNORECASE))


def _agi_status(action: str) -> bool:
    return bool(re.search(r"AGISTATUS\}?\"?\s*!?=\s*\"?0", action))


def _unknown_variable(action: str) -> bool:
    return "${VICIDIAL_" in action


_RULES = (
    Rule("sets the caller-ID name: VICIdial tracks the call by it", _sets_name),
    Rule("AGI SET CALLERID wipes the name: use SET VARIABLE CALLERID(num)", _agi_set_callerid),
    Rule("Dial option f makes the connected name unknown: answered calls are dropped", _dial_f),
    Rule("Dial without option o: VICIdial needs it", _dial_without_o),
    Rule("a raw variable in ExecIf: what follows a colon in it is run as an application", _raw_in_exec_if),
    Rule(
        "CALLERID(num) is set without ExecIf(${REGEX(...)}?...): any error body would go out as the number", _unguarded
    ),
    Rule("a guard with =~: a quote in the value breaks the expression and lets it through", _expression_guard),
    Rule("JSON_DECODE takes the name of a variable, not its value", _json_decode),
    Rule("the second argument of CURL is a body to post, not a timeout", _curl_posts),
    Rule("a variable in a URL without URIENCODE", _not_encoded),
    Rule("a subroutine: a missing context hangs up, and a hangup inside skips the end of call_log", _subroutine),
    Rule("AGISTATUS is a word such as SUCCESS, never 0", _agi_status),
    Rule("VICIdial sets no variable of this name", _unknown_variable),
)


def _arguments(text: str) -> list[str]:
    """Split the arguments of a call whose opening bracket was taken off, up to its closing one."""
    found = [""]
    depth = 0
    for character in text:
        if character in "({[":
            depth += 1
        elif character in ")}]":
            depth -= 1
            if depth < 0:
                break
        if character == "," and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return found


def _top_level(text: str) -> str:
    """Return a text with what is inside `${NAME(...)}` cut down to `${NAME(`."""
    found = ""
    depth = 0
    for character in text:
        if character == "(":
            depth += 1
            found += character if depth == 1 else ""
        elif character == ")":
            depth -= 1
        elif depth == 0:
            found += character
    return found
