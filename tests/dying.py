"""The command `mespot`, ended by kill -9 just before its Nth step that changes a folder.

dying.py FOLDER N STAGE ... ; if it lives to its end it prints how many such steps it took: files that are
opened for writing, made, renamed or removed. (What C libraries do between them Python does not see.)
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from itertools import count

from mespot.cli import app

CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}


def kill_before(step: int, folder: str) -> None:
    steps = count(1)

    def hook(event: str, arguments: tuple) -> None:
        changes = event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR))
        if changes and str(arguments[0]).startswith(folder) and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)

    atexit.register(lambda: print(next(steps) - 1))


if __name__ == "__main__":
    kill_before(int(sys.argv[2]), sys.argv[1])
    sys.argv[1:] = sys.argv[3:]
    app()
