"""
A process that does one change per line of standard input and says ``done`` when it was acknowledged; run by
``test_small_objects`` as ``python -m`` with the folder as argument.

``put NAME TEXT``, ``delete NAME``, ``describe NAME TEXT`` (new metadata).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from cloudd.database import open_object_index
from storage import FileStore
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes
from tests.storage.crashing_writer import Threads, say


async def change(store: FileStore, what: str, name: str, text: str = "") -> None:
    """One change."""
    if what == "put":
        await put_bytes(store, name, text.encode())
    elif what == "delete":
        await store.delete_object(ACCOUNT, BOX, name)
    else:
        await store.update_object(ACCOUNT, BOX, name, content_type=None, metadata={"meta:text": text})


async def main(reactor: Any, folder: str) -> None:
    """Until the input ends."""
    index = open_object_index(Path(folder) / "index.sqlite", reactor=reactor)
    store = FileStore(Path(folder) / "store", index, Threads(), reactor, reserve_bytes=0)
    say("ready")
    while line := await deferToThread(sys.stdin.readline):
        await change(store, *line.split())
        say("done")
    await store.close()
    await index.close()


if __name__ == "__main__":
    react(lambda reactor, *argv: Deferred.fromCoroutine(main(reactor, *argv)), sys.argv[1:], global_reactor)
