"""The Lua scripts: read from files, put together with what they include, run by their hash.

Those that calls wait for are functions as well: Redis (7.0 and later) keeps the parts of a function from one run to the
next, and makes those of a script anew each time, which is a fifth of what a call that comes alone costs it.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources

_INCLUDE = re.compile(r"^--- include (.+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (?P<name>\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--.*")
_NAME = re.compile(r"([a-z_]+)-(\d+)\.lua")
# A script whose last line is this one can be a function.
_RUN = "return run(KEYS, ARGV)\n"
# What a full Redis must take as well, so that calls can end and warm pools be closed. As a script it is by its first
# command that Redis judges it.
_WHEN_FULL = frozenset(("tell", "warm"))


@dataclass(frozen=True, slots=True)
class Script:
    """One command: its whole source, the SHA-1 Redis knows it by, and how many keys it takes.

    `function_source` is the library that has it as a function, `function` their name: another for each version of all in it,
    as daemons of several may share a Redis. Both are empty where it is none.
    """

    name: str
    source: str
    sha: str
    keys: int
    function: str = ""
    function_source: str = ""


def _without_unused(source: str) -> str:
    """Leave out functions that nothing calls: each would be made anew at every call of the script."""
    while True:
        words = Counter(_WORD.findall(_code(source)))
        unused = [match for match in _FUNCTION.finditer(source) if words[match["name"]] == 1]
        if not unused:
            return source
        for match in reversed(unused):
            source = source[: match.start()] + source[match.end() :]


def _code(source: str) -> str:
    return _COMMENT.sub("", source)


def load_scripts(replaced: Mapping[str, str] | None = None) -> dict[str, Script]:
    """Read all scripts; `replaced` gives other sources for included parts (tests bring a clock of their own)."""
    return dict(_read(tuple((replaced or {}).items())))


@lru_cache(maxsize=4)
def _read(replaced: tuple[tuple[str, str], ...]) -> Mapping[str, Script]:
    folder = resources.files("ami_rotator.pool") / "lua"
    parts = {file.name.removesuffix(".lua"): file.read_text() for file in (folder / "include").iterdir()}
    parts.update(replaced)

    def include(match: re.Match[str]) -> str:
        return "\n".join(parts[name] for name in match[1].split())

    scripts: dict[str, Script] = {}
    for file in folder.iterdir():
        named = _NAME.fullmatch(file.name)
        if named:
            source = _without_unused(_INCLUDE.sub(include, file.read_text()))
            script = Script(named[1], source, _sha1(source), int(named[2]))
            scripts[named[1]] = _as_function(script) if source.endswith(_RUN) else script
    return scripts


def _as_function(script: Script) -> Script:
    flags = ", flags={'allow-oom'}" if script.name in _WHEN_FULL else ""
    body = script.source.removesuffix(_RUN)
    name = f"rotator_{script.name}_{_sha1(body + flags)}"
    register = f"redis.register_function{{function_name='{name}', callback=run{flags}}}\n"
    return replace(script, function=name, function_source=f"#!lua name={name}\n{body}{register}")


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
