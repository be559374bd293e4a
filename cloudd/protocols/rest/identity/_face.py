# -*- test-case-name: tests.protocols.rest.identity -*-
"""Putting the routes of Identity API v3 together, with the direct handler for token validation before them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from attrs import frozen

from cloudd.identity import Identity
from cloudd.interfaces.application import Resources
from cloudd.protocols.http import Handler, Request

from .._api_versions import Served, all_of_ours
from .._face import FaceFacts, RestFace
from ._absent import ABSENT
from ._discovery import DiscoveryRoutes, RootRoutes
from ._table import SUBJECTS
from ._tokens import TokenValidation

PREFIX = "/identity"

_VALIDATION = (b"/identity/v3/auth/tokens", b"/identity/v3/auth/tokens/")


def identity_face(identity: Identity, resources: Resources, served: Served = all_of_ours) -> Handler:
    """
    :param served: which versions are shown
    :return: the handler of ``/`` and of everything at and below ``/identity``
    """
    base = resources.urls["api"] + PREFIX
    limit = resources.settings.http.max_json_bytes
    facts = FaceFacts(prefix=PREFIX, base=base, keystone=f"{base}/v3", max_json_bytes=limit)
    root = FaceFacts(prefix="", base=base, keystone=f"{base}/v3", max_json_bytes=limit)
    face = RestFace(facts, identity, identity_routes(identity, served), ABSENT)
    return _IdentityFace(
        face, RestFace(root, identity, [RootRoutes(identity, served)]), TokenValidation(identity, face)
    )


def identity_routes(identity: Identity, served: Served = all_of_ours) -> list[object]:
    """One instance of each route class, in the order of the documents."""
    return [subject(identity, served) if subject is DiscoveryRoutes else subject(identity) for subject in SUBJECTS]


@frozen
class _IdentityFace:
    routed: Handler
    root: Handler
    validation: TokenValidation

    def __call__(self, request: Request) -> Coroutine[Any, Any, None] | None:
        if request.path in _VALIDATION and request.method in (b"GET", b"HEAD") and self.validation.answer(request):
            return None
        return self.root(request) if request.path == b"/" else self.routed(request)
