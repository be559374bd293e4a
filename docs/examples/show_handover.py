"""
Plays ``counting_daemon.py``: clients talk while their connections go to a new process, and come back.

    python docs/examples/show_handover.py
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

DAEMON = Path(__file__).with_name("counting_daemon.py")


class Client:
    """One connection that is never opened again."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def line(self) -> str:
        return self.file.readline().decode().rstrip()


def main() -> None:
    """Show it."""
    daemon = subprocess.Popen([sys.executable, str(DAEMON), "0"], stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert daemon.stderr is not None
    try:
        play(daemon, int(re.findall(r"port (\d+)", daemon.stderr.readline())[0]))
    finally:
        daemon.kill()


def play(daemon: subprocess.Popen[str], port: int) -> None:
    """Talk, hand over, talk, take back, talk."""
    assert daemon.stderr is not None
    idle, half, slow = Client(port), Client(port), Client(port)
    idle.send(b"hello\n")
    show("before", idle)
    half.send(b"half a li")
    slow.send(b"slow answer\n")

    daemon.send_signal(signal.SIGUSR2)
    tell(daemon.stderr.readline())
    tell(daemon.stderr.readline())
    idle.send(b"hello again\n")
    half.send(b"ne\n")
    show("after: an idle connection", idle)
    show("after: half a line was sent before, the rest now", half)
    show("after: a slow answer ends where it began", slow)
    slow.send(b"and the next\n")
    show("after: and its connection has followed", slow)

    daemon.send_signal(signal.SIGHUP)
    tell(daemon.stderr.readline())
    idle.send(b"still here\n")
    show("taken back", idle)


def show(when: str, client: Client) -> None:
    """Print what a client gets."""
    tell(f"{when}: {client.line()}")


def tell(text: str) -> None:
    """Print."""
    sys.stdout.write(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
