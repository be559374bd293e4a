"""Agents: the nodes of the registry, for administrators."""

from __future__ import annotations

from typing import Any

from cloudd.nodes import Node

from .cloud import ADMIN, ALICE, NetworkCase


def a_node(name: str, **facts: Any) -> Node:
    """As the registry gives it."""
    given: dict[str, Any] = {
        "id": f"id-{name}", "name": name, "roles": ("api", "network"), "address": "", "state": "ready", "state_s": 5.0,
        "state_by": "op", "version": "1", "code_hash": "", "generation": 1, "payloads": {}, "load": {}, "beat_s": 2.0,
        "age_s": 1.0, "certificate": 0.0, "created": 1_795_000_000.0,
    }  # fmt: skip
    return Node(**{**given, **facts})


class AgentTests(NetworkCase):
    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.nodes = [a_node("a"), a_node("b", age_s=100.0, state="draining"), a_node("c", state="removed")]

    async def hosts(self, query: str = "") -> list[str]:
        found = await self.good(200, ADMIN, "GET", f"/agents{query}")
        return [agent["host"] for agent in found["agents"]]

    async def test_listed(self) -> None:
        """All that were not removed; by whether they are alive, by name; what agents do not know has no effect."""
        self.assertEqual(await self.hosts(), ["a", "b"])
        self.assertEqual(await self.hosts("?alive=True"), ["a"])
        self.assertEqual(await self.hosts("?admin_state_up=false&host=b"), ["b"])
        self.assertEqual(await self.hosts("?agent_type=x"), [])
        self.assertEqual(await self.hosts("?host=a&host=b&host=c"), ["a", "b"])
        self.assertEqual(await self.hosts("?color=red"), ["a", "b"])
        for query in ("alive=maybe", "limit=x", "sort_key=color", "sort_key=host&sort_dir=up", "marker=none"):
            await self.refused(400, "", ADMIN, "GET", f"/agents?{query}")

    async def test_fields(self) -> None:
        """Only what is asked for, of one and of all."""
        found = await self.good(200, ADMIN, "GET", "/agents?fields=host&fields=alive&host=a")
        self.assertEqual(found, {"agents": [{"host": "a", "alive": True}]})
        one = await self.good(200, ADMIN, "GET", "/agents/id-a?fields=host")
        self.assertEqual(one, {"agent": {"host": "a"}})

    async def test_pages(self) -> None:
        """In any order, from either end, as all other lists."""
        self.nodes = [a_node(name, age_s=100.0 if name in "bd" else 1.0) for name in "edcba"]
        self.assertEqual(await self.hosts(), ["a", "b", "c", "d", "e"])
        self.assertEqual(await self.hosts("?sort_key=host&sort_dir=desc"), ["e", "d", "c", "b", "a"])
        order = "sort_key=alive&sort_key=host&sort_dir=asc&sort_dir=desc"
        self.assertEqual(await self.hosts(f"?{order}"), ["d", "b", "e", "c", "a"])
        path, found = f"?limit=2&{order}", []
        while path:
            page = await self.good(200, ADMIN, "GET", f"/agents{path}")
            found.append([agent["host"] for agent in page["agents"]])
            links = {link["rel"]: link["href"] for link in page.get("agents_links", [])}
            path = links["next"].partition("/agents")[2] if "next" in links else ""
        self.assertEqual(found, [["d", "b"], ["e", "c"], ["a"]])
        self.assertEqual(await self.hosts(f"?limit=2&{order}&marker=id-a&page_reverse=True"), ["e", "c"])
        self.assertEqual(await self.hosts("?alive=true&limit=1&marker=id-a"), ["c"])

    async def test_shown(self) -> None:
        """With the times in the one form that clients take for agents."""
        agent = (await self.good(200, ADMIN, "GET", "/agents/id-a"))["agent"]
        self.assertEqual((agent["host"], agent["alive"], agent["created_at"]), ("a", True, "2026-11-18 11:06:40"))
        self.assertRegex(agent["heartbeat_timestamp"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(agent["configurations"]["roles"], ["api", "network"])
        await self.refused(404, "", ADMIN, "GET", "/agents/id-c")

    async def test_not_for_tenants(self) -> None:
        for path in ("/agents", "/agents/id-a"):
            self.assertIn("administrators", await self.refused(403, "HTTPForbidden", ALICE, "GET", path))
