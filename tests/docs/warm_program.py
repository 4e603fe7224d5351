"""`ami-rotator`, imported once: most of what a short command costs is its imports, and the pages start it twenty times.

Each command is a fork of a process that has imported the real program, with the caller's arguments, environment, folder,
input and output, and ends with its exit code. `serve` and `simulate` are started anew, because Ctrl-C has to reach them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from ami_rotator import cli

_PROGRAM = Path(sys.executable).parent / "ami-rotator"
_CALLER = """\
#!{python} -ISs
import json, os, socket, sys
if sys.argv[1:2] in (["serve"], ["simulate"]):
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])
caller = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
caller.connect({address!r})
socket.send_fds(caller, [json.dumps([sys.argv, os.getcwd(), dict(os.environ)]).encode()], [0, 1, 2])
sys.exit((caller.recv(1) or bytes([70]))[0])
"""


@contextmanager
def warm_program(folder: Path) -> Iterator[Path]:
    """Give a program to put where `ami-rotator` is."""
    address, caller = folder / "socket", folder / "ami-rotator"
    caller.write_text(_CALLER.format(python=sys.executable, program=str(_PROGRAM), address=str(address)))
    caller.chmod(0o755)
    process = subprocess.Popen([sys.executable, "-m", __name__, str(address)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield caller
    finally:
        process.kill()
        process.wait()


def _answer(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _command(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _command(connection: socket.socket) -> NoReturn:
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    sys.argv, folder, environment = json.loads(message)
    for own, given in enumerate(descriptors):
        os.dup2(given, own)
        os.close(given)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    code = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    connection.send(bytes([code]))
    os._exit(code)


if __name__ == "__main__":
    _answer(sys.argv[1])
