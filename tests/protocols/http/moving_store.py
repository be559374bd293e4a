"""The object face of ``moving_server``: Swift over a store of files, with threads and an index of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from cloudd.database import open_object_index
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import Settings
from cloudd.objects import Objects
from cloudd.protocols.swift import swift_face
from storage import FileStore
from tests.protocols.swift.face import FourTokens, NoMetrics

CONTAINER = ("AUTH_p1", "c")


class ReactorThreads:
    """The reactor's own thread pool."""

    def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        return deferToThread(function, *args, **kwargs)


def object_face(reactor: Any, folder: Path) -> Any:
    """The handler, on the store in ``folder``, which other processes have open as well."""
    nothing: Any = None
    threads = ReactorThreads()
    store = FileStore(folder / "objects", open_object_index(folder / "index.sqlite", reactor=reactor), threads, reactor)
    resources = Resources(
        reactor=reactor,
        settings=Settings(state=folder),
        threads=threads,
        database=nothing,
        object_index=nothing,
        metrics=NoMetrics(),
        host=nothing,
        role="front",
        generation=1,
        urls={"object": "http://object.test"},
        secrets=folder,
    )
    identity: Any = FourTokens()
    return swift_face(identity, Objects(resources, store), resources), store


async def prepare(store: FileStore) -> None:
    """Once, by the first process."""
    await store.recover()
    await store.create_container(*CONTAINER, {})
