# -*- test-case-name: tests.identity.test_catalog -*-
"""The catalog: the services that exist and where they are, from the addresses the daemon listens on.  Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from attrs import frozen

INTERFACES = ("public", "internal", "admin")
_NAMESPACE = uuid.UUID("0d2b7c9a-3f0e-4d61-8f5b-2f9a6f1c4e77")
# type, name, face, path below the face's URL; {project_id} is left out for tokens without a project
_SERVICES = (
    ("identity", "keystone", "api", "/identity"),
    ("object-store", "swift", "object", "/v1/AUTH_{project_id}"),
    ("s3", "s3", "s3", ""),
)


@frozen
class Endpoint:
    id: str
    service_id: str
    interface: str
    region: str
    url: str


@frozen
class Service:
    id: str
    type: str
    name: str
    endpoints: tuple[Endpoint, ...]


def catalog(urls: Mapping[str, str], region: str, project_id: str | None) -> tuple[Service, ...]:
    """
    The services as a token shows them; ids are the same in every worker and at every start.

    :param urls: face to base URL without a slash at its end; a face that is off is missing or empty
    :param project_id: ``None``: services whose URL names the project are left out
    """
    services = []
    for kind, name, face, path in _SERVICES:
        base = urls.get(face)
        if not base or (project_id is None and "{project_id}" in path):
            continue
        service_id = _id("service", kind)
        url = base + path.format(project_id=project_id)
        endpoints = tuple(
            Endpoint(_id("endpoint", kind, interface, region), service_id, interface, region, url)
            for interface in INTERFACES
        )
        services.append(Service(service_id, kind, name, endpoints))
    return tuple(services)


def _id(*words: str) -> str:
    return uuid.uuid5(_NAMESPACE, "/".join(words)).hex
