"""
Apply the plan of three ports and say each change: ``python -m tests.net.applier CHANGES``.

After that many changes it waits to be killed.
"""

from __future__ import annotations

import signal
import sys

from net import Change, HostNetwork, NetError

from .plans import plan_of


def main(changes: str) -> None:
    left = int(changes)

    def say(change: Change) -> None:
        nonlocal left
        left -= 1
        sys.stdout.write(f"{change.what}\n")
        sys.stdout.flush()
        if not left:
            signal.pause()

    try:
        HostNetwork(on_change=say).apply(plan_of(5, 6, 7))
    except NetError as error:
        sys.stdout.write(f"refused: {error}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
