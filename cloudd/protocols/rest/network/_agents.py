# -*- test-case-name: tests.protocols.rest.network.test_agents -*-
"""
Agents: the nodes of the cloud, each of which serves its own networks.  For administrators.

Source: Network API v2.0, "Agents".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from .._face import Call
from .._faults import Fault
from .._routes import Answer, route
from ._listings import truth

KIND = "cloudd agent"
_FILTERS: dict[str, Callable[[str], Any]] = {
    "id": str,
    "host": str,
    "agent_type": str,
    "binary": str,
    "topic": str,
    "availability_zone": str,
}


class Node(Protocol):
    """What is shown of a node; ages and times in seconds, ``age_s`` None where it never said anything."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def roles(self) -> Sequence[str]: ...
    @property
    def state(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def age_s(self) -> float | None: ...
    @property
    def state_s(self) -> float: ...
    @property
    def created(self) -> float: ...
    @property
    def is_silent(self) -> bool: ...


Nodes = Callable[[], Awaitable[Sequence[Node]]]


class AgentRoutes:
    """
    ``/v2.0/agents``.

    :param nodes: all of the registry
    """

    def __init__(self, nodes: Nodes, now: Callable[[], float]) -> None:
        self._nodes, self._now = nodes, now

    @route("GET", "/v2.0/agents")
    async def list_agents(self, call: Call) -> Answer:
        """One for each node that was not removed."""
        found = await self._agents(call)
        for name, value in call.query.pairs:
            found = [agent for agent in found if _matches(agent, name, value)]
        return Answer(200, {"agents": found})

    @route("GET", "/v2.0/agents/{agent_id}")
    async def show(self, call: Call, agent_id: str) -> Answer:
        """One."""
        for agent in await self._agents(call):
            if agent["id"] == agent_id:
                return Answer(200, {"agent": agent})
        raise Fault(404, f"Agent {agent_id[:64]} could not be found.")

    async def _agents(self, call: Call) -> list[dict[str, Any]]:
        if "admin" not in call.access.role_names:
            raise Fault(403, "(rule:get_agent) is disallowed by policy: agents are for administrators.")
        return [self._shown(node) for node in await self._nodes() if node.state != "removed"]

    def _shown(self, node: Node) -> dict[str, Any]:
        beat_at = None if node.age_s is None else _time(self._now() - node.age_s)
        return {
            "id": node.id,
            "agent_type": KIND,
            "binary": "cloudd",
            "topic": "N/A",
            "host": node.name,
            "availability_zone": "nova",
            "admin_state_up": node.state == "ready",
            "alive": not node.is_silent,
            "created_at": _time(node.created),
            "started_at": _time(node.created),
            "heartbeat_timestamp": beat_at,
            "description": None,
            "configurations": {"roles": list(node.roles), "state": node.state, "version": node.version},
            "resources_synced": None,
            "resource_versions": {},
        }


def _matches(agent: dict[str, Any], name: str, value: str) -> bool:
    """
    :raises Fault: 400: it cannot be filtered by that
    """
    if name in ("alive", "admin_state_up"):
        return bool(agent[name] == truth(name, value))
    if name in _FILTERS:
        return bool(agent[name] == value)
    raise Fault(
        400, f"Agents cannot be filtered by '{name[:40]}'; known: alive, admin_state_up, {', '.join(_FILTERS)}."
    )


def _time(seconds: float) -> str:
    """As Neutron has it of agents alone: a blank, and no zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
