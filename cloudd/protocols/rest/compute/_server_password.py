# -*- test-case-name: tests.protocols.rest.compute.test_small_routes -*-
"""
Passwords that guests have encrypted with their key.  Source: Compute API, "Servers password".

No guest can give any to the metadata service, so there is none; the password that a server was made with is told in the
answer to its making alone.
"""

from __future__ import annotations

from cloudd import compute as service
from cloudd.compute import Order
from cloudd.interfaces.application import Transactions

from .._routes import Answer, route
from ._call import ComputeCall


class PasswordRoutes:
    """``/v2.1/servers/{server_id}/os-server-password``."""

    def __init__(self, database: Transactions) -> None:
        self._database = database

    @route("GET", "/v2.1/servers/{server_id}/os-server-password")
    async def show(self, call: ComputeCall, server_id: str) -> Answer:
        """Empty: no guest tells one."""
        await self._database.read(service.server_to_read, call.access, server_id, "os-server-password:show")
        return Answer(200, {"password": ""})

    @route("DELETE", "/v2.1/servers/{server_id}/os-server-password")
    async def clear(self, call: ComputeCall, server_id: str) -> Answer:
        """204: there is none afterwards; the guest keeps its own."""
        order = Order(call.access, server_id, call.request.id)
        await self._database.read(lambda c: service.server_to_change(c, order, "os-server-password:clear", locked=True))
        return Answer(204)
