"""The network face over the real service on a database of its own: what the tests here speak to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import NetworkSettings, Settings
from cloudd.protocols.rest.network import network_face
from tests.database.inline import empty_database
from tests.http_client import Answer, HTTPClient
from tests.protocols.rest.identity.cloud import URLS, InlineThreads
from tests.protocols.rest.projects import Tokens
from tests.protocols.swift.face import ADMIN, ALICE, BOB, READER

__all__ = ["ADMIN", "ALICE", "BOB", "READER", "NetworkCase"]


class NetworkCase(TestCase):
    """
    Base of the tests.  ``ALICE`` and ``READER`` are of project ``p1``, ``BOB`` of ``p2``, ``ADMIN`` of ``p0``.
    """

    network_settings: ClassVar[NetworkSettings] = NetworkSettings()

    def setUp(self) -> None:
        self.database = empty_database(self)
        settings = Settings(state=Path("state"), network=self.network_settings)
        self.resources = Resources(
            reactor=Clock(), settings=settings, threads=InlineThreads(), database=self.database,
            object_index=cast(Any, None), metrics=cast(Any, None), host=cast(Any, None), role="front", generation=1,
            urls=URLS, secrets=Path("secrets"),
        )  # fmt: skip
        self.nodes: list[Any] = []
        self.client = HTTPClient(network_face(cast(Any, Tokens()), self.resources, self.list_nodes))

    async def list_nodes(self) -> list[Any]:
        """Of the registry."""
        return self.nodes

    async def call(self, who: str, method: str, path: str, document: Any = None) -> Answer:
        """A call below ``/network/v2.0``."""
        return await self.client.json(method, f"/network/v2.0{path}", document, headers={"X-Auth-Token": who})

    async def good(self, status: int, who: str, method: str, path: str, document: Any = None) -> Any:
        """A call that must have this status; gives its JSON, or None for an empty body."""
        answer = await self.call(who, method, path, document)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        return answer.json() if answer.body else None

    async def refused(self, status: int, kind: str, who: str, method: str, path: str, document: Any = None) -> str:
        """A call that must be refused, by that name; gives the message."""
        answer = await self.call(who, method, path, document)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        error = answer.json()["NeutronError"]
        self.assertEqual(set(error), {"type", "message", "detail"})
        if kind:
            self.assertEqual(error["type"], kind, error)
        return str(error["message"])

    async def made(self, kind: str, who: str = ALICE, **members: Any) -> dict[str, Any]:
        """A new record: ``network``, ``subnet``, ``port``, ``security_group`` or ``security_group_rule``."""
        path = f"/{kind.replace('_', '-')}s"
        found: dict[str, Any] = (await self.good(201, who, "POST", path, {kind: members}))[kind]
        return found

    async def net(
        self, cidr: str = "10.0.0.0/24", who: str = ALICE, **members: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A network and its subnet."""
        network = await self.made("network", who, name="net", **members)
        version = 6 if ":" in cidr else 4
        return network, await self.made("subnet", who, network_id=network["id"], ip_version=version, cidr=cidr)

    async def addresses(self, port: dict[str, Any]) -> list[str]:
        """Of a port."""
        return [each["ip_address"] for each in port["fixed_ips"]]
