"""
The tenant of a walk, a process in its own folder: ``python -m bench.real_servers.tenant cli|sdk SECONDS [IMAGE]``.

``OS_CLOUD`` and ``OS_CLIENT_CONFIG_FILE`` say which cloud.  Prints one JSON object: ``steps`` and ``wrong``.  Without
the file of an image it walks no step, and deletes the servers that a walk has left: they would outlive their cloud.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ._client import Client
from ._steps import STEPS
from ._walk import Walk


def client(by: str, patience_s: float) -> Client:
    if by == "cli":
        from ._command_line import CommandLine

        return CommandLine(patience_s)
    from ._sdk import Sdk

    return Sdk(patience_s)


def main(by: str, seconds: str, image: str = "") -> None:
    walk = Walk(client(by, float(seconds)), Path(image), Path.cwd(), float(seconds))
    if image:
        for name, do in STEPS:
            walk.step(name, do)
    elif left := walk.client.listed()["server"]:
        walk.client.delete_servers(*left)
    print(json.dumps({"steps": walk.steps, "wrong": walk.wrong}))


if __name__ == "__main__":
    main(*sys.argv[1:])
