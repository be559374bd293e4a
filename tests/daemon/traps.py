"""
Traps in a code tree: the processes that run from it kill, stop or hang themselves at an exact step of an upgrade.

The tree's kernel files get a few lines at their end; the product has no switch for tests.  A trap waits in a file named
after its step until a process with the right name comes by; it goes off once, and writes down when.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from attrs import frozen

_TRAPS = '''
"""What happens at a step is said by a file of its name."""

import errno
import inspect
import json
import os
import signal
import time
from functools import wraps

FOLDER = @FOLDER@
who = "anchor"


def spring(step):
    path = f"{FOLDER}/{step}"
    try:
        with open(path) as file:
            trap = json.load(file)
    except FileNotFoundError:
        return
    if trap["who"] not in ("", who):
        return
    work = f"{path}.{os.getpid()}~"
    try:
        os.unlink(path)
    except FileNotFoundError:
        return  # another process was faster
    with open(work, "w") as file:
        json.dump({"who": who, "pid": os.getpid(), "at": time.monotonic()}, file)
    os.rename(work, f"{path}.sprung")
    action = trap["action"]
    if action == "raise":
        raise RuntimeError(f"a trap at {step}")
    if action == "ENOSPC":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.kill(os.getpid(), signal.Signals[action])


def around(owner, name, step):
    """Traps before and after a function, or a method; what is awaited ends later."""
    called = getattr(owner, name)

    @wraps(called)
    def wrapped(*args, **kwargs):
        spring(f"{step}.before")
        result = called(*args, **kwargs)
        if not inspect.iscoroutine(result):
            spring(f"{step}.after")
            return result

        async def wait():
            answer = await result
            spring(f"{step}.after")
            return answer

        return wait()

    setattr(owner, name, wrapped)


def named(owner):
    """Processes of this class are known by the name in their spec."""
    begin = owner.__init__

    def wrapped(self, spec, *args, **kwargs):
        global who
        who = spec.name
        begin(self, spec, *args, **kwargs)

    owner.__init__ = wrapped
'''

_STEPS = {
    "cloudd/daemon/_incoming.py": [
        *(("HandOver", name, name) for name in ("boot", "rehearse", "commit", "supervise", "hand_back", "settle")),
    ],
    "cloudd/daemon/_copies.py": [("Copies", "stage", "stage")],
    "cloudd/daemon/_upgrade.py": [
        ("", "write_committed", "record"),
        ("Upgrades", "_clean", "clean"),
    ],
    "reload/_stage.py": [("", "_write", "write_copy")],
    "cloudd/daemon/_workers.py": [
        ("WorkerPool", "check_apart", "check_apart"),
        ("WorkerPool", "prepare", "swap_prepare"),
        ("WorkerPool", "commit", "swap_commit"),
    ],
    "cloudd/daemon/_becoming.py": [("", "become", "become")],
    "cloudd/daemon/_next_anchor.py": [("", "prepare", "next_anchor")],
    "cloudd/daemon/_moving.py": [
        *(("Moving", name, name) for name in ("give", "_ask", "decide", "take_back", "take", "end_window")),
    ],
    "cloudd/protocols/http/_moving.py": [
        ("HTTPAdopter", "adopt", "adopt"),
        ("AdoptedHTTP", "resume", "resume"),
        ("MovableHTTP", "_forget", "forget"),
    ],
    "cloudd/daemon/_generations.py": [
        ("Generations", "prepare", "load"),
        ("Generations", "commit", "switch"),
    ],
    "cloudd/database/_move.py": [("Move", "_copy", "move_copy"), ("Move", "_decide", "move_decide")],
    "cloudd/database/_target.py": [("Target", "commit", "move_commit")],
    "cloudd/daemon/_database_settle.py": [("", "record_move", "move_record")],
    "cloudd/daemon/_worker.py": [("Worker", "take_over", "take_over")],
}


@frozen
class Sprung:
    """
    A trap that went off.

    :ivar at: of the monotonic clock, in seconds
    """

    who: str
    pid: int
    at: float


class Traps:
    """
    The traps of one tree.

    :param tree: gets the lines; before it is run
    :param folder: where the traps wait; made
    """

    def __init__(self, tree: Path, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        traps = _TRAPS.replace("@FOLDER@", repr(str(folder)))
        (tree / "cloudd" / "interfaces" / "_traps.py").write_text(traps.lstrip())
        for name, steps in _STEPS.items():
            lines = ["", "", "from cloudd.interfaces import _traps  # noqa: E402", ""]
            for owner, function, step in steps:
                target = owner or "__import__('sys').modules[__name__]"
                lines.append(f"_traps.around({target}, {function!r}, {step!r})")
            if name.endswith("/_worker.py"):
                lines.append("_traps.named(Worker)")
            with (tree / name).open("a") as file:
                file.write("\n".join(lines) + "\n")

    def set(self, step: str, action: str, who: str = "") -> None:
        """
        Let it go off at the next time that this process comes to this step.

        :param action: ``raise``, ``ENOSPC`` (the disk is full) or the name of a signal
        :param who: name of a worker, or ``anchor``; empty: whoever comes first
        """
        work = self._folder / "new~"
        work.write_text(json.dumps({"action": action, "who": who}))
        work.rename(self._folder / step)

    def sprung(self, step: str) -> Sprung | None:
        """What is known of a trap that went off."""
        try:
            told: dict[str, Any] = json.loads((self._folder / f"{step}.sprung").read_text())
        except FileNotFoundError:
            return None
        return Sprung(**told)

    def clear(self) -> None:
        """Take away all that wait, and forget those that went off."""
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)


def now() -> float:
    """On the clock of ``Sprung.at``."""
    return time.monotonic()
