# -*- test-case-name: tests.daemon.test_database_place -*-
"""
The process that moves the control database to a server: ``python -m cloudd.daemon._database_mover``.

The anchor starts it, writes one ``Order`` as a line of JSON into its standard input and reads ``Said`` lines from its
standard output.  The end of its input ends it at once: then nobody would tell the workers.  It may be killed at any
moment, see ``cloudd.database``; another one with the order ``settle`` then finds out where the records are.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import msgspec

from cloudd.database import Move, MoveFailed, examine_server, settle_move
from cloudd.interfaces.database import Server

from ._database_order import Order, Said
from ._database_place import read_record
from ._database_settle import record_move
from ._priority import be_normal, be_polite
from ._state_folder import StateFolder

ORPHANED = 3  # the exit status when the anchor has gone


def main(orders: BinaryIO, answers: BinaryIO) -> None:
    """Carry out one order."""
    order = msgspec.json.decode(orders.readline(), type=Order)
    Thread(target=_end_with, args=(orders,), daemon=True).start()

    def say(said: Said) -> None:
        answers.write(msgspec.json.encode(said) + b"\n")
        answers.flush()

    def report(step: str, text: str, done: int, total: int) -> None:
        if step == "pause":
            be_normal()
        say(Said(step=step, text=text, done=done, total=total))

    state = StateFolder(Path(order.state))
    if order.what == "settle":
        say(_settled(state, ""))
        return
    server = Server(order.url, order.password_file)
    origin = f"{state.path} at {socket.gethostname()}"
    report("check", f"{server.name} is looked at", 0, 0)
    found = examine_server(server, origin)
    if found.refusals or order.what == "check":
        cause = "; ".join(found.refusals)
        say(Said(refused=bool(cause), cause=cause, version=found.version, warnings=found.warnings))
        return
    be_polite()
    try:
        moved = Move(state.control_database, server, origin, report).run()
    except MoveFailed as error:
        be_normal()
        say(_settled(state, str(error)))
        return
    left = record_move(state, server)
    say(
        Said(
            server=server.name,
            version=found.version,
            warnings=[*found.warnings, *([left] if left else [])],
            rows=moved.rows,
            changes=moved.changes,
            copy_s=moved.copy_s,
            pause_s=moved.pause_s,
        )
    )


def _settled(state: StateFolder, cause: str) -> Said:
    """Where the records are after all."""
    server = settle_move(state.control_database)
    if server is None:
        return Said(cause=cause)
    left = record_move(state, server) if read_record(state) is None else ""
    return Said(server=server.name, warnings=[left] if left else [])


def _end_with(orders: BinaryIO) -> None:
    orders.read()
    os._exit(ORPHANED)


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
    sys.stdout.flush()
    os._exit(0)  # not through the end of the thread that reads
