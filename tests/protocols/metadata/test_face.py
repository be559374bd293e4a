"""The face: who asks is told by his address alone, over real sockets, and statuses are those that guests retry."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, ClassVar, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread

from cloudd.interfaces.application import Resources
from cloudd.interfaces.settings import HTTPSettings, Settings
from cloudd.metadata import Metadata, OwnNode
from cloudd.metadata._rate import Rate
from cloudd.protocols.http import HTTPServerFactory, listen
from cloudd.protocols.metadata import metadata_face
from cloudd.protocols.metadata._face import _host_of
from tests.http_client import Answer, HandlerSite, HTTPClient
from tests.metadata.guest import SERVER_ID, GuestCase, seeded
from tests.protocols.rest.identity.cloud import URLS, InlineThreads


class FaceCase(GuestCase):
    """Guests are addresses of the loopback: a client in memory is ``127.0.0.1``."""

    prefix: ClassVar[str] = "127.0.0"

    def setUp(self) -> None:
        super().setUp()
        resources = Resources(
            reactor=reactor, settings=Settings(state=Path("state")), threads=InlineThreads(), database=self.database,
            object_index=cast(Any, None), metrics=cast(Any, None), host=cast(Any, None), role="front", generation=1,
            urls=URLS, secrets=Path("secrets"),
        )  # fmt: skip
        self.face = metadata_face(Metadata(resources, self.own_node, seeded, Rate(burst=50, per_s=0.001)))
        self.client = HTTPClient(self.face, face="metadata")

    async def own_node(self) -> OwnNode:
        return OwnNode("n1", "host-1")

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, headers=fields)


class FaceTests(FaceCase):
    async def test_documents(self) -> None:
        """With their kinds, and kept by nobody on the way."""
        await self.server(await self.port("127.0.0.1"))
        answer = await self.ask("/openstack/latest/meta_data.json")
        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
        self.assertEqual((answer.json()["uuid"], answer.headers["cache-control"]), (SERVER_ID, "no-store"))
        answer = await self.ask("/latest/meta-data/hostname")
        self.assertEqual((answer.body, answer.headers["content-type"]), (b"web", "text/plain; charset=utf-8"))

    async def test_routes(self) -> None:
        """What is counted is one of two trees, whatever guests ask for."""
        for path in ("/openstack/x", "/openstack", "/latest", "/a/b/c", "/"):
            await self.ask(path)
        self.assertEqual({each.route for each in self.client.site.ended}, {"/openstack", "/ec2"})

    async def test_top(self) -> None:
        """Amazon's versions are told to everybody, as by Nova."""
        self.assertTrue((await self.ask("/")).body.startswith(b"1.0\n"))
        self.assertEqual((await self.ask("/openstack")).status, 404)

    async def test_head(self) -> None:
        """Length without body."""
        await self.server(await self.port("127.0.0.1"))
        answer = await self.ask("/latest/meta-data/hostname", "HEAD")
        self.assertEqual((answer.status, answer.headers["content-length"], answer.body), (200, "3", b""))

    async def test_unknown(self) -> None:
        """An address of nobody, in words."""
        answer = await self.ask("/openstack")
        self.assertEqual((answer.status, "No server" in answer.text), (404, True))

    async def test_nothing_there(self) -> None:
        """What is not there, is too long or is no text."""
        await self.server(await self.port("127.0.0.1"))
        for path in ("/latest/none", f"/{'a' * 1_100}", "/%ff%fe", "/latest/meta-data/%00", "/..%2f..%2fetc%2fpasswd"):
            self.assertEqual((await self.ask(path)).status, 404, path)

    async def test_decoded(self) -> None:
        """Paths may be percent-encoded."""
        await self.server(await self.port("127.0.0.1"))
        self.assertEqual((await self.ask("/latest/meta%2Ddata/hostname")).body, b"web")

    async def test_not_ready(self) -> None:
        """503, which guests ask again after."""
        await self.port("127.0.0.1", device_id=SERVER_ID)
        answer = await self.ask("/openstack")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (503, "1"))

    async def test_broken(self) -> None:
        """A database that is gone is 503 too, without its words, and in the log."""
        self.database.failing = OSError("secret words")
        answer = await self.ask("/openstack")
        self.assertEqual((answer.status, "secret" in answer.text), (503, False))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def test_methods(self) -> None:
        """Nothing can be set, a password neither; before anybody is looked for."""
        self.database.failing = OSError("not asked")
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await self.ask("/openstack/latest/password", method)
            self.assertEqual((answer.status, answer.headers["allow"]), (405, "GET, HEAD"), method)

    async def test_body(self) -> None:
        """What comes with a request is not read into memory."""
        answer = await self.client.request("POST", "/openstack/latest/password", body=b"x" * 200_000)
        self.assertEqual(answer.status, 405)

    async def test_rate(self) -> None:
        """429 with the time to wait."""
        for _ in range(50):
            await self.ask("/latest")
        answer = await self.ask("/latest")
        self.assertEqual((answer.status, int(answer.headers["retry-after"]) > 900), (429, True))

    def test_address_of_peer(self) -> None:
        """As connections have it."""
        for peer, host in (
            ("10.0.0.5:1234", "10.0.0.5"),
            ("[fd00::5]:1234", "fd00::5"),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5"),
            ("local", ""),
        ):
            self.assertEqual(_host_of(peer), host)


class SocketTests(FaceCase):
    """Over TCP: the kernel says who asks."""

    def setUp(self) -> None:
        super().setUp()
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.number = listener.getsockname()[1]
        factory = HTTPServerFactory(HandlerSite(self.face), HTTPSettings(), "metadata", Clock())
        port = listen(cast(Any, reactor), listener.detach(), factory)
        self.addCleanup(port.stopListening)

    def ask_from(self, source: str, path: str, **headers: str) -> Deferred[tuple[int, bytes]]:
        """As a guest with that address."""

        def ask() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.number, timeout=10, source_address=(source, 0))
            try:
                connection.request(
                    "GET", path, headers={name.replace("_", "-"): each for name, each in headers.items()}
                )
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()

        return deferToThread(ask)

    async def test_each_his_own(self) -> None:
        """Two guests, one service: each is told of himself, and a third of nothing."""
        await self.server(await self.port("127.0.0.5"))
        await self.server(await self.port("127.0.0.6"), id="other", host_name="other")
        path = "/latest/meta-data/hostname"
        self.assertEqual(await self.ask_from("127.0.0.5", path), (200, b"web"))
        self.assertEqual(await self.ask_from("127.0.0.6", path), (200, b"other"))
        self.assertEqual((await self.ask_from("127.0.0.7", path))[0], 404)

    async def test_nothing_believed(self) -> None:
        """What a guest says of himself changes nothing."""
        await self.server(await self.port("127.0.0.5"))
        await self.server(await self.port("127.0.0.6"), id="other")
        said = {
            "X_Forwarded_For": "127.0.0.6", "Forwarded": "for=127.0.0.6", "X_Real_IP": "127.0.0.6",
            "X_Instance_ID": "other", "X_Tenant_ID": "p1", "Host": "127.0.0.6",
        }  # fmt: skip
        status, body = await self.ask_from("127.0.0.5", "/openstack/latest/meta_data.json", **said)
        self.assertEqual((status, json.loads(body)["uuid"]), (200, SERVER_ID))
