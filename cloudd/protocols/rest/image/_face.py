# -*- test-case-name: tests.protocols.rest.image -*-
"""Putting the routes of Image API v2 together, with the direct handler for data before them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from attrs import frozen

from cloudd.identity import Identity
from cloudd.image import ImageError, Images, Imports
from cloudd.interfaces.application import Resources
from cloudd.protocols.http import Handler, Request

from .._api_versions import Served, all_of_ours
from .._face import FaceFacts, RestFace
from .._faults import Fault
from ._absent import ABSENT
from ._data import ImageData
from ._discovery import DiscoveryRoutes
from ._faults import image_error_body, image_fault
from ._imports import ImportRoutes
from ._members import MemberRoutes
from ._metadef_namespaces import NamespaceRoutes
from ._metadef_objects import ObjectRoutes
from ._metadef_properties import PropertyRoutes
from ._metadef_resource_types import ResourceTypeRoutes
from ._metadef_schemas import SchemaRoutes
from ._metadef_tags import TagRoutes
from ._records import ImageRoutes
from ._tasks import TaskRoutes

PREFIX = "/image"
#: An empty id or name below them would be read as the list.
_LISTS = (f"{PREFIX}/v2/images/".encode(), f"{PREFIX}/v2/metadefs/".encode())
_METADEFS = (NamespaceRoutes, ObjectRoutes, PropertyRoutes, TagRoutes, ResourceTypeRoutes)
SUBJECTS = (ImageRoutes, ImportRoutes, TaskRoutes, MemberRoutes, *_METADEFS, SchemaRoutes, DiscoveryRoutes)


def image_face(
    identity: Identity, images: Images, imports: Imports, resources: Resources, served: Served = all_of_ours
) -> Handler:
    """
    :param served: which versions are shown
    :return: the handler of everything at and below ``/image``
    """
    facts = FaceFacts(
        prefix=PREFIX,
        base=resources.urls["api"] + PREFIX,
        keystone=f"{resources.urls['api']}/identity/v3",
        max_json_bytes=resources.settings.http.max_json_bytes,
        fault_body=image_error_body,
        service_fault=_service_fault,
    )
    routes = [
        ImageRoutes(images, imports.methods),
        ImportRoutes(imports),
        TaskRoutes(imports),
        MemberRoutes(images),
        *(each(resources.database) for each in _METADEFS),
        SchemaRoutes(),
        DiscoveryRoutes(served),
    ]
    face = RestFace(facts, identity, routes, ABSENT)
    return _ImageFace(face, ImageData(images, identity, face, resources.settings.images.max_bytes)).handle


def _service_fault(error: Exception) -> Fault | None:
    return image_fault(error) if isinstance(error, ImageError) else None


@frozen
class _ImageFace:
    _routed: RestFace
    _data: ImageData

    def handle(self, request: Request) -> Coroutine[Any, Any, None] | None:
        """Answer one request."""
        if b"%00" in request.path:  # no id or tag holds it, and PostgreSQL refuses to compare with it
            self._routed.refuse(request, Fault(404, "The resource could not be found: its path holds U+0000."))
            return None
        if request.path.startswith(_LISTS) and (request.path.endswith(b"/") or b"//" in request.path):
            self._routed.refuse(request, Fault(404, "The resource could not be found: a step of the path is empty."))
            return None
        if self._data.image_in(request.path) is not None:
            return self._data.handle(request)
        return self._routed(request)
