"""Purges under kills at every moment, on the real store with its files; see ``tests.tasks.walk``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloudd.database import open_object_index
from cloudd.objects import _purge
from cloudd.objects._purge import purge_kinds, submit_account_purge
from cloudd.tasks import Kind, submit
from storage import FileStore, Listing
from tests.tasks.walk import Scenario
from tests.tasks.world import World


def opened(world: World) -> tuple[FileStore, Any]:
    """The store of this world, and its index."""
    index = open_object_index(world.folder / "objects.sqlite", reactor=world.reactor, threads=1)
    return FileStore(world.folder / "objects", index, world.threads, world.reactor, reserve_bytes=0), index


async def fill(store: Any, account: str, container: str, count: int) -> None:
    """A container with so many small objects."""
    await store.create_container(account, container, {})
    for number in range(count):
        upload = await store.receive({})
        upload.write(b"content %d" % number)
        await store.put_object(account, container, f"o{number}", upload, etag="e", content_type="t", metadata={})


class Purging(Scenario):
    """One container of five, its neighbour, and a whole account of a project that was deleted."""

    async def prepare(self, world: World) -> None:
        store, index = opened(world)
        await store.recover()
        await fill(store, "AUTH_a", "gone", 5)
        await fill(store, "AUTH_a", "stays", 1)
        for container, count in (("one", 3), ("two", 0), ("three", 2)):
            await fill(store, "AUTH_b", container, count)
        payload = {"account": "AUTH_a", "container": "gone"}
        await world.database.write(submit, _purge.CONTAINER, payload, resource="AUTH_a/gone")
        await world.database.write(submit_account_purge, "b")
        await store.close()
        await index.close()

    def kinds(self, world: World) -> Iterable[Kind]:
        _purge.PAGE = 2
        store, _index = opened(world)
        return purge_kinds(world.marked("store", store))

    async def effects(self, world: World) -> Any:
        store, index = opened(world)
        await store.recover()
        found = {}
        for account in ("AUTH_a", "AUTH_b"):
            for container in await store.containers(account, Listing()):
                objects = await store.objects(account, container.name, Listing())
                found[f"{account}/{container.name}"] = [each.name for each in objects]
        counted = [(await store.account(account)).object_count for account in ("AUTH_a", "AUTH_b")]
        await store.close()
        await index.close()
        files = [path for path in (world.folder / "objects" / "data").rglob("*") if path.is_file()]
        return {"found": found, "counted": counted, "files": len(files)}


PURGING = Purging()
