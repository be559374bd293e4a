# -*- test-case-name: tests.protocols.rest.network.test_agents -*-
"""
Agents: the nodes of the cloud, each of which serves its own networks.  For administrators.

Source: Network API v2.0, "Agents".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import frozen

from cloudd.network import Listing

from .._face import Call
from .._faults import Fault, bad_request
from .._routes import Answer, route
from ._listings import Shape, answer_list, chosen, read_listing, text, truth

KIND = "cloudd agent"


@frozen
class Agent:
    """One as it is shown."""

    id: str
    shown: dict[str, Any]


AGENTS = Shape(
    "agents",
    {
        **{name: (name, text) for name in ("id", "host", "agent_type", "binary", "topic", "availability_zone")},
        **{name: (name, truth) for name in ("alive", "admin_state_up")},
    },
    lambda agent, _admin: agent.shown,
)


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
        agents = await self._agents(call)
        listing = read_listing(call.query, AGENTS)
        return answer_list(call, AGENTS, listing, page_of_agents(agents, listing), call.access.is_admin)

    @route("GET", "/v2.0/agents/{agent_id}")
    async def show(self, call: Call, agent_id: str) -> Answer:
        """One."""
        for agent in await self._agents(call):
            if agent.id == agent_id:
                return Answer(200, {"agent": chosen(call.query, agent.shown)})
        raise Fault(404, f"Agent {agent_id[:64]} could not be found.")

    async def _agents(self, call: Call) -> list[Agent]:
        if not call.access.is_admin:
            raise Fault(403, "(rule:get_agent) is disallowed by policy: agents are for administrators.")
        return [Agent(node.id, self._shown(node)) for node in await self._nodes() if node.state != "removed"]

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


def page_of_agents(agents: Sequence[Agent], listing: Listing) -> list[Agent]:
    """
    As ``cloudd.network`` pages rows: those of which each filter has the value, in order, beside the marker.

    :raises Fault: 400: the marker is none of them
    """
    found = sorted(agents, key=lambda agent: agent.id)
    for name, descending in reversed(listing.order):
        found.sort(key=lambda agent: str(agent.shown[name]), reverse=descending)
    ids = [agent.id for agent in found]
    if listing.marker and listing.marker not in ids:
        raise bad_request(f"The marker {listing.marker[:64]} is not in the list.")
    at = ids.index(listing.marker) if listing.marker else None
    if at is not None:
        found = found[:at] if listing.backwards else found[at + 1 :]
    found = [agent for agent in found if all(agent.shown[name] in values for name, values in listing.filters.items())]
    if listing.limit is None:
        return found
    return found[-listing.limit :] if listing.backwards else found[: listing.limit]


def _time(seconds: float) -> str:
    """As Neutron has it of agents alone: a blank, and no zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
