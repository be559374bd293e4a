# -*- test-case-name: tests.protocols.rest.identity -*-
"""Domains.  Source: Identity API v3, "Domains"."""

from __future__ import annotations

from cloudd.identity import Identity

from .._face import Call
from .._routes import Answer, route
from ._schemas import DomainChangeDocument, NewDomainDocument
from ._shown import page_answer, show_domain
from ._values import exact_filters, given, values_of


class DomainRoutes:
    """``/v3/domains``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/domains")
    async def list_domains(self, call: Call) -> Answer:
        """Filters: ``name``, ``enabled``."""
        page = await self._identity.domains.list(call.access, **exact_filters(call.query, ("name",), ("enabled",)))
        return page_answer(call, "domains", ("v3", "domains"), page, show_domain)

    @route("POST", "/v3/domains")
    async def create(self, call: Call) -> Answer:
        """201 with the new domain."""
        wanted = (await call.read(NewDomainDocument)).domain
        domain = await self._identity.domains.create(call.access, given(values_of(wanted)))
        return Answer(201, {"domain": show_domain(domain, call.links)})

    @route("GET", "/v3/domains/{domain_id}")
    async def show(self, call: Call, domain_id: str) -> Answer:
        """One domain."""
        domain = await self._identity.domains.get(call.access, domain_id)
        return Answer(200, {"domain": show_domain(domain, call.links)})

    @route("PATCH", "/v3/domains/{domain_id}")
    async def update(self, call: Call, domain_id: str) -> Answer:
        """200; disabling one refuses the tokens of its users and projects."""
        wanted = (await call.read(DomainChangeDocument)).domain
        domain = await self._identity.domains.update(call.access, domain_id, values_of(wanted))
        return Answer(200, {"domain": show_domain(domain, call.links)})

    @route("DELETE", "/v3/domains/{domain_id}")
    async def delete(self, call: Call, domain_id: str) -> Answer:
        """204; only a disabled domain can be deleted, and all that is in it goes with it."""
        await self._identity.domains.delete(call.access, domain_id)
        return Answer(204)
