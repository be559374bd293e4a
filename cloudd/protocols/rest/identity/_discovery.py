# -*- test-case-name: tests.protocols.rest.identity.test_discovery -*-
"""
Version discovery: where every client begins, so before any token.

Source: Identity API v3, "API versions".
"""

from __future__ import annotations

from typing import Any

from cloudd.identity import Identity

from .._face import Call
from .._routes import Answer, route

#: The newest minor version of Identity API v3; Keystone has stayed there since its 2020 release.
VERSION = "v3.14"
_UPDATED = "2020-04-07T00:00:00Z"
_MEDIA_TYPE = {"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}


class DiscoveryRoutes:
    """Which versions there are, at the root and at the version itself."""

    def __init__(self, identity: Identity) -> None:
        """Versions are the same for everybody; the argument is what every route class gets."""

    @route("GET", "", token=False)
    async def list_versions(self, call: Call) -> Answer:
        """300: a choice of one."""
        return Answer(300, {"versions": {"values": [_version(call)]}})

    @route("GET", "/v3", token=False)
    async def show_version(self, call: Call) -> Answer:
        """200: this version."""
        return Answer(200, {"version": _version(call)})


class RootRoutes:
    """``GET /`` of the API port: a client that was given only host and port finds the identity service from there."""

    def __init__(self, identity: Identity) -> None:
        """As for ``DiscoveryRoutes``."""

    @route("GET", "/", token=False)
    async def list_versions(self, call: Call) -> Answer:
        """300, as at ``/identity``."""
        return Answer(300, {"versions": {"values": [_version(call)]}})


def _version(call: Call) -> dict[str, Any]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": _UPDATED,
        "links": [{"rel": "self", "href": call.links.to("v3") + "/"}],
        "media-types": [_MEDIA_TYPE],
    }
