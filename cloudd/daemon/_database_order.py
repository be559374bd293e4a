# -*- test-case-name: tests.daemon.test_database_place -*-
"""What the anchor and the process that moves the control database say to each other."""

from __future__ import annotations

from typing import Literal

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to do.

    ``check``: look at the server; ``move``: the same, then move; ``settle``: tidy up after a move that was cut off.
    """

    what: Literal["check", "move", "settle"]
    state: str
    url: str = ""
    password_file: str = ""


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    What it does: with a ``step`` it goes on, without one it has ended.

    ``cause``: why it is not moved, empty where it is; ``server``: where the records are, empty: in the file.
    """

    step: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    refused: bool = False
    cause: str = ""
    server: str = ""
    version: str = ""
    warnings: list[str] = []
    rows: dict[str, int] = {}
    changes: int = 0
    copy_s: float = 0.0
    pause_s: float = 0.0
