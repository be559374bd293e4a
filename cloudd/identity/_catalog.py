# -*- test-case-name: tests.identity.test_catalog -*-
"""The catalog: the services that exist and where they are, from the addresses the daemon listens on.  Pure."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

INTERFACES = ("public", "internal", "admin")
_NAMESPACE = uuid.UUID("0d2b7c9a-3f0e-4d61-8f5b-2f9a6f1c4e77")
# type, name, face, path below the face's URL; {project_id} is left out for tokens without a project
_SERVICES = (
    ("identity", "keystone", "api", "/identity"),
    ("compute", "nova", "api", "/compute/v2.1"),
    ("image", "glance", "api", "/image"),
    ("network", "neutron", "api", "/network"),
    ("object-store", "swift", "object", "/v1/AUTH_{project_id}"),
    ("s3", "s3", "s3", ""),
)


def catalog(urls: Mapping[str, str], region: str, project_id: str | None) -> list[dict[str, Any]]:
    """
    The services as a token shows them: ``type``, ``name``, ``id`` and ``endpoints``, each of these with ``id``,
    ``interface``, ``region``, ``region_id`` and ``url``.  Ids are the same in every worker and at every start.

    :param urls: face to base URL without a slash at its end; a face that is off is missing or empty
    :param project_id: ``None``: services whose URL names the project are left out
    """
    services = []
    for kind, name, face, path in _SERVICES:
        base = urls.get(face)
        if not base or (project_id is None and "{project_id}" in path):
            continue
        place = {"region": region, "region_id": region, "url": base + path.format(project_id=project_id)}
        endpoints = [
            {"id": _id("endpoint", kind, interface, region), "interface": interface, **place}
            for interface in INTERFACES
        ]
        services.append({"type": kind, "name": name, "id": _id("service", kind), "endpoints": endpoints})
    return services


@cache
def _id(*words: str) -> str:
    return uuid.uuid5(_NAMESPACE, "/".join(words)).hex
