# -*- test-case-name: tests.test_application -*-
"""
One generation, put together: services, then the faces that serve them.

The kernel knows this module by name and nothing else that an upgrade swaps.  ``prepare`` runs once per start of the
daemon, in a process of its own and before any worker; ``make_ready`` in the process that forks them; ``build`` in
every worker, once per generation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from zope.interface import implementer

from cloudd.backups import Backups
from cloudd.compute import OldServers, create_server_keys, first_flavors, forget_project, forget_user
from cloudd.events import Events
from cloudd.face_checks import check_faces
from cloudd.host_servers import servers_of_host
from cloudd.identity import Identity, bootstrap, first_login_kept
from cloudd.image import Fetcher, Images, Imports, read_sources
from cloudd.interfaces.application import (
    IApplication,
    OperationRefused,
    PartHealth,
    Resources,
    WorkForm,
    WorkReport,
)
from cloudd.interfaces.settings import NODE_ID
from cloudd.joining import NodeFolder
from cloudd.metadata import Metadata, OwnNode
from cloudd.network import forget_quota
from cloudd.nodes import MESSAGES, NodeError, Nodes, NodeTopic, NoSuchNode, Orders
from cloudd.objects import Objects, ObjectsError
from cloudd.protocols import rest
from cloudd.protocols.events import EVENT_STATES, events_face
from cloudd.protocols.http import Handler, Request
from cloudd.protocols.metadata import metadata_face
from cloudd.protocols.monitoring import monitoring_face
from cloudd.protocols.nodes import NodeListener
from cloudd.protocols.rest import compute, identity, image, network
from cloudd.protocols.rest.compute import compute_face
from cloudd.protocols.rest.identity import identity_face
from cloudd.protocols.rest.image import IMAGE_STATES, image_face
from cloudd.protocols.rest.network import network_face
from cloudd.protocols.s3 import S3_STATES, s3_face
from cloudd.protocols.swift import SWIFT_STATES, swift_face
from cloudd.rolling import Rolling, RollingError
from cloudd.scheduling import Scheduling
from cloudd.tasks import TaskError, Tasks
from cloudd.web import web_face
from reload import States
from storage import FileStore, IObjectStore, NoSuchContainer

_log = Logger()

#: Versions of the APIs, for other nodes.
API_VERSIONS = {**identity.API_VERSIONS, **image.API_VERSIONS, **network.API_VERSIONS, **compute.API_VERSIONS}

#: Parts that do something by themselves once their code was decided for; nodes and tasks do so earlier.
LEADING = (
    *(
        "identity",
        "objects",
        "images",
        "network of the host",
        "image cache",
        "servers",
        "old servers",
        "events",
        "backups",
    ),
    *("node listener", "node topic"),
)

#: Of requests that may go on elsewhere; beside each handler that tells one.
HANDLER_STATES = States.joined([EVENT_STATES, IMAGE_STATES, S3_STATES, SWIFT_STATES])


def make_ready() -> None:
    """What all generations of this code have alike, before workers are forked that share it."""
    for api in (compute, identity, image, network):
        rest.make_ready(api.PREFIX, api.SUBJECTS, api.ABSENT)


def build(resources: Resources) -> IApplication:
    """Make one generation's application; nothing runs until ``start``."""
    return Application(resources, open_store(resources))


async def prepare(resources: Resources) -> dict[str, Any]:
    """
    Once per start, before the workers: make the first users and flavors, and end what a killed process left half done.

    :return: ``identity``: the credentials made on the first start, else empty; ``orphans``: how many files of killed
        processes were removed
    """
    credentials = await bootstrap(resources.database, resources.settings, resources.secrets)
    await resources.database.write(first_flavors)
    await resources.threads.run(create_server_keys, resources.secrets)
    orphans = await open_store(resources).recover()
    # Messaging calls this machine by its id from the first start on.
    await resources.threads.run(NodeFolder(resources.settings.state).node_id)
    return {"identity": credentials, "orphans": orphans}


def credentials_kept(resources: Resources) -> None:
    """What ``prepare`` gave under ``identity`` is on disk in ``clouds.yaml`` and ``s3.env``.  Blocks."""
    first_login_kept(resources.secrets)


def open_store(resources: Resources) -> IObjectStore:
    """The object store of this host, on the databases and threads that the kernel lends."""
    return FileStore(
        resources.settings.state / "objects",
        resources.object_index,
        resources.threads,
        resources.reactor,
        reserve_bytes=resources.settings.objects.reserve_bytes,
    )


def project_gone(
    connection: Connection, project_id: str, others: Collection[Callable[[Connection, str], None]]
) -> None:
    """
    What services keep for a project goes in the transaction that deletes it.

    :param others: services with a state of their own, to be told too
    """
    for tell in (forget_project, forget_quota, *others):
        tell(connection, project_id)


def user_gone(connection: Connection, user_id: str) -> None:
    """What services keep for a user goes in the transaction that deletes it."""
    forget_user(connection, user_id)


def node_id_of(resources: Resources) -> str:
    """Of this machine; empty: it has none yet, before its first start.  Blocks."""
    try:
        return (resources.settings.state / NODE_ID).read_text().strip()
    except OSError:
        return ""


class Part(Protocol):
    """A service of a generation, from its start to its end."""

    def self_check(self) -> Awaitable[None]:
        """Try what can be tried without changing data."""

    def start(self, state: Mapping[str, Any]) -> None:
        """Go on from what the same part of the generation before told."""

    def lead(self) -> None:
        """This generation was decided for."""

    def snapshot(self) -> dict[str, Any]:
        """What the next generation's part begins with."""

    def health(self) -> list[PartHealth]:
        """How it is doing."""

    def retire(self) -> None:
        """A newer generation took over."""


@implementer(IApplication)
class Application:
    """
    The parts of one generation in the order in which they start.

    ``state`` and ``snapshot`` are keyed by the part's name, so that a part may come or go with an upgrade.
    """

    def __init__(self, resources: Resources, store: IObjectStore) -> None:
        self._resources = resources
        self.objects = Objects(resources, store, self._own_node)
        self.identity = Identity(resources, self._project_deleted, user_gone)
        self.images = Images(resources, store, self._own_node)
        images = resources.settings.images
        fetcher = Fetcher(resources.reactor, read_sources(images.web_download_hosts), images.max_bytes)
        self.imports = Imports(resources, self.images, fetcher, self._own_node, self._poke_tasks)
        self._servers = servers = servers_of_host(
            resources, self.images, store, self._own_node, self._own_name, self._poke_tasks
        )
        self.events = Events(resources, self.identity, store)
        self.rolling = Rolling(resources, Orders(resources.bus), self._live)
        self.backups = Backups(resources, node_id_of)
        self.scheduling = Scheduling(resources)
        kinds = [
            *self.objects.task_kinds(),
            *self.rolling.task_kinds(),
            *self.backups.task_kinds(),
            *self.imports.task_kinds(),
            *self.scheduling.task_kinds(),
            *servers.guests.task_kinds(),
        ]
        self.tasks = Tasks(resources, kinds)
        self.nodes = Nodes(resources, self.tasks, {**self.tasks.readable, **MESSAGES, **API_VERSIONS})
        self.node_listener = NodeListener(resources, self.nodes)
        self.node_topic = NodeTopic(resources, self.nodes)
        self.metadata = Metadata(resources, self._own_entry)
        self._parts: dict[str, Part] = {
            "identity": self.identity,
            "objects": self.objects,
            "images": self.images,
            "network of the host": servers.plugging,
            "servers": servers.guests,
            "old servers": OldServers(resources),
            "image cache": servers.images,
            "events": self.events,
            "backups": self.backups,
            "scheduling": self.scheduling,
            "tasks": self.tasks,
            "nodes": self.nodes,
            "node listener": self.node_listener,
            "node topic": self.node_topic,
            "metadata": self.metadata,
        }
        self._calls: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            **self.tasks.calls(),
            **self.nodes.calls(),
            **self.node_topic.calls(),
            **self.rolling.calls(self.tasks.calls()["tasks.show"], self.tasks.poke),
            **self.scheduling.calls(),
            "objects.purge": self._purge,
            "backups.make": self._back_up,
        }
        monitoring = monitoring_face(resources, self.health, node_id_of(resources))
        rest = identity_face(self.identity, resources, self.nodes.served)
        image_api = image_face(self.identity, self.images, self.imports, resources, self.nodes.served)
        networks = network_face(self.identity, resources, self.nodes.rows)
        computes = compute_face(self.identity, resources, self.images, self.nodes.served, self._poke_tasks)
        web = web_face(self.identity, self.events, resources, self._calls["rolling.status"])
        self._faces: dict[str, Handler] = {
            "api": api_port(
                {
                    b"/health": monitoring,
                    b"/metrics": monitoring,
                    b"/events": events_face(self.events, self.identity, resources),
                    b"/ui": web,
                    b"/image": image_api,
                    b"/network": networks,
                    b"/compute": computes,
                },
                {b"/ui/": web, b"/image/": image_api, b"/network/": networks, b"/compute/": computes},
                rest,
            ),
            "object": swift_face(self.identity, self.objects, resources),
            "s3": s3_face(self.identity, self.objects, resources),
            "metadata": metadata_face(self.metadata),
        }

    def self_check(self) -> Deferred[None]:
        """Try each part, then let each face answer a few requests; the first that fails ends it."""
        return Deferred.fromCoroutine(self._self_check())

    async def _self_check(self) -> None:
        for part in self._parts.values():
            await part.self_check()
        await check_faces(self._faces, self._resources)

    def start(self, state: Mapping[str, Any]) -> None:
        for name, part in self._parts.items():
            part.start(state.get(name, {}))

    def lead(self, kinds: Collection[str] | None = None, on_trial: bool = False) -> None:
        self.nodes.lead(on_trial)  # holds tasks back until the registry has been asked
        self.tasks.lead(kinds, on_trial)
        if not on_trial:
            for name in LEADING:
                self._parts[name].lead()

    def work(self) -> dict[str, WorkForm]:
        return self.tasks.work()

    def work_reports(self) -> dict[str, WorkReport]:
        return self.tasks.work_reports()

    def snapshot(self) -> dict[str, Any]:
        return {name: part.snapshot() for name, part in self._parts.items()}

    def states(self) -> States:
        return HANDLER_STATES

    def health(self) -> list[PartHealth]:
        return [found for part in self._parts.values() for found in part.health()]

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        return self._faces[request.face](request)

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        noted = self.events.note(kind, data)
        noted.addErrback(lambda failure: _log.failure("{kind} is missing among the events", failure, kind=kind))

    def operate(self, call: str, arguments: Mapping[str, Any]) -> Deferred[dict[str, Any]]:
        return Deferred.fromCoroutine(self._operate(call, arguments))

    async def _operate(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        call = self._calls.get(name)
        if call is None:
            raise OperationRefused(f"the code that runs has no {name}")
        try:
            return await call(**arguments)
        except (TaskError, ObjectsError, NodeError, RollingError) as error:
            raise OperationRefused(error.cause) from None

    def _project_deleted(self, connection: Connection, project_id: str) -> None:
        project_gone(connection, project_id, [self.objects.project_deleted])

    async def _live(self, node_id: str) -> Mapping[str, Any]:
        """What another node says of itself."""
        found: Mapping[str, Any] = (await self.node_topic.calls()["nodes.live"](node=node_id))["nodes"][0]
        return found

    async def _purge(self, project_id: str, container: str, request_id: str) -> dict[str, Any]:
        try:
            task_id = await self.objects.purge(project_id, container, request_id, await self.nodes.own_id())
        except NoSuchContainer:
            raise OperationRefused(f"project {project_id} has no container {container}") from None
        return await self._begun(task_id)

    async def _back_up(self, request_id: str) -> dict[str, Any]:
        return await self._begun(await self.backups.order(request_id))

    def _own_node(self) -> Awaitable[str]:
        return self.nodes.own_id()

    async def _own_entry(self) -> OwnNode | None:
        """This node as it stands in the registry; None: it is not there yet."""
        try:
            node = await self.nodes.find(await self.nodes.own_id())
        except NoSuchNode:
            return None
        return OwnNode(node.id, node.name)

    async def _own_name(self) -> str:
        """
        :raises NodeError: this machine is no node yet
        """
        return (await self.nodes.find(await self.nodes.own_id())).name

    def _poke_tasks(self) -> None:
        self.tasks.poke()

    async def _begun(self, task_id: str) -> dict[str, Any]:
        self.tasks.poke()
        return await self.tasks.calls()["tasks.show"](task_id)

    def retire(self) -> None:
        for part in self._parts.values():
            part.retire()

    def rest(self) -> Deferred[None]:
        resting: Deferred[Any] = gatherResults(
            [part.rest() for part in (self.tasks, self.nodes, self.node_listener, self.node_topic)]
        )
        # What the tasks have used goes last.
        return resting.addCallback(lambda _: Deferred.fromCoroutine(self._servers.rest()))


def api_port(by_path: Mapping[bytes, Handler], by_start: Mapping[bytes, Handler], rest: Handler) -> Handler:
    """The API port: a few paths of their own, a few with all that is below them; all others are REST."""
    find: Callable[[bytes], Handler | None] = by_path.get
    starts = tuple(by_start)

    def handle(request: Request) -> Coroutine[Any, Any, None] | None:
        path = request.path
        found = find(path)
        if found is None and path.startswith(starts):
            found = next(handler for start, handler in by_start.items() if path.startswith(start))
        return (found or rest)(request)

    return handle
