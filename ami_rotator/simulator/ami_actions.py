"""The AMI actions, with Asterisk's own answers (main/manager.c, main/db.c)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ami_rotator.simulator.channel import one_line
from ami_rotator.simulator.exchange import Exchange

AMI_VERSIONS: Final = {"16.28": "5.0.5", "22.10": "11.0.0"}
Request = Mapping[str, str]
"""The headers of an action, names in lower case; of a repeated header the last."""


@dataclass(frozen=True, slots=True)
class Action:
    """One action. Who has none of the classes in `needs` may not use it; empty: everybody may."""

    name: str
    needs: frozenset[str]
    summary: str
    answer: Callable[[Request], str]


class Actions:
    """Answer everything but Login, Logoff and Events, which change the session."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        call, system = frozenset({"call"}), frozenset({"system"})
        reading = frozenset({"system", "reporting"})
        actions = (
            Action("Command", frozenset({"command"}), "Execute Asterisk CLI Command.", self._command),
            Action("CoreSettings", reading, "Show PBX core settings (version etc).", self._core_settings),
            Action("CoreShowChannels", reading, "List currently active channels.", self._core_show_channels),
            Action("CoreStatus", reading, "Show PBX core status variables.", self._core_status),
            Action("DBDel", system, "Delete DB entry.", self._db_del),
            Action("DBDelTree", system, "Delete DB Tree.", self._db_del_tree),
            Action("DBGet", reading, "Get DB Entry.", self._db_get),
            Action("DBPut", system, "Put DB entry.", self._db_put),
            Action("ListCommands", frozenset(), "List available manager commands.", self._list_commands),
            Action("Ping", frozenset(), "Keepalive command.", self._ping),
            Action("Setvar", call, "Sets a channel variable or function value.", self._setvar),
        )
        self._actions = {action.name.lower(): action for action in actions}

    def answer(self, request: Request) -> str:
        """Return the whole answer to an action of a session that is logged in."""
        name = request["action"]
        action = self._actions.get(name.lower())
        if action is None:
            return error(
                request,
                f"Invalid/unknown command: {one_line(name)}. Use Action: ListCommands to show available commands.",
            )
        if not self._may(action):
            return error(request, "Permission denied")
        return action.answer(request)

    def _may(self, action: Action) -> bool:
        return not action.needs or bool(action.needs & self._exchange.options.write)

    def _ping(self, request: Request) -> str:
        ms = self._exchange.clock.wall_ms()
        return f"{head('Success', request)}Ping: Pong\r\nTimestamp: {ms // 1000}.{ms % 1000:03d}000\r\n\r\n"

    def _list_commands(self, request: Request) -> str:
        lines = "".join(
            f"{action.name}: {action.summary}  (Priv: {','.join([*sorted(action.needs), 'all'])})\r\n"
            for action in self._actions.values()
            if self._may(action)
        )
        return f"{head('Success', request)}{lines}\r\n"

    def _setvar(self, request: Request) -> str:
        variable = request.get("variable", "")
        if not variable:
            return error(request, "No variable specified")
        answer = self._exchange.set_variable(request.get("channel", ""), variable, request.get("value", ""))
        return success(request, answer) if answer == "Variable Set" else error(request, answer)

    def _db_put(self, request: Request) -> str:
        key = _db_key(request)
        if isinstance(key, str):
            return error(request, key)
        self._exchange.astdb[key] = request.get("val", "")
        return success(request, "Updated database successfully")

    def _db_get(self, request: Request) -> str:
        key = _db_key(request, stop=".")
        if isinstance(key, str):
            return error(request, key)
        value = self._exchange.astdb.get(key)
        if value is None:
            return error(request, "Database entry not found")
        identity = _identity(request)
        return (
            f"{head('Success', request)}EventList: start\r\nMessage: Result will follow\r\n\r\n"
            f"Event: DBGetResponse\r\nFamily: {key[0]}\r\nKey: {key[1]}\r\nVal: {value}\r\n{identity}\r\n"
            f"Event: DBGetComplete\r\n{identity}EventList: Complete\r\nListItems: 1\r\n\r\n"
        )

    def _db_del(self, request: Request) -> str:
        key = _db_key(request, stop=".")
        if isinstance(key, str):
            return error(request, key)
        if self._exchange.astdb.pop(key, None) is None:
            return error(request, "Database entry not found")
        return success(request, "Key deleted successfully")

    def _db_del_tree(self, request: Request) -> str:
        family, below = request.get("family", ""), request.get("key", "")
        if not family:
            return error(request, "No family specified.")
        database = self._exchange.astdb
        found = [key for key in database if key[0] == family and (not below or f"{key[1]}/".startswith(f"{below}/"))]
        for key in found:
            del database[key]
        return (
            success(request, "Key tree deleted successfully") if found else error(request, "Database entry not found")
        )

    def _core_status(self, request: Request) -> str:
        began = time.localtime(self._exchange.started_at_ms / 1000)
        date, clock = time.strftime("%Y-%m-%d", began), time.strftime("%H:%M:%S", began)
        return (
            f"{head('Success', request)}CoreStartupDate: {date}\r\nCoreStartupTime: {clock}\r\n"
            f"CoreReloadDate: {date}\r\nCoreReloadTime: {clock}\r\n"
            f"CoreCurrentCalls: {self._exchange.channel_count}\r\n"
            f"CoreProcessedCalls: {self._exchange.processed_calls}\r\n\r\n"
        )

    def _core_settings(self, request: Request) -> str:
        version = self._exchange.options.version
        return (
            f"{head('Success', request)}AMIversion: {AMI_VERSIONS[version]}\r\nAsteriskVersion: {version}-simulated\r\n"
            "SystemName: \r\nCoreMaxCalls: 0\r\nCoreMaxLoadAvg: 0.000000\r\nCoreRunUser: asterisk\r\n"
            "CoreRunGroup: asterisk\r\nCoreMaxFilehandles: 0\r\nCoreRealTimeEnabled: No\r\nCoreCDRenabled: Yes\r\n"
            "CoreHTTPenabled: No\r\nSoundsSearchCustomDir: No\r\n\r\n"
        )

    def _core_show_channels(self, request: Request) -> str:
        identity = _identity(request)
        events = [
            f"Event: CoreShowChannel\r\n{identity}{channel.snapshot()}"
            "Application: \r\nApplicationData: \r\nDuration: 00:00:00\r\nBridgeId: \r\n\r\n"
            for channel in self._exchange.channels
        ]
        return (
            f"{head('Success', request)}EventList: start\r\nMessage: Channels will follow\r\n\r\n{''.join(events)}"
            f"Event: CoreShowChannelsComplete\r\n{identity}EventList: Complete\r\nListItems: {len(events)}\r\n\r\n"
        )

    def _command(self, request: Request) -> str:
        command = " ".join(request.get("command", "").split())
        if command == "core show channels count":
            calls = self._exchange.checks.live
            lines = [
                f"{self._exchange.channel_count} active channels",
                f"{calls} active calls",
                f"{self._exchange.processed_calls} calls processed",
            ]
        elif command == "database show" or command.startswith("database show "):
            family = command.removeprefix("database show").strip()
            found = [(key, value) for key, value in self._exchange.astdb.items() if family in ("", key[0])]
            lines = [f"{f'/{name}/{key}':<50}: {value:<25}" for (name, key), value in found]
            lines.append(f"{len(found)} results found.")
        else:
            text = one_line(command)
            output = f"No such command '{text}' (type 'core show help {text}' for other possible commands)"
            return f"{head('Error', request)}Message: Command output follows\r\nOutput: {output}\r\n\r\n"
        output = "".join(f"Output: {line}\r\n" for line in lines)
        return f"{head('Success', request)}Message: Command output follows\r\n{output}\r\n"


def head(response: str, request: Request) -> str:
    """Return the first lines of every answer."""
    return f"Response: {response}\r\n{_identity(request)}"


def success(request: Request, message: str) -> str:
    """Return a short good answer."""
    return f"{head('Success', request)}Message: {message}\r\n\r\n"


def error(request: Request, message: str) -> str:
    """Return a short bad answer."""
    return f"{head('Error', request)}Message: {message}\r\n\r\n"


def _identity(request: Request) -> str:
    identity = request.get("actionid", "")
    return f"ActionID: {identity}\r\n" if identity else ""


def _db_key(request: Request, stop: str = "") -> tuple[str, str] | str:
    """Return family and key, or what is missing; some of Asterisk's complaints end in a full stop and some do not."""
    family, key = request.get("family", ""), request.get("key", "")
    if not family:
        return f"No family specified{stop}"
    return (family, key) if key else f"No key specified{stop}"
