"""The compute face over the real service on a database of its own: what the tests here speak to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.compute import first_flavors
from cloudd.identity import Access
from cloudd.image import Images
from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import Settings
from cloudd.protocols.rest.compute import compute_face
from storage import MemoryStore
from tests.database.inline import empty_database
from tests.http_client import Answer, HTTPClient
from tests.protocols.rest.identity.cloud import URLS, InlineThreads
from tests.protocols.rest.projects import Tokens
from tests.protocols.swift.face import ADMIN, ALICE, BOB, READER

from .schemas import faults_of

__all__ = ["ADMIN", "ALICE", "BOB", "READER", "ComputeCase"]


class ComputeCase(TestCase):
    """
    Base of the tests.  ``ALICE`` and ``READER`` are of project ``p1``, ``BOB`` of ``p2``, ``ADMIN`` of ``p0``.
    """

    def setUp(self) -> None:
        self.database = empty_database(self)
        with self.database.engine.begin() as connection:
            first_flavors(connection)
        self.resources = Resources(
            reactor=Clock(), settings=Settings(state=Path("state")), threads=InlineThreads(), database=self.database,
            object_index=cast(Any, None), metrics=cast(Any, None), host=cast(Any, None), role="front", generation=1,
            urls=URLS, secrets=Path(self.mktemp()),
        )  # fmt: skip
        self.resources.secrets.mkdir()
        self.tokens = Tokens()
        store: Any = MemoryStore()
        self.images = Images(self.resources, store)
        self.client = HTTPClient(compute_face(cast(Any, self.tokens), self.resources, self.images))

    def client_access(self, who: str) -> Access:
        """As the service sees who asks."""
        return self.tokens.tokens[who]

    async def call(self, who: str, method: str, path: str, document: Any = None, version: str = "") -> Answer:
        """A call below ``/compute/v2.1``, in a version or without one."""
        headers = {"X-Auth-Token": who} | ({"OpenStack-API-Version": f"compute {version}"} if version else {})
        return await self.client.json(method, f"/compute/v2.1{path}", document, headers=headers)

    async def good(self, status: int, who: str, method: str, path: str, document: Any = None, version: str = "") -> Any:
        """A call that must have this status; gives its JSON, or None for an empty body."""
        answer = await self.call(who, method, path, document, version)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        return answer.json() if answer.body else None

    async def refused(
        self, status: int, name: str, who: str, method: str, path: str, document: Any = None, version: str = ""
    ) -> str:
        """A call that must be refused, by that name; gives the message."""
        answer = await self.call(who, method, path, document, version)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        ((found, error),) = answer.json().items()
        self.assertEqual((found, set(error), error["code"]), (name, {"code", "message"}, status))
        return str(error["message"])

    async def fits(
        self, kind: str, name: str, who: str, method: str, path: str, version: str, document: Any = None
    ) -> Any:
        """A call whose answer must fit tempest's schema; gives its JSON, or None for an empty body."""
        answer = await self.call(who, method, path, document, version)
        self.assertEqual(faults_of(answer, kind, name, version), [], f"{method} {path} in {version}: {answer.text}")
        self.assertEqual(answer.headers["openstack-api-version"], f"compute {version}")
        self.assertEqual(answer.headers["x-openstack-nova-api-version"], version)
        return answer.json() if answer.body else None
