"""
Plays ``swapping_daemon.py``: the code that answers is replaced while a client is connected.

    python docs/examples/show_swap.py
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

DAEMON = Path(__file__).with_name("swapping_daemon.py")

ANSWERS = """
import attrs
from greeter.words import WORD

def build(keep):
    return Answers(keep)

@attrs.define
class Answers:
    keep: dict

    def answer(self, line):
        self.keep["count"] = self.keep.get("count", 0) + 1
        return f"{WORD} {line}, line {self.keep['count']}"
"""


def main() -> None:
    """Show it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        write(tree, "good day")
        command = [sys.executable, str(DAEMON), str(tree), str(Path(folder, "copies")), "0"]
        daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
        try:
            play(daemon, tree)
        finally:
            daemon.kill()
            daemon.wait()


def play(daemon: subprocess.Popen[str], tree: Path) -> None:
    """Ask, replace, ask, try what cannot be loaded, ask."""
    port = int(re.findall(r"port (\d+)", wait_for(daemon, "port"))[0])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, connection.makefile("rb") as file:

        def ask(when: str) -> None:
            connection.sendall(b"Ann\n")
            tell(f"{when}: {file.readline().decode()}")

        ask("before")
        write(tree, "hello")
        daemon.send_signal(signal.SIGHUP)
        tell(wait_for(daemon, "is freed"))
        ask("the same connection, new code")
        (tree / "greeter/words.py").write_text("WORD = 1 / 0\n")
        daemon.send_signal(signal.SIGHUP)
        tell(wait_for(daemon, "kept"))
        ask("code that cannot be loaded changes nothing")


def write(tree: Path, word: str) -> None:
    """A tree whose answers begin with ``word``."""
    (tree / "greeter").mkdir(parents=True, exist_ok=True)
    (tree / "greeter/__init__.py").write_text("")
    (tree / "greeter/words.py").write_text(f"WORD = {word!r}\n")
    (tree / "greeter/answers.py").write_text(ANSWERS)


def wait_for(daemon: subprocess.Popen[str], word: str) -> str:
    """The next line of the daemon's with ``word``."""
    assert daemon.stderr is not None
    while word not in (line := daemon.stderr.readline()):
        assert line, f"the daemon ended before it said {word!r}"
    return line


def tell(text: str) -> None:
    """Print."""
    sys.stdout.write(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
