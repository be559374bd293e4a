# -*- test-case-name: tests.protocols.rest.compute.test_small_routes -*-
"""What Nova has taken out of its API, and answers with 410."""

from __future__ import annotations

from .._faults import Fault
from .._routes import Answer, route
from ._call import ComputeCall


class RemovedRoutes:
    """``/v2.1/os-agents``."""

    @route("POST", "/v2.1/os-agents")
    @route("GET", "/v2.1/os-agents")
    async def agents(self, call: ComputeCall) -> Answer:
        """410, as in Nova: agents in guests."""
        raise _gone()

    @route("DELETE", "/v2.1/os-agents/{agent_id}")
    @route("PUT", "/v2.1/os-agents/{agent_id}")
    async def agent(self, call: ComputeCall, agent_id: str) -> Answer:
        """410, as in Nova: agents in guests."""
        raise _gone()


def _gone() -> Fault:
    return Fault(410, "Agents in guests were removed from the API.")
