"""
Write down what a release keeps in the control database, as SQL: ``python -m tests.snapshots.record_database FILE``.

Run it with the code of that release (``git archive TAG``) in front of this checkout on ``PYTHONPATH``.  It asks for
nothing that the first release with several nodes has not got.  See ``tests.test_last_release``.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred

from cloudd.database import migrate, open_control_database
from cloudd.identity import bootstrap
from cloudd.interfaces.settings import Settings
from cloudd.nodes import _rows as nodes
from cloudd.nodes._rows import Beat
from cloudd.objects._purge import CONTAINER, submit_account_purge
from cloudd.tasks import _rows, submit

reactor = cast(Any, installed)
READS = {CONTAINER.name: CONTAINER.readable, "objects.purge_account": (1,)}


async def fill(folder: Path) -> None:
    """Users, two nodes, and tasks: one that waits, one in the middle, one that is done."""
    (folder / "secrets").mkdir()
    database = open_control_database(folder / "cloud.sqlite", reactor=reactor)
    await bootstrap(database, Settings(state=folder), folder / "secrets")
    beat = Beat(
        version="0.1.0",
        code_hash="c" * 64,
        generation=3,
        payloads={name: list(versions) for name, versions in READS.items()},
        load={"load1": 0.5, "cores": 2, "tasks": 1},
        beat_s=5.0,
        address="192.0.2.1:5010",
    )
    for number in (1, 2):
        await database.write(
            nodes.enter, str(number) * 32, f"node-{number}", ("api", "tasks"), "ready", "its first start"
        )
        await database.write(nodes.beat, str(number) * 32, beat)
    payload = {"account": "AUTH_p", "container": "photos", "created_us": 1_700_000_000_000_000}
    await database.write(submit, CONTAINER, payload, project_id="p", resource="AUTH_p/photos")
    [(lease, _)] = await database.write(_rows.claim, READS, "a host", 60_000_000, 1)
    state = {"deleted": 500, "container": "photos", "count": 3, "last": "o-3"}
    await database.write(_rows.save, lease, CONTAINER, state, 500, 503)
    done = await database.write(submit, CONTAINER, {**payload, "container": "gone"}, resource="AUTH_p/gone")
    [(lease, _)] = await database.write(_rows.claim, READS, "a host", 60_000_000, 1)
    assert lease.task_id == done
    await database.write(_rows.finish, lease, {"deleted": 7})
    await database.write(submit_account_purge, "q", 3_600.0)
    await database.close()


def main(file: Path) -> None:
    """Make the database, and write it as statements."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        migrate(folder / "cloud.sqlite")
        failures: list[Any] = []

        def begin() -> None:
            filling = Deferred.fromCoroutine(fill(folder))
            filling.addErrback(failures.append).addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        reactor.run()
        if failures:
            failures[0].raiseException()
        connection = sqlite3.connect(folder / "cloud.sqlite")
        file.write_text("\n".join(connection.iterdump()) + "\n")
        connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
