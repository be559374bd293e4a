"""Imports under kills at every moment, on the real store with its files and a real origin; see ``tests.tasks.walk``."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from cloudd.database import open_object_index
from cloudd.image import DIGESTS, Fetcher, Image, _rows, data_of, import_kinds, read_sources
from cloudd.image._data import ACCOUNT, CONTAINER, looked_at, put_data
from cloudd.image._facts import GLANCE_DIRECT, UPLOADING, WEB_DOWNLOAD
from cloudd.image._import_rows import begin_import
from cloudd.tasks import Kind
from storage import FileStore, Listing
from tests.tasks.walk import Scenario
from tests.tasks.world import World

from .origin import Origin

DATA = b"staged disk"


def opened(world: World) -> tuple[FileStore, Any]:
    """The store of this world, and its index."""
    index = open_object_index(world.folder / "objects.sqlite", reactor=world.reactor, threads=1)
    return FileStore(world.folder / "objects", index, world.threads, world.reactor, reserve_bytes=0), index


def a_free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


class Importing(Scenario):
    """
    One import each.

    :ivar sources: name of an image -> what it gets by web-download; None: what was staged
    """

    def __init__(self, sources: dict[str, str | None], disk_format: str = "raw") -> None:
        self._sources, self._format = sources, disk_format

    async def prepare(self, world: World) -> None:
        store, index = opened(world)
        await store.recover()
        await store.create_container(ACCOUNT, CONTAINER, {})
        port = a_free_port()
        (world.folder / "port").write_text(str(port))
        for name, source in self._sources.items():
            image = Image(id=name, project_id="p", disk_format=self._format, container_format="bare")
            await world.database.write(_rows.create, image)
            await self._begin(world, store, image, source and f"http://127.0.0.1:{port}/{source}")
        await store.close()
        await index.close()

    async def _begin(self, world: World, store: FileStore, image: Image, uri: str | None) -> None:
        payload = {"image": image.id, "data": f"data-{image.id}", "uri": uri or "", "user_id": "u"}
        if uri is None:
            image = await world.database.write(_rows.begin_upload, image.id, payload["data"], 1_000_000_000, UPLOADING)
            upload = await store.receive(DIGESTS)
            upload.write(DATA)
            await put_data(store, image, upload, await looked_at(upload))
            await world.database.write(_rows.end_stage, image.id, payload["data"], len(DATA))
        method = GLANCE_DIRECT if uri is None else WEB_DOWNLOAD
        await world.database.write(lambda c: begin_import(c, image, {**payload, "method": method}))

    def kinds(self, world: World) -> Iterable[Kind]:
        port = int((world.folder / "port").read_text())
        Origin(world.reactor, port)
        store, _index = opened(world)
        fetcher = Fetcher(world.reactor, read_sources([f"127.0.0.1:{port}"]), 1_000_000)
        return import_kinds(world, world.marked("store", store), world.marked("fetcher", fetcher))

    async def effects(self, world: World) -> Any:
        store, index = opened(world)
        await store.recover()
        objects = {each.name for each in await store.objects(ACCOUNT, CONTAINER, Listing())}
        found, names = {}, set()
        for name in self._sources:
            image = (await world.database.read(_rows.get, name, None))[0]
            names.add(data_of(image)[2])
            staged = image.staged_size, image.staged_on, image.staged_us
            found[name] = [image.status, image.size, image.checksum, image.import_task_id, *staged]
            found[name].append(data_of(image)[2] in objects)  # the id is another one in each attempt
        await store.close()
        await index.close()
        files = [path for path in (world.folder / "objects" / "data").rglob("*") if path.is_file()]
        return {"images": found, "objects": len(objects), "strays": len(objects - names), "files": len(files)}


GOOD = Importing({"direct": None, "web": "raw"})
UNFIT = Importing({"direct": None, "web": "backed"}, "qcow2")
