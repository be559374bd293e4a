"""Bulk deletions under kills at every moment, on the real store with its files; see ``tests.tasks.walk``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from cloudd.objects import _bulk
from cloudd.objects._bulk import BULK_DELETE, Listed, bulk_delete_kind
from cloudd.tasks import Kind, submit
from storage import Listing
from tests.tasks.walk import Scenario
from tests.tasks.world import World

from .purge_walk import fill, opened

ACCOUNT = "AUTH_a"


class BulkDeleting(Scenario):
    """
    Three of five objects, a container that is emptied by that and one that is not, one object written after the order,
    and what is not there.
    """

    async def prepare(self, world: World) -> None:
        store, index = opened(world)
        await store.recover()
        await fill(store, ACCOUNT, "some", 5)
        await fill(store, ACCOUNT, "all", 3)
        listed = Listed(
            account=ACCOUNT,
            objects={
                "some": ["o0", "o2", "o4", "none"],
                "all": ["o0", "o1", "o2"],
                "nowhere": ["x", "y"],
                "new": ["o0"],
            },
            containers=["all", "some", "none"],
            until_us=time.time_ns() // 1000,
            most_conflicts=10,
        )
        await world.database.write(submit, BULK_DELETE, listed.payload(), resource=ACCOUNT)
        await fill(store, ACCOUNT, "new", 1)
        await store.close()
        await index.close()

    def kinds(self, world: World) -> Iterable[Kind]:
        _bulk.PAGE = 2
        store, _index = opened(world)
        return [bulk_delete_kind(world.marked("store", store))]

    async def effects(self, world: World) -> Any:
        store, index = opened(world)
        await store.recover()
        found = {}
        for container in await store.containers(ACCOUNT, Listing()):
            found[container.name] = [each.name for each in await store.objects(ACCOUNT, container.name, Listing())]
        await store.close()
        await index.close()
        files = [path for path in (world.folder / "objects" / "data").rglob("*") if path.is_file()]
        return {"found": found, "files": len(files)}


BULK_DELETING = BulkDeleting()
