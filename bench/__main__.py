"""Entry point of the command `throughtime`, and of `python -m throughtime`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any


def main() -> int:
    """Run the command of the arguments of this process, and return its exit code.

    Ctrl-C ends the process at once while the command line is imported, when no traceback would tell anything.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)
    from throughtime.commands.main import main as run

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    return run()


def _exit(signum: int, frame: Any) -> None:
    os._exit(128 + signum)


if __name__ == "__main__":
    sys.exit(main())
