"""A small cloud with real identity, a store in memory, and clients of ``/events``, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from attrs import define, evolve, field
from twisted.trial.unittest import TestCase

from cloudd.daemon._metrics import WorkerMetrics
from cloudd.events import Events
from cloudd.identity import Identity
from cloudd.interfaces.application import Transactions
from cloudd.interfaces.settings import EventSettings
from cloudd.protocols.events import events_face
from storage import MemoryStore
from tests.identity.house import House
from tests.protocols.http.conversation import Conversation, TestSite, get

# Small beside the time for which identity trusts what it has read: threads may be slow, and the clock waits for nobody.
STEP_S = 0.02


class StoreVersion:
    """``Transactions.version`` of a store in memory."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def version(self) -> int:
        return len(self._store._changes)


@define(eq=False)
class EventCloud:
    """
    :ivar store: whose changes are told
    :ivar identity: real, on a database of its own
    """

    case: TestCase
    house: House
    settings: EventSettings = field(factory=EventSettings)
    store: MemoryStore = field(init=False)
    database: Any = field(init=False)
    identity: Identity = field(init=False)
    events: Events = field(init=False)
    site: TestSite = field(init=False, factory=TestSite)

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(self.house.clock.seconds)
        self.database = self.house.database()
        self.new_generation()

    def new_generation(self) -> None:
        """Let other objects of the same code answer from now on."""
        resources = self.house.resources(self.database)
        resources = evolve(
            resources,
            metrics=WorkerMetrics(),
            settings=evolve(resources.settings, events=self.settings),
            object_index=cast(Transactions, StoreVersion(self.store)),
        )
        self.identity = self.house.worker(database=self.database)
        self.events = Events(resources, self.identity, self.store)
        self.events.start({})
        self.case.addCleanup(self.events.retire)
        self.site.handler = events_face(self.events, self.identity, resources)

    def ask(self, path: str = "/events", token: str = "", *fields: str, method: str = "GET") -> Conversation:
        """A client that has asked."""
        client = Conversation(site=self.site, clock=self.house.clock)
        headers = [f"X-Auth-Token: {token}"] if token else []
        client.say(get(path.encode(), *(each.encode() for each in [*headers, *fields]), method=method.encode()))
        self.case.addCleanup(self._end, client)
        return client

    @staticmethod
    def _end(client: Conversation) -> None:
        if not client.transport.gone:
            client.transport.lose()

    async def begun(self, *clients: Conversation) -> None:
        """Wait until each has the beginning of its stream: what happens afterwards is in it."""
        for client in clients:
            await self.until(partial(has_begun, client), "the beginning")

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Let time pass, and threads work, until something is so."""
        for _ in range(2000):
            if condition():
                return
            await self._step()
        raise AssertionError(f"in vain: {what}")

    async def pass_by(self) -> None:
        """Time enough for whatever is under way."""
        for _ in range(25):
            await self._step()

    async def _step(self) -> None:
        self.house.clock.advance(STEP_S)
        await self.database.read(lambda _: None)
        await self.house.threads.run(lambda: None)


def blocks(client: Conversation) -> list[dict[str, str]]:
    """The events a client has heard, each with its fields; without comments and bare ids."""
    _head, _, body = client.heard.partition(b"\r\n\r\n")
    text, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        text, rest = text + rest[:length], rest[length + 2 :]
    found = []
    for block in text.decode().split("\n\n"):
        lines = [line.partition(": ") for line in block.split("\n") if line and not line.startswith(":")]
        fields = {name: value for name, _, value in lines}
        if "data" in fields:
            found.append(fields)
    return found


def types(client: Conversation) -> list[str]:
    return [fields["event"] for fields in blocks(client)]


def has_begun(client: Conversation) -> bool:
    """Whether the answer is a stream."""
    return client.heard.startswith(b"HTTP/1.1 200")


def has_ended(client: Conversation) -> bool:
    """Whether the last chunk has come."""
    return client.heard.endswith(b"\r\n0\r\n\r\n")
