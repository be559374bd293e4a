# -*- test-case-name: tests.protocols.rest.identity.test_catalog -*-
"""
Services, endpoints and regions: read-only, since cloudd's catalog is made from its settings.

Source: Identity API v3, "Service catalog and endpoints", "Regions".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, TypeVar

from cloudd.identity import Identity

from .._face import Call
from .._faults import Fault, not_found
from .._query import Links
from .._routes import Answer, route
from ._shown import list_answer

Item = TypeVar("Item")

_ID = itemgetter("id")

_READ_ONLY = "The catalog is made from the settings of cloudd ([listen], [identity] region) and cannot be changed here."


class CatalogRoutes:
    """``/v3/services``, ``/v3/endpoints`` and ``/v3/regions``."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @route("GET", "/v3/services")
    async def list_services(self, call: Call) -> Answer:
        """Filters: ``name``, ``type``."""
        query = call.query
        services = [
            service
            for service in self._identity.catalog(call.access)
            if all(query.matches(name, service[name]) for name in ("name", "type"))
        ]
        return list_answer(call, "services", ("v3", "services"), services, _show_service, _ID)

    @route("GET", "/v3/services/{service_id}")
    async def show_service(self, call: Call, service_id: str) -> Answer:
        """One service."""
        service = _found("service", service_id, self._identity.catalog(call.access), _ID)
        return Answer(200, {"service": _show_service(service, call.links)})

    @route("GET", "/v3/endpoints")
    async def list_endpoints(self, call: Call) -> Answer:
        """Filters: ``interface``, ``service_id``, ``region_id``."""
        query = call.query
        endpoints = [
            one
            for one in self._endpoints(call)
            if all(query.matches(name, one[name]) for name in ("interface", "service_id", "region_id"))
        ]
        return list_answer(call, "endpoints", ("v3", "endpoints"), endpoints, _show_endpoint, _ID)

    @route("GET", "/v3/endpoints/{endpoint_id}")
    async def show_endpoint(self, call: Call, endpoint_id: str) -> Answer:
        """One endpoint."""
        endpoint = _found("endpoint", endpoint_id, self._endpoints(call), _ID)
        return Answer(200, {"endpoint": _show_endpoint(endpoint, call.links)})

    @route("GET", "/v3/regions")
    async def list_regions(self, call: Call) -> Answer:
        """No region has a parent."""
        regions = [] if call.query.get("parent_region_id") else self._regions(call)
        return list_answer(call, "regions", ("v3", "regions"), regions, _show_region, str)

    @route("GET", "/v3/regions/{region_id}")
    async def show_region(self, call: Call, region_id: str) -> Answer:
        """One region."""
        region = _found("region", region_id, self._regions(call), str)
        return Answer(200, {"region": _show_region(region, call.links)})

    @route("POST", "/v3/services")
    @route("POST", "/v3/endpoints")
    @route("POST", "/v3/regions")
    async def create(self, call: Call) -> Answer:
        """501: the catalog is made from the settings."""
        raise Fault(501, _READ_ONLY)

    @route("PATCH", "/v3/services/{id}")
    @route("PATCH", "/v3/endpoints/{id}")
    @route("PATCH", "/v3/regions/{id}")
    @route("DELETE", "/v3/services/{id}")
    @route("DELETE", "/v3/endpoints/{id}")
    @route("DELETE", "/v3/regions/{id}")
    async def change(self, call: Call, id: str) -> Answer:  # noqa: A002 - the template's word
        """501: the catalog is made from the settings."""
        raise Fault(501, _READ_ONLY)

    def _endpoints(self, call: Call) -> list[dict[str, Any]]:
        return [
            endpoint | {"service_id": service["id"]}
            for service in self._identity.catalog(call.access)
            for endpoint in service["endpoints"]
        ]

    def _regions(self, call: Call) -> list[str]:
        return sorted({endpoint["region_id"] for endpoint in self._endpoints(call)})


def _found(kind: str, wanted: str, records: Iterable[Item], key: Callable[[Item], str]) -> Item:
    for record in records:
        if key(record) == wanted:
            return record
    raise not_found(kind, wanted)


def _show_service(service: dict[str, Any], links: Links) -> dict[str, Any]:
    own = {"enabled": True, "description": "", "links": links.own("v3", "services", service["id"])}
    return {name: service[name] for name in ("id", "type", "name")} | own


def _show_endpoint(endpoint: dict[str, Any], links: Links) -> dict[str, Any]:
    return endpoint | {"enabled": True, "links": links.own("v3", "endpoints", endpoint["id"])}


def _show_region(region: str, links: Links) -> dict[str, Any]:
    return {"id": region, "description": "", "parent_region_id": None, "links": links.own("v3", "regions", region)}
