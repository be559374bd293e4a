# -*- test-case-name: tests.protocols.rest.identity.test_roles -*-
"""Roles, and what they imply.  Source: Identity API v3, "Roles"."""

from __future__ import annotations

from typing import Any

from cloudd.identity import Identity, Role

from .._face import Call
from .._faults import Fault, not_implemented
from .._query import Links
from .._routes import Answer, route
from ._schemas import NewRoleDocument, RoleChangeDocument
from ._shown import list_answer, page_answer, show_role
from ._values import exact_filters, given, values_of


class RoleRoutes:
    """``/v3/roles`` and ``/v3/role_inferences``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/roles")
    async def list_roles(self, call: Call) -> Answer:
        """Filter: ``name``.  No role belongs to a domain."""
        if call.query.get("domain_id"):
            return list_answer(call, "roles", ("v3", "roles"), [], show_role)
        page = await self._identity.roles.list(call.access, **exact_filters(call.query, ("name",)))
        return page_answer(call, "roles", ("v3", "roles"), page, show_role)

    @route("POST", "/v3/roles")
    async def create(self, call: Call) -> Answer:
        """201 with the new role."""
        role = await self._identity.roles.create(
            call.access, _role_values(given(values_of((await call.read(NewRoleDocument)).role)))
        )
        return Answer(201, {"role": show_role(role, call.links)})

    @route("GET", "/v3/roles/{role_id}")
    async def show(self, call: Call, role_id: str) -> Answer:
        """One role."""
        return Answer(200, {"role": show_role(await self._identity.roles.get(call.access, role_id), call.links)})

    @route("PATCH", "/v3/roles/{role_id}")
    async def update(self, call: Call, role_id: str) -> Answer:
        """200; ``admin``, ``manager``, ``member`` and ``reader`` cannot be changed (403)."""
        values = _role_values(values_of((await call.read(RoleChangeDocument)).role))
        return Answer(
            200, {"role": show_role(await self._identity.roles.update(call.access, role_id, values), call.links)}
        )

    @route("DELETE", "/v3/roles/{role_id}")
    async def delete(self, call: Call, role_id: str) -> Answer:
        """204; its assignments go with it; the four above cannot be deleted (403)."""
        await self._identity.roles.delete(call.access, role_id)
        return Answer(204)

    @route("GET", "/v3/role_inferences")
    async def inferences(self, call: Call) -> Answer:
        """Every role that implies others, with them."""
        rules = [
            _inference(prior, implied, call.links) for prior, implied in await self._identity.roles.implied(call.access)
        ]
        return Answer(200, {"role_inferences": rules, "links": call.links.own("v3", "role_inferences")})

    @route("GET", "/v3/roles/{role_id}/implies")
    async def implies(self, call: Call, role_id: str) -> Answer:
        """The roles that one role implies."""
        prior = await self._identity.roles.get(call.access, role_id)
        rule = _inference(prior, await self._implied_by(call, prior.id), call.links)
        return Answer(200, {"role_inference": rule, "links": call.links.own("v3", "roles", role_id, "implies")})

    @route("GET", "/v3/roles/{role_id}/implies/{implied_id}")
    async def implication(self, call: Call, role_id: str, implied_id: str) -> Answer:
        """One rule; 404 when the role does not imply the other."""
        prior = await self._identity.roles.get(call.access, role_id)
        implied = await self._identity.roles.get(call.access, implied_id)
        if implied.id not in {role.id for role in await self._implied_by(call, prior.id)}:
            raise Fault(404, f"Role {prior.id} does not imply role {implied.id}.")
        rule = {"prior_role": _reference(prior, call.links), "implies": _reference(implied, call.links)}
        links = call.links.own("v3", "roles", role_id, "implies", implied_id)
        return Answer(200, {"role_inference": rule, "links": links})

    async def _implied_by(self, call: Call, prior_id: str) -> tuple[Role, ...]:
        rules = await self._identity.roles.implied(call.access)
        return next((implied for prior, implied in rules if prior.id == prior_id), ())


def _role_values(values: dict[str, Any]) -> dict[str, Any]:
    if values.pop("domain_id", None) is not None:
        raise not_implemented("A role of one domain")
    return values


def _inference(prior: Role, implied: tuple[Role, ...], links: Links) -> dict[str, Any]:
    return {"prior_role": _reference(prior, links), "implies": [_reference(role, links) for role in implied]}


def _reference(role: Role, links: Links) -> dict[str, Any]:
    shown = show_role(role, links)
    return {name: shown[name] for name in ("id", "name", "domain_id", "links")}
