"""Who asks for something, by what the kernel says of a process."""

from __future__ import annotations

import contextlib
import os
import pwd
from pathlib import Path

from ._messages import Actor

_NO_LOGIN = 2**32 - 1  # what the kernel has for daemons


def actor_of(uid: int, pid: int) -> Actor:
    """A process by its ids; the user's name is its number where the host knows none."""
    return Actor(uid=uid, pid=pid, user=_name_of(uid), origin=_origin_of(pid))


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _origin_of(pid: int) -> str:
    """What process that is, on which terminal, and as whom its user once logged in (sudo does not change that)."""
    words = []
    with contextlib.suppress(OSError, ValueError):
        words.append(Path(f"/proc/{pid}/comm").read_text().strip())
    with contextlib.suppress(OSError):
        terminal = Path(f"/proc/{pid}/fd/0").readlink()
        if terminal.is_relative_to("/dev/pts") or terminal.name.startswith("tty"):
            words.append(f"on {terminal}")
    with contextlib.suppress(OSError, ValueError):
        login = int(Path(f"/proc/{pid}/loginuid").read_text())
        if login != _NO_LOGIN:
            words.append(f"logged in as {_name_of(login)}")
    return " ".join(words)


def own_actor() -> Actor:
    """This process."""
    return actor_of(os.geteuid(), os.getpid())
