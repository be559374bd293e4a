"""Asking a node how it is: a real HTTP client, and a small server of whatever answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from cloudd.rolling import _health
from cloudd.rolling._health import NODE_HEADER, HealthAsk, trouble_in

from .small_cloud import ROW

WELL = {"status": "ok", "parts": {"objects": {"status": "ok", "cause": ""}}}
ILL = {"status": "failing", "parts": {"objects": {"status": "failing", "cause": "full"}, "x": {"status": "ok"}}}


class Answering(Resource):
    """What stands at the address."""

    isLeaf = True
    body: bytes = json.dumps(WELL).encode()
    node = b"a"
    code = 200
    hangs = False

    def render_GET(self, request: Any) -> Any:
        request.setResponseCode(self.code)
        if self.node:
            request.setHeader(NODE_HEADER, self.node)
        return NOT_DONE_YET if self.hangs else self.body


class HealthTests(TestCase):
    def setUp(self) -> None:
        self.server = Answering()
        clock: Any = reactor
        port = clock.listenTCP(0, Site(self.server), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.row = evolve(ROW, load={"health": f"http://127.0.0.1:{port.getHost().port}/health"})
        self.live: Mapping[str, Any] = {"answers": True, "health": WELL}

    async def trouble(self, row: Any = None) -> str:
        async def live(_node_id: str) -> Mapping[str, Any]:
            return self.live

        return await HealthAsk(reactor, live).trouble(row or self.row)

    async def test_well(self) -> None:
        self.assertEqual(await self.trouble(), "")

    async def test_ill(self) -> None:
        """503 has the parts and their causes."""
        self.server.code, self.server.body = 503, json.dumps(ILL).encode()
        self.assertEqual(await self.trouble(), "objects: full")

    async def test_somebody_else(self) -> None:
        """A load balancer's answer, or this machine's own, says nothing of that node."""
        self.server.node = b"b"
        self.assertIn("answered by node b", await self.trouble())
        self.server.node = b""
        self.assertIn("answered by something else", await self.trouble())

    async def test_no_answer(self) -> None:
        self.patch(_health, "ASK_S", 0.2)
        self.server.hangs = True
        self.assertIn("does not answer", await self.trouble())
        row = evolve(self.row, load={"health": "http://127.0.0.1:1/health"})
        self.assertIn("does not answer", await self.trouble(row))

    async def test_garbage(self) -> None:
        for body in (b"<html>", b"[]", b"{}", b"x" * 3_000_000):
            self.server.body = body
            self.assertNotEqual(await self.trouble(), "", body[:10])

    async def test_over_messaging(self) -> None:
        """Who told no address is asked there."""
        self.assertEqual(await self.trouble(ROW), "")
        self.live = {"answers": False, "cause": "nobody serves the topic"}
        self.assertIn("nobody serves", await self.trouble(ROW))
        self.live = {"answers": True, "health": ILL}
        self.assertEqual(await self.trouble(ROW), "objects: full")

    def test_words(self) -> None:
        self.assertEqual(trouble_in({"status": "failing"}), "its /health fails without a cause")
