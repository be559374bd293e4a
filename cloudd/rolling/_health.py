# -*- test-case-name: tests.rolling.test_health -*-
"""
Asking a node whether it is well: its ``/health`` by treq, as a load balancer would.

The answer counts when it is that node's own (``X-Cloudd-Node``): an address may be a load balancer's, or mean this
machine.  A node that told no address of its own is asked over messaging.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError
from twisted.internet.defer import TimeoutError as NoAnswer

from cloudd.nodes import Node

ASK_S = 5.0
MAX_BYTES = 1_048_576
NODE_HEADER = b"X-Cloudd-Node"

Live = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Node id -> what it says over messaging: ``answers``, and ``health`` or ``cause``."""


@define(eq=False)
class HealthAsk:
    """
    :param live: for nodes without an address
    """

    _reactor: Any
    _live: Live

    async def trouble(self, node: Node) -> str:
        """What is wrong with it; empty: all its parts are well."""
        if not node.health_url:
            return await self._over_messaging(node)
        try:
            asked, report = await self._over_http(node.health_url)
        except CancelledError:
            raise
        except Exception as error:
            words = f"no answer within {ASK_S:g} s" if isinstance(error, NoAnswer) else str(error)
            return f"{node.health_url} does not answer: {words or type(error).__name__}"
        if asked != node.id:
            return (
                f"{node.health_url} is answered by {f'node {asked}' if asked else 'something else'}: set [nodes] "
                "health_url of that node to an address of its own"
            )
        return trouble_in(report)

    async def _over_http(self, url: str) -> tuple[str, Mapping[str, Any]]:
        from treq.client import HTTPClient  # late: nobody else needs it
        from twisted.web.client import Agent

        client = HTTPClient(Agent(self._reactor, connectTimeout=ASK_S))
        response = await client.get(url, timeout=ASK_S, allow_redirects=False, unbuffered=True)
        body = bytearray()

        def collect(data: bytes) -> None:
            body.extend(data)
            if len(body) > MAX_BYTES:
                raise ValueError("its answer is too long")

        await response.collect(collect).addTimeout(ASK_S, self._reactor)
        asked = response.headers.getRawHeaders(NODE_HEADER, [b""])[0].decode("latin-1")
        return asked, json.loads(body)

    async def _over_messaging(self, node: Node) -> str:
        found = await self._live(node.id)
        if not found.get("answers"):
            return f"it does not answer: {found.get('cause', '')}"
        return trouble_in(found["health"])


def trouble_in(report: Any) -> str:
    """The parts that fail, with their causes; empty: none does."""
    if not isinstance(report, Mapping) or "status" not in report:
        return "its /health says something that is no health"
    if report["status"] == "ok":
        return ""
    parts = report.get("parts", {})
    failing = [f"{name}: {part.get('cause', '')}" for name, part in sorted(parts.items()) if part.get("status") != "ok"]
    return "; ".join(failing) or "its /health fails without a cause"
