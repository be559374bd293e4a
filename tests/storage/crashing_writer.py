"""
A process that writes objects until somebody kills it; run by ``test_crash`` as ``python -m``.

Arguments: the folder, a seed, and whether to recover first (``1``).  One line is written to standard output for every
change that was acknowledged: ``put NAME MD5``, ``delete NAME``.  Names are the writer's own, so that the test knows
what must be there.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from cloudd.database import open_object_index
from storage import FileStore, NoSuchObject
from tests.contracts.object_store import ACCOUNT, BOX, put_bytes, upload_bytes

LANES = 6
SIZES = (0, 10, 4_096, 70_000, 400_000)


class Threads:
    """The reactor's own pool."""

    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThread(function, *args, **kwargs)


def say(line: str) -> None:
    """One line, at once: what is said was acknowledged."""
    os.write(1, line.encode() + b"\n")


class Lane:
    """One client: changes its own few names one after the other."""

    def __init__(self, store: FileStore, seed: int, number: int) -> None:
        self.store = store
        self.random = random.Random(seed * 100 + number)
        self.names = [f"{number}/{index}" for index in range(6)]

    async def work(self) -> None:
        """Until killed."""
        while True:
            name = self.random.choice(self.names)
            change = self.random.choice((self.put, self.put, self.put, self.copy, self.delete, self.multipart))
            say(f"begin {name}")
            await change(name)

    async def put(self, name: str) -> None:
        data = self.random.randbytes(self.random.choice(SIZES))
        facts = await put_bytes(self.store, name, data)
        say(f"put {name} {facts.etag}")

    async def copy(self, name: str) -> None:
        source = self.random.choice(self.names)
        try:
            facts = await self.store.object(ACCOUNT, BOX, source)
            await self.store.copy_object(facts, ACCOUNT, BOX, name, content_type="", metadata={})
        except NoSuchObject:
            say(f"end {name}")
            return
        say(f"put {name} {facts.etag}")

    async def delete(self, name: str) -> None:
        try:
            await self.store.delete_object(ACCOUNT, BOX, name)
        except NoSuchObject:
            say(f"end {name}")
            return
        say(f"delete {name}")

    async def multipart(self, name: str) -> None:
        begun = await self.store.begin_multipart(ACCOUNT, BOX, name, content_type="", metadata={})
        parts, whole = [], b""
        for number in (1, 2, 3):
            data = self.random.randbytes(5_000)
            upload = await upload_bytes(self.store, data)
            await self.store.put_part(ACCOUNT, BOX, name, begun.upload_id, number, upload, etag="e", metadata={})
            parts.append((number, "e"))
            whole += data
        etag = hashlib.md5(whole).hexdigest()
        await self.store.complete_multipart(ACCOUNT, BOX, name, begun.upload_id, parts[:3], etag=etag, metadata={})
        say(f"put {name} {etag}")


async def main(reactor: Any, folder: str, seed: str, recovers: str) -> None:
    """Write until killed."""
    index = open_object_index(Path(folder) / "index.sqlite", reactor=reactor)
    store = FileStore(Path(folder) / "store", index, Threads(), reactor, reserve_bytes=0)
    if recovers == "1":
        say(f"recovered {await store.recover()}")
    await store.create_container(ACCOUNT, BOX, {})
    say("ready")
    lanes = [Deferred.fromCoroutine(Lane(store, int(seed), number).work()) for number in range(LANES)]
    await DeferredList(lanes, fireOnOneErrback=True)


if __name__ == "__main__":
    react(lambda reactor, *argv: Deferred.fromCoroutine(main(reactor, *argv)), sys.argv[1:], global_reactor)
