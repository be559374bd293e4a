"""Who asks for something, by what the kernel says of a process."""

from __future__ import annotations

import os
import pwd

from ._messages import Actor


def actor_of(uid: int, pid: int) -> Actor:
    """A process by its ids; the user's name is its number where the host knows none."""
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Actor(uid=uid, pid=pid, user=user)


def own_actor() -> Actor:
    """This process."""
    return actor_of(os.geteuid(), os.getpid())
