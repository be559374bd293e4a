"""
A process that wants a duty: ``python -m tests.nodes.holder PLACE NAME SKEW_S LEASE_S``.

It prints ``begins TERM`` and ``ends`` as its work does, and writes a row of the outbox each 20 ms while it holds it.
One with the name ``stops`` sends itself SIGSTOP after ten of them.
Its clock is wrong by ``SKEW_S``, before anything is imported that looks at it.
"""

import os
import signal
import sys
import time

SKEW_S = float(sys.argv[3])
_true = time.time
time.time = lambda: _true() + SKEW_S

from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from sqlalchemy import Connection, insert  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.internet.task import deferLater  # noqa: E402

from cloudd.database import now_us, open_control_database, tables  # noqa: E402
from cloudd.nodes import Duty, Holder  # noqa: E402

LEASE_S = float(sys.argv[4])


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def note(connection: Connection, name: str, term: int) -> None:
    row = {"created_us": now_us(), "type": f"test.{name}", "data": str(term)}
    connection.execute(insert(tables.outbox).values(**row))


async def work(holder: Holder) -> None:
    say("begins", holder.lease.term)
    written = 0
    try:
        while True:
            await holder.write(note, sys.argv[2], holder.lease.term)
            written += 1
            if sys.argv[2] == "stops" and written == 10 and duty._look is None:
                say("stops")
                os.kill(os.getpid(), signal.SIGSTOP)  # in between transactions, or it would hold SQLite's lock
            await deferLater(loop, 0.02)
    finally:
        say("ends")


loop: Any = reactor
duty: Duty


def main() -> None:
    global duty  # noqa: PLW0603
    place: Any = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
    database = open_control_database(place, reactor=loop, threads=1)
    duty = Duty("sweep", loop, database, sys.argv[2], LEASE_S, work, 0.0, time.monotonic)
    duty.start()
    say("ready")
    loop.run()


if __name__ == "__main__":
    main()
