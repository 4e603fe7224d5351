"""Run a program in a root folder as another user, and have it killed when the process that asked for it dies.

`python launch.py PARENT_PID ROOT UID GID PROGRAM ARGUMENT...`; util-linux's setpriv would do, but needs /proc in there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, root: str, uid: int, gid: int, command: list[str]) -> None:
    """Replace this process by the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.chroot(root)
    os.chdir("/")
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)
    # Last, because a change of user clears it.
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() == parent:
        os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
