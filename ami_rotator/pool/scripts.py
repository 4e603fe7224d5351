"""The Lua scripts: read from files, put together with what they include, run by their hash."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

_INCLUDE = re.compile(r"^--- include (.+)$", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (?P<name>\w+)\(.*?^end\n", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--.*")
_NAME = re.compile(r"([a-z_]+)-(\d+)\.lua")


@dataclass(frozen=True, slots=True)
class Script:
    """One command: its whole source, the SHA-1 Redis knows it by, and how many keys it takes."""

    name: str
    source: str
    sha: str
    keys: int


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
            sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            scripts[named[1]] = Script(named[1], source, sha, int(named[2]))
    return scripts
